"""Raw frames of Milesight devices, as the object that Milesight's codec makes of them.

A frame is a row of (channel, type, value); the length of a value follows from channel and type, little-endian. User
guides of the WT, WS, EM, AM and CT series; codecs: github.com/Milesight-IoT/SensorDecoders. Traps:

- One frame holds live values, answers to settings and records of the past, and a channel may come twice: the last
  counts.
- Nothing in a frame says which device it is of. 04 67 is the set-point of a thermostat, but the second probe of a
  TS302, as its profile's name or an alarm of that probe (84 67) tells; records of the past (20 ce) are of another
  length for each device. So a frame counts only if it can be taken apart to its last byte. Records alone are a WT201's
  where nothing else could be meant: it counts from -100 °C, and what it says would be below that with all others.
- The temperature's alarm (83 67) is of three bytes; a published codec takes two and loses its way.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from monitor.decoders.formats.frame_layouts import Layout, Layouts, walk
from monitor.decoders.formats.milesight_codec import DEGREES, MilesightCodec
from monitor.decoders.values import Found, Measured, Value

__all__ = ["MilesightFrames"]

_SHORTEST, _LONGEST = 3, 242
"""[bytes]; LoRaWAN carries no more."""

_TWO_BYTES = struct.Struct("<H").unpack_from
_SIGNED = struct.Struct("<h").unpack_from
_FOUR_BYTES = struct.Struct("<I").unpack_from

_MODES = ("heat", "em_heat", "cool", "auto")
_ON_OFF = ("off", "on")


class _Member(NamedTuple):
    """A value that is one member of the codec's object. length: of it and what follows it [bytes]; code: its own bytes,
    as `struct` calls them."""

    length: int
    name: str
    code: str
    divisor: int = 1
    words: tuple[str, ...] = ()
    """Where it stands for one, by its two low bits."""
    may_be_none: bool = False
    """Current transformers say that there is no probe, or that it cannot be read."""

    def read(self, frame: bytes, at: int) -> float | str | None:
        raw: int
        (raw,) = struct.unpack_from("<" + self.code, frame, at)
        if self.words:
            return self.words[raw & 3]
        if self.may_be_none and raw in _NO_PROBE:
            return None
        return raw if self.divisor == 1 else raw / self.divisor


_NO_PROBE = (-1, -3)


def _tenths(frame: bytes, at: int) -> float:
    return int(_SIGNED(frame, at)[0]) / 10


def _count(frame: bytes, at: int) -> int:
    return int(_FOUR_BYTES(frame, at)[0])


_TEMPERATURE, _SECOND = _Member(2, "temperature", "h", 10), _Member(3, "temperature_chn2", "h", 10)
_PROBE = _TEMPERATURE._replace(may_be_none=True)
_MEMBERS: dict[int, _Member] = {
    0x0367: _TEMPERATURE,
    0x8367: _TEMPERATURE._replace(length=3),
    0x83D7: _TEMPERATURE._replace(length=5),
    0x9367: _TEMPERATURE._replace(length=5),
    0x93D7: _TEMPERATURE._replace(length=5),
    0x8467: _SECOND,
    0x94D7: _SECOND._replace(length=5),
    0x0967: _PROBE,
    0x8967: _PROBE._replace(length=3),
    0x0467: _Member(2, "target_temperature", "h", 10),
    0x05E7: _Member(1, "temperature_control_mode", "B", words=_MODES),
    0x088E: _Member(1, "system_status", "B", words=_ON_OFF * 2),
    0x0480: _Member(4, "active_power", "I"),
    0x0683: _Member(4, "power_consumption", "I"),
    0x0870: _Member(1, "socket_status", "B", words=_ON_OFF * 2),
    0x1063: _Member(4, "ch1_sumkwh", "I", 100),
    0x1163: _Member(4, "ch2_sumkwh", "I", 100),
    0x1263: _Member(4, "ch3_sumkwh", "I", 100),
}
"""By channel and type."""

_SWITCHES = {0x0829: 1, 0xFF29: 1}
_SWITCH_COUNT = {"ws501": 1, "ws502": 2, "ws503": 3}
_SWITCHES_8 = 0x0831

_PASSED: dict[int, int] = {
    # battery, humidity, tilt, presence, air quality, light, contacts, pulses, distance
    0x0175: 1, 0x0468: 1, 0x0968: 1, 0x049A: 2, 0x0300: 1, 0x0400: 1, 0x0500: 1, 0x0600: 1, 0x056A: 2, 0x057D: 2,
    0x0665: 6, 0x0673: 2, 0x06CB: 1, 0x077D: 2, 0x087D: 2, 0x08E6: 2, 0x0973: 2, 0x0A7D: 2, 0x0B7D: 2, 0x0C7D: 2,
    0x0D7D: 2, 0x0E01: 1, 0x0F7D: 2, 0x0382: 2, 0x0482: 2, 0x0394: 4, 0x05C8: 4, 0x05E1: 8, 0x8500: 2, 0x85E1: 9,
    0x8468: 2, 0x9468: 3, 0x8482: 3, 0xB367: 1, 0xB968: 1,
    # sockets and switches
    0x0374: 2, 0x0581: 1, 0x07C9: 2, 0x87C9: 3, 0x8829: 1, 0x89DF: 1, 0xB374: 1, 0xB480: 1, 0xB581: 1, 0xB683: 1,
    0xB7C9: 1,
    # thermostats
    0x06E8: 1, 0x07BC: 1, 0x07E9: 1, 0x87E9: 2, 0x0A6E: 1, 0x0B67: 2, 0x0592: 1, 0x0700: 1, 0x08E5: 1, 0x0990: 2,
    0x0A00: 1, 0x0B90: 2, 0xF940: 7, 0xF933: 7, 0xF934: 9,
    # current transformers, of one channel and of three
    0x0397: 4, 0x0497: 4, 0x0597: 4, 0x0697: 4, 0x0797: 4, 0x0498: 2, 0x8498: 7, 0x0499: 2, 0x0599: 2, 0x0699: 2,
    0x0799: 2, 0x0899: 2, 0x8499: 7, 0x8599: 7, 0x8699: 7, 0x8799: 7, 0x8899: 7, 0x1375: 1,
    # what a device says of itself
    0xFF01: 1, 0xFF08: 6, 0xFF09: 2, 0xFF0A: 2, 0xFF0B: 1, 0xFF0F: 1, 0xFF16: 8, 0xFF18: 2, 0xFFCB: 3, 0xFFFE: 1,
    0xFFFF: 2,
}  # fmt: skip
"""What else is stepped over: channel and type → length [bytes]."""

_ANSWERS: dict[int, int] = {
    0x02: 2, 0x03: 2, 0x06: 9, 0x10: 1, 0x22: 4, 0x23: 2, 0x24: 2, 0x25: 2, 0x26: 1, 0x27: 1, 0x28: 1, 0x2C: 1,
    0x2F: 1, 0x30: 2, 0x4A: 1, 0x68: 1, 0x69: 1, 0x6A: 3, 0x82: 1, 0x83: 5, 0x8E: 3, 0x96: 8, 0xAB: 3, 0xB0: 3,
    0xB5: 1, 0xB6: 1, 0xB7: 2, 0xB8: 2, 0xB9: 4, 0xBA: 10, 0xBD: 2, 0xC1: 4, 0xC2: 1, 0xC4: 2, 0xC5: 1, 0xC7: 1,
    0xC8: 5, 0xC9: 6, 0xCA: 3, 0xF6: 1, 0xF7: 4, 0xF8: 1, 0xF9: 3, 0xFA: 3, 0xFB: 1,
}  # fmt: skip
"""Answers to settings, on channel fe or ff: type → length [bytes]."""
_FURTHER_ANSWERS: dict[int, int] = {0x05: 2, 0x06: 1, 0x07: 2, 0x08: 1, 0x09: 2, 0x0A: 2}
"""The same on f9; on f8 with a byte behind that says whether the setting was taken."""
_MODE_SET, _MODE_AND_TARGET_SET = 0xFB, 0xFA
_LENGTHS: dict[int, int] = {
    **{channel << 8 | kind: length for channel in (0xFE, 0xFF) for kind, length in _ANSWERS.items()},
    **{0xF900 | kind: length for kind, length in _FURTHER_ANSWERS.items()},
    **{0xF800 | kind: length + 1 for kind, length in _FURTHER_ANSWERS.items()},
    **_PASSED,
    **_SWITCHES,
    _SWITCHES_8: 2,
    **{key: member.length for key, member in _MEMBERS.items()},
}
_length = _LENGTHS.get

_THERMOSTAT = frozenset({0x05E7, 0x06E8, 0x07BC, 0x088E, 0x0A6E, 0x0592, 0x08E5, 0x0990, 0x0B90})
_THERMOSTAT_MODELS = ("wt10", "wt20", "wt21")
_NO_THERMOSTAT = frozenset({0x0300, 0x0400, 0x0468, 0x049A, 0x0500})
_AIR, _AIR_MODELS = frozenset({0x0468, 0x049A}), ("em300", "em320", "am10", "am30", "am31")
_ANY_SERIES = re.compile(r"\b(?:am|at|ct|ds|em|gs|hl|sg|ts|uc|vs|ws|wt|wts)\d{3}")
"""Milesight's names. Profiles are mostly called otherwise, after a class or a region."""
_PROBES, _PROBES_MODEL = frozenset({0x8467, 0x94D7}), "ts30"
_PROBE_NAMES = {"temperature": "temperature_chn1", "target_temperature": "temperature_chn2"}
"""What a thermostat calls room and set-point are two probes of a TS302; alarms of the second are its alone."""
_LEAK_MODEL = "em300-mld"
"""Its records are those of the others of its series, with 0 for a temperature that it does not measure; so are those
of an EM300-DI(Hall)."""
_RECORDS = frozenset({0x20CE, 0x21CE})
_TARGET = 0x0467
_ROOMS, _TARGETS = range(1000, 1600), range(1050, 1500)
"""[0.1 °C above -100 °C] of a WT201."""
_PROBE_KINDS = range(1, 5)
"""Of a value in a TS302's records: a temperature, for whatever reason it was sent."""
_FURTHER = (
    _RECORDS
    | {*_SWITCHES, _SWITCHES_8}
    | {0xFE00 | _MODE_SET, 0xFF00 | _MODE_SET}
    | {
        0xFE00 | _MODE_AND_TARGET_SET,
        0xFF00 | _MODE_AND_TARGET_SET,
    }
)
"""What is a reading, but not of one name and one value."""


class _Record(NamedTuple):
    """How records of the past look. length: of the time and what follows it [bytes]."""

    length: int
    read: Callable[[bytes, int], dict[str, Any]]

    fits: Callable[[bytes, int], bool] | None = None
    """Asked where nothing else says that it is this one."""

    def length_of(self, key: int) -> int | None:
        return self.length if key in _RECORDS else _LENGTHS.get(key)


def _air_record(frame: bytes, at: int) -> dict[str, Any]:
    return {"timestamp": _count(frame, at), "temperature": _tenths(frame, at + 4)}


def _probes_record(frame: bytes, at: int) -> dict[str, Any]:
    found: dict[str, Any] = {"timestamp": _count(frame, at)}
    for name, kind, start in (
        ("temperature_chn1", frame[at + 4] >> 4, at + 5),
        ("temperature_chn2", frame[at + 4] & 15, at + 7),
    ):
        if kind in _PROBE_KINDS:
            found[name] = _tenths(frame, start)
    return found


def _wt201_record(frame: bytes, at: int) -> dict[str, Any]:
    (room,) = _TWO_BYTES(frame, at + 4)
    (target,) = _TWO_BYTES(frame, at + 6)
    return {
        "timestamp": _count(frame, at),
        "system_status": _ON_OFF[room >> 4 & 1],
        "temperature": ((room >> 5) - 1000) / 10,
        "temperature_control_mode": _MODES[target & 3],
        "target_temperature": ((target >> 5) - 1000) / 10,
    }


def _is_wt201_record(frame: bytes, at: int) -> bool:
    room, target = _TWO_BYTES(frame, at + 4)[0], _TWO_BYTES(frame, at + 6)[0]
    return room >> 5 in _ROOMS and target >> 5 in _TARGETS


def _wt201_v2_record(frame: bytes, at: int) -> dict[str, Any]:
    (bits,) = _TWO_BYTES(frame, at + 4)
    return {
        "timestamp": _count(frame, at),
        "system_status": _ON_OFF[bits & 1],
        "temperature": _tenths(frame, at + 10),
        "temperature_control_mode": _MODES[bits >> 5 & 3],
        "target_temperature": _tenths(frame, at + 6),
    }


# The shortest first: that one fits with more headers where they belong, so another does by chance at most.
_AIR_RECORDS = tuple(_Record(length, _air_record) for length in (7, 8, 9, 11, 13, 16, 18, 20, 22))
_RECORDS_ALONE = (_Record(8, _wt201_record, _is_wt201_record),)
_PROBES_RECORDS = (_Record(9, _probes_record),)
_THERMOSTAT_RECORDS = (_Record(8, _wt201_record), _Record(13, _wt201_v2_record))


class _Plain(msgspec.Struct, frozen=True):
    """A layout whose values are readings each by itself, whatever the device."""

    unpack: Callable[[bytes], tuple[int, ...]]
    """The values, in the order of `readings`."""
    readings: tuple[tuple[str, Measured, int, float, tuple[float, ...], bool], ...]
    """Name, quantity, divisor and factor of a number or values of words, and whether it is in degrees."""


class MilesightFrames:
    """Reads frames for one source; what it keeps are layouts."""

    def __init__(self, codec: MilesightCodec) -> None:
        """codec: says what names mean."""
        self._codec = codec
        self._layouts = Layouts(_length, self._made_of)

    def read_plain(self, found: Found, source_id: str, frame: bytes, ts_ms: int | None) -> bool:
        """Put the readings of a frame into `found` as `codec_object` and the codec would, at half their price; false
        where it takes them."""
        made = self._layouts.of(frame) if _SHORTEST <= len(frame) <= _LONGEST else None
        if made is None or (plain := made[1]) is None:
            return False
        add = found.values.append
        for (name, quantity, divisor, factor, words, is_degrees), raw in zip(
            plain.readings, plain.unpack(frame), strict=True
        ):
            value = words[raw & 3] if words else raw / divisor * factor
            if is_degrees:
                found.add(source_id, quantity, value, ts_ms, name)
            else:
                add(Value(source_id, quantity, value, ts_ms, name))
        return True

    def codec_object(self, frame: bytes, model: str = "") -> dict[str, Any] | None:
        """What Milesight's codec makes of a frame, as far as it is a reading; None if this is no frame of theirs, or
        one that may be of another device. model: the device profile's name or the like, in lower case, where it is
        known."""
        if len(frame) < _SHORTEST or len(frame) > _LONGEST:
            return None
        made = self._layouts.of(frame)
        if made is not None:
            return _read(frame, made[0], None, model)
        if b"\xce" not in frame:  # the type of records
            return None
        live, at = walk(frame, _length)
        if at < 0 or frame[at] << 8 | frame[at + 1] not in _RECORDS:
            return None
        for record in _records_of(live, model):
            rest, end = walk(frame, record.length_of, at)
            if end == len(frame) and (
                record.fits is None
                or all(record.fits(frame, at) for key, at in zip(*rest, strict=True) if key in _RECORDS)
            ):
                whole = Layout(live.headers + rest.headers, live.values + rest.values)
                return _read(frame, whole, record, model)
        return None

    def is_frame(self, frame: bytes, model: str = "") -> bool:
        """Whether `codec_object` makes an object of a frame, at a third of its price."""
        if not _SHORTEST <= len(frame) <= _LONGEST:
            return False
        made = self._layouts.of(frame)
        if made is None:
            return b"\xce" in frame and self.codec_object(frame, model) is not None
        headers = made[0].headers
        return _TARGET not in headers or not _is_of_another(headers, model)

    def _made_of(self, layout: Layout) -> tuple[Layout, _Plain | None]:
        headers, starts = layout
        if _TARGET in headers or not _FURTHER.isdisjoint(headers):
            return layout, None
        members = [(_MEMBERS[key], at) for key, at in zip(headers, starts, strict=True) if key in _MEMBERS]
        readings = []
        for member, _ in members:
            reading = None if member.may_be_none else self._codec.plain(member.name, member.words)
            if reading is None:
                return layout, None
            quantity, factor, words = reading
            readings.append((member.name, quantity, member.divisor, factor, words, quantity in DEGREES))
        if not readings or len({name for name, *_ in readings}) < len(readings):
            return layout, None
        return layout, _Plain(struct.Struct(_pattern(members)).unpack_from, tuple(readings))


def _pattern(members: list[tuple[_Member, int]]) -> str:
    """What `struct` reads these members by, from the frame's first byte on."""
    pattern, end = "<", 0
    for member, at in members:
        pattern += f"{at - end}x{member.code}"
        end = at + struct.calcsize("<" + member.code)
    return pattern


def _records_of(live: Layout, model: str) -> tuple[_Record, ...]:
    """What records can look like, from the model or from what stands before them."""
    if _LEAK_MODEL in model or ("em300-di" in model and "hall" in model):
        return ()
    if _PROBES_MODEL in model or not _PROBES.isdisjoint(live.headers):
        return _PROBES_RECORDS
    if "wt2" in model or not _THERMOSTAT.isdisjoint(live.headers):
        return _THERMOSTAT_RECORDS
    if any(series in model for series in _AIR_MODELS) or not _AIR.isdisjoint(live.headers):
        return _AIR_RECORDS
    return () if live.headers or _ANY_SERIES.search(model) else _RECORDS_ALONE


def _read(frame: bytes, layout: Layout, record: _Record | None, model: str) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    history: list[dict[str, Any]] = []
    if _is_of_another(layout.headers, model):
        return None
    for key, at in zip(layout.headers, layout.values, strict=True):
        member = _MEMBERS.get(key)
        if member is not None:
            found[member.name] = member.read(frame, at)
        elif key in _FURTHER:
            if key in _RECORDS:
                if record is not None:
                    history.append(record.read(frame, at))
            elif key in _SWITCHES:
                _add_switches(found, frame[at], model)
            elif key == _SWITCHES_8:
                found.update({f"switch_{bit + 1}": _ON_OFF[frame[at + 1] >> bit & 1] for bit in range(8)})
            elif frame[at] < len(_MODES):
                found["temperature_control_mode"] = _MODES[frame[at]]
                if key & 0xFF == _MODE_AND_TARGET_SET:
                    found["target_temperature"] = _tenths(frame, at + 1)
    if history:
        found["history"] = history
    if _TARGET in layout.headers and _has_probes(layout.headers, model):
        found = {_PROBE_NAMES.get(name, name): value for name, value in found.items()}
    return found


def _has_probes(headers: tuple[int, ...], model: str) -> bool:
    return _PROBES_MODEL in model or not _PROBES.isdisjoint(headers)


def _is_of_another(headers: tuple[int, ...], model: str) -> bool:
    """Whether what would be a set-point may be the second probe of a device that is no thermostat."""
    if _TARGET not in headers or any(series in model for series in _THERMOSTAT_MODELS) or _has_probes(headers, model):
        return False
    seen = frozenset(headers)
    return seen.isdisjoint(_THERMOSTAT) or not seen.isdisjoint(_NO_THERMOSTAT)


def _add_switches(found: dict[str, Any], bits: int, model: str) -> None:
    """Low bits: what is on; high bits: what has just been switched. How many there are only the model says; without
    it those count that show themselves."""
    count = next((number for name, number in _SWITCH_COUNT.items() if name in model), None)
    for bit in range(3 if count is None else count):
        if count is not None or bit == 0 or bits >> bit & 0x11:
            found[f"switch_{bit + 1}"] = _ON_OFF[bits >> bit & 1]
