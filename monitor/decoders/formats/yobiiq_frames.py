"""Raw frames of Yobiiq's LoRaWAN meters, as the object that Yobiiq's codec makes of them.

A frame is a row of (channel, type, value), big-endian. Layouts: EM4301 (three phases) and EM2101 (one), whose channels
count up from 1, or are all fe in frames with voltages or powers, and whose registers are in Wh; EM4302, whose channels
are all dd and whose registers are in 0.01 kWh. Public codecs: github.com/Yobiiq-BV/codecs. Type 03 is the time of the
reading, type 01 that of the frame. Channel 0b with type 0a is a Modbus error code of one byte, although type 0a is a
register of four.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

from monitor.decoders.formats.frame_layouts import Layout, Layouts

__all__ = ["YobiiqFrames"]

_SHORTEST, _LONGEST = 12, 242
_ERROR = 0x0B0A
_EM4301_CHANNEL, _EM4302_CHANNEL = 0xFE, 0xDD
_REGISTERS, _POWER = frozenset({0x04, 0x05, 0x06, 0x07}), 0x13
_EM4302_WH = 10
"""What one step of an EM4302's registers is [Wh]."""

_NAMES = {
    0x01: "timestamp",
    0x03: "dataloggerTimestamp",
    0x04: "activeEnergyImportL123T1",
    0x05: "activeEnergyImportL123T2",
    0x06: "activeEnergyExportL123T1",
    0x07: "activeEnergyExportL123T2",
    0x13: "activePowerL123",
}
_unsigned = struct.Struct(">I").unpack_from
_signed = struct.Struct(">i").unpack_from

_FOUR_BYTES = dict.fromkeys((*range(0x1D), *range(0x24, 0x2C)), 4)
_LENGTHS: dict[int, int] = {
    **_FOUR_BYTES,
    **dict.fromkeys((0x1D, 0x1E, 0x1F), 1),
    **dict.fromkeys((0x20, 0x21, 0x22, 0x23, 0xF0, 0xF1, 0xF2), 2),
}
_EM4302_LENGTHS: dict[int, int] = {
    **dict.fromkeys((*range(0x1D), *range(0x24, 0x31), 0xD1, 0xF0, 0xF4), 4),
    **dict.fromkeys((*range(0x1D, 0x24), 0xC1, 0xD2, 0xF1, 0xF2, 0xF3, 0xF5, 0xF6, 0xF8), 2),
    **dict.fromkeys((0xC2, 0xF7, 0xF9), 1),
}
_EARLIEST_S, _LATEST_S = 1_420_070_400, 4_000_000_000
"""2015 to 2096: what a frame must name as its time to be taken for one of theirs."""


class YobiiqFrames:
    """Reads frames; what it keeps are layouts."""

    def __init__(self) -> None:
        self._layouts = Layouts(_length, _em4301_layout)
        self._em4302_layouts = Layouts(_em4302_length, lambda layout: layout)

    def codec_object(self, frame: bytes) -> dict[str, Any] | None:
        """What Yobiiq's codec makes of a frame, as far as it is a reading; None if this is no frame of theirs, to the
        last byte."""
        if len(frame) < _SHORTEST or len(frame) > _LONGEST:
            return None
        is_em4302 = frame[0] == _EM4302_CHANNEL
        if not is_em4302 and frame[0] > 1 and frame[0] != _EM4301_CHANNEL:
            return None
        layout = (self._em4302_layouts if is_em4302 else self._layouts).of(frame)
        if layout is None:
            return None
        found: dict[str, Any] = {}
        for header, at in zip(layout.headers, layout.values, strict=True):
            if header == _ERROR:
                found["modbusErrorCode"] = frame[at]
                continue
            kind = header & 0xFF
            name = _NAMES.get(kind)
            if name is None:
                continue
            number = (_signed if kind == _POWER else _unsigned)(frame, at)[0]
            # Bare numbers are in Wh and W.
            found[name] = number * _EM4302_WH if is_em4302 and kind in _REGISTERS else number
        time_s = found.get("dataloggerTimestamp") or found.get("timestamp", 0)
        return found if _EARLIEST_S < time_s < _LATEST_S else None


def _length(header: int) -> int | None:
    return 1 if header == _ERROR else _LENGTHS.get(header & 0xFF)


def _em4302_length(header: int) -> int | None:
    if header == _ERROR:
        return 1
    return _EM4302_LENGTHS.get(header & 0xFF) if header >> 8 == _EM4302_CHANNEL else None


def _em4301_layout(layout: Layout) -> Layout | None:
    channels = [header >> 8 for header in layout.headers]
    is_one = channels == [_EM4301_CHANNEL] * len(channels) or all(a < b for a, b in pairwise(channels))
    return layout if is_one else None
