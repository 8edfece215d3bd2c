"""Milesight gateways: what a codec made of a frame, alone, on a topic of the installer's choosing.

The body has neither id nor time, unless the installer's codec adds them from the gateway's `LoRaObject` (`devEUI` and
the like); so the id is the topic and the time that of the arrival. Without a codec the gateway's own network server
sends its envelope, which is much like ChirpStack's of version 3; that is read, too.
"""

from __future__ import annotations

from typing import Any

from monitor.decoders.formats.chirpstack import read_v3, uplink_v3
from monitor.decoders.formats.lorawan import LorawanReader
from monitor.decoders.formats.lorawan_devices import Device
from monitor.decoders.formats.lorawan_uplinks import device_id
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, epoch_ms, iso_ms
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["Milesight"]

_ID_NAMES = ("devEUI", "devEui", "deviceEUI", "deviceEui", "dev_eui", "deveui", "device_eui", "DevEUI", "sensor")
_EUI_CHARS = 16
_HEX = frozenset("0123456789abcdefABCDEF")
_TIMES = ("time", "timestamp", "gatewayTime")
_EARLIEST_MS = 946_684_800_000


class Milesight:
    """Format `milesight_codec`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._reader = LorawanReader(options, state)

    def read(self, message: Message, found: Found) -> None:
        body = read_json(message.payload)
        if not isinstance(body, dict):
            raise UnreadableError(f"expected an object, found {shown(body)}")
        if "downlink" in message.topic.lower().rpartition("/")[2]:
            found.ignore("command")
            return
        source_id = _id_of(body) or _id_of(body.get("LoRaObject")) or device_id(message.topic) or ""
        device = Device(source_id, "milesight", True)
        if isinstance(body.get("data"), str) and "fPort" in body:
            uplink = uplink_v3(body)
            read_v3(uplink, device, self._reader, found, message.received_ms)
            return
        if not body:
            found.ignore("no_value")
            return
        ts_ms = _time_of(body)
        if ts_ms is None and isinstance(body.get("LoRaObject"), dict):
            ts_ms = _time_of(body["LoRaObject"])
        self._reader.read_of(found, device, body, None, None, ts_ms)


def _id_of(body: object) -> str | None:
    if not isinstance(body, dict):
        return None
    for name in _ID_NAMES:
        raw = body.get(name)
        if isinstance(raw, str) and len(raw) == _EUI_CHARS and _HEX.issuperset(raw):
            return raw
    return None


def _time_of(body: dict[str, Any]) -> int | None:
    """When the codec says that it was, None where it says nothing that can be a time (some count from the start)."""
    for name in _TIMES:
        raw = body.get(name)
        try:
            if isinstance(raw, str):
                ts_ms = iso_ms(raw)
            elif isinstance(raw, int | float) and not isinstance(raw, bool) and raw == raw:
                ts_ms = epoch_ms(raw)
            else:
                continue
        except BadTimeError:
            continue
        if ts_ms >= _EARLIEST_MS:
            return ts_ms
    return None
