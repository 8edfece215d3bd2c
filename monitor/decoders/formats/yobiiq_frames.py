"""Raw frames of Yobiiq's LoRaWAN meters, as the object that Yobiiq's codec makes of them.

A frame is a row of (channel, type, value), big-endian. Layouts: EM4301 (three phases) and EM2101 (one), whose channels
count up from 1 and whose registers are in Wh; EM4302, whose channels are all dd and whose registers are in 0.01 kWh.
Public codecs: github.com/Yobiiq-BV/codecs. Type 03 is the time of the reading, type 01 that of the frame. Channel 0b
with type 0a is a Modbus error code of one byte, although type 0a is a register of four.
"""

from __future__ import annotations

from typing import Any

__all__ = ["codec_object"]

_LONGEST = 242
_ERROR_CHANNEL, _ERROR_TYPE = 0x0B, 0x0A
_EM4302_CHANNEL = 0xDD
_FRAME_TIME, _READING_TIME = 0x01, 0x03
_TIMES = {_FRAME_TIME: "timestamp", _READING_TIME: "dataloggerTimestamp"}

_NAMES = {
    0x04: "activeEnergyImportL123T1",
    0x05: "activeEnergyImportL123T2",
    0x06: "activeEnergyExportL123T1",
    0x07: "activeEnergyExportL123T2",
    0x13: "activePowerL123",
    0x2A: "averagePower",
}
_POWERS = frozenset({0x13, 0x2A})

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


def codec_object(frame: bytes) -> dict[str, Any] | None:
    """What Yobiiq's codec makes of a frame, as far as it is a reading; None if this is no frame of theirs, to the last
    byte."""
    if len(frame) < 12 or len(frame) > _LONGEST:
        return None
    is_em4302 = frame[0] == _EM4302_CHANNEL
    if not is_em4302 and frame[0] > 1:
        return None
    lengths = _EM4302_LENGTHS if is_em4302 else _LENGTHS
    found: dict[str, Any] = {}
    at, end, channel = 0, len(frame), -1
    while at < end:
        if at + 2 > end:
            return None
        previous, channel, kind = channel, frame[at], frame[at + 1]
        at += 2
        if channel == _ERROR_CHANNEL and kind == _ERROR_TYPE:
            length = 1
        elif (channel != _EM4302_CHANNEL) if is_em4302 else (channel <= previous):
            return None
        else:
            length = lengths.get(kind, 0)
        if not length or at + length > end:
            return None
        raw = frame[at : at + length]
        at += length
        if length == 1 and channel == _ERROR_CHANNEL and kind == _ERROR_TYPE:
            found["modbusErrorCode"] = raw[0]
        elif kind in _TIMES:
            found[_TIMES[kind]] = int.from_bytes(raw, "big")
        elif kind in _NAMES:
            if kind in _POWERS:
                found[_NAMES[kind]] = {"data": int.from_bytes(raw, "big", signed=True), "unit": "W"}
            elif is_em4302:
                found[_NAMES[kind]] = {"data": int.from_bytes(raw, "big", signed=True) / 100, "unit": "kWh"}
            else:
                found[_NAMES[kind]] = {"data": int.from_bytes(raw, "big"), "unit": "Wh"}
    time_s = found.get("dataloggerTimestamp", found.get("timestamp", 0))
    return found if _EARLIEST_S < time_s < _LATEST_S else None
