"""What LoRaWAN network servers say around the readings: which device, when, and whether they said it before."""

from __future__ import annotations

import binascii
import hashlib
import zlib
from collections.abc import Iterable
from typing import Any

from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, iso_ms
from monitor.decoders.values import UnreadableError

__all__ = ["SeenUplinks", "device_id", "first_time_ms", "frame_of"]

_LONGEST_ID, _LONGEST_UPLINK = 200, 64
_LONGEST_FRAME = 2 * 242
_REMEMBERED = 16
_RETRANSMITTED_MS = 3_600_000
_EARLIEST_MS, _AHEAD_MS = 946_684_800_000, 600_000


def device_id(raw: object) -> str | None:
    """An id that a payload gives, None if it gives none. Raises UnreadableError for what cannot be one."""
    if raw is None or raw == "":
        return None
    if not isinstance(raw, str) or len(raw) > _LONGEST_ID or not raw.isprintable():
        raise UnreadableError(f"{shown(raw)} is no id of a device")
    return raw


def frame_of(data: object) -> bytes | None:
    """The bytes of a frame in base64, None if that is none."""
    if not isinstance(data, str) or not data or len(data) > _LONGEST_FRAME:
        return None
    try:
        # What b64decode(data, validate=True) ends in, at half its price.
        return binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        return None


def first_time_ms(texts: Iterable[object], received_ms: int) -> int | None:
    """The first of these times, most often those of the gateways, that can be one: gateways without GPS or with a clock
    that was never set name none, or a wrong one."""
    for raw in texts:
        if type(raw) is not str:
            continue
        try:
            ts_ms = iso_ms(raw)
        except BadTimeError:
            continue
        if _EARLIEST_MS <= ts_ms <= received_ms + _AHEAD_MS:
            return ts_ms
    return None


class SeenUplinks:
    """The last uplinks of each device of a source."""

    def __init__(self, state: SourceState) -> None:
        self._state = state

    def is_repeated(self, source_id: str, uplink: str) -> bool:
        """Whether this uplink of the device has been seen among its last ones; it has then."""
        key = "up/" + source_id
        if len(uplink) > _LONGEST_UPLINK or not uplink.isascii():
            uplink = hashlib.sha256(uplink.encode("utf-8", "surrogatepass")).hexdigest()
        if self._state.append(key, uplink, None, _REMEMBERED):
            return False
        seen = self._state.get(key) or ()
        if uplink in seen:
            return True
        # The first one, or behind those of the list that earlier versions kept.
        self._state.put(key, dict.fromkeys([*seen, uplink][-_REMEMBERED:]))
        return False

    def is_retransmitted(self, source_id: str, count: object, content: object, ts_ms: int) -> bool:
        """The same for a server that gives uplinks no id: the frame counter starts anew when a device joins again, so
        the content has to be the same, too, and the time not far away."""
        key = "fcnt/" + source_id
        what = count << 32 if isinstance(count, int) and 0 <= count < 1 << 32 else 0
        if isinstance(content, str):
            what |= zlib.crc32(content.encode() if content.isascii() else content.encode("utf-8", "backslashreplace"))
        if self._state.append(key, what, ts_ms, _REMEMBERED):
            return False
        uplinks = _uplinks(self._state.get(key))
        if any(each == what and abs(ts_ms - at_ms) <= _RETRANSMITTED_MS for each, at_ms in uplinks):
            return True
        uplinks = [*uplinks, (what, ts_ms)][-_REMEMBERED:]
        times = dict(uplinks)
        # Two lists where the same counter came with the same content hours apart.
        self._state.put(key, times if len(times) == len(uplinks) else [*map(list, zip(*uplinks, strict=True))])
        return False


def _uplinks(known: Any) -> list[tuple[int, int]]:
    """(counter and checksum, time [ms]) of what is remembered, the oldest first."""
    if known is None:
        return []
    if isinstance(known, dict):
        return list(known.items())
    return [(each if isinstance(each, int) else _of_text(each), at_ms) for each, at_ms in zip(*known, strict=True)]


def _of_text(what: str) -> int:
    """`7/2144674655`: counter and checksum as earlier versions kept them."""
    count, _, checksum = what.partition("/")
    return (int(count) if count.isdigit() else count == "True") << 32 | int(checksum)
