"""What bridges make of P1 telegrams: JSON objects, or a topic for each value. Only names that a project documents.

dsmr2mqtt (Wh, W, and gas in litres), DSMR-reader and Smart Gateways (`electricity_delivered_1`, kWh), the DSMR-API
firmware and the P1 dongle (`energy_delivered_tariff1`, `gas` and `gas_ts`), HomeWizard (`total_power_import_t1_kwh`,
`active_power_w`; since version 2 of its API `energy_import_t1_kwh`, `power_w`), esp8266_p1meter
(`consumption_low_tarif`, Wh), and dsmr_parser's telegrams as JSON (`ELECTRICITY_USED_TARIFF_1`). What HomeWizard and
dsmr_parser list of further meters is read in `dsmr_external`. Objects with OBIS codes as names are read as such, in kWh
and kW; an object with a whole telegram in it, as that. DSMR-reader's `id` numbers rows of its database: it is no
meter's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from monitor.decoders.formats.dsmr_external import external_meters
from monitor.decoders.formats.dsmr_serial import SERIAL_NAME, whole_telegram
from monitor.decoders.formats.obis_json import ObisJson
from monitor.decoders.names import DIMENSIONS
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, text_of, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, epoch_ms, parse_iso, to_ms
from monitor.decoders.units import UNITS, unit_of
from monitor.decoders.values import Found, Measured, UnreadableError
from monitor.ingest.message import Message

__all__ = ["NAMES", "Bridges"]

_LONGEST_ID = 128
_LONGEST_PLAIN = 100
_LOCAL_DIGITS = 12
_P1_DIGITS = 10**11
"""Numbers from here to ten times that are digits of a telegram's time: as milliseconds they end in 2001."""
_LATEST_S = 10**10


class _Name(NamedTuple):
    quantity: Measured
    unit: str
    sign: float = 1.0
    part: str = ""
    is_net: bool = False


def _tariffs(pattern: str, quantity: Measured, unit: str, tariffs: tuple[str, ...] = ("1", "2")) -> dict[str, _Name]:
    return {pattern.format(each): _Name(quantity, unit, part=f"t{at + 1}") for at, each in enumerate(tariffs)}


NAMES: dict[str, _Name] = {
    "el_consumed": _Name("register", "Wh"),
    "el_returned": _Name("export_register", "Wh"),
    **_tariffs("el_consumed{}", "register", "Wh"),
    **_tariffs("el_returned{}", "export_register", "Wh"),
    "p_consumed": _Name("power_kw", "W"),
    "p_generated": _Name("power_kw", "W", -1.0),
    "gas_consumed": _Name("gas_m3", "l"),
    **_tariffs("electricity_delivered_{}", "register", "kWh"),
    **_tariffs("electricity_returned_{}", "export_register", "kWh"),
    "electricity_currently_delivered": _Name("power_kw", "kW"),
    "electricity_currently_returned": _Name("power_kw", "kW", -1.0),
    "extra_device_delivered": _Name("gas_m3", "m3"),
    **_tariffs("energy_delivered_tariff{}", "register", "kWh"),
    **_tariffs("energy_returned_tariff{}", "export_register", "kWh"),
    "power_delivered": _Name("power_kw", "kW"),
    "power_returned": _Name("power_kw", "kW", -1.0),
    "gas_delivered": _Name("gas_m3", "m3"),
    "energy_delivered_total": _Name("register", "kWh"),
    "energy_returned_total": _Name("export_register", "kWh"),
    "gas": _Name("gas_m3", "m3"),
    "water": _Name("water_m3", "m3"),
    "water_delivered": _Name("water_m3", "m3"),
    "total_power_import_kwh": _Name("register", "kWh"),
    "total_power_export_kwh": _Name("export_register", "kWh"),
    **_tariffs("total_power_import_t{}_kwh", "register", "kWh", ("1", "2", "3", "4")),
    **_tariffs("total_power_export_t{}_kwh", "export_register", "kWh", ("1", "2", "3", "4")),
    "active_power_w": _Name("power_kw", "W", is_net=True),
    "total_gas_m3": _Name("gas_m3", "m3"),
    "energy_import_kwh": _Name("register", "kWh"),
    "energy_export_kwh": _Name("export_register", "kWh"),
    **_tariffs("energy_import_t{}_kwh", "register", "kWh", ("1", "2", "3", "4")),
    **_tariffs("energy_export_t{}_kwh", "export_register", "kWh", ("1", "2", "3", "4")),
    "power_w": _Name("power_kw", "W", is_net=True),
    **_tariffs("consumption_{}_tarif", "register", "Wh", ("low", "high")),
    **_tariffs("returndelivery_{}_tarif", "export_register", "Wh", ("low", "high")),
    "actual_consumption": _Name("power_kw", "W"),
    "actual_returndelivery": _Name("power_kw", "W", -1.0),
    "gas_meter_m3": _Name("gas_m3", "l"),
    "ELECTRICITY_IMPORTED_TOTAL": _Name("register", "kWh"),
    "ELECTRICITY_EXPORTED_TOTAL": _Name("export_register", "kWh"),
    **_tariffs("ELECTRICITY_USED_TARIFF_{}", "register", "kWh", ("1", "2", "3", "4")),
    **_tariffs("ELECTRICITY_DELIVERED_TARIFF_{}", "export_register", "kWh", ("1", "2", "3", "4")),
    "CURRENT_ELECTRICITY_USAGE": _Name("power_kw", "kW"),
    "CURRENT_ELECTRICITY_DELIVERY": _Name("power_kw", "kW", -1.0),
    "HOURLY_GAS_METER_READING": _Name("gas_m3", "m3"),
    "GAS_METER_READING": _Name("gas_m3", "m3"),
}
"""A bridge's name → what it is, with the unit that the bridge's documentation gives."""
_FACTORS = {unit: UNITS[unit].factor for unit in ("kWh", "Wh", "kW", "W", "m3", "l")}
_IDS = (
    "serial", "equipment_id", "electricity_equipment_id", "equipmentId", "unique_id", "meter_id",
    "EQUIPMENT_IDENTIFIER", "BELGIUM_EQUIPMENT_IDENTIFIER", "LUXEMBOURG_EQUIPMENT_IDENTIFIER",
)  # fmt: skip
_IDS_OF: dict[Measured, tuple[str, ...]] = {
    "gas_m3": ("gas_equipment_id", "gas_unique_id", "EQUIPMENT_IDENTIFIER_GAS"),
    "water_m3": ("water_equipment_id",),
}
"""Ids of meters behind the meter."""
_TIMES_OF: dict[Measured, tuple[str, ...]] = {
    "gas_m3": ("extra_device_timestamp", "gas_delivered_timestamp", "gas_timestamp", "gas_ts"),
    "water_m3": ("water_delivered_timestamp", "water_delivered_ts", "water_ts"),
}
"""Their times."""
_TIMES = ("timestamp", "ts", "time", "P1_MESSAGE_TIMESTAMP")
_TELEGRAMS = ("telegram", "raw", "p1", "data", "payload", "message")
_NOT_SPLIT = frozenset({"serial", "unique_id", "meter_id"})
"""Names of ids that are too common for a topic of their own."""


class _Clock(Protocol):
    def ms(self, raw: bytes, key: str, received_ms: int, found: Found) -> int: ...


class Bridges:
    """The part of format `dsmr_p1` that is no telegram. State, by parent topic: the meter's number and the way in which
    power flows, where each value has a topic of its own; pieces of a telegram."""

    def __init__(
        self,
        options: Options,
        state: SourceState,
        clock: _Clock,
        read_telegrams: Callable[[bytes, Message, Found], None],
    ) -> None:
        self._state = state
        self._clock = clock
        self._read_telegrams = read_telegrams
        self._obis = ObisJson(options, state, {"energy": "kWh", "power": "kW"})

    def read(self, message: Message, found: Found) -> None:
        if b"{" not in message.payload[:_LONGEST_PLAIN]:
            self._read_plain(message, found)
            return
        body = read_json(message.payload)
        if not isinstance(body, dict):
            raise UnreadableError(f"expected a telegram or an object, found {shown(body)}")
        known = [name for name in body if name in NAMES]
        if known or "external" in body or "MBUS_DEVICES" in body:
            self._read_names(known, body, message, found)
            return
        piece = body.get(SERIAL_NAME)
        if isinstance(piece, str):
            telegram = whole_telegram(self._state, message.topic, piece)
            if telegram is None:
                found.ignore("partial")
            else:
                self._read_telegrams(telegram.encode("utf-8", "replace"), message, found)
            return
        for name in _TELEGRAMS:
            text = body.get(name)
            if isinstance(text, str) and "/" in text[:20]:
                self._read_telegrams(text.encode("utf-8", "replace"), message, found)
                return
        try:
            self._obis.take(body, message, found)
        except UnreadableError:
            found.ignore("no_reading")

    def _read_names(self, known: list[str], body: dict[str, Any], message: Message, found: Found) -> None:
        base, _, last = message.topic.rpartition("/")
        source_id = _first_id(body, _IDS)
        if not source_id:
            is_split = bool(base) and last in NAMES
            remembered = self._state.get("bridge/" + base) if is_split else None
            source_id = (remembered and remembered[0]) or (base if is_split else message.topic)
        times: dict[str, int | None] = {}
        power: dict[str, float] = {}
        tariffs: dict[Measured, list[tuple[str, str, float]]] = {}
        lost: set[Measured] = set()
        is_net = False
        for name in known:
            meaning = NAMES[name]
            raw = body[name]
            value = _value(raw, meaning, source_id, name, found)
            if value is None:
                if meaning.part:
                    lost.add(meaning.quantity)
                continue
            behind: Measured | None = meaning.quantity if meaning.quantity in _TIMES_OF else None
            clock = behind or "meter"
            if clock not in times:
                try:
                    times[clock] = self._time_ms(body, raw, behind, source_id, message, found)
                except BadTimeError as error:
                    found.reject(error.reason, f"{shown(source_id)} {name}: {error.detail}")
                    continue
            ts_ms = times[clock]
            if behind is not None:
                found.add(_first_id(body, _IDS_OF[behind]) or source_id, behind, value, ts_ms, name)
            elif meaning.quantity == "power_kw":
                is_net |= meaning.is_net
                power[name] = meaning.sign * value
            elif meaning.part:
                tariffs.setdefault(meaning.quantity, []).append((meaning.part, name, value))
            else:
                found.add(source_id, meaning.quantity, value, ts_ms, name)
        for quantity, parts in tariffs.items():
            if quantity in lost:  # the sum of the others would look like a register set back
                found.ignore("partial")
                continue
            for part, name, value in parts:
                found.add_part(source_id, quantity, part, value, times["meter"], name, alone=len(known) > 1)
        if power:
            ways = {name for name in known if NAMES[name].quantity == "power_kw"}
            if ways == power.keys() or is_net:
                found.add(source_id, "power_kw", sum(power.values()), times["meter"], next(iter(power)))
        if "external" in body or "MBUS_DEVICES" in body:
            self._read_external(body, source_id, message, found)

    def _read_external(self, body: dict[str, Any], source_id: str, message: Message, found: Found) -> None:
        """Meters behind the meter that the bridge lists."""
        given = {(value.source_id, value.quantity) for value in found.values}
        for meter in external_meters(body):
            meter_id = (meter.number and _id(meter.number)) or f"{source_id}/{meter.channel}"
            if meter.quantity is None:
                found.ignore("unknown_media")
                continue
            if (meter_id, meter.quantity) in given:  # the same as `total_gas_m3`
                continue
            value = _value(
                {"value": meter.value, "unit": meter.unit}, _Name(meter.quantity, ""), meter_id, "external", found
            )
            if value is None:
                continue
            try:
                ts_ms = None if meter.time is None else self._moment_ms(meter.time, meter_id, message, found)
            except BadTimeError as error:
                found.reject(error.reason, f"{shown(meter_id)} {meter.quantity}: {error.detail}")
                continue
            found.add(meter_id, meter.quantity, value, ts_ms, meter.name)

    def _time_ms(
        self,
        body: dict[str, Any],
        of_value: Any,
        behind: Measured | None,
        source_id: str,
        message: Message,
        found: Found,
    ) -> int | None:
        raw: Any = body.get("timestamp")
        if behind is None and type(raw) is int and raw < _LATEST_S:
            return epoch_ms(raw)
        if isinstance(of_value, dict) and of_value.get("datetime"):
            return self._moment_ms(of_value["datetime"], source_id, message, found)
        for name in (*(_TIMES_OF[behind] if behind else ()), *_TIMES):
            raw = _bare(body.get(name))
            if raw is None or raw == "" or raw == "-":
                continue
            return self._moment_ms(raw, source_id, message, found)
        return None

    def _moment_ms(self, raw: Any, key: str, message: Message, found: Found) -> int:
        text = str(raw) if type(raw) is int and _P1_DIGITS <= raw < 10 * _P1_DIGITS else raw
        if isinstance(text, int | float):
            return epoch_ms(text)
        if not isinstance(text, str):
            raise BadTimeError(f"{shown(raw)} is no time")
        if text[:_LOCAL_DIGITS].isdigit() and text.isascii() and len(text) in (_LOCAL_DIGITS, _LOCAL_DIGITS + 1):
            return self._clock.ms(text.encode(), key, message.received_ms, found)
        if text.isdigit() and text.isascii() and len(text) < 20:
            return epoch_ms(int(text))
        moment = parse_iso(text)
        if moment.tzinfo is None:
            digits = moment.strftime("%y%m%d%H%M%S").encode()
            return self._clock.ms(digits, key, message.received_ms, found)
        return to_ms(moment)

    def _read_plain(self, message: Message, found: Found) -> None:
        """A topic for each value. There is no time in it, and one way of power at a time."""
        if len(message.payload) > _LONGEST_PLAIN:
            raise UnreadableError("neither a telegram nor JSON")
        text = text_of(message.payload)
        base, _, name = message.topic.rpartition("/")
        memory = "bridge/" + base
        number, was_out = self._state.get(memory) or ("", False)
        if name in _IDS and name not in _NOT_SPLIT:
            if text and text != number:
                self._state.put(memory, [text, was_out])
            found.ignore("status")
            return
        meaning = NAMES.get(name)
        if meaning is None:
            found.ignore("no_reading")
            return
        source_id = number or base or message.topic
        value = _value(text, meaning, source_id, name, found)
        if value is None:
            return
        if meaning.part:
            found.add_part(source_id, meaning.quantity, meaning.part, value, None, name, alone=False)
        elif meaning.quantity != "power_kw" or meaning.is_net:
            found.add(source_id, meaning.quantity, value, None, name)
        elif value == 0 and was_out == (meaning.sign > 0):
            found.ignore("partial")  # the zero of the other way is no news
        else:
            is_out = meaning.sign < 0 and value > 0
            if is_out != was_out:
                self._state.put(memory, [number, is_out])
            found.add(source_id, "power_kw", meaning.sign * value, None, name)


def _first_id(body: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in body and (number := _id(_bare(body[name]))):
            return number
    return ""


def _bare(raw: Any) -> Any:
    """Without the `[{"value"}]` or `{"value"}` around it."""
    if isinstance(raw, list) and len(raw) == 1:
        raw = raw[0]
    return raw.get("value") if isinstance(raw, dict) else raw


def _id(raw: Any) -> str:
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 10**20:
        return str(raw)
    return raw if isinstance(raw, str) and len(raw) <= _LONGEST_ID else ""


def _value(raw: Any, meaning: _Name, source_id: str, name: str, found: Found) -> float | None:
    """In the quantity's unit. DSMR-API writes `[{"value", "unit"}]`."""
    if type(raw) is float and raw == raw:
        return raw * _FACTORS[meaning.unit]
    written = meaning.unit
    if isinstance(raw, list) and len(raw) == 1:
        raw = raw[0]
    if isinstance(raw, dict):
        unit = raw.get("unit")
        written = unit if isinstance(unit, str) and unit else written
        raw = raw.get("value")
    measured = unit_of(written)
    if measured is None or measured.dimension != DIMENSIONS[meaning.quantity]:
        found.reject("unknown_unit", f"{shown(source_id)} {name}: {shown(raw)} with unit {shown(written)}")
        return None
    try:
        number = to_number(raw)
    except ValueError:
        found.reject("bad_value", f"{shown(source_id)} {name}: {shown(raw)} is no number")
        return None
    if number is None:
        found.ignore("no_value")
        return None
    return number * measured.factor
