"""A plain JSON object whose keys are usual names: what platforms and gateways with free payloads have in common.

    {"energy_kwh": 12.5, "power": 410, "power_unit": "W", "room": {"value": 22.5, "unit": "°C"}, "voltage": 231}

A value's unit is looked for in the value's own object, then beside it (`power_unit`, `powerUnit`, `unit`), then in its
name. Names inside an object are put after the object's (`energy.import`), and must be usual together. Which keys of an
object are of use is worked out once for each shape, that is, for each sequence of keys.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from monitor.decoders.formats.balance import balance, totals_beside_import
from monitor.decoders.names import DIMENSIONS, Names
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, LocalClock, epoch_ms, parse_iso, to_ms
from monitor.decoders.units import Dimension, unit_of
from monitor.decoders.values import Found, Measured, Value
from monitor.ingest.message import Message

__all__ = [
    "ID_KEYS",
    "TIME_KEYS",
    "UNIT_KEYS",
    "VALUE_KEYS",
    "PlainValues",
    "as_id",
    "as_unit",
    "first",
]

ID_KEYS = (
    "deviceId", "device_id", "deviceID", "DeviceId", "device_ID", "devId", "dev_id", "devEUI", "devEui", "dev_eui",
    "deviceName", "device_name", "devName", "device", "dev", "thingName", "thing_name", "thing", "clientId",
    "client_id", "meterId", "meter_id", "meterNo", "meter_no", "meterNumber", "meter_number", "meter", "serialNumber",
    "serial_number", "serial", "sn", "SN", "deviceCode", "device_code", "imei", "IMEI", "mac", "MAC", "id", "ID",
)  # fmt: skip
"""Keys under which a plain object says of whom it is, the surest first."""
TIME_KEYS = (
    "ts", "timestamp", "Timestamp", "TimeStamp", "timeStamp", "timestamp_ms", "ts_ms", "time", "Time", "datetime",
    "dateTime", "date_time", "eventTime", "event_time", "measured_at", "dtm", "timeCreated",
    "unixTime", "unix_time",
)  # fmt: skip
VALUE_KEYS = ("value", "val", "v", "Value")
UNIT_KEYS = ("unit", "units", "uom", "Unit")
_WRAPPERS = frozenset(
    {"values", "data", "payload", "telemetry", "metrics", "measurements", "readings", "fields", "params", "properties"}
)
"""Objects that say nothing of what is in them: their members count as the outer object's own."""
_DEEPEST = 4
_EXACT = 1 << 53
_CACHED_SHAPES = 500
_LARGEST_SHAPE = 4000
"""[characters] of a cached shape's keys together."""
_LONGEST_NAME, _LONGEST_UNIT, _LONGEST_ID = 120, 24, 200
_EARLIEST_MS, _LATEST_MS = 100_000_000_000, 100_000_000_000_000
"""Whole numbers between them are epoch times in ms."""
_FIRST_YEAR, _LAST_YEAR = 2000, 2095
_COMPACT_LENGTHS = (14, 17)
"""Characters of yyyyMMddHHmmss and yyyyMMddHHmmssSSS."""
_TO_MINUTE = 12
_CACHED_MINUTES = 1000


class _Known(NamedTuple):
    key: str
    name: str
    plainly: Measured | None
    """The quantity, where the name says all of it: value * factor + offset, if it is a number."""
    factor: float
    offset: float
    unit_key: str | None
    dimension: Dimension | None
    """Not None: the unit's key stands for several values, so it must be one of this dimension."""
    is_temperature: bool


class _Plan(NamedTuple):
    known: tuple[_Known, ...]
    others: tuple[str, ...]
    """Keys that may hold objects."""
    id_key: str | None
    time_key: str | None
    has_outward: bool
    """Whether some of it is power that flows out."""


def as_id(raw: object) -> str | None:
    """An id that a payload gives: a text, or a whole number; None for what is none."""
    if isinstance(raw, str):
        # What no text file can hold (half a surrogate pair) can be no device's id either.
        return raw if 0 < len(raw) <= _LONGEST_ID and (raw.isascii() or _is_text(raw)) else None
    if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < 1 << 64:
        return str(raw)
    return None


def _is_text(raw: str) -> bool:
    try:
        raw.encode()
    except UnicodeEncodeError:
        return False
    return True


def first(body: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """The value of the first of `keys` that `body` has; None if it has none."""
    for key in keys:
        if key in body:
            return body[key]
    return None


class PlainValues:
    """Reads plain objects of one source."""

    def __init__(self, options: Options, state: SourceState, names: Names | None = None) -> None:
        self.names = names or Names(options)
        self._fields = options.fields
        self._clock = LocalClock(options.timezone, state)
        self._minutes: dict[str, int] = {}
        """yyyyMMddHHmm that the clock shows once → UTC ms."""
        self._plans: dict[tuple[str, ...], _Plan] = {}
        """By an object's keys."""
        self._nested_plans: dict[tuple[str, ...], _Plan] = {}
        """By what stands before its names, and an object's keys."""

    def id_in(self, body: dict[str, Any]) -> str | None:
        """The id that an object gives of itself."""
        plan = self._plans.get(tuple(body)) or self._plan("", body)
        return None if plan.id_key is None else as_id(body[plan.id_key])

    def read_body(
        self,
        message: Message,
        found: Found,
        body: dict[str, Any],
        source_id: str,
        ts_ms: int | None = None,
        *,
        is_id_known: bool = False,
    ) -> None:
        """The values of an object that may give its own id and time; `source_id` and `ts_ms` are used if it does not.
        is_id_known: it is `source_id`, whatever stands in the object.

        With a time that cannot be read all its values are rejected, as one.
        """
        plan = self._plans.get(tuple(body)) or self._plan("", body)
        if plan.id_key is not None and not is_id_known:
            source_id = as_id(body[plan.id_key]) or source_id
        if plan.time_key is not None:
            try:
                ts_ms = self.time_ms(message, found, body[plan.time_key], source_id) or ts_ms
            except BadTimeError as error:
                found.reject(error.reason, error.detail)
                return
        self._read_planned(message, found, body, source_id, ts_ms, plan, "", None, 0)

    def read(
        self,
        message: Message,
        found: Found,
        body: dict[str, Any],
        source_id: str,
        ts_ms: int | None,
        *,
        prefix: str = "",
        unit: str | None = None,
        depth: int = 0,
    ) -> None:
        """The values of an object. unit: what stands for all of them outside."""
        plan = (None if prefix else self._plans.get(tuple(body))) or self._plan(prefix, body)
        self._read_planned(message, found, body, source_id, ts_ms, plan, prefix, unit, depth)

    def _read_planned(
        self,
        message: Message,
        found: Found,
        body: dict[str, Any],
        source_id: str,
        ts_ms: int | None,
        plan: _Plan,
        prefix: str,
        unit: str | None,
        depth: int,
    ) -> None:
        start = len(found.values)
        for key, name, plainly, factor, offset, unit_key, dimension, is_temperature in plan.known:
            raw = body[key]
            if plainly is not None and unit is None:
                kind = type(raw)
                if (kind is float and raw == raw) or (kind is int and -_EXACT < raw < _EXACT):
                    if is_temperature:
                        found.add(source_id, plainly, raw * factor + offset, ts_ms, name)
                    else:  # without a call that asks nothing: four meters of ThingsBoard in 12 instead of 12.7 µs
                        found.values.append(Value(source_id, plainly, raw * factor + offset, ts_ms, name))
                    continue
            its_unit = unit
            if unit_key is not None:
                its_unit = as_unit(body[unit_key])
                if dimension is not None and its_unit is not None and not _measures(its_unit, dimension):
                    its_unit = None
            if type(raw) is dict:
                self._read_object(message, found, raw, source_id, ts_ms, name, its_unit, depth)
            else:
                self.names.add(found, source_id, name, raw, ts_ms, its_unit)
        for key in plan.others:
            raw = body[key]
            if type(raw) is dict:
                if key in _WRAPPERS:
                    if depth < _DEEPEST:
                        self.read(message, found, raw, source_id, ts_ms, prefix=prefix, unit=unit, depth=depth + 1)
                else:
                    self._read_object(message, found, raw, source_id, ts_ms, prefix + key, unit, depth)
        if plan.has_outward and len(found.values) > start + 1:
            balance(found, self.names, start)

    def _read_object(
        self,
        message: Message,
        found: Found,
        raw: dict[str, Any],
        source_id: str,
        ts_ms: int | None,
        name: str,
        unit: str | None,
        depth: int,
    ) -> None:
        """`name`: an object, of a value with its unit and its time, or of several values."""
        if depth >= _DEEPEST or len(name) > _LONGEST_NAME:
            return
        its_unit = as_unit(first(raw, UNIT_KEYS)) or unit
        for value_key in VALUE_KEYS:
            if value_key in raw:
                value = raw[value_key]
                if type(value) is dict:
                    self.read(
                        message, found, value, source_id, ts_ms, prefix=name + ".", unit=its_unit, depth=depth + 1
                    )
                    return
                try:
                    ts_ms = self.time_ms(message, found, first(raw, TIME_KEYS), source_id) or ts_ms
                except BadTimeError as error:
                    if self.names.meaning(name, its_unit) is not None:
                        found.reject(error.reason, error.detail)
                    return
                self.names.add(found, source_id, name, value, ts_ms, its_unit)
                return
        self.read(message, found, raw, source_id, ts_ms, prefix=name + ".", unit=unit, depth=depth + 1)

    def time_ms(self, message: Message, found: Found, raw: object, source_id: str) -> int | None:
        """UTC ms of a time in any of the usual ways: epoch in s to ns, as a number or a text, ISO 8601,
        yyyyMMddHHmmss[SSS]; None where there is none. Raises BadTimeError."""
        if type(raw) is int and _EARLIEST_MS < raw < _LATEST_MS:
            return raw
        if type(raw) is str and len(raw) in _COMPACT_LENGTHS:
            # In a minute that is known already: 0.6 instead of 2 µs.
            minute_ms, rest = self._minutes.get(raw[:_TO_MINUTE]), raw[_TO_MINUTE:]
            if minute_ms is not None and rest < "60" and rest.isdigit() and rest.isascii():
                return minute_ms + (int(rest) if len(rest) > 2 else int(rest) * 1000)
        if raw is None or raw == "":
            return None
        if type(raw) is int or type(raw) is float:
            return epoch_ms(raw)
        if not isinstance(raw, str) or len(raw) > 40:
            raise BadTimeError(f"{shown(raw)} is no time" if isinstance(raw, str | bool) else "no time")
        text, minute = raw.strip(), ""
        if text.isascii() and text.replace(".", "", 1).isdigit():
            if len(text) not in _COMPACT_LENGTHS or not text.startswith("20") or "." in text:
                return epoch_ms(float(text) if "." in text else int(text))
            naive, minute = _compact(text), text[:_TO_MINUTE]
        else:
            naive = parse_iso(text.replace("/", "-"))
        if not _FIRST_YEAR <= naive.year <= _LAST_YEAR:
            raise BadTimeError(f"{shown(raw)} is no time of this century")
        if naive.tzinfo is not None:
            return to_ms(naive)
        flags = len(found.flagged)
        ts_ms = self._clock.ms(naive, source_id, message.received_ms, found)
        if minute and len(found.flagged) == flags:
            if len(self._minutes) >= _CACHED_MINUTES:
                self._minutes.clear()
            self._minutes[minute] = ts_ms - (naive.second * 1000 + naive.microsecond // 1000)
        return ts_ms

    def _totals(self, known: list[_Known]) -> frozenset[str]:
        names: dict[Measured, list[str]] = {"register": [], "export_register": []}
        for one in known:
            meaning = self.names.meaning(one.name)
            if meaning is not None and meaning.quantity in names and not meaning.tariff:
                names[meaning.quantity].append(one.name)
        if len(names["register"]) < 2 or not names["export_register"]:
            return frozenset()
        return totals_beside_import(tuple(names["register"])) - self._fields.keys()

    def _plan(self, prefix: str, body: dict[str, Any]) -> _Plan:
        keys = tuple(body)
        shape = (prefix, *keys) if prefix else keys
        plans = self._nested_plans if prefix else self._plans
        plan = plans.get(shape)
        if plan is None:
            plan = self._planned(prefix, keys)
            if sum(map(len, keys)) + 8 * len(keys) <= _LARGEST_SHAPE:
                if len(plans) >= _CACHED_SHAPES:
                    plans.clear()
                plans[shape] = plan
        return plan

    def _planned(self, prefix: str, keys: tuple[str, ...]) -> _Plan:
        present = set(keys)
        known: list[_Known] = []
        others = []
        has_outward = False
        for key in keys:
            name = prefix + key
            # With a unit there is a meaning for each name that could have one.
            meaning = None if len(name) > _LONGEST_NAME else self.names.meaning(name)
            if meaning is None:
                if key not in UNIT_KEYS:
                    others.append(key)
                continue
            dimension = DIMENSIONS[meaning.quantity]
            unit_key, is_its_own = None, True
            if dimension is not None:
                unit_key, is_its_own = _unit_key(key, dimension, present)
            is_plain = dimension is not None and unit_key is None and meaning.is_unit_known and not meaning.tariff
            plainly = meaning.quantity if is_plain else None
            shared = None if is_its_own else dimension
            is_temperature = dimension == "temperature"
            one = _Known(key, name, plainly, meaning.factor, meaning.offset, unit_key, shared, is_temperature)
            known.append(one)
            has_outward |= self.names.is_outward(name)
        if len(known) > 2:  # a total, and what it is made of
            totals = self._totals(known)
            known = [one for one in known if one.name not in totals]
        id_key = next((key for key in ID_KEYS if key in present), None)
        time_key = next((key for key in TIME_KEYS if key in present), None)
        return _Plan(tuple(known), tuple(others), id_key, time_key, has_outward)


def _unit_key(key: str, dimension: Dimension, present: set[str]) -> tuple[str | None, bool]:
    """The key beside `key` that holds its unit, and whether it is of this value alone."""
    for candidate in (key + "_unit", key + "Unit", key + "_uom", key + ".unit", "unit_" + key):
        if candidate in present:
            return candidate, True
    for candidate in (f"{dimension}_unit", f"{dimension}Unit", *UNIT_KEYS):
        if candidate in present:
            return candidate, False
    return None, True


def as_unit(raw: object) -> str | None:
    """A unit as a payload gives it, maybe in an object with its time; None where it gives none."""
    if type(raw) is dict:
        raw = raw.get("value")
    return raw[:_LONGEST_UNIT] if isinstance(raw, str) and raw else None


def _measures(text: str, dimension: Dimension) -> bool:
    unit = unit_of(text)
    return unit is None or unit.dimension == dimension


def _compact(text: str) -> dt.datetime:
    """yyyyMMddHHmmss or yyyyMMddHHmmssSSS."""
    return parse_iso(f"{text[:8]}T{text[8:14]}.{text[14:] or '0'}")
