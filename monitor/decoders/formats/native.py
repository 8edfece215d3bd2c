"""The native format as one of many: for trying it. In the service `monitor.decoders.native` reads it, much faster."""

from __future__ import annotations

from typing import cast

from monitor.decoders.native_json import MalformedError, Misplaced, read
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, Measured, UnreadableError
from monitor.ingest.message import Message
from monitor.readings import QUANTITY_NAMES

__all__ = ["Native"]


class Native:
    """Topic `meters/<gateway>/<device>`; see `monitor.decoders.native` for the payload."""

    def __init__(self, options: Options, state: SourceState) -> None:
        pass

    def read(self, message: Message, found: Found) -> None:
        levels = message.topic.rsplit("/", 2)
        if len(levels) != 3:
            raise UnreadableError(f"topic {shown(message.topic)}: expected meters/<gateway>/<device>")
        try:
            for one in read(bytes(message.payload)):
                if isinstance(one, Misplaced):
                    found.reject("malformed", f"readings[{one.position}]: expected an object, found {shown(one.raw)}")
                    continue
                device = levels[2] if one.device is None else one.device
                if one.quantity is None or not isinstance(device, str):
                    reason = "unknown_device" if not isinstance(device, str) else "unknown_quantity"
                    found.reject(reason, f"device {shown(device)}, {shown(one.key)}: {shown(one.raw)}")
                else:
                    quantity = cast("Measured", QUANTITY_NAMES[one.quantity])
                    found.add(device, quantity, one.value, one.ts_ms, one.key)
        except MalformedError as error:
            raise UnreadableError(error.detail, error.reason) from None
