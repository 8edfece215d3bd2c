"""What the components of Shelly's Gen2+ devices measure.

Meaning: Shelly's documentation of Gen2+, the page of each component, section "Status". Powers are W, energies Wh.

`aenergy.by_minute` holds the last minutes and `minute_ts` their time: neither is a reading of now. `temperature` inside
a switch is the chip's, and so is a component `temperature:0` of a meter; the room's it is where it is a probe (numbers
from 100 on: an add-on's) or belongs to a room sensor. A phase without a wire reports odd frequencies and a power of 0:
only the power is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from monitor.decoders.formats.plug_values import add_number, keep_phases, merged_sum, number_of
from monitor.decoders.names import Names
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, Measured
from monitor.decoders.words import switch_value

__all__ = ["Component", "Components", "Reader", "kind_of"]

_KILO = 1000.0
_CACHED = 2000
_LONGEST_KEY = 32
_FIRST_ADDON = 100
"""Numbers of components from here on belong to what is attached, not to the device itself."""
_ROOM_SENSORS = ("shellyplusht", "shellyht", "shellywalldisplay", "shellypluswd")
"""Beginnings of the ids of devices whose own temperature is the room's."""


class Component(msgspec.Struct, gc=False):
    """The members of any component that are looked at; Ellipsis where it has none of that name. Any: a device that
    sends nonsense is told apart below, not by the decoder. gc=False: JSON has no cycles; 2.9 to 2.3 µs for two."""

    id: Any = ...
    output: Any = ...
    apower: Any = ...
    aenergy: Any = ...
    ret_aenergy: Any = ...
    total_act_power: Any = ...
    a_act_power: Any = ...
    b_act_power: Any = ...
    c_act_power: Any = ...
    total_act: Any = ...
    total_act_ret: Any = ...
    a_total_act_energy: Any = ...
    b_total_act_energy: Any = ...
    c_total_act_energy: Any = ...
    a_total_act_ret_energy: Any = ...
    b_total_act_ret_energy: Any = ...
    c_total_act_ret_energy: Any = ...
    act_power: Any = ...
    total_act_energy: Any = ...
    total_act_ret_energy: Any = ...
    temperature_c: Any = msgspec.field(default=..., name="tC")
    target_c: Any = msgspec.field(default=..., name="target_C")
    current_c: Any = msgspec.field(default=..., name="current_C")
    enable: Any = ...
    brightness: Any = ...
    current_pos: Any = ...
    counts: Any = ...
    value: Any = ...
    xvalue: Any = ...
    state: Any = ...


Reader = Callable[[Found, str, str, Component, int | None], None]
"""found, device, component, its members, time."""


class Components:
    """The readers of components, by their key (`switch:0`).

    A component that the installer names under `fields` (`input:100`, `bthomesensor:203`, `number:200`) is what is said
    there, whatever its kind.
    """

    def __init__(self, options: Options, state: SourceState) -> None:
        self._state = state
        self._fields = {name: rule for name, rule in options.fields.items() if ":" in name}
        self._names = Names(options)
        self.known: dict[str, Reader | None] = {}
        """What `reader` has given; to be looked into first."""
        self._by_kind: Mapping[str, Reader] = {
            "switch": self._actuator,
            "light": self._actuator,
            "rgb": self._actuator,
            "rgbw": self._actuator,
            "cct": self._actuator,
            "rgbcct": self._actuator,
            "cover": self._measured,
            "pm1": self._measured,
            "em": self._em,
            "emdata": self._em_data,
            "em1": self._em1,
            "em1data": self._em1_data,
            "temperature": self._temperature,
            "thermostat": self._thermostat,
            "blutrv": self._thermostat,
        }

    def reader(self, key: str) -> Reader | None:
        """None: a component that measures nothing for us."""
        cache = self.known
        if key in cache:
            return cache[key]
        if len(key) > _LONGEST_KEY:
            return None
        if len(cache) >= _CACHED:
            cache.clear()
        kind, _, number = key.partition(":")
        reader = self._by_kind.get(kind) if number.isascii() and number.isdecimal() else None
        if key in self._fields:
            reader = None if self._fields[key].ignore else self._configured
        cache[key] = reader
        return reader

    def _actuator(self, found: Found, device: str, key: str, body: Component, ts_ms: int | None) -> None:
        if body.output is not ...:
            _add_switch(found, f"{device}/{key}", body.output, ts_ms, "output")
        self._measured(found, device, key, body, ts_ms)

    def _measured(self, found: Found, device: str, key: str, body: Component, ts_ms: int | None) -> None:
        source_id = f"{device}/{key}"
        if body.apower is not ...:
            add_number(found, source_id, "power_kw", body.apower, _KILO, ts_ms, "apower")
        if body.aenergy is not ...:
            _add_total(found, source_id, "register", body.aenergy, ts_ms, "aenergy.total")
        if body.ret_aenergy is not ...:
            _add_total(found, source_id, "export_register", body.ret_aenergy, ts_ms, "ret_aenergy.total")

    def _em(self, found: Found, device: str, key: str, body: Component, ts_ms: int | None) -> None:
        source_id = device if key == "em:0" else f"{device}/{key}"
        a, b, c = body.a_act_power, body.b_act_power, body.c_act_power
        if body.total_act_power is not ...:
            # Kept also when there is a total: the next message may have one phase alone.
            keep_phases(self._state, f"phases/power_kw/{source_id}", a, b, c, ts_ms)
            add_number(found, source_id, "power_kw", body.total_act_power, _KILO, ts_ms, "total_act_power")
        else:
            self._add_phases(found, source_id, "power_kw", [a, b, c], ts_ms, "act_power")

    def _em_data(self, found: Found, device: str, key: str, body: Component, ts_ms: int | None) -> None:
        source_id = device if key == "emdata:0" else f"{device}/em:{key[7:]}"
        if body.total_act is not ...:
            add_number(found, source_id, "register", body.total_act, _KILO, ts_ms, "total_act")
        else:
            phases = [body.a_total_act_energy, body.b_total_act_energy, body.c_total_act_energy]
            self._add_phases(found, source_id, "register", phases, ts_ms, "total_act_energy")
        if body.total_act_ret is not ...:
            add_number(found, source_id, "export_register", body.total_act_ret, _KILO, ts_ms, "total_act_ret")
        else:
            phases = [body.a_total_act_ret_energy, body.b_total_act_ret_energy, body.c_total_act_ret_energy]
            self._add_phases(found, source_id, "export_register", phases, ts_ms, "total_act_ret_energy")

    def _add_phases(
        self, found: Found, source_id: str, quantity: Measured, phases: list[Any], ts_ms: int | None, name: str
    ) -> None:
        if all(raw is ... for raw in phases):
            return
        kept_as = f"phases/{quantity}/{source_id}"
        total = merged_sum(found, self._state, kept_as, phases, ts_ms, source_id, name)
        if total is not None:
            found.add(source_id, quantity, total / _KILO, ts_ms, name)

    def _em1(self, found: Found, device: str, key: str, body: Component, ts_ms: int | None) -> None:
        if body.act_power is not ...:
            add_number(found, f"{device}/{key}", "power_kw", body.act_power, _KILO, ts_ms, "act_power")

    def _em1_data(self, found: Found, device: str, key: str, body: Component, ts_ms: int | None) -> None:
        source_id = f"{device}/em1:{key[8:]}"  # so that power and register are of one meter
        if body.total_act_energy is not ...:
            add_number(found, source_id, "register", body.total_act_energy, _KILO, ts_ms, "total_act_energy")
        if body.total_act_ret_energy is not ...:
            name = "total_act_ret_energy"
            add_number(found, source_id, "export_register", body.total_act_ret_energy, _KILO, ts_ms, name)

    def _temperature(self, found: Found, device: str, key: str, body: Component, ts_ms: int | None) -> None:
        if body.temperature_c is ...:
            return
        is_own = len(key) < len("temperature:100")
        if is_own and not device.rpartition("/")[2].lower().startswith(_ROOM_SENSORS):
            found.ignore("device_temperature")
            return
        add_number(found, f"{device}/{key}", "room_c", body.temperature_c, 1.0, ts_ms, "tC")

    def _thermostat(self, found: Found, device: str, key: str, body: Component, ts_ms: int | None) -> None:
        source_id = f"{device}/{key}"
        # `output` is whether it calls for heat or cold right now; `enable` is what somebody has switched.
        if body.enable is not ...:
            _add_switch(found, source_id, body.enable, ts_ms, "enable")
        if body.target_c is not ...:
            add_number(found, source_id, "setpoint_c", body.target_c, 1.0, ts_ms, "target_C")
        if body.current_c is not ...:
            add_number(found, source_id, "room_c", body.current_c, 1.0, ts_ms, "current_C")

    def _configured(self, found: Found, device: str, key: str, body: Component, ts_ms: int | None) -> None:
        """What the installer has named: the value of a virtual component or of a BLE sensor, the pulses of an input."""
        raw = body.counts.get("total", ...) if isinstance(body.counts, dict) else ...
        for raw in (raw, body.value, body.xvalue, body.temperature_c, body.state):  # noqa: B020  # the first there is
            if raw is not ...:
                self._names.add(found, f"{device}/{key}", key, raw, ts_ms)
                return


_TELLING: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("em", ("total_act_power", "a_act_power", "b_act_power", "c_act_power")),
    ("emdata", ("total_act", "total_act_ret", "a_total_act_energy")),
    ("em1", ("act_power",)),
    ("em1data", ("total_act_energy", "total_act_ret_energy")),
    ("thermostat", ("target_c",)),
    ("temperature", ("temperature_c",)),
    ("light", ("brightness",)),
    ("switch", ("output",)),
    ("cover", ("current_pos",)),
    ("pm1", ("apower", "aenergy")),
)


def kind_of(body: Component) -> str | None:
    """Of which kind a component is that does not say it, by what it has."""
    for kind, names in _TELLING:
        if any(getattr(body, name) is not ... for name in names):
            return kind
    return None


def _add_total(found: Found, source_id: str, quantity: Measured, raw: Any, ts_ms: int | None, name: str) -> None:
    """A counter of energy, `{"total": Wh, …}`."""
    if isinstance(raw, dict):
        if "total" in raw:
            total = number_of(found, raw["total"], source_id, name)
            if total is not None:
                found.add(source_id, quantity, total / _KILO, ts_ms, name)
    elif raw is None:
        found.ignore("no_value")
    else:
        found.reject("bad_value", f"{shown(source_id)} {name}: expected an object around it, found {shown(raw)}")


def _add_switch(found: Found, source_id: str, raw: Any, ts_ms: int | None, name: str) -> None:
    state = switch_value(raw)
    if state is not None:
        found.add(source_id, "on", state, ts_ms, name)
    elif raw is None:
        found.ignore("no_value")
    else:
        found.reject("bad_value", f"{shown(source_id)} {name}: {shown(raw)} is neither on nor off")
