"""P1 telegrams in a payload, and whether they came whole: behind the `!` there is a checksum since version 4."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.decoders.formats.crc16 import crc16
from monitor.decoders.formats.dsmr_lines import Telegram
from monitor.decoders.formats.dsmr_shape import Shapes
from monitor.decoders.payloads import shown
from monitor.decoders.values import UnreadableError

__all__ = ["telegrams"]

_MAX_TELEGRAMS = 100
_CRC_CHARS = 4


def telegrams(payload: bytes, shapes: Shapes) -> Iterator[Telegram | UnreadableError]:
    """Every telegram of a payload; an error for one that cannot be believed. At most a hundred."""
    start = payload.find(b"/")
    for _ in range(_MAX_TELEGRAMS):
        if start < 0:
            return
        end = payload.find(b"!", start)
        if end < 0:
            yield UnreadableError("the telegram is cut off: no ! at its end")
            return
        body = payload[start : end + 1]
        tail = payload[end + 1 : end + 1 + _CRC_CHARS]
        wrong = _wrong_crc(body, tail)
        yield shapes.read(body) if wrong is None else UnreadableError(wrong, "bad_crc")
        start = payload.find(b"/", end)


def _wrong_crc(body: bytes, tail: bytes) -> str | None:
    """Why the checksum is wrong; None if it is right or, as before version 4, not there."""
    tail = tail.replace(b"\r", b"\n").partition(b"\n")[0].strip()
    if not tail:
        return None
    try:
        expected = int(tail, 16) if tail.isalnum() else -1  # some meters leave out leading zeros
    except ValueError:
        expected = -1
    found = crc16(body)
    if found == expected:
        return None
    # Bridges write the lines with other ends than the meter, which counted carriage returns, too.
    if b"\r\n" not in body and crc16(body.replace(b"\n", b"\r\n")) == expected:
        return None
    return f"checksum {shown(tail)}, expected {found:04X}"
