"""What the sections of a Tasmota SENSOR message measure.

Meaning: Tasmota's documentation, "Power Monitoring", "Smart Meter Interface" and "Zigbee".

ENERGY holds kWh and W. Each of its fields is a figure or a list: Power is a list where a device has several channels,
while Total is their sum unless SetOption129 is on. Where Voltage has three figures as well the lists are the phases of
one meter, whose sum is given beside them; a list beside a single Power is what firmware before 6.6.0.13 made of a total
and its two tariffs. ImportActive is the meter's own register and counts where there is no Total. Today, Yesterday and
Period are no registers.

A section of any other name may be a meter that is read by an optical head or by Modbus under a script of the
installer, who chose the names; those of the documented scripts are known (see `tasmota_names`), and `fields` names
others, as `SECTION.name` or `name`. After a start such a meter is 0 until its first telegram: that is no reading. A
section with a Temperature is a sensor, in TempUnit; ANALOG and what measures the device itself are none.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from monitor.decoders.formats import miel_hvac
from monitor.decoders.formats.plug_values import add_number, is_id, number_of
from monitor.decoders.formats.tasmota_names import METER_ID, NAMES, UNCLEAR, Meant, plain
from monitor.decoders.names import Names, words_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.units import unit_of
from monitor.decoders.values import Found, Measured
from monitor.decoders.words import switch_value

__all__ = ["Sections"]

_CACHED = 1000
_LONGEST_NAME = 60
_CHANNELS = tuple(str(channel) for channel in range(1, 33))
_MAX_SECTIONS = 100
_MAX_MEMBERS = 500
"""Of a section; a Zigbee bridge or a script has some dozens."""
_KILO = 1000.0
_OF_THE_DEVICE = frozenset(
    {"ANALOG", "ESP32", "BL09XX", "ADE7953", "ADE7880", "CSE7761", "CSE7766", "AXP192", "AXP2101", "Wifi", "Heap"}
)
"""Sections that tell of the device itself, among them its chip's temperature."""
_POWER_ON = 85.0
"""[°C] What a DS18B20 reports before its first conversion."""


class _Plan(NamedTuple):
    meant: tuple[tuple[str, Meant], ...]
    ids: tuple[str, ...]
    """Members that may hold the meter's number."""
    has_register: bool


_BY_CONVENTION: dict[Measured, str] = {"register": "kWh", "export_register": "kWh", "power_kw": "W", "heat_kwh": "kWh"}
"""Units of the documented scripts, for names that the usual names know and that have none."""
_DRAWN = frozenset({"import", "imported", "in", "plus", "consumed", "drawn"})
"""Words of a power that is only what is drawn, if there is another of what is fed in."""
_OF_METERS = frozenset({"register", "export_register", "power_kw", "heat_kwh", "water_m3", "gas_m3"})

_TELEINFO: dict[str, Meant] = {
    "EAST": Meant("register", _KILO), "BASE": Meant("register", _KILO), "EAIT": Meant("export_register", _KILO),
    **{name: Meant("register", _KILO, name) for name in (
        "HCHC", "HCHP", "EJPHN", "EJPHPM", "BBRHCJB", "BBRHPJB", "BBRHCJW", "BBRHPJW", "BBRHCJR", "BBRHPJR")},
}  # fmt: skip
"""Labels of a French meter's frame, which the section TIC holds: Wh."""


class Sections:
    """Reads the sections of one message after the other."""

    def __init__(self, options: Options) -> None:
        self._fields = options.fields
        self._names = Names(options)
        self._modes = options.modes
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def read(self, body: dict[str, Any], device: str, ts_ms: int | None, found: Found) -> None:
        if len(body) > _MAX_SECTIONS:
            found.reject("malformed", f"{len(body)} sections, expected at most {_MAX_SECTIONS}")
            return
        is_fahrenheit = body.get("TempUnit") == "F"
        for name, section in body.items():
            if type(section) is not dict:
                continue
            if len(section) > _MAX_MEMBERS:
                found.reject("malformed", f"{shown(name)}: {len(section)} members, expected at most {_MAX_MEMBERS}")
                continue
            if self._fields:
                section = self._without_named(found, device, name, section, ts_ms)
            if name == "ENERGY":
                _energy(found, device, section, ts_ms)
            elif name == "TIC":
                self._teleinfo(found, device, section, ts_ms)
            elif name == "ZbReceived":
                _zigbee(found, device, section, ts_ms)
            elif name == miel_hvac.SECTION:
                miel_hvac.add_unit(found, device, section, ts_ms, self._modes, body.get("TempUnit"))
            elif name not in _OF_THE_DEVICE and name != "COUNTER" and section:
                if "Temperature" in section:
                    _temperature(found, device, name, section["Temperature"], is_fahrenheit, ts_ms)
                self._meter(found, device, name, section, ts_ms)

    def _without_named(
        self, found: Found, device: str, name: str, section: dict[str, Any], ts_ms: int | None
    ) -> dict[str, Any]:
        """Reads what the installer has named; gives the rest."""
        rest = {}
        for key, raw in section.items():
            rule_name = f"{name}.{key}"
            rule = self._fields.get(rule_name)
            if rule is None:
                rule_name = key
                rule = self._fields.get(key)
            if rule is None:
                rest[key] = raw
                continue
            source_id = device if name == "ENERGY" else _id_of(section, self._plan(section)) or _named(device, name)
            meant = _OF_ENERGY.get(key) if name == "ENERGY" else NAMES.get(plain(key))
            if rule.ignore or rule.quantity is not None or meant is None or isinstance(raw, dict | list):
                self._names.add(found, source_id, rule_name, raw, ts_ms)
                continue
            number = number_of(found, raw, source_id, key)
            if number is not None:
                unit = unit_of(rule.unit) if rule.unit else None
                number = number / meant.divisor if unit is None else number * unit.factor
                _add(found, source_id, meant, number * rule.scale, ts_ms, key)
        return rest

    def _meter(self, found: Found, device: str, name: str, section: dict[str, Any], ts_ms: int | None) -> None:
        """A meter that a script reads."""
        plan = self._plan(section)
        if not plan.meant:
            return
        readings: list[tuple[Meant, float, str]] = []
        is_read = not plan.has_register
        for key, meant in plan.meant:
            raw = section[key]
            if isinstance(raw, dict | list):
                continue
            if meant.divisor <= 0.0:
                found.reject("unknown_unit", f"{shown(name)} {shown(key)}: {shown(raw)} with no unit")
                continue
            number = raw if type(raw) is float and raw == raw else number_of(found, raw, name, key)
            if number is not None:
                readings.append((meant, number, key))
                is_read = is_read or (number != 0.0 and meant.quantity == "register")
        if not is_read:
            found.ignore("no_value")  # started, and the meter has not spoken yet
            return
        source_id = _id_of(section, plan) or _named(device, name)
        sides: dict[str, tuple[float, str]] = {}
        for meant, number, key in readings:
            if meant.side:
                sides[meant.side] = number / meant.divisor, key
            else:
                _add(found, source_id, meant, number / meant.divisor, ts_ms, key)
        if sides:
            _add_sides(found, source_id, sides, ts_ms)

    def _plan(self, section: dict[str, Any]) -> _Plan:
        """Which members of a section are read: found once for all messages that have the same."""
        keys = tuple(section)
        plan = self._plans.get(keys)
        if plan is None:
            meanings = [(key, self._look_up(key)) for key in keys if len(key) <= _LONGEST_NAME]
            meant = [(key, meaning) for key, meaning in meanings if isinstance(meaning, Meant)]
            if any(meaning.quantity == "power_kw" and not meaning.side for _, meaning in meant):
                meant = [(key, meaning) for key, meaning in meant if not meaning.side]  # the difference is there
            if [plain(key) for key, _ in meant] == ["total"]:  # of a water meter, as likely as not
                meant = [(meant[0][0], Meant("register", 0.0))]
            plan = _Plan(
                tuple(meant),
                tuple(key for key, meaning in meanings if meaning == "id"),
                any(meaning.quantity == "register" for _, meaning in meant),
            )
            if len(keys) <= _MAX_SECTIONS:
                if len(self._plans) >= _CACHED:
                    self._plans.clear()
                self._plans[keys] = plan
        return plan

    def _teleinfo(self, found: Found, device: str, section: dict[str, Any], ts_ms: int | None) -> None:
        source_id = next((section[key] for key in ("ADSC", "ADCO") if is_id(section.get(key))), f"{device}/TIC")
        for key, raw in section.items():
            meant = _TELEINFO.get(key)
            number = None if meant is None else number_of(found, raw, source_id, key)
            if meant is not None and number is not None:
                _add(found, source_id, meant, number / meant.divisor, ts_ms, key)

    def _look_up(self, key: str) -> Meant | str | None:
        """What a name of a script is; `id`: the meter's number. A divisor of 0: in an unknown unit."""
        name = plain(key)
        if name in METER_ID:
            return "id"
        meant = NAMES.get(name) or UNCLEAR.get(name)
        if meant is not None:
            return meant
        usual = self._names.meaning(key)
        if usual is not None and not usual.is_unit_known and usual.quantity in _BY_CONVENTION:
            usual = self._names.meaning(key, _BY_CONVENTION[usual.quantity])
        if usual is None or not usual.factor or usual.quantity not in _OF_METERS or usual.tariff in ("day", "night"):
            return None  # in scripts `Total_day` is today's consumption, not a tariff
        divisor = 1 / abs(usual.factor) if usual.is_unit_known else 0.0
        if usual.quantity != "power_kw":
            return Meant(usual.quantity, divisor, usual.tariff)
        is_drawn = not _DRAWN.isdisjoint(words_of(key).split("_"))
        return Meant("power_kw", divisor, side="out" if usual.factor < 0 else "in" if is_drawn else "")


def _named(device: str, section: str) -> str:
    return f"{device}/{section}" if section else device


def _add(found: Found, source_id: str, meant: Meant, value: float, ts_ms: int | None, name: str) -> None:
    if meant.tariff:
        found.add_part(source_id, meant.quantity, meant.tariff, value, ts_ms, name)
    else:
        found.add(source_id, meant.quantity, value, ts_ms, name)


def _add_sides(found: Found, source_id: str, sides: dict[str, tuple[float, str]], ts_ms: int | None) -> None:
    """A power that is told as two figures, what is drawn and what is fed in."""
    drawn, key = sides.get("in", (0.0, ""))
    fed_in, other = sides.get("out", (0.0, ""))
    if not key and not fed_in:  # nothing fed in says nothing of what is drawn
        found.ignore("no_value")
    else:
        found.add(source_id, "power_kw", drawn - fed_in, ts_ms, key or other)


def _id_of(section: dict[str, Any], plan: _Plan) -> str | None:
    for key in plan.ids:
        raw = section[key]
        if isinstance(raw, str) and is_id(raw.strip()):
            return raw.strip()
    return None


def _energy(found: Found, device: str, energy: dict[str, Any], ts_ms: int | None) -> None:
    voltage = energy.get("Voltage")
    is_three_phase = isinstance(voltage, list) and len(voltage) == 3
    has_tariffs = not isinstance(voltage, list) and type(energy.get("Power")) in (int, float)
    for name, quantity, divisor in _ENERGY:
        if name not in energy or (name == "ImportActive" and "Total" in energy):
            continue
        raw = energy[name]
        if isinstance(raw, list) and has_tariffs and len(raw) == 3 and name != "ImportActive":
            add_number(found, device, quantity, raw[0], divisor, ts_ms, name)
        elif isinstance(raw, list):
            _add_channels(found, device, quantity, raw, divisor, ts_ms, name, is_three_phase)
        else:
            add_number(found, device, quantity, raw, divisor, ts_ms, name)
    for name, total, quantity in _TARIFFS:
        if name in energy and total not in energy:
            _add_tariffs(found, device, quantity, energy[name], ts_ms, name)


_ENERGY: tuple[tuple[str, Measured, float], ...] = (
    ("Total", "register", 1.0),
    ("ImportActive", "register", 1.0),
    ("ExportActive", "export_register", 1.0),
    ("Power", "power_kw", _KILO),
)
_OF_ENERGY = {name: Meant(quantity, divisor) for name, quantity, divisor in _ENERGY}
_TARIFFS: tuple[tuple[str, str, Measured], ...] = (
    ("TotalTariff", "Total", "register"),
    ("ExportTariff", "ExportActive", "export_register"),
)


def _add_channels(
    found: Found,
    device: str,
    quantity: Measured,
    channels: list[Any],
    divisor: float,
    ts_ms: int | None,
    name: str,
    is_three_phase: bool,
) -> None:
    if len(channels) > len(_CHANNELS):
        found.reject("malformed", f"{name}: {len(channels)} channels, expected at most {len(_CHANNELS)}")
        return
    known = []
    prefix = device + "#"
    for channel, raw in zip(_CHANNELS, channels, strict=False):
        number = raw if type(raw) is float and raw == raw else number_of(found, raw, device, name)
        if number is not None:
            known.append(number)
            found.add(prefix + channel, quantity, number / divisor, ts_ms, name)
    if is_three_phase and len(known) == len(channels) == 3:
        found.add(device, quantity, _sum(known) / divisor, ts_ms, name)


def _sum(numbers: list[float]) -> float:
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):  # beyond what a float holds, or infinities of both signs
        return math.nan


def _add_tariffs(found: Found, device: str, quantity: Measured, tariffs: Any, ts_ms: int | None, name: str) -> None:
    if not isinstance(tariffs, list) or len(tariffs) > len(_CHANNELS):
        found.reject("bad_value", f"{shown(device)} {name}: expected a list of registers, found {shown(tariffs)}")
        return
    for tariff, raw in enumerate(tariffs, 1):
        number = number_of(found, raw, device, name)
        if number is not None:
            found.add_part(device, quantity, str(tariff), number, ts_ms, name)


def _temperature(found: Found, device: str, sensor: str, raw: Any, is_fahrenheit: bool, ts_ms: int | None) -> None:
    if isinstance(raw, dict | list):  # a camera's pixels
        return
    source_id = f"{device}/{sensor}"
    number = number_of(found, raw, source_id, "Temperature")
    if number is None:
        return
    celsius = (number - 32.0) / 1.8 if is_fahrenheit else number
    if celsius == _POWER_ON and sensor.startswith("DS18"):
        found.ignore("no_value")
        return
    found.add(source_id, "room_c", celsius, ts_ms, "Temperature")


def _zigbee(found: Found, device: str, section: dict[str, Any], ts_ms: int | None) -> None:
    """Devices that a Tasmota Zigbee bridge hears. Power is on or off here, ActivePower are W."""
    for address, body in section.items():
        if not isinstance(body, dict):
            continue
        name = body.get("Name", address)
        source_id = f"{device}/{name if is_id(name) else address[:60]}"
        for key in ("Temperature", "LocalTemperature"):
            if key in body:
                add_number(found, source_id, "room_c", body[key], 1.0, ts_ms, key)
        if "ActivePower" in body:
            add_number(found, source_id, "power_kw", body["ActivePower"], _KILO, ts_ms, "ActivePower")
        state = switch_value(body.get("Power"))
        if state is not None:
            found.add(source_id, "on", state, ts_ms, "Power")
