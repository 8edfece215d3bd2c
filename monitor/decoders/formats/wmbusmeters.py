"""wmbusmeters: telegrams of wireless and wired M-Bus meters as JSON, one object a telegram.

Names of values end in their unit (`total_energy_consumption_kwh`), `media` says what the meter measures and `id` is the
meter's number; see the project's README and the field lists of its drivers (github.com/wmbusmeters/wmbusmeters).
The same name has several meanings: `total_m3` is water, gas or the flow through a heat meter, so the medium decides.
Values at a set date, of a past month, of one phase, of one tariff beside a total, partial counters and maxima are no
registers and stand in no table here. The time is `timestamp`, when the receiver heard the meter (UTC);
`device_datetime` is the meter's own clock, without a zone and often wrong by much, and is not looked at.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, epoch_ms, iso_ms
from monitor.decoders.units import UNITS
from monitor.decoders.values import Found, Measured, UnreadableError
from monitor.ingest.message import Message

__all__ = ["KINDS", "Wmbusmeters"]

_LONGEST_ID = 128
_ID_DIGITS = 8
_LONGEST_EPOCH = 20
_TARIFFS = "1234"
_MASKED = "1111-11-11T11:11:11Z"
"""What stands for the receiver's time in all of the drivers' examples: nothing is known of it."""
_LONGEST_SHAPE = 4096
"""Longer payloads [bytes] are looked through each time: hostile names shall not fill the memory."""
_MAX_SHAPES = 500


class _Role(NamedTuple):
    """What a name is for one kind of meter: value * factor is in the unit of the quantity."""

    quantity: Measured
    factor: float
    rank: int
    """Of several names for one thing the least counts."""
    part: str = ""
    """Tariff: registers that add up where there is no total."""
    offset: float = 0.0


def _roles(
    quantity: Measured, names: tuple[str, ...], units: tuple[str, ...], part: str = "", sign: float = 1.0
) -> dict[str, _Role]:
    return {
        f"{name}_{unit}": _Role(
            quantity, sign * UNITS[unit].factor, rank * len(units) + order, part, UNITS[unit].offset
        )
        for rank, name in enumerate(names)
        for order, unit in enumerate(units)
    }


_ENERGY_UNITS = ("kwh", "wh", "mwh", "gj", "mj", "kj")
_POWER_UNITS = ("kw", "w")
_VOLUME_UNITS = ("m3", "l")
_POWER = _roles(
    "power_kw",
    (
        "current_power_consumption", "active_consumption", "active_power_overall", "three_phase_total_active_power",
        "active_positive_3phase", "active_power", "total_active_power", "current_power", "power",
    ),
    _POWER_UNITS,
)  # fmt: skip
_POWER_OUT = _roles(
    "power_kw", ("current_power_production", "active_production", "active_negative_3phase"), _POWER_UNITS, sign=-1.0
)
_IMPORT = (
    "total_energy_consumption", "positive_total_active_energy", "total_active_positive_3phase", "total_energy",
    "total", "energy",
)  # fmt: skip
_EXPORT = ("total_energy_production", "negative_total_active_energy")
_IMPORT_TARIFF = (
    "total_energy_consumption_tariff_{}", "total_energy_consumption_tariff{}", "positive_tariff{}_active_energy",
    "total_tariff_{}", "total_tariff{}",
)  # fmt: skip
_EXPORT_TARIFF = (
    "total_energy_production_tariff_{}",
    "total_energy_production_tariff{}",
    "negative_tariff{}_active_energy",
)
_HEAT = (
    "total_energy_consumption", "total_heat_energy", "total_heating", "total_energy", "total", "heat", "energy",
)  # fmt: skip

_ROOM = _roles("room_c", ("temp_room", "current_room_temp", "room_temperature"), ("c", "f"))
"""Names that say by themselves that a room is meant: heat cost allocators have them, too."""

_ELECTRICITY = {
    **_roles("register", _IMPORT, _ENERGY_UNITS),
    **_roles("export_register", _EXPORT, _ENERGY_UNITS),
    **{
        key: role
        for tariff in _TARIFFS
        for quantity, names in (("register", _IMPORT_TARIFF), ("export_register", _EXPORT_TARIFF))
        for key, role in _roles(
            quantity,  # type: ignore[arg-type]  # a literal, but of a tuple
            tuple(name.format(tariff) for name in names),
            _ENERGY_UNITS,
            f"t{tariff}",
        ).items()
    },
    **_POWER,
    **_POWER_OUT,
}

KINDS: dict[str, dict[str, _Role]] = {
    "electricity": _ELECTRICITY,
    "heat": _roles("heat_kwh", _HEAT, _ENERGY_UNITS),
    "water": _roles("water_m3", ("total", "total_water", "totalitator"), _VOLUME_UNITS),
    "gas": _roles("gas_m3", ("total", "total_gas", "totalitator"), _VOLUME_UNITS),
    "room": {**_roles("room_c", ("current_temperature", "temperature"), ("c", "f")), **_ROOM},
    "other": _ROOM,
}
"""Kind of meter → what each of its names is."""

_MEDIA: dict[str, str] = {
    "electricity": "electricity",
    "heat": "heat", "heat volume at inlet": "heat", "heat volume at outlet": "heat", "heat/cooling load": "heat",
    "cooling load volume at inlet": "heat", "cooling load volume at outlet": "heat",
    "water": "water", "cold water": "water", "warm water": "water", "warm water (30-90°c)": "water",
    "hot water": "water", "hot/cold water": "water", "cooling water": "water", "dual water": "water",
    "drinking water": "water",
    "gas": "gas",
    "room sensor": "room",
    "heat cost allocation": "other", "heat cost allocator": "other", "smoke detector": "other", "pressure": "other",
}  # fmt: skip
"""Words of EN 13757-3's device types, as wmbusmeters writes them, in lower case → kind."""

_DRIVERS_OF: dict[str, str] = {
    "electricity": "abbb23 amiplus ebzwmbe ehzp eltako em24 esyswm gransystems iem3000 ime nemo nzr omnipower",
    "heat": (
        "c5isf compact5 elf elf2 enercal hydrocalm3 hydrocalm4 istaheat itronheat kamheat microclima pollucomf qheat "
        "qheat_55_us qheat5us qheatv2 qualcosonic sensostar sharky sharky774 supercal ultraheat vario411 vario451 "
        "vario451mid"
    ),
    "gas": "aerius apator08 elster gwfgas unismart",
    "room": "cma12w elvsense lansenth munia piigth rfmamb",
    "water": (
        "actislink apator162 apator172 apatorna1 aquastream aventieswm dme_07 dme173 emerlin868 engelmann_faw ev200 "
        "evo868 fiowater gwfwater hydrodigit hydrus iperl istawater itron iwmtx5 izar izarv2 kadenwater kamwater "
        "lse_07_17 maddalena minomess mkradio3 mkradio3a mkradio4 op041a picoflux q400 qwater qwaterv2 rfmtx1 "
        "supercom587 topaseskr uiws ultrimis ultrimisv2 waterstarm watertech weh_07 werhlemodwm zenner0b"
    ),
}
_DRIVERS = {driver: kind for kind, drivers in _DRIVERS_OF.items() for driver in drivers.split()}
"""Driver → kind, for meters behind a radio converter, whose medium is that of the converter."""


_UNKNOWN: Any = object()


class _Plan(NamedTuple):
    """What to take from a telegram with these names: found once for each shape."""

    plain: tuple[tuple[str, Measured, float, float], ...]
    """Name, quantity, factor, offset."""
    power: tuple[str, float] | None
    power_out: tuple[str, float] | None
    parts: tuple[tuple[str, _Role], ...]
    totals: tuple[tuple[str, Measured], ...]
    """Registers of electricity that are there as a total."""


class Wmbusmeters:
    """Format `wmbusmeters`. State: which meters send a total, so that tariffs of other telegrams do not replace it."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._state = state
        self._plans: dict[tuple[str, ...], _Plan | None] = {}

    def read(self, message: Message, found: Found) -> None:
        body = read_json(message.payload)
        if type(body) is not dict:
            raise UnreadableError(f"expected an object, found {shown(body)}")
        if body.get("_", "telegram") != "telegram":
            found.ignore("status")
            return
        media, meter = body.get("media"), body.get("meter")
        if type(media) is not str or type(meter) is not str:
            media, meter = shown(media), shown(meter)
        shape = media, meter, *body
        plan = self._plans.get(shape, _UNKNOWN)
        if plan is _UNKNOWN:
            plan = self._new_plan(shape, body, message.payload)
        if plan is None:
            found.ignore("unknown_media")
            return
        source_id = _id_of(body, message.topic)
        ts_ms = _time_ms(body)
        for key, quantity, factor, offset in plan.plain:
            number = body[key]
            if type(number) is not float or number != number:
                number = _number(body, key, source_id, found)
            if number is not None:
                found.add(source_id, quantity, number * factor + offset, ts_ms, key)
        if plan.power is not None:
            _add_power(plan.power, plan.power_out, body, source_id, ts_ms, found)
        if plan.totals or plan.parts:
            known = self._state.get("totals/" + source_id) or []
            if plan.parts or len(known) < len(plan.totals):
                self._take_parts(plan, known, body, source_id, ts_ms, found)

    def _new_plan(self, shape: tuple[str, ...], body: dict[str, Any], payload: bytes) -> _Plan | None:
        plan = _plan(body)
        if len(payload) <= _LONGEST_SHAPE:
            if len(self._plans) >= _MAX_SHAPES:
                self._plans.clear()
            self._plans[shape] = plan
        return plan

    def _take_parts(
        self, plan: _Plan, known: list[str], body: dict[str, Any], source_id: str, ts_ms: int | None, found: Found
    ) -> None:
        for key, quantity in plan.totals:
            if quantity not in known and body[key] is not None:
                known = [*known, quantity]
                self._state.put("totals/" + source_id, known)
        parts: dict[Measured, list[tuple[str, str, float]]] = {}
        lost: set[Measured] = set()
        for key, (quantity, factor, _, part, _) in plan.parts:
            if quantity in known:
                continue
            number = _number(body, key, source_id, found)
            if number is None:
                lost.add(quantity)
            else:
                parts.setdefault(quantity, []).append((part, key, number * factor))
        are_used = any(number for registers in parts.values() for _, _, number in registers)
        for quantity, registers in parts.items():
            if quantity in lost:  # the sum of the others would look like a register set back
                found.ignore("partial")
                continue
            if not are_used:  # tariffs that the meter has but does not count in
                found.ignore("no_value")
                continue
            for part, key, number in registers:
                found.add_part(source_id, quantity, part, number, ts_ms, key)


def _plan(body: dict[str, Any]) -> _Plan | None:
    kind = _kind(body)
    if kind is None:
        return None
    roles = KINDS[kind]
    best: dict[tuple[Measured, bool, str], tuple[str, _Role]] = {}
    for key in body:
        role = roles.get(key)
        if role is None:
            continue
        slot = role.quantity, role.factor < 0, role.part
        if slot not in best or role.rank < best[slot][1].rank:
            best[slot] = key, role
    powers = [best.pop(("power_kw", is_out, ""), None) for is_out in (False, True)]
    power, power_out = [None if each is None else (each[0], each[1].factor) for each in powers]
    plain = [(key, role) for key, role in best.values() if not role.part]
    return _Plan(
        tuple((key, role.quantity, role.factor, role.offset) for key, role in plain),
        power or power_out,
        power_out if power else None,
        tuple((key, role) for key, role in best.values() if role.part),
        tuple((key, role.quantity) for key, role in plain if kind == "electricity"),
    )


def _number(body: dict[str, Any], key: str, source_id: str, found: Found) -> float | None:
    raw = body[key]
    if type(raw) is float and raw == raw:
        return raw
    try:
        number = to_number(raw)
    except ValueError:
        found.reject("bad_value", f"{shown(source_id)} {key}: {shown(raw)} is no number")
        return None
    if number is None:
        found.ignore("no_value")
    return number


def _add_power(
    first: tuple[str, float],
    second: tuple[str, float] | None,
    body: dict[str, Any],
    source_id: str,
    ts_ms: int | None,
    found: Found,
) -> None:
    """Import minus export. An import of 0 says nothing while the export has no value."""
    number = _number(body, first[0], source_id, found)
    if second is None:
        other: float | None = 0.0
    else:
        other = _number(body, second[0], source_id, found)
        if other is None and number:
            other = 0.0
    if number is not None and other is not None:
        power_kw = number * first[1] if second is None else number * first[1] + other * second[1]
        found.add(source_id, "power_kw", power_kw, ts_ms, first[0])


def _kind(body: dict[str, Any]) -> str | None:
    media = body.get("media")
    kind = _MEDIA.get(media) if isinstance(media, str) else None
    if kind is None and isinstance(media, str):
        kind = _MEDIA.get(media[:64].strip().lower())
    if kind is None:
        driver = body.get("meter")
        kind = _DRIVERS.get(driver) if isinstance(driver, str) else None
    return kind


def _id_of(body: dict[str, Any], topic: str) -> str:
    number = body.get("id")
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 10**_ID_DIGITS:
        return f"{number:0{_ID_DIGITS}d}"
    if isinstance(number, str) and number:
        if len(number) > _LONGEST_ID:
            raise UnreadableError(f"id {shown(number)}: {len(number)} characters, expected at most {_LONGEST_ID}")
        return number
    if number is None or number == "":
        return topic.rpartition("/")[2] or topic
    raise UnreadableError(f"id {shown(number)}: expected a meter's number")


def _time_ms(body: dict[str, Any]) -> int | None:
    raw = body.get("timestamp") or body.get("timestamp_utc") or body.get("timestamp_ut")
    if raw is None or raw in ("", _MASKED):
        return None
    if type(raw) is str and not raw.isdigit():
        return iso_ms(raw)
    if type(raw) is str and len(raw) < _LONGEST_EPOCH and raw.isascii():
        raw = int(raw)
    if isinstance(raw, int | float):
        return epoch_ms(raw)
    raise BadTimeError(f"{shown(raw)} is no time")
