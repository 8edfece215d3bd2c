"""What the members of a Zigbee2MQTT device's state mean.

Meaning: Zigbee2MQTT's documentation, "Exposes" and the page of each device: energy kWh, power W, temperatures °C.

The state is the merged one: what a device has not sent again is repeated. An energy that has not moved since the last
reading of it, while there is a power, has therefore not been measured again, and counts as `stale` for up to a quarter
of an hour: given with the new time it would say that nothing was consumed in between. `running_state` is what a
thermostat does right now, `system_mode` what it is set to; of two setpoints the one of the mode counts.

A three-phase meter that follows the Zigbee standard calls its first phase `power` and the others `power_phase_b` and
`power_phase_c`; Tuya's have their sum in `power` and the phases in `power_a` to `power_c`. A member that ends in an
endpoint (`state_l2`, `power_left`) is of one of several outlets.

Volumes are in m³ or litres, as the device likes: only Develco's, which has them converted, says so in its state; of
others the bridge's list of devices has the unit.

Tiers add up where there is no total, or one of 0: a ZLinky has one in each of its meter's modes, of which one tells it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.decoders.formats.plug_values import TEMPERATURES, number_of
from monitor.decoders.names import Names
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.units import unit_of
from monitor.decoders.values import OUT_OF_ORDER_MS, Found, Measured, Value
from monitor.decoders.words import mode_number
from monitor.ingest.message import Message

__all__ = ["VOLUMES", "Values"]

_CACHED = 500
_LONGEST_KEY = 60
_MAX_CACHED_MEMBERS = 300
_STALE_MS = 15 * 60_000
_AHEAD_MS = 600_000
"""What is later than its arrival by more is of a wrong clock, and nothing to hold others against."""
_KILO = 1000.0
_COOL, _HEAT, _AUTO = 1, 2, 5

_RANKED: dict[Measured, tuple[str, ...]] = {
    "register": (
        "energy",
        "total_energy",
        "energy_total",
        "energy_consumed",
        "consumed_energy",
        "consumption",
        "current_summ_delivered",
        "Total_Index",
    ),
    "export_register": (
        "produced_energy",
        "energy_produced",
        "energy_returned",
        "returned_energy",
        "current_summ_received",
        "Injected_Energy_Index",
    ),
    "heat_kwh": ("cumulative_heat",),
    "power_kw": ("total_power", "power_total", "power", "active_power"),
    "on": ("state",),
    "mode": ("system_mode", "hvac_mode", "ac_mode"),
    "room_c": ("local_temperature", "room_temperature", "temperature"),
}
"""Names of one quantity; the first that a message has counts."""
_BY_NAME: dict[str, tuple[Measured, int]] = {
    name: (quantity, rank) for quantity, names in _RANKED.items() for rank, name in enumerate(names)
}
_WATT_HOURS = frozenset({"Total_Index", "Injected_Energy_Index"})
"""Members in Wh: GammaTroniques' TICMeter."""
VOLUMES: dict[str, Measured] = {"water_consumed": "water_m3", "water_total": "water_m3", "gas": "gas_m3"}
"""`gas` is an alarm elsewhere."""
_CONVERTED = frozenset({"metering_device_type", "unit_of_measure", "interface_mode"})
"""Beside one of them volumes are in m³."""
_TIERS: dict[str, str] = {
    **{f"current_tier{tier}_summ_delivered": str(tier) for tier in range(1, 11)},
    **{f"energy_tier_{tier}": str(tier) for tier in range(1, 11)},
}
"""Registers of tariffs, which add up where there is no register of all of them."""
_UNITS: dict[Measured, str] = {"register": "kWh", "export_register": "kWh", "power_kw": "W"}
_COOLING = ("occupied_cooling_setpoint", "current_cooling_setpoint", "cooling_setpoint")
_HEATING = ("occupied_heating_setpoint", "current_heating_setpoint", "heating_setpoint", "target_temperature",
            "temperature_setpoint", "current_setpoint", "setpoint", "ac_target_temperature")  # fmt: skip
"""The first of these that there is counts. `current_heating_setpoint` is of units that also cool the only one."""
_ENDPOINTS = frozenset(
    {*(f"l{number}" for number in range(1, 17)), "left", "right", "center", "top", "bottom", "top_left", "top_right",
     "bottom_left", "bottom_right", "center_left", "center_right"}
)  # fmt: skip
_PHASES = frozenset("abc")
_SWITCHED = {"ON": 1.0, "on": 1.0, True: 1.0, "true": 1.0, "OFF": 0.0, "off": 0.0, False: 0.0, "false": 0.0}
"""Other states are of covers, locks and valves."""
_OF_PLUGS = frozenset({"energy", "power", "water_consumed", "water_total"})
"""A `temperature` beside one of these is the plug's own, or that of the water."""


class _Entry(NamedTuple):
    key: str
    quantity: Measured
    divisor: float
    suffix: str
    """Of the id: an endpoint, or nothing."""
    power: str
    """Beside a register: the member that says whether anything is consumed."""


class _Plan(NamedTuple):
    entries: tuple[_Entry, ...]
    phases: tuple[str, ...]
    """Powers that add up."""
    cooling: str
    heating: str
    named: tuple[str, ...]
    """Members that the installer has named."""
    mode: str
    tiers: tuple[str, ...]
    has_total: bool
    """Whether there is a register of all tiers."""
    volumes: tuple[str, ...]
    is_converted: bool


class Values:
    """Reads one state after the other. Which members of it are read is found once for all that have the same."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._state = state
        self._fields = options.fields
        self._modes = options.modes
        self._names = Names(options)
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def read(self, body: dict[str, Any], source_id: str, ts_ms: int | None, message: Message, found: Found) -> None:
        keys = tuple(body)
        plan = self._plans.get(keys) or self._remember(keys)
        adds_tiers = not plan.has_total
        for key, quantity, divisor, suffix, power in plan.entries:
            raw = body[key]
            if isinstance(raw, dict):
                raw = self._inner(found, source_id, key, raw)
                if raw is ...:
                    continue
            if quantity == "on":
                switched = _SWITCHED.get(raw) if isinstance(raw, str | bool) else None
                if switched is not None:
                    found.add(source_id + suffix, "on", switched, ts_ms, key)
                elif raw is None:
                    found.ignore("no_value")
                continue
            if quantity == "mode":
                self._add_mode(found, source_id, raw, ts_ms, key)
                continue
            number = raw if type(raw) is float and raw == raw else number_of(found, raw, source_id, key)
            if number is None:
                continue
            if number == 0.0 and plan.tiers and quantity == "register" and not suffix and _has_any(body, plan.tiers):
                adds_tiers = True
                found.ignore("no_value")
                continue
            if power and self._is_stale(source_id + suffix, number, body.get(power), ts_ms, message):
                found.ignore("stale")
                continue
            if quantity in TEMPERATURES:
                found.add(source_id + suffix, quantity, number / divisor, ts_ms, key)
            else:  # without the call: 7.6 to 7.1 µs for a plug
                found.values.append(Value(source_id + suffix, quantity, number / divisor, ts_ms, key))
        for key in plan.volumes:
            self._add_volume(found, source_id, key, body[key], ts_ms, "m³" if plan.is_converted else None)
        for key in plan.tiers if adds_tiers else ():
            number = number_of(found, body[key], source_id, key)
            if number is not None:
                found.add_part(source_id, "register", _TIERS[key], number, ts_ms, key)
        if plan.phases:
            _add_sum(found, source_id, body, plan.phases, ts_ms)
        if plan.cooling or plan.heating:
            self._add_setpoint(found, source_id, body, plan, ts_ms)
        for key in plan.named:
            quantity_rank = _BY_NAME.get(key)
            unit = None if quantity_rank is None else _UNITS.get(quantity_rank[0])
            self._names.add(found, source_id, key, body[key], ts_ms, unit)

    def read_attribute(self, attribute: str, text: str, source_id: str, found: Found) -> None:
        """One member alone, as text. Of two setpoints the cooling one counts while the mode is known to be cool."""
        raw: Any = None if text in ("", "null") else text
        plan = self._plans.get((attribute,)) or self._remember((attribute,))
        if plan.volumes:
            self._add_volume(found, source_id, attribute, raw, None, None)
            return
        if not (plan.entries or plan.named or plan.cooling or plan.heating):
            found.ignore("other_quantity")
            return
        for key, quantity, divisor, suffix, _ in plan.entries:
            if quantity == "on":
                switched = _SWITCHED.get(raw)
                if switched is not None:
                    found.add(source_id + suffix, "on", switched, None, key)
            elif quantity == "mode":
                mode = self._add_mode(found, source_id, raw, None, key)
                if mode is not None:
                    self._remember_mode(source_id, mode)
            else:
                number = number_of(found, raw, source_id, key)
                if number is not None:
                    found.add(source_id + suffix, quantity, number / divisor, None, key)
        if plan.cooling or plan.heating:
            is_cooling = self._state.get("mode/" + source_id) == _COOL
            has_cooling = self._state.get("cooling/" + source_id) is not None
            if plan.cooling and not has_cooling:
                self._state.put("cooling/" + source_id, True)
            if is_cooling == bool(plan.cooling) or (plan.heating and not has_cooling):
                number = number_of(found, raw, source_id, attribute)
                if number is not None:
                    found.add(source_id, "setpoint_c", number, None, attribute)
            else:
                found.ignore("other_setpoint")
        for key in plan.named:
            self._names.add(found, source_id, key, raw, None)

    def learn_units(self, source_id: str, units: dict[str, str]) -> None:
        """units: of a device's volumes, by member."""
        key = "units/" + source_id
        if self._state.get(key) != units:
            self._state.put(key, units)

    def _add_volume(
        self, found: Found, source_id: str, key: str, raw: Any, ts_ms: int | None, unit: str | None
    ) -> None:
        text = unit or (self._state.get("units/" + source_id) or {}).get(key)
        if text is None and key == "gas":
            return
        number = number_of(found, raw, source_id, key)
        measured = unit_of(text) if text else None
        if number is None:
            return
        if measured is None or measured.dimension != "volume":
            found.reject("unknown_unit", f"{shown(source_id)} {shown(key)}: {shown(raw)} with no unit")
        else:
            found.add(source_id, VOLUMES[key], number * measured.factor, ts_ms, key)

    def _inner(self, found: Found, source_id: str, key: str, raw: dict[str, Any]) -> Any:
        """The value of the same name inside an object, which converters of the installer's own have been seen to make;
        Ellipsis where there is none."""
        inner = raw.get(key, ...)
        if inner is ... or isinstance(inner, dict | list):
            found.reject("bad_value", f"{shown(source_id)} {shown(key)}: {shown(raw)} is no value")
            return ...
        return inner

    def _add_mode(self, found: Found, source_id: str, raw: Any, ts_ms: int | None, key: str) -> int | None:
        if raw is None:
            found.ignore("no_value")
            return None
        mode = mode_number(raw, self._modes)
        if mode is None:
            found.reject("bad_value", f"{shown(source_id)} {shown(key)}: {shown(raw)} is no mode")
        else:
            found.add(source_id, "mode", float(mode), ts_ms, key)
        return mode

    def _remember_mode(self, source_id: str, mode: int) -> None:
        key = "mode/" + source_id
        if self._state.get(key) != mode:
            self._state.put(key, mode)

    def _is_stale(self, meter: str, energy: float, power: Any, ts_ms: int | None, message: Message) -> bool:
        """Whether an energy is repeated from the merged state, or just older than the last. Remembers it if not."""
        if ts_ms is None:
            if message.retain:
                return False  # no reading either
            ts_ms = message.received_ms
        elif ts_ms - message.received_ms > _AHEAD_MS:
            return False
        key = "energy/" + meter
        last = self._state.get(key)
        if last is not None and 0 < last[1] - ts_ms <= OUT_OF_ORDER_MS:
            return True  # sent once more: whether it was stale is no longer known
        if (
            last is not None
            and last[0] == energy
            and 0 < ts_ms - last[1] < _STALE_MS
            and isinstance(power, int | float)
            and power > 0
        ):
            return True
        if last is None:
            self._state.put(key, [energy, ts_ms])
        elif ts_ms > last[1]:
            last[:] = energy, ts_ms
            self._state.put_back(key)
        return False

    def _add_setpoint(self, found: Found, source_id: str, body: dict[str, Any], plan: _Plan, ts_ms: int | None) -> None:
        key = plan.heating or plan.cooling
        if plan.heating and plan.cooling:
            mode = mode_number(_nested(body, plan.mode), self._modes) if plan.mode else None
            if mode is None:
                mode = self._state.get("mode/" + source_id)
            else:
                self._remember_mode(source_id, mode)
            if mode == _AUTO:  # it chooses: what it does right now says which
                mode = mode_number(body.get("running_mode") or body.get("running_state"))
            if mode != _COOL and mode != _HEAT:
                found.ignore("two_setpoints")
                return
            key = plan.cooling if mode == _COOL else plan.heating
        number = number_of(found, _nested(body, key), source_id, key)
        if number is not None:
            found.add(source_id, "setpoint_c", number, ts_ms, key)

    def _remember(self, keys: tuple[str, ...]) -> _Plan:
        plan = self._plan(keys)
        if len(keys) <= _MAX_CACHED_MEMBERS:
            if len(self._plans) >= _CACHED:
                self._plans.clear()
            self._plans[keys] = plan
        return plan

    def _plan(self, keys: tuple[str, ...]) -> _Plan:
        fields = self._fields
        named = tuple(key for key in keys if key in fields and not fields[key].ignore)
        present = {key for key in keys if key not in fields and len(key) <= _LONGEST_KEY}
        best: dict[tuple[str, Measured], tuple[int, str]] = {}
        for key in keys:
            if key not in present:
                continue
            name, suffix = _apart(key)
            if name not in _BY_NAME:
                continue
            quantity, rank = _BY_NAME[name]
            if suffix in _PHASES and not present.isdisjoint(_RANKED[quantity]):  # the sum is there
                continue
            if name == "temperature" and not _OF_PLUGS.isdisjoint(present):
                continue
            before = best.get((suffix, quantity))
            if before is None or rank < before[0]:
                best[suffix, quantity] = rank, key
        phases: tuple[str, ...] = ()
        if best.get(("", "power_kw"), (0, "power"))[1] == "power" and "total_power" not in present:
            first = "power_phase_a" if "power_phase_a" in present else "power"
            others = tuple(key for key in ("power_phase_b", "power_phase_c") if key in present)
            if others and first in present and not (first == "power_phase_a" and "power" in present):
                phases = (first, *others)
                best.pop(("", "power_kw"), None)
        entries = []
        for (suffix, quantity), (_, key) in best.items():
            divisor = _KILO if quantity == "power_kw" or key in _WATT_HOURS else 1.0
            power = best.get((suffix, "power_kw"), (0, ""))[1] if quantity == "register" else ""
            if quantity == "register" and phases and not suffix:
                power = phases[0]
            entries.append(_Entry(key, quantity, divisor, f"/{suffix}" if suffix else "", power))
        return _Plan(
            tuple(entries),
            phases,
            next((name for name in _COOLING if name in present), ""),
            next((name for name in _HEATING if name in present), ""),
            named,
            best.get(("", "mode"), (0, ""))[1],
            tuple(key for key in keys if key in present and key in _TIERS),
            ("", "register") in best,
            () if ("", "heat_kwh") in best else tuple(key for key in keys if key in present and key in VOLUMES),
            not _CONVERTED.isdisjoint(keys),
        )


def _apart(key: str) -> tuple[str, str]:
    """A member's name and its endpoint, if it ends in one."""
    if key in _BY_NAME:
        return key, ""
    name, _, endpoint = key.partition("_")
    while endpoint:
        if (endpoint in _ENDPOINTS or endpoint in _PHASES) and name in _BY_NAME:
            return name, endpoint
        head, _, endpoint = endpoint.partition("_")
        name = f"{name}_{head}"
    return key, ""


def _nested(body: dict[str, Any], key: str) -> Any:
    raw = body[key]
    return raw.get(key) if isinstance(raw, dict) else raw


def _has_any(body: dict[str, Any], tiers: tuple[str, ...]) -> bool:
    """Whether a tier has counted anything, so that a total of 0 beside it is one that the meter does not tell."""
    return any(type(body[key]) in (int, float) and body[key] > 0 for key in tiers)


def _add_sum(found: Found, source_id: str, body: dict[str, Any], phases: tuple[str, ...], ts_ms: int | None) -> None:
    total = 0.0
    for key in phases:
        number = number_of(found, body[key], source_id, key)
        if number is None:
            return
        total += number
    found.add(source_id, "power_kw", total / _KILO, ts_ms, "power")
