"""InfluxDB's line protocol, as Telegraf, Home Assistant and data loggers publish it: many lines a message.

`measurement,tag=value,… field=value,… time`; documented in InfluxDB's "Line protocol" reference. What a line says is
spread differently by every sender, so it is put together in a fixed order:

- The meter: the first of a literal list of tags (`thing`, `device`, `id`, `meter`, …, `host` and `source` last), else
  the measurement, else, where the measurement says what is measured, the topic.
  A tag `channel` or `circuit` is put after it: meters of many circuits send each with the device's id.
- The name: the field's own, or, for a field that says nothing (`value`, `gauge`, …), a tag such as `datapoint` or
  `name`, else the measurement.
- Direction and tariff: a tag `direction` (`export`, `out`, …; `import`, `in`, … of powers) or `tariff` counts as if the
  name said so.
- The unit: a tag or a text field (`unit`, `uom`, …), the name's end, or a measurement that is a unit (`kWh`).

Traps: time is in ns unless configured otherwise, and is told by its size; a line without one is of its arrival. A text
may contain line ends. A line that is none takes no other with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from monitor.decoders.formats.balance import balance
from monitor.decoders.formats.line_syntax import Line, MalformedLineError, joined, value_of, without_quotes
from monitor.decoders.formats.line_syntax import read as read_line
from monitor.decoders.formats.topics import is_command, is_status
from monitor.decoders.names import DIMENSIONS, Names, words_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, epoch_ms
from monitor.decoders.units import unit_of
from monitor.decoders.values import Found, Measured, Rejected, UnreadableError, Value
from monitor.decoders.words import SAYS_OTHERWISE
from monitor.ingest.message import Message

__all__ = ["LineProtocol", "check_options"]

_ID_TAGS = (
    "thing", "device", "device_id", "deviceid", "device_name", "devicename", "id", "meter", "meter_id", "meterid",
    "meter_name", "meter_number", "serial", "serial_number", "serialnumber", "serial_no", "sn", "entity_id",
    "object_id", "dev_eui", "deveui", "mac", "uid", "uuid", "node", "node_id", "nodeid", "sensor_id", "groupaddress",
    "item", "asset", "asset_id", "sensor", "name", "unit_id", "topic", "location", "room", "zone",
    "agent_host", "host", "hostname", "source",
)  # fmt: skip
"""Tags that name the meter, as words, the surest first."""
_PART_TAGS = "channel", "circuit"
_NAME_TAGS = (
    "datapoint", "data_point", "name", "metric", "metric_name", "sensor", "quantity", "field", "parameter", "register",
    "measurement", "type", "entity_id",
)  # fmt: skip
"""Tags that name the value of a field that does not."""
_UNIT_TAGS = ("unit", "units", "uom", "unit_of_measurement")
_UNIT_FIELDS = frozenset({"unit", "units", "uom", "unit_of_measurement", "unit_of_measurement_str"})
_NAMELESS = frozenset({"value", "val", "_value", "v", "gauge", "counter", "reading", "last", "mean", "sum"})
"""Fields whose name says nothing of what they are."""
_OF_UNIT = {"energy": "energy", "power": "power", "temperature": "temperature"}
"""Dimension of a measurement that is a unit → the usual name of its values."""
_CLIMATE_NAMES = {"temperature": "target_temperature", "state": "hvac_mode"}
"""Home Assistant's climate entities (tag `domain`): what is set is called temperature, and the mode is their state."""
_PHASES = frozenset({"l1", "l2", "l3", "a", "b", "c", "1", "2", "3", "p1", "p2", "p3", "r", "s", "t"})
"""Values of a tag `phase`: not the whole meter's."""
_DIRECTION_TAGS = "direction", "flow", "flow_direction", "energy_direction"
_OUTWARD = frozenset({"export", "exported", "out", "outward", "return", "returned", "feed_in", "injection", "injected"})
_INWARD = frozenset({"import", "imported", "in", "inward", "consumed", "delivered"})
"""Words of a tag that says where energy flows."""
_TARIFF_TAGS = "tariff", "tariff_id", "tariff_name", "rate"
_LONGEST_TARIFF = 20
_LONGEST_PART = 60
_SCALES = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}
"""Precision → the factor and the divisor that make ms."""
_LONGEST = 200
"""Characters of a name or an id that can be meant."""
_CACHED = 5_000
_CACHED_SHAPES, _SHAPE_FIELDS, _SHAPE_CHARS = 500, 50, 2000
_LOOKS = {
    "": "[^, ]++",
    "plain": "([-+.0-9eE]{1,50}+)[iu]?",
    "other": "([^, ]++)",
}
"""How values look: those that are not read, numbers (float knows whether they are), whatever else. Groups hold what is
read."""
_SEEN_OFTEN = 20
"""Lines of a shape before an expression is compiled for it, which takes as long as 50 lines."""
_MAX_REJECTED = 100
"""Lines of one message that are rejected one by one; what is beyond is counted."""


def check_options(more: Mapping[str, Any]) -> list[tuple[str, str]]:
    problems = []
    for key, value in more.items():
        if key == "precision":
            if value not in ("auto", *_SCALES):
                problems.append((key, f"found {value!r}, expected one of auto, {', '.join(_SCALES)}"))
        elif key == "id_tag":
            if not isinstance(value, str) or not value:
                problems.append((key, f"found {value!r}, expected the name of the tag that names the meter"))
        else:
            problems.append((key, "unknown key for this format; it has precision, id_tag"))
    return problems


class _Target(NamedTuple):
    """What a field of a series is."""

    source_id: str
    name: str
    unit: str | None
    quantity: Measured
    factor: float
    offset: float
    is_plain: bool
    """A number and nothing else makes a reading of it."""


class _Shape:
    """Fields that stand behind each other in the lines of one series or of many."""

    def __init__(self, *, is_plain: bool) -> None:
        self.is_plain = is_plain
        """Every value that is read is plain, so that its group is a number or nothing that `float` takes."""
        self.seen = 0
        self.match: Callable[[str], re.Match[str] | None] | None = None
        """Of fields and time; its groups are the values that are read, and the time. None: not seen often yet."""


class _Series(NamedTuple):
    """What stands before a line's fields: it is the same in message after message."""

    measurement: str
    tags: dict[str, str]
    """By the words of their keys."""
    unit: str | None
    targets: dict[str, _Target | None]
    """By field; None: nothing for us."""
    is_command: bool
    """The line repeats what somebody wrote to a device."""
    usual: list[Any]
    """Of its last line, if that can be read by its shape: the shape, and the targets of the fields that are read."""


class LineProtocol:
    """Format `influx_line_protocol`. Options of its own: `precision` (auto, s, ms, us, ns) and `id_tag`, the tag that
    names the meter."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._names = Names(options)
        self._fields = options.fields
        self._scale = _SCALES.get(options.more.get("precision", "auto"))
        id_tag = options.more.get("id_tag")
        self._id_tag = words_of(id_tag) if id_tag else ""
        self._id_tags = (self._id_tag, *_ID_TAGS) if id_tag else _ID_TAGS
        self._cache: dict[tuple[str, str, str | None], _Series] = {}
        self._shapes: dict[tuple[tuple[str, str], ...], _Shape] = {}
        """By fields, each with its key in `_LOOKS`."""
        self._stamp: tuple[str, int | None] = ("", None)
        """The last line's time as it was sent, and what it says: the lines of a batch have one."""

    def read(self, message: Message, found: Found) -> None:
        try:
            text = message.payload.decode().removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise UnreadableError(f"byte {error.start} is no UTF-8") from None
        has_escapes = "\\" in text or '"' in text
        lines = text.split("\n")
        if len(lines) == 1 and is_status(message.topic, message.payload):
            found.ignore("status")
            return
        position, count, rejected = 0, len(lines), 0
        while position < count:
            first = position
            position += 1
            if not (line := lines[first].strip(" \r\t\0")) or line[0] == "#":
                continue
            if not has_escapes and self._read_usual(line, message.topic, found):
                continue
            try:
                read = read_line(line)
            except MalformedLineError as error:
                longer = joined(lines, first)
                if longer is None:
                    rejected += 1
                    if rejected <= _MAX_REJECTED:
                        found.reject("malformed", f"line {first + 1}: {error}: {shown(line)}")
                    continue
                read, position = longer
            self._read_line(read, message.topic, found)
        if rejected > _MAX_REJECTED:
            more = rejected - _MAX_REJECTED
            found.rejected.append(Rejected("malformed", f"{more} more lines that are none", more))
        if self._names.has_outward:
            balance(found, self._names)

    def _read_usual(self, line: str, topic: str, found: Found) -> bool:
        """Read a line that has the fields of its series' last one: two lines in 6.5 µs instead of 10.7. False: it is
        another, and nothing was read."""
        head, _, rest = line.partition(" ")
        series = self._cache.get((topic, head, None))
        if series is None or not series.usual:
            return False
        shape, targets = series.usual
        if shape.match is None or (parts := shape.match(rest)) is None:
            return False
        raws = parts.groups()
        stamp = raws[-1]
        values: Sequence[float | bool | str]
        try:
            if stamp != self._stamp[0]:
                self._stamp = stamp, self._ms(int(stamp))
            if not targets:
                return True
            # The time as a number costs less than to leave it out.
            values = list(map(float, raws)) if shape.is_plain else [value_of(raw) for raw in raws[:-1]]
        except (ValueError, BadTimeError):
            return False
        ts_ms = self._stamp[1]
        if not shape.is_plain:
            for target, raw in zip(targets, values, strict=True):
                self._add(target, raw, ts_ms, found)
            return True
        for (source_id, name, _, quantity, factor, offset, _), number in zip(targets, values):  # noqa: B905  # see above
            value = number * factor + offset
            if DIMENSIONS[quantity] == "temperature":
                found.add(source_id, quantity, value, ts_ms, name)
            else:
                found.values.append(Value(source_id, quantity, value, ts_ms, name))
        return True

    def _read_line(self, line: Line, topic: str, found: Found) -> None:
        head, fields, stamp, _ = line
        try:
            ts_ms = None if stamp is None else self._ms(stamp)
        except BadTimeError as error:
            found.reject("bad_time", error.detail)
            return
        unit = None
        if line.has_text:
            for field, raw in fields:
                if raw[0] == '"' and field in _UNIT_FIELDS:
                    unit = without_quotes(raw)
        key = topic, head, unit
        series = self._cache.get(key)
        if series is None:
            series = self._series(line, unit, key)
        if series.is_command:
            found.ignore("command")
            return
        targets = series.targets
        for field, raw in fields:
            if field in targets:
                target = targets[field]
            else:
                target = self._target(series, field, topic)
                if len(targets) < _LONGEST and len(field) <= _LONGEST:
                    targets[field] = target
            if target is None:
                continue
            try:
                value = value_of(raw)
            except MalformedLineError as error:
                found.reject("malformed", f"{shown(target.source_id)} {shown(field)}: {error}")
                continue
            self._add(target, value, ts_ms, found)
        if not line.has_text:
            self._remember(series, [field for field, _ in fields])

    def _remember(self, series: _Series, fields: list[str]) -> None:
        """That these are the fields of the series' last line."""
        targets = series.targets
        # `targets` may be full: what is not in it goes the long way again.
        if len(fields) > _SHAPE_FIELDS or sum(map(len, fields)) > _SHAPE_CHARS or not targets.keys() >= set(fields):
            series.usual.clear()
            return
        its = [targets[field] for field in fields]
        key = tuple(
            (field, "" if target is None else "plain" if target.is_plain else "other")
            for field, target in zip(fields, its, strict=True)
        )
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _CACHED_SHAPES:
                self._shapes.clear()
            shape = self._shapes[key] = _Shape(is_plain="other" not in dict(key).values())
        shape.seen += 1
        if shape.seen == _SEEN_OFTEN:
            values = (f"{re.escape(field)}={_LOOKS[kind]}" for field, kind in key)
            shape.match = re.compile(",".join(values) + " (-?[0-9]{1,20})").fullmatch
        series.usual[:] = shape, [target for target in its if target is not None]

    def _add(self, target: _Target, value: float | bool | str, ts_ms: int | None, found: Found) -> None:
        source_id, name, unit, quantity, factor, offset, is_plain = target
        if is_plain and type(value) is float and value == value:  # the usual case, short of what Names.add asks
            found.add(source_id, quantity, value * factor + offset, ts_ms, name)
        else:
            self._names.add(found, source_id, name, value, ts_ms, unit)

    def _series(self, line: Line, unit: str | None, key: tuple[str, str, str | None]) -> _Series:
        series = _series(line, unit)
        if sum(len(part or "") for part in key) <= 4 * _LONGEST:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[key] = series
        return series

    def _ms(self, stamp: int) -> int:
        if self._scale is None:
            return epoch_ms(stamp)
        factor, divisor = self._scale
        ts_ms = stamp * factor // divisor
        if abs(ts_ms) > 1 << 60:
            raise BadTimeError(f"{shown(stamp)} is no time")
        return ts_ms

    def _target(self, series: _Series, field: str, topic: str) -> _Target | None:
        """What a field is; None: nothing for us."""
        name, used, unit, tags = field, "", series.unit, series.tags
        if tags.get("domain") == "climate" and field not in self._fields:
            name = _CLIMATE_NAMES.get(field, field)
        is_nameless = field.lower() in _NAMELESS and field not in self._fields
        if is_nameless:
            candidates = [(tags[tag], tag) for tag in _NAME_TAGS if tag in tags]
            measured = unit_of(series.measurement)
            if measured is None or all(_says_nothing(name) for name, _ in candidates):
                candidates.append((series.measurement, "*"))
                if measured is not None and unit is None and measured.dimension in _OF_UNIT:
                    candidates.append((_OF_UNIT[measured.dimension], "*"))
            if measured is not None and unit is None and measured.dimension != "other":
                unit = series.measurement
            for name, used in candidates:  # noqa: B007  # the first that means something
                if len(name) <= _LONGEST and self._names.meaning(name, unit) is not None:
                    break
        if len(name) > _LONGEST or (meaning := self._names.meaning(name, unit)) is None:
            return None
        if tags.get("phase", "").lower() in _PHASES and DIMENSIONS[meaning.quantity] in ("energy", "power"):
            return None
        if DIMENSIONS[meaning.quantity] in ("energy", "power") and name not in self._fields:
            name = self._qualified(name, unit, tags)
            if not name:
                return None
            meaning = self._names.meaning(name, unit) or meaning
        source_id = next((tags[tag] for tag in self._id_tags if tags.get(tag) and tag != used), "")
        if not source_id and used == "entity_id":
            source_id = tags[used]
        if not source_id:
            source_id = topic if used == "*" or unit_of(series.measurement) else series.measurement
        part = next((tags[tag] for tag in _PART_TAGS if tags.get(tag)), "")
        if (
            part
            and len(part) <= _LONGEST_PART
            and not tags.get(self._id_tag)
            and self._names.meaning(part, unit) is None
        ):
            source_id = f"{source_id}/{part}"
        is_plain = meaning.is_unit_known and not meaning.tariff and meaning.quantity not in ("on", "mode")
        return _Target(source_id, name, unit, meaning.quantity, meaning.factor, meaning.offset, is_plain)

    def _qualified(self, name: str, unit: str | None, tags: Mapping[str, str]) -> str:
        """The name with what tags say of direction and tariff; empty: of what flows out, and no name says so."""
        meaning = self._names.meaning
        directions = {words_of(tags[tag]) for tag in _DIRECTION_TAGS if tag in tags}
        if not directions.isdisjoint(_OUTWARD):
            outward = ("export_" + name, name + "_export", "energy_export")
            name = next((each for each in outward if (found := meaning(each, unit)) and found.is_unit_known), "")
        elif not directions.isdisjoint(_INWARD):  # a power that says nothing is the balance of both
            inward = ("import_" + name, name + "_import")
            name = next((each for each in inward if (found := meaning(each, unit)) and found[0] == "power_kw"), name)
        tariff = next((tags[tag] for tag in _TARIFF_TAGS if tags.get(tag)), "")
        if name and tariff and len(tariff) <= _LONGEST_TARIFF:
            by_tariff = f"{name}_t{tariff}" if tariff.isdecimal() else f"{name}_{tariff}"
            found = meaning(by_tariff, unit)
            if found is not None and found.tariff:
                return by_tariff
        return name


def _series(line: Line, unit: str | None) -> _Series:
    measurement, pairs = line.series()
    tags: dict[str, str] = {}
    for key, value in pairs:
        tags.setdefault(words_of(key), value)
    for tag in _UNIT_TAGS:
        unit = unit or tags.get(tag)
    unit = None if unit is None else unit[:_LONGEST]
    return _Series(measurement, tags, unit, {}, is_command(tags.get("topic", "")[-_LONGEST:]), [])


def _says_nothing(name: str) -> bool:
    """Whether a unit alone says what a value of this name is."""
    return SAYS_OTHERWISE.isdisjoint(words_of(name).split("_"))
