"""Objects of Milesight's codecs: what their names mean, which no unit in the payload tells.

Documented by each device's user guide, README and codec in github.com/Milesight-IoT/SensorDecoders; names of older
codecs are known, too. Energy is in Wh (`ch1_sumkwh` in kWh), power in W. Traps:

- A set-point is `target_temperature`, once `temperature_target`; a mode `temperature_control_mode`, once
  `temperature_ctl_mode`, or inside an object. Codecs that are set to numbers count modes differently for each device.
- `control_mode` (by hand or by itself) is no mode, `device_status` no switch (it is sent at power-on), `electricity` no
  energy (conductivity of soil), `total_current` none either (Ah). Plans, ranges and limits hold temperatures, too.
- Newer sockets (WS513 and WS515 of version 3) have `electric_power`, `current_rating` and `power_consumption` in kWh.
  With switches of version 4 it is the frame's whole number, as it is: taken for Wh.
- Records of the past (`history` and the like) have a time of their own, in seconds.

What is of use in an object is worked out once for its keys: 4.5 and 1.1 µs for the six members of a plug.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import msgspec

from monitor.decoders.formats.milesight_circuits import CIRCUITS, read_circuits
from monitor.decoders.names import Names
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.times import BadTimeError, epoch_ms, iso_ms
from monitor.decoders.values import Found, Measured, Value
from monitor.decoders.words import mode_number, switch_value

__all__ = ["DEGREES", "NEEDS_UNIT", "MilesightCodec", "Plan", "time_ms"]


class _Meaning(NamedTuple):
    quantity: Measured
    factor: float = 1.0


_REGISTER, _POWER = _Meaning("register", 0.001), _Meaning("power_kw", 0.001)
_ON, _MODE, _SETPOINT, _ROOM = _Meaning("on"), _Meaning("mode"), _Meaning("setpoint_c"), _Meaning("room_c")

_MEANINGS: dict[str, _Meaning] = {
    **dict.fromkeys(("power_consumption", "power_sum"), _REGISTER),
    **dict.fromkeys(("ch1_sumkwh", "ch2_sumkwh", "ch3_sumkwh"), _Meaning("register")),
    **dict.fromkeys(("active_power", "electric_power", "power"), _POWER),
    **dict.fromkeys(("socket_status", "system_status", "thermostat_status", "state"), _ON),
    **dict.fromkeys((f"{name}{number}" for name in ("switch_", "switch") for number in range(1, 9)), _ON),
    **dict.fromkeys(("target_temperature", "temperature_target", "target_temperature1"), _SETPOINT),
    **dict.fromkeys(("temperature", "ambient_temperature", "room_temperature"), _ROOM),
    **dict.fromkeys(("temperature_chn1", "temperature_chn2"), _ROOM),
    **dict.fromkeys(("temperature_control_mode", "temperature_ctl_mode", "temperature_mode", "mode"), _MODE),
}
_UNSEEN = _Meaning("on", 0.0)
"""Not looked up yet."""
_LONGEST_NAME, _CACHED = 120, 10_000
DEGREES = frozenset({"room_c", "setpoint_c"})
"""Values that may say that there is none: `Found.add` knows. Others are put into it without its call."""
_NESTED, _NUMBERS = frozenset({dict, list}), frozenset({int, float})
_EXACT = float(1 << 53)
"""Whole numbers below are exact as floats. To compare with this one costs less than with an int."""
NEEDS_UNIT = frozenset(name for name, meaning in _MEANINGS.items() if meaning in {_REGISTER, _POWER})
"""Names that mean nothing with a device of another make."""
_NO_ENERGY = frozenset({"electricity", "current", "total_current"})
_SOCKET = ("voltage", "power_sum", "power_consumption")
"""`state` is that of a socket only beside one of them; doors and windows have one, too."""

_NEW_SOCKET = ("electric_power", "current_rating")
_SWITCH_HOLDERS = frozenset({"socket_status", "button_status"})
_SWITCH_NAMES = ("switch_status_1", "button1", "button2", "button3")
_PLANS = ("plan", "schedule")
"""Names that hold one are no records of the past, although they have times."""

_MODE_HOLDERS = frozenset({"temperature_control", "temperature_control_info", "current_temperature_control_mode"})
_HOLDERS = frozenset({"ac", "hvac", "thermostat", "data", "decoded", "object", "payload"})
_RADIATOR = ("valve_opening", "motor_stroke", "motor_position")
"""A radiator's thermostat says auto for its valve."""

_WORDS = {"em_heat": 2, "auto_heat": 5, "auto_cool": 5}
_NO_MODE = frozenset({"unknown", "none", "keep", "manual", "disable", "standby", "-", ""})
_WT201 = {0: 2, 1: 2, 2: 1, 3: 5}
_WT303 = {0: 4, 1: 2, 2: 1}
_WT401 = {0: 2, 1: 2, 2: 1, 3: 5, 4: 3, 5: 4, 10: 0}
_WT401_NONE = 11
_WT302 = {0: 1, 1: 2, 2: 4}
_WT303_NAMES = ("temperature_control_info", "fan_control_info", "temperature_control_valve_status")

_TIME_NAMES = ("timestamp", "time", "ts")
_ENERGIES = frozenset({"register", "export_register", "power_kw", "water_m3", "gas_m3", "heat_kwh"})


def time_ms(record: Mapping[Any, Any]) -> int | None:
    """The time that a record of the past names, None if none. Raises BadTimeError."""
    for name in _TIME_NAMES:
        raw = record.get(name)
        if isinstance(raw, str):
            return iso_ms(raw)
        if raw is not None:
            if isinstance(raw, bool) or not isinstance(raw, int | float) or raw != raw:
                raise BadTimeError(f"{name}: {shown(raw)} is no time")
            return epoch_ms(raw)
    return None


class Plan(msgspec.Struct, frozen=True):
    """What an object with certain keys holds."""

    readings: tuple[tuple[str, Measured, float, bool], ...]
    """Key, quantity and factor of the members that are of use, and whether they are in degrees; factor 0: a switch, or
    what has to be looked at closer."""
    others: tuple[str, ...]
    """Members that are of use only where they are an object or a list."""


class MilesightCodec:
    """Reads codec objects for one source."""

    def __init__(self, options: Options, names: Names) -> None:
        self._names = names
        self._fields = options.fields
        self._modes = options.modes
        self._meanings = self._known()
        words = {"heat", "em_heat", "em heat", "cool", "auto", "fan", *options.modes}
        self._words = {word: float(mode) for word in words if (mode := self._mode_of(word)) is not None}

    def _mode_of(self, word: str) -> int | None:
        word = word.strip().lower()
        if word in self._modes:
            return self._modes[word]
        if word.isdigit():
            return None
        mode = mode_number(word)
        return _WORDS.get(word.replace(" ", "_")) if mode is None else mode

    def _known(self) -> dict[str, _Meaning | None]:
        return {name: meaning for name, meaning in _MEANINGS.items() if name not in self._fields}

    def read(
        self, found: Found, source_id: str, codec: Mapping[Any, Any], ts_ms: int | None, model: str, plan: Plan
    ) -> None:
        """model: the device profile's name or the like, in lower case; plan: that of the object's keys."""
        for key in plan.others:
            if type(codec[key]) in _NESTED:
                self._read(found, source_id, codec, ts_ms, model, "", is_outside=True)
                return
        add = found.values.append
        for key, quantity, factor, is_degrees in plan.readings:
            raw = codec[key]
            if factor and type(raw) in _NUMBERS and -_EXACT < raw < _EXACT:
                if is_degrees:
                    found.add(source_id, quantity, raw * factor, ts_ms, key)
                else:
                    add(Value(source_id, quantity, raw * factor, ts_ms, key))
            elif raw == "on" and quantity == "on":
                add(Value(source_id, "on", 1.0, ts_ms, key))
            else:
                self._read_member(found, source_id, codec, key, raw, ts_ms, model, "", is_outside=True)

    def plain(self, name: str, words: tuple[str, ...]) -> tuple[Measured, float, tuple[float, ...]] | None:
        """Quantity, factor of a number and values of these words of a member whose name says all, None of others."""
        meaning = self._meanings.get(name)
        if meaning is None:
            return None
        values = {"on": {"on": 1.0, "off": 0.0}, "mode": self._words}.get(meaning.quantity, {})
        if not values.keys() >= set(words):
            return None
        return meaning.quantity, meaning.factor, tuple(values[word] for word in words)

    def plan(self, keys: tuple[str, ...]) -> Plan:
        """What is of use in an object with these keys; it depends on nothing else."""
        readings: list[tuple[str, Measured, float, bool]] = []
        others = []
        for key in keys:
            meaning = self._meanings.get(key)
            if meaning is None and self._is_other_reading(key):
                readings.append((key, "mode", 0.0, False))
            elif meaning is None or (key == "state" and not any(name in keys for name in _SOCKET)):
                others.append(key)
            else:
                has_number = meaning.quantity not in ("on", "mode") and not _may_be_kwh(key, keys)
                is_degrees = meaning.quantity in DEGREES
                readings.append((key, meaning.quantity, meaning.factor if has_number else 0.0, is_degrees))
        return Plan(tuple(readings), tuple(others))

    def _read(
        self,
        found: Found,
        source_id: str,
        codec: Mapping[Any, Any],
        ts_ms: int | None,
        model: str,
        prefix: str,
        *,
        is_outside: bool,
    ) -> None:
        for key, raw in codec.items():
            self._read_member(found, source_id, codec, key, raw, ts_ms, model, prefix, is_outside=is_outside)

    def _read_member(
        self,
        found: Found,
        source_id: str,
        codec: Mapping[Any, Any],
        key: str,
        raw: object,
        ts_ms: int | None,
        model: str,
        prefix: str,
        *,
        is_outside: bool,
    ) -> None:
        if isinstance(raw, dict):
            if key in CIRCUITS:
                read_circuits(found, source_id, key, raw, ts_ms)
            elif is_outside:
                self._read_inside(found, source_id, codec, key, raw, ts_ms, model)
            return
        if isinstance(raw, list):
            if is_outside:
                self._read_history(found, source_id, key, raw, model)
            return
        name = prefix + key
        meaning = self._meanings.get(key, _UNSEEN)
        if meaning is _UNSEEN or (meaning is None and prefix):
            self._read_other(found, source_id, key, name, raw, ts_ms)
            return
        if meaning is None:
            return
        quantity, factor = meaning
        if quantity == "mode":
            mode = self._words.get(raw) if isinstance(raw, str) else None
            if mode is None:
                self._read_mode(found, source_id, codec, name, raw, ts_ms, model)
            else:
                found.add(source_id, "mode", mode, ts_ms, name)
        elif quantity == "on" or (key == "power" and isinstance(raw, bool | str)):
            if key != "state" or any(each in codec for each in _SOCKET):
                _read_switch(found, source_id, name, raw, ts_ms)
        else:
            try:
                number = to_number(raw)
            except ValueError:
                found.reject("bad_value", f"{source_id} {key}: {shown(raw)} is no number")
                return
            if number is None:
                found.ignore("no_value")
            else:
                if _may_be_kwh(key, codec) and (number % 1 or isinstance(codec.get("socket_status"), dict)):
                    factor = 1.0
                found.add(source_id, quantity, number * factor, ts_ms, name)

    def _is_other_reading(self, name: str) -> bool:
        """What the codecs do not document: the source's options, or a name that tells energy, power or volume."""
        if len(name) > _LONGEST_NAME:
            return False
        meaning = self._names.meaning(name)
        return meaning is not None and (
            name in self._fields or (meaning.quantity in _ENERGIES and name not in _NO_ENERGY)
        )

    def _read_other(self, found: Found, source_id: str, key: str, name: str, raw: object, ts_ms: int | None) -> None:
        if self._is_other_reading(name):
            self._names.add(found, source_id, name, raw, ts_ms)
        elif key == name and len(name) <= _LONGEST_NAME:
            if len(self._meanings) >= _CACHED:
                self._meanings = self._known()
            self._meanings[key] = None

    def _read_inside(
        self,
        found: Found,
        source_id: str,
        codec: Mapping[Any, Any],
        key: str,
        inside: Mapping[Any, Any],
        ts_ms: int | None,
        model: str,
    ) -> None:
        if key in _MODE_HOLDERS:
            is_radiator = "enable" in inside or "wt10" in model or any(name in codec for name in _RADIATOR)
            if "mode" in inside and not is_radiator:
                self._read_mode(found, source_id, codec, key + ".mode", inside["mode"], ts_ms, model)
        elif key in _SWITCH_HOLDERS:
            for name in _SWITCH_NAMES:
                if name in inside:
                    _read_switch(found, source_id, f"{key}.{name}", inside[name], ts_ms)
        elif key in _HOLDERS:
            self._read(found, source_id, inside, ts_ms, model, key + ".", is_outside=False)
        elif "value" in inside and isinstance(inside.get("unit"), str):
            self._names.add(found, source_id, key, inside["value"], ts_ms, inside["unit"])
        elif self._fields:
            for name, raw in inside.items():
                if isinstance(name, str) and f"{key}.{name}" in self._fields and not isinstance(raw, dict | list):
                    self._names.add(found, source_id, f"{key}.{name}", raw, ts_ms)

    def _read_history(self, found: Found, source_id: str, key: str, records: list[Any], model: str) -> None:
        if any(plan in key for plan in _PLANS):
            return
        for record in records:
            if not isinstance(record, dict):
                continue
            try:
                ts_ms = time_ms(record)
            except BadTimeError as error:
                found.reject(error.reason, f"{source_id} {key}: {error.detail}")
                continue
            if ts_ms is not None:
                self._read(found, source_id, record, ts_ms, model, "", is_outside=False)
            elif key == "history":
                found.ignore("no_time")

    def _read_mode(
        self,
        found: Found,
        source_id: str,
        codec: Mapping[Any, Any],
        name: str,
        raw: object,
        ts_ms: int | None,
        model: str,
    ) -> None:
        mode: int | None
        if isinstance(raw, str):
            mode = self._mode_of(raw)
            if mode is None and raw.strip().lower() in _NO_MODE:
                found.ignore("no_value")
                return
            if mode is None and name == "mode" and "thermostat_status" not in codec:
                return  # anything may call its setting so: a counter's input is "gpio"
        elif raw is None:
            found.ignore("no_value")
            return
        elif isinstance(raw, bool) or not isinstance(raw, int | float) or raw not in range(256):
            mode = None
        elif (number := int(raw)) in map(_as_int, self._modes):
            mode = mode_number(number, self._modes)
        else:
            count = _count_of(codec, name, model)
            if count is None:
                if name != "mode":
                    found.reject("bad_value", f"{source_id} {name}: {shown(raw)}, and the device is unknown")
                return
            if count is _WT401 and number == _WT401_NONE:
                found.ignore("no_value")
                return
            mode = count.get(number)
        if mode is None:
            found.reject("bad_value", f"{source_id} {name}: {shown(raw)} is no mode")
        else:
            found.add(source_id, "mode", float(mode), ts_ms, name)


def _may_be_kwh(key: str, keys: Container[str]) -> bool:
    return key == "power_consumption" and any(name in keys for name in _NEW_SOCKET)


def _as_int(word: str) -> int:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 3 else -1


def _count_of(codec: Mapping[Any, Any], name: str, model: str) -> dict[int, int] | None:
    """How a device counts its modes."""
    if name == "temperature_control_info.mode":
        return _WT303
    if name == "temperature_mode":
        return _WT401
    if name == "mode":
        return _WT302 if "thermostat_status" in codec else None
    if "wt30" in model or any(each in codec for each in _WT303_NAMES):
        return _WT303
    if "wt2" in model or "temperature_control_status" in codec or "temperature_ctl_status" in codec:
        return _WT201
    return None


def _read_switch(found: Found, source_id: str, name: str, raw: object, ts_ms: int | None) -> None:
    state = switch_value(raw)
    if state is not None:
        found.add(source_id, "on", state, ts_ms, name)
    elif raw is None or (isinstance(raw, str) and raw.strip().lower() in ("", "unknown")):
        found.ignore("no_value")
    else:
        found.reject("bad_value", f"{source_id} {name}: {shown(raw)} is neither on nor off")
