"""What controllers of air conditioners say of a unit, whatever their topics look like: mode, on, set-point, room.

The words are those of Home Assistant's climate entities and of the bridges that feed them. What a unit does at the
moment (`action`: heating, idle, …) is not its mode and is not read. Some controllers have one set-point for heating and
one for cooling; the one of the mode counts, and with a mode that has none (auto, off) nothing is said. `temperature` is
the set-point, but beside a name that is nothing else (`target_temperature`) it is the room's; `state` beside a mode is
on or off, or what the unit does at the moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from monitor.decoders.names import words_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.units import UNITS
from monitor.decoders.values import Found
from monitor.decoders.words import MODE_WORDS, switch_value

__all__ = ["NO_VALUE", "ROLES", "Climate", "Role", "role_of"]

Role = Literal["mode", "on", "state", "switch", "setpoint_c", "room_c", "low", "high"]
"""`state`: a mode's word or on or off; `switch`: on or off where it says so; `low`: the set-point of heating, `high`:
that of cooling."""

ROLES: dict[str, Role] = {
    **dict.fromkeys(
        ("mode", "hvac_mode", "operation_mode", "operating_mode", "operational_mode", "system_mode", "ac_mode",
         "mode_state", "climate_mode", "thermostat_mode"), "mode"),
    **dict.fromkeys(("power", "on", "is_on", "power_on", "power_state", "ac_power", "on_off", "onoff"), "on"),
    "state": "state",
    # A climate entity's `temperature` is what people set; what is measured is `current_temperature`.
    **dict.fromkeys(
        ("temperature", "target_temperature", "target_temp", "temperature_target", "temp_target", "target",
         "setpoint", "set_point", "temperature_setpoint", "setpoint_temperature", "set_temperature",
         "temperature_set", "set_temp", "temp_set", "desired_temperature", "target_temperature_c"), "setpoint_c"),
    **dict.fromkeys(
        ("current_temperature", "temperature_current", "current_temp", "temp_current", "room_temperature",
         "temperature_room", "room_temp", "indoor_temperature", "inside_temperature", "inside_temp",
         "ambient_temperature", "ambient_temp", "measured_temperature", "temperature_measured", "local_temperature",
         "actual_temperature", "temperature_actual"), "room_c"),
    **dict.fromkeys(
        ("target_temperature_low", "temperature_low", "target_temp_low", "temp_low", "target_temperature_heat"), "low"),
    **dict.fromkeys(
        ("target_temperature_high", "temperature_high", "target_temp_high", "temp_high", "target_temperature_cool"),
        "high"),
}  # fmt: skip
"""Name, its words joined by `_` → what it is."""

NO_VALUE = frozenset({"", "none", "null", "nan", "unknown", "unavailable", "undefined", "n/a"})
_FAHRENHEIT = UNITS["°F"]
_LONGEST_WORD = 40
_BOUND_OF_MODE = {1: "high", 2: "low", 3: "high"}
"""Mode → the set-point that counts in it. Drying is cooling."""
_CACHED = 1000
_MOST_KEYS = 100
_COLD, _HOT = -60.0, 120.0


class Climate:
    """Puts what a controller says into `Found`; one for each format."""

    def __init__(self, options: Options, state: SourceState, words: Mapping[str, int] | None = None) -> None:
        """words: modes that these controllers have a word of their own for."""
        self._modes = {**(words or {}), **options.modes}
        self._state = state
        self._is_fahrenheit = options.more.get("temperature_unit") == "F"
        self._roles: dict[str, Role | None] = {}
        self._plans: dict[tuple[str, ...], tuple[tuple[str, Role], ...]] = {}
        """Names of an object's members → those that are read."""
        self._known_words: dict[str, int] = {}

    def role(self, name: str) -> Role | None:
        """What a name means, or None."""
        roles = self._roles
        if name in roles:
            return roles[name]
        role = role_of(name)
        if len(roles) >= _CACHED:
            roles.clear()
        if len(name) <= _LONGEST_WORD:
            roles[name] = role
        return role

    def mode(self, raw: object) -> int | None:
        """The mode that a word stands for. Numbers are only what the installer says of them."""
        if isinstance(raw, str):
            mode = self._known_words.get(raw)
            if mode is None and len(raw) <= _LONGEST_WORD:
                word = raw.strip().lower()
                mode = self._modes.get(word)
                if mode is None:
                    mode = MODE_WORDS.get(word.replace(" ", "_").replace("-", "_"))
                if mode is not None and len(self._known_words) < _CACHED:
                    self._known_words[raw] = mode
            return mode
        if isinstance(raw, float) and raw.is_integer() and abs(raw) < 1e6:
            raw = int(raw)
        if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < 1_000_000:
            return self._modes.get(str(raw))
        return None

    def add(
        self,
        found: Found,
        source_id: str,
        role: Role,
        raw: object,
        ts_ms: int | None,
        name: str,
        *,
        is_fahrenheit: bool | None = None,
    ) -> None:
        """One value. is_fahrenheit: what the message, or the discovery, says of temperatures; None: nothing."""
        if role == "room_c" or role == "setpoint_c" or role == "low" or role == "high":
            try:
                number = raw if type(raw) is float and raw == raw else to_number(raw)
            except ValueError:
                found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is no temperature")
                return
            if number is None:
                found.ignore("no_value")
                return
            if self._is_fahrenheit if is_fahrenheit is None else is_fahrenheit:
                number = number * _FAHRENHEIT.factor + _FAHRENHEIT.offset
            if role == "room_c" or role == "setpoint_c":
                found.add(source_id, role, number, ts_ms, name)
            else:
                self._add_bound(found, source_id, role, number, ts_ms, name)
        elif role == "mode":
            self._add_mode(found, source_id, raw, ts_ms, name)
        elif role == "on":
            _add_on(found, source_id, raw, ts_ms, name)
        elif role == "switch":
            if (on := switch_value(raw)) is not None:
                found.add(source_id, "on", on, ts_ms, name)
        else:
            self._add_state(found, source_id, raw, ts_ms, name)

    def add_object(
        self,
        found: Found,
        source_id: str,
        body: dict[str, Any],
        ts_ms: int | None,
        *,
        is_fahrenheit: bool | None = None,
    ) -> bool:
        """What a JSON object says of a unit by its keys; False if none of them is known."""
        keys = tuple(body)
        plan = self._plans.get(keys)
        if plan is None:
            plan = self._plan(keys)
        for name, role in plan:
            if role == "switch" and all(body[each] is None for each, other in plan if other == "mode"):
                role = "state"  # the mode is not known: this may be one
            self.add(found, source_id, role, body[name], ts_ms, name, is_fahrenheit=is_fahrenheit)
        return bool(plan)

    def _plan(self, keys: tuple[str, ...]) -> tuple[tuple[str, Role], ...]:
        roles: dict[str, Role] = {name: role for name in keys if (role := self.role(name)) is not None}
        is_target = any(role == "setpoint_c" and name.lower() != "temperature" for name, role in roles.items())
        has_mode = "mode" in roles.values()
        for name, role in list(roles.items()):
            if role == "setpoint_c" and is_target and name.lower() == "temperature":
                if "room_c" in roles.values():
                    del roles[name]
                else:
                    roles[name] = "room_c"
            elif role == "state" and has_mode:
                roles[name] = "switch"
        plan = tuple(roles.items())
        if len(keys) <= _MOST_KEYS:
            if len(self._plans) >= _CACHED:
                self._plans.clear()
            self._plans[keys] = plan
        return plan

    def _add_mode(self, found: Found, source_id: str, raw: object, ts_ms: int | None, name: str) -> None:
        mode = self.mode(raw)
        if mode is not None:
            found.add(source_id, "mode", float(mode), ts_ms, name)
            self._note_mode(found, source_id, mode, ts_ms)
        elif raw is None or (isinstance(raw, str) and len(raw) <= _LONGEST_WORD and raw.strip().lower() in NO_VALUE):
            found.ignore("no_value")
        else:
            found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is no mode")

    def _add_state(self, found: Found, source_id: str, raw: object, ts_ms: int | None, name: str) -> None:
        """On and off are a switch's here: were off taken as a mode, a later on would not bring the mode back."""
        if (on := switch_value(raw)) is not None:
            found.add(source_id, "on", on, ts_ms, name)
        elif (mode := self.mode(raw)) is not None:
            found.add(source_id, "on", float(mode != 0), ts_ms, name)
            if mode:
                found.add(source_id, "mode", float(mode), ts_ms, name)
                self._note_mode(found, source_id, mode, ts_ms)
        else:
            found.ignore("no_value")

    def _note_mode(self, found: Found, source_id: str, mode: int, ts_ms: int | None) -> None:
        key = f"range/{source_id}"
        known: dict[str, Any] = self._state.get(key) or {}
        if known.get("mode") != mode:
            self._state.put(key, known | {"mode": mode})
        bound = known.get(_BOUND_OF_MODE.get(mode, ""))
        if bound is not None:
            found.add(source_id, "setpoint_c", bound, ts_ms, "mode")

    def _add_bound(
        self, found: Found, source_id: str, bound: str, celsius: float, ts_ms: int | None, name: str
    ) -> None:
        key = f"range/{source_id}"
        known: dict[str, Any] = self._state.get(key) or {}
        if _COLD <= celsius <= _HOT and known.get(bound) != celsius:
            self._state.put(key, known | {bound: celsius})
        if _BOUND_OF_MODE.get(known.get("mode", 0)) == bound:
            found.add(source_id, "setpoint_c", celsius, ts_ms, name)
        else:
            found.ignore("other_mode")


def role_of(name: str) -> Role | None:
    """What a name in any writing means (`roomTemperature`, `target-temperature`), or None."""
    return ROLES.get(name) or ROLES.get(words_of(name))


def _add_on(found: Found, source_id: str, raw: object, ts_ms: int | None, name: str) -> None:
    on = switch_value(raw)
    if on is not None:
        found.add(source_id, "on", on, ts_ms, name)
        return
    try:
        number = to_number(raw)
    except ValueError:
        found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is neither on nor off")
        return
    if number is None:
        found.ignore("no_value")
    else:  # some call a figure `power`, without its unit
        found.reject("unknown_unit", f"{shown(source_id)} {shown(name)}: {shown(raw)} is no switch and has no unit")
