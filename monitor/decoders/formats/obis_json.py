"""JSON whose names are OBIS codes: the smart meter adapter of Oesterreichs Energie, and what others do like it.

`{"1-0:1.8.0": {"value": 57110, "time": 1782637800}, ...}`: values may be plain or objects with a time and a unit of
their own, stand in one object or in a list of `{"obis", "value", ...}`. Without a unit energy is in Wh and power in W,
as the Austrian adapter's concept has it (and not in k…, as codes are usually read). The meter's number: 0-0:96.1.0.
`sma_time` is the adapter's uptime and no clock.

What others wrap them in: `obis_envelopes`. Of Sinapsi's Alfa (`1-0:1.8.0.255_3,0_2`) the code 16.7.0 counts how often
the contract's power was exceeded. AMIS readers may write `1_8_0`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from monitor.decoders.formats.obis import ID_CODES, TIME_CODE, ObisMeaning, code_of, meaning_of
from monitor.decoders.formats.obis_envelopes import rows_of
from monitor.decoders.formats.p1_clock import P1Clock
from monitor.decoders.names import DIMENSIONS
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.payloads import read_json, shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, LocalClock, epoch_ms, parse_iso
from monitor.decoders.units import unit_of
from monitor.decoders.values import Found, UnreadableError, Value
from monitor.ingest.message import Message

__all__ = ["ObisJson"]

_LONGEST_ID = 128
_LONGEST_EPOCH = 20
_P1_TIME = re.compile(r"\d{12}[SWsw]?", re.ASCII)
"""As telegrams have it; no epoch of twelve digits is later than 2001."""
_SAFE, _SAFE_S = 1e15, 4_000_000_000
_CACHED = 2000
_CACHED_SHAPES, _LARGEST_SHAPE = 500, 2000
_new = tuple.__new__
"""Makes a named tuple at a third of its own constructor's price."""
_LONGEST_KEY = 60
_VALUE_KEYS = ("value", "val", "v")
_UNIT_KEYS = ("unit", "u")
_TIME_KEYS = ("time", "timestamp", "ts", "datetime", "Time")
_CODE_KEYS = ("obis", "obis_code", "obisCode", "code", "key", "id", "name")
_ID_KEYS = (
    "meter_id", "meterId", "meter", "serial", "serial_number", "serialnumber", "device_id", "deviceId", "device", "id",
    "name",
)  # fmt: skip
_CONTAINERS = ("values", "data", "obis", "readings", "measurements", "registers", "payload")
_UNDERSCORES = re.compile(r"\d{1,3}_\d{1,3}_\d{1,3}", re.ASCII)
_ALFA_SUFFIX = "_3,0_2"
"""DLMS class 3, attribute 2: the value of a register."""
_ALFA_NO_POWER = "16"
_DLMS_UNITS = {27: "W", 30: "Wh", 13: "m3", 14: "m3"}
"""Units as numbers of the DLMS Blue Book's enumeration."""
_MAX_SCALER = 9


class _Key(NamedTuple):
    """What a name of a payload is."""

    meaning: ObisMeaning | None
    """None: the meter's number, its clock, or a value that is nothing for us."""
    unit: str | None
    """The unit where the message gives none."""
    is_unit_fixed: bool
    """Options say it, whatever the message says."""
    scale: float
    factor: float | None
    """To the quantity's unit, where the message gives none; None: it has to, or there is an offset."""
    id_rank: int
    """Of several numbers of the meter the least counts; -1: it is none."""
    is_clock: bool


class _Entry(NamedTuple):
    name: str
    meaning: ObisMeaning
    value: float
    ts_ms: int | None


class _Step(NamedTuple):
    name: str
    meaning: ObisMeaning
    scale: float
    factor: float
    is_used: bool
    """False: it must be a value, but another says the same better."""


class _Plan(NamedTuple):
    """How the usual object of some names is taken. alone: of `_add`."""

    id_name: str
    steps: tuple[_Step, ...]
    alone: bool
    is_each_whole: bool
    """Every value that is used is a reading, in this order: nothing adds up, and `Found.add` has nothing to look at."""


class ObisJson:
    """Format `obis_json`. State: a local clock's order in autumn."""

    def __init__(self, options: Options, state: SourceState, units: Mapping[str, str] | None = None) -> None:
        """units: dimension → unit where neither message nor options name one."""
        self._units = {"energy": "Wh", "power": "W"} if units is None else dict(units)
        self._fields = options.fields
        self._clock = LocalClock(options.timezone, state)
        self._p1_clock = P1Clock(options, state)
        self._keys: dict[str, _Key | None] = {}
        self._plans: dict[tuple[str, ...], _Plan] = {}
        """By an object's names."""

    def read(self, message: Message, found: Found) -> None:
        body = read_json(message.payload)
        if type(body) is not dict or not self._take_usual(body, found):
            self.take(body, message, found)

    def _take_usual(self, body: dict[str, Any], found: Found) -> bool:
        """What the Austrian adapter sends, without the detours of `take`; False: it is something else. By a plan for
        its names it takes 6.5 µs for seven codes, name by name it was 12."""
        names = tuple(body)
        plan = self._plans.get(names) or self._plan(names)
        if plan is None:
            return False
        id_name, steps, alone, is_each_whole = plan
        number = body[id_name]
        source_id = number.get("value") if type(number) is dict else None
        if type(source_id) is not str or not 0 < len(source_id) <= _LONGEST_ID:
            return False
        entries: list[_Entry] = []
        values: list[Value] = []
        last_s: Any = entries  # no time yet
        ts_ms = 0
        for name, meaning, scale, factor, is_used in steps:
            raw = body[name]
            if type(raw) is not dict or len(raw) != 2:  # value and time
                return False
            number, time_s = raw.get("value"), raw.get("time")
            if (type(number) is not int and type(number) is not float) or not -_SAFE < number < _SAFE:
                return False
            if time_s is not last_s:
                if type(time_s) is not int or not 0 < time_s < _SAFE_S:
                    return False
                last_s, ts_ms = time_s, time_s * 1000
            value = number * scale * factor + 0.0  # -0.0 is 0.0, as where an offset is added
            if is_each_whole:
                if is_used:
                    values.append(Value(source_id, meaning.quantity, value, ts_ms, name))
            elif is_used:
                entries.append(_new(_Entry, (name, meaning, value, ts_ms)))
        if is_each_whole:
            found.values += values
            return True
        _add(source_id, entries, found, alone=alone)
        return True

    def _plan(self, names: tuple[str, ...]) -> _Plan | None:
        """How to take an object with these names; None: the long way, or `take` has not met them all."""
        steps: list[_Step] = []
        id_name, others = None, 0
        for name in names:
            if name not in self._keys:
                return None
            key = self._keys[name]
            if key is None:
                continue
            if key.meaning is None:
                if key.id_rank > 0 or key.is_clock:
                    return None
                if key.id_rank == 0:
                    id_name = name
                else:
                    others += 1
            elif key.factor is None:
                return None
            else:
                steps.append(_Step(name, key.meaning, key.scale, key.factor, is_used=True))
        if not steps or id_name is None:
            return None
        powers = [step.meaning for step in steps if step.meaning.quantity == "power_kw"]
        if any(meaning.is_net for meaning in powers):  # then import and export are superfluous
            steps = [step._replace(is_used=step.meaning not in powers or step.meaning.is_net) for step in steps]
        used = [step for step in steps if step.is_used]
        used_powers = [step for step in used if step.meaning.quantity == "power_kw"]
        is_each_whole = (
            len(used_powers) <= 1
            and all(step.meaning.sign > 0 for step in used_powers)
            and not any(step.meaning.part or DIMENSIONS[step.meaning.quantity] == "temperature" for step in used)
        )
        if is_each_whole:  # `_add` gives the power at the end
            steps.sort(key=lambda step: step in used_powers)
        plan = _Plan(id_name, tuple(steps), len(steps) + others > 1, is_each_whole)
        if len(self._plans) >= _CACHED_SHAPES:
            self._plans.clear()
        if sum(map(len, names)) <= _LARGEST_SHAPE:
            self._plans[names] = plan
        return plan

    def take(self, body: object, message: Message, found: Found) -> None:
        """A payload that is read already."""
        for each in rows_of(body):
            self._take(each, message, found)

    def _take(self, body: object, message: Message, found: Found) -> None:
        pairs: list[tuple[_Key, str, Any]] = []
        envelope: dict[str, Any] = body if isinstance(body, dict) else {}
        if isinstance(body, dict):
            self._collect(body, pairs)
            for name in _CONTAINERS:
                inner = body.get(name)
                if isinstance(inner, dict | list):
                    self._collect(inner, pairs)
        elif isinstance(body, list):
            self._collect(body, pairs)
        else:
            raise UnreadableError(f"expected an object, found {shown(body)}")
        if not pairs and not any(key in envelope for key in _ID_KEYS):
            raise UnreadableError("no OBIS code in it")
        source_id = _id_of(pairs, envelope, message.topic)
        measured = [pair for pair in pairs if pair[0].id_rank < 0 and not pair[0].is_clock]
        if not measured:
            found.ignore("heartbeat")
            return
        self._add_all(source_id, measured, self._default_time(pairs, envelope), message, found)

    def _collect(self, body: dict[str, Any] | list[Any], pairs: list[tuple[_Key, str, Any]]) -> None:
        keys = self._keys
        if isinstance(body, dict):
            for name, raw in body.items():
                key = keys[name] if name in keys else self._learn(name)
                if key is not None:
                    pairs.append((key, name, raw))
            return
        for each in body:
            if isinstance(each, dict):
                for place in _CODE_KEYS:
                    code = each.get(place)
                    if isinstance(code, str) and (key := keys.get(code) or self._learn(code)) is not None:
                        pairs.append((key, code, each))
                        break

    def _learn(self, name: str) -> _Key | None:
        key = self._look_up(name)
        if len(name) <= _LONGEST_KEY and name not in _CONTAINERS:
            if len(self._keys) >= _CACHED:
                self._keys.clear()
            self._keys[name] = key
        return key

    def _look_up(self, name: str) -> _Key | None:
        code = code_of(name.replace("_", ".") if _UNDERSCORES.fullmatch(name) else name.removesuffix(_ALFA_SUFFIX))
        if code is not None and code.measured == _ALFA_NO_POWER and name.endswith(_ALFA_SUFFIX):
            code = None
        rule = self._fields.get(name)
        if rule is not None and rule.ignore:
            return None
        if code is None and (rule is None or rule.quantity is None):
            return None
        rule = rule or FieldRule()
        meaning = None if code is None else meaning_of(code)
        if rule.quantity is not None:
            meaning = ObisMeaning(rule.quantity, is_net=True)
        id_rank = -1
        is_clock = False
        if meaning is None and code is not None:
            place = code.measured, code.how, code.tariff
            if code.medium in (None, 0, 1) and place in ID_CODES:
                id_rank = ID_CODES.index(place)
            is_clock = code.medium in (None, 0) and place == TIME_CODE
        unit = rule.unit
        if unit is None and meaning is not None:
            unit = self._units.get(DIMENSIONS[meaning.quantity] or "")
        measured = unit_of(unit) if unit else None
        factor = None
        if meaning is not None and measured is not None and measured.offset == 0.0:
            factor = measured.factor if measured.dimension == DIMENSIONS[meaning.quantity] else None
        return _Key(meaning, unit, rule.unit is not None, rule.scale, factor, id_rank, is_clock)

    def _default_time(self, pairs: list[tuple[_Key, str, Any]], envelope: dict[str, Any]) -> object:
        for name in _TIME_KEYS:
            if (raw := envelope.get(name)) is not None:
                return raw
        for key, _, raw in pairs:
            if key.is_clock:
                return raw.get("value") if isinstance(raw, dict) else raw
        return None

    def _add_all(
        self, source_id: str, measured: list[tuple[_Key, str, Any]], default: object, message: Message, found: Found
    ) -> None:
        entries = [
            entry
            for key, name, raw in measured
            if (entry := self._entry(key, name, raw, source_id, default, message, found)) is not None
        ]
        if len(entries) < len(measured):
            entries = _without_half_sums(entries, measured, found)
        _add(source_id, entries, found, alone=len(measured) > 1)

    def _entry(
        self,
        key: _Key,
        name: str,
        raw: object,
        source_id: str,
        default: object,
        message: Message,
        found: Found,
    ) -> _Entry | None:
        meaning = key.meaning
        if meaning is None:
            return None
        unit = key.unit
        raw_ts = default
        scale = key.scale
        if isinstance(raw, dict):
            given = _first(raw, _UNIT_KEYS)
            if given is not None and not key.is_unit_fixed:
                unit = _DLMS_UNITS.get(given) if type(given) is int else given if isinstance(given, str) else ""
            own_ts = _first(raw, _TIME_KEYS)
            raw_ts = default if own_ts is None else own_ts
            scaler = raw.get("scaler")
            if type(scaler) is int and abs(scaler) <= _MAX_SCALER:
                scale *= 10.0**scaler
            raw = _first(raw, _VALUE_KEYS)
        if isinstance(raw, str) and "*" in raw:
            raw, _, written = raw[:_LONGEST_KEY].partition("*")
            unit = unit if key.is_unit_fixed else written
        try:
            number = to_number(raw)
        except ValueError:
            found.reject("bad_value", f"{shown(source_id)} {name}: {shown(raw)} is no number")
            return None
        if number is None:
            found.ignore("no_value")
            return None
        dimension = DIMENSIONS[meaning.quantity]
        factor, offset = 1.0, 0.0
        if dimension is not None:
            measured = unit_of(unit) if unit else None
            if measured is None or measured.dimension != dimension:
                what = f"unit {shown(unit)}" if unit else "no unit"
                found.reject("unknown_unit", f"{shown(source_id)} {name}: {shown(raw)} with {what}")
                return None
            factor, offset = measured.factor, measured.offset
        try:
            ts_ms = None if raw_ts is None else self._time_ms(raw_ts, source_id, message, found)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(source_id)} {name}: {error.detail}")
            return None
        return _Entry(name, meaning, number * scale * factor + offset, ts_ms)

    def _time_ms(self, raw: object, source_id: str, message: Message, found: Found) -> int:
        if isinstance(raw, int | float):
            return epoch_ms(raw)
        if isinstance(raw, str):
            if _P1_TIME.fullmatch(raw):
                return self._p1_clock.ms(raw.encode(), source_id, message.received_ms, found)
            if len(raw) < _LONGEST_EPOCH and raw.isascii() and raw.isdigit():
                return epoch_ms(int(raw))
            moment: dt.datetime = parse_iso(raw)
            return self._clock.ms(moment, source_id, message.received_ms, found)
        raise BadTimeError(f"{shown(raw)} is no time")


def _first(body: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if (raw := body.get(name)) is not None:
            return raw
    return None


def _add(source_id: str, entries: list[_Entry], found: Found, *, alone: bool) -> None:
    """Registers, tariffs, and one power: net where the meter gives it, else import minus export."""
    power: _Entry | None = None
    for entry in entries:
        name, meaning, value, ts_ms = entry
        if meaning.quantity != "power_kw":
            if meaning.part:
                found.add_part(source_id, meaning.quantity, meaning.part, value, ts_ms, name, alone=alone)
            else:
                found.add(source_id, meaning.quantity, value, ts_ms, name)
        elif power is None or (meaning.is_net and not power.meaning.is_net):
            power = entry if meaning.sign > 0 else entry._replace(value=-value)
        elif not power.meaning.is_net:
            of_import = entry if meaning.sign > 0 else power
            power = of_import._replace(value=power.value + meaning.sign * value)
    if power is not None:
        found.add(source_id, "power_kw", power.value, power.ts_ms, power.name)


def _without_half_sums(entries: list[_Entry], measured: list[tuple[_Key, str, Any]], found: Found) -> list[_Entry]:
    """Without tariffs of which one was lost: the sum of the others would look like a register set back."""
    given = {name for name, _, _, _ in entries}
    lost = {key.meaning.quantity for key, name, _ in measured if key.meaning and key.meaning.part and name not in given}
    kept = [entry for entry in entries if not (entry.meaning.part and entry.meaning.quantity in lost)]
    if len(kept) < len(entries):
        found.ignore("partial")
    return kept


def _id_of(pairs: list[tuple[_Key, str, Any]], envelope: dict[str, Any], topic: str) -> str:
    numbers = sorted(((key.id_rank, raw) for key, _, raw in pairs if key.id_rank >= 0), key=lambda each: each[0])
    for raw in [*(raw for _, raw in numbers), *(envelope.get(name) for name in _ID_KEYS)]:
        number = _first(raw, _VALUE_KEYS) if isinstance(raw, dict) else raw
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 10**20:
            return str(number)
        if isinstance(number, str) and 0 < len(number) <= _LONGEST_ID:
            return number
    return topic
