"""What the mapper reads where the mapping says nothing: ids, times and values under the names that are usual for them.

Objects are known by their keys: which of them is id, time, value is looked up once for each set of keys and kept. From
an object inward only names that say what they are in full are read (`energy.total_kwh`, but no `today.energy_kwh`),
except inside the usual wrappers (`data`, `meters`, …), whose name says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from monitor.decoders.formats.mapper_path import ABSENT
from monitor.decoders.formats.mapper_time import Clock
from monitor.decoders.formats.mapper_values import is_plain, plain_text
from monitor.decoders.names import Meaning, Names, words_of
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError
from monitor.decoders.values import Found

__all__ = ["ID_KEYS", "NO_ID", "TIME_KEYS", "Ids", "Shape", "Usual", "id_text", "move"]

ID_KEYS = (
    "meter_id", "meterid", "device_id", "deviceid", "dev_id", "devid", "dev_eui", "deveui", "sn", "serial",
    "serial_number", "serialnumber", "serial_no", "serialno", "meter_no", "meterno", "meter_number", "meternumber",
    "meter_sn", "metersn", "device_sn", "devicesn", "unique_id", "uid", "uuid", "imei", "mac", "id",
    "meter", "device", "dev", "device_name", "devicename", "meter_name", "metername", "name",
)  # fmt: skip
"""In lower case; the first that an object has counts. An address is none: every gateway has a meter at address 1."""
TIME_KEYS = (
    "ts", "timestamp", "time_stamp", "time", "datetime", "date_time", "ts_ms", "timestamp_ms", "time_ms", "timestampms",
    "measured_at", "measuredat", "sampled_at", "recorded_at", "read_at", "reading_time", "readingtime", "sample_time",
    "sampletime", "measure_time", "collect_time", "collecttime", "event_time", "eventtime", "device_time",
    "devicetime", "utc_time", "utctime", "epoch", "created_at", "createdat", "reported_at",
)  # fmt: skip
_WRAPPERS = frozenset((
    "data", "payload", "values", "value", "reading", "readings", "measurement", "measurements", "measures", "fields",
    "params", "properties", "telemetry", "meter", "meters", "device", "devices", "metrics", "body", "message", "msg",
    "result", "results", "records", "record", "items", "list", "sensors", "points", "content", "object", "report",
    "state", "status", "reported",
))  # fmt: skip
_IMPORT = frozenset({"import", "imported", "plus", "positive", "forward", "in", "consumed", "from", "delivered"})
"""A power with one of these words is one direction only."""
_NAME_KEYS = ("name", "key", "tag", "metric", "parameter", "param", "point", "quantity", "field", "identifier")
_VALUE_KEYS = ("value", "val", "v")
_UNIT_KEYS = ("unit", "units", "uom", "u")
NO_ID = "no id of a meter or a unit where the mapping expects it"
_LONGEST_ID = 200
_LARGEST_ID = 10**30
_KNOWN_SHAPES = 1000
_KNOWN_IDS = 10_000
_KEYS_OF_SHAPE = 100
_DEEPEST = 8


def id_text(raw: Any) -> str | None:
    """An id as text; None for what is none."""
    if type(raw) is str:
        text = raw.strip()
    elif type(raw) is int and 0 <= raw < _LARGEST_ID:
        text = str(raw)
    elif type(raw) is float and 0 <= raw < 2**53 and raw == int(raw):
        text = str(int(raw))
    else:
        return None
    return text if text and len(text) <= _LONGEST_ID and text.isprintable() else None


class Ids:
    """`id_text`, which remembers texts."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        """To be looked into first, by texts: at a third of the call's price."""

    def text(self, raw: Any) -> str | None:
        text = id_text(raw)
        if text is not None and type(raw) is str and len(raw) <= _LONGEST_ID:
            if len(self.known) >= _KNOWN_IDS:
                self.known.clear()
            self.known[raw] = text
        return text


class Shape(NamedTuple):
    """What the keys of an object are."""

    id_key: str | None
    time_key: str | None
    values: tuple[tuple[str, Meaning | None], ...]
    """Keys whose names mean something; with the meaning where a number of it is a reading by itself."""
    others: tuple[str, ...]
    """All further ones: there may be objects in them."""
    value_key: str | None
    """Where an object is one value: its keys of value, name (None: it has none) and unit."""
    name_key: str | None
    unit_key: str | None
    import_key: str | None
    """Power in and out of which the difference is one reading; both or none. They are among `values` as well."""
    export_key: str | None


class Usual:
    """The usual names of one source."""

    def __init__(
        self, names: Names, state: SourceState, clock: Clock | None, *, has_own_ids: bool, decimal: str
    ) -> None:
        """clock: for times of objects within an element; None: the mapping says which time is meant. has_own_ids: an
        object within an element may have an id of its own. decimal: of numbers that come as text."""
        self._names = names
        self._state = state
        self._clock = clock
        self._has_own_ids = has_own_ids
        self._decimal = decimal
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self._last: dict[str, Any] = {}
        self._last_shape = self._look_at(())

    def shape(self, node: dict[str, Any]) -> Shape:
        if node is self._last:  # asked for its id, its time and its values
            return self._last_shape
        keys = tuple(node)
        shape = self._shapes.get(keys)
        if shape is None:
            shape = self._look_at(keys)
            if len(keys) <= _KEYS_OF_SHAPE and all(len(key) <= _KEYS_OF_SHAPE for key in keys):
                if len(self._shapes) >= _KNOWN_SHAPES:
                    self._shapes.clear()
                self._shapes[keys] = shape
        self._last, self._last_shape = node, shape
        return shape

    def _look_at(self, keys: tuple[str, ...]) -> Shape:
        folded = {key.lower(): key for key in reversed(keys)}
        value_key = _first(_VALUE_KEYS, folded)
        name_key = _first(_NAME_KEYS, folded) if value_key else None
        unit_key = _first(_UNIT_KEYS, folded) if value_key else None
        time_key = _first(TIME_KEYS, folded)
        id_key = _first([key for key in ID_KEYS if not name_key or folded.get(key) != name_key], folded)
        taken = {time_key, id_key, value_key, name_key, unit_key}
        meanings = {key: meaning for key in keys if key not in taken and (meaning := self._names.meaning(key))}
        powers = {key: meaning.factor for key, meaning in meanings.items() if meaning.quantity == "power_kw"}
        out = [key for key, factor in powers.items() if factor < 0]
        into = [key for key in powers if key not in out and _IMPORT.intersection(words_of(key).split("_"))]
        has_both = len(out) == 1 and len(powers) == 2
        if has_both and not into:
            del meanings[out[0]]  # a power beside what goes out is the balance already
        return Shape(
            id_key,
            time_key,
            tuple((key, meaning if is_plain(meaning) else None) for key, meaning in meanings.items()),
            tuple(key for key in keys if key not in meanings),
            value_key,
            name_key,
            unit_key,
            into[0] if has_both and into else None,
            out[0] if has_both and into else None,
        )

    def id_of(self, node: Any) -> Any:
        """What stands under the usual key of an id, or ABSENT."""
        if type(node) is not dict or (key := self.shape(node).id_key) is None or type(node[key]) in (dict, list):
            return ABSENT
        return node[key]

    def time_of(self, node: Any) -> Any:
        """The same for a time; null is none."""
        if type(node) is not dict or (key := self.shape(node).time_key) is None or type(node[key]) in (dict, list):
            return ABSENT
        return ABSENT if node[key] is None else node[key]

    def read(self, found: Found, node: Any, source_id: str, ts_ms: int | None, received_ms: int) -> bool:
        """Every value of an element that a usual name says something of; true if there is one."""
        return type(node) is dict and self._members(found, node, source_id, ts_ms, received_ms, 0)

    def _members(
        self, found: Found, node: dict[str, Any], source_id: str, ts_ms: int | None, received_ms: int, depth: int
    ) -> bool:
        shape = self.shape(node)
        add = self._names.add
        has_any = False
        net = (shape.import_key, shape.export_key)
        is_net = shape.import_key is not None and self._add_net(found, node, shape, source_id, ts_ms)
        for key, meaning in shape.values:
            raw = node[key]
            if (
                meaning is not None
                and not is_net
                and (type(raw) is float or type(raw) is int)
                and 0 <= raw < _LARGEST_ID
            ):
                found.add(source_id, meaning.quantity, raw * meaning.factor + meaning.offset, ts_ms, key)
                has_any = True
            elif type(raw) is dict:
                has_any |= self._inside(found, key, raw, source_id, ts_ms, received_ms, depth)
            elif type(raw) is str:
                text, unit = plain_text(raw, None, self._decimal)
                if meaning is not None and unit is None and type(text) is float:
                    found.add(source_id, meaning.quantity, text * meaning.factor + meaning.offset, ts_ms, key)
                    has_any = True
                else:
                    has_any |= add(found, source_id, key, text, ts_ms, unit)
            elif type(raw) is not list and not (is_net and key in net):
                has_any |= add(found, source_id, key, raw, ts_ms)
        if shape.value_key and shape.name_key and type(name := node[shape.name_key]) is str:
            has_any |= self._add_value(found, name, node, shape, source_id, ts_ms)
        for key in shape.others:
            raw = node[key]
            if type(raw) is dict:
                has_any |= self._inside(found, key, raw, source_id, ts_ms, received_ms, depth)
            elif type(raw) is list and key.lower() in _WRAPPERS and depth < _DEEPEST:
                has_any |= self._list(found, raw, source_id, ts_ms, received_ms, depth + 1)
        return has_any or is_net

    def _inside(
        self,
        found: Found,
        key: str,
        node: dict[str, Any],
        source_id: str,
        ts_ms: int | None,
        received_ms: int,
        depth: int,
    ) -> bool:
        if depth >= _DEEPEST:
            return False
        if key.lower() in _WRAPPERS:
            return self._item(found, node, source_id, ts_ms, received_ms, depth + 1)
        try:
            ts_ms = self._own_time(node, source_id, ts_ms, received_ms, found)
        except BadTimeError as error:
            return self._refused(found, error)
        shape = self.shape(node)
        has_any = bool(shape.value_key) and self._add_value(found, key, node, shape, source_id, ts_ms)
        named = {name: raw for inner, raw in node.items() if len(name := f"{key}.{inner}") <= _LONGEST_ID}
        return self._members(found, named, source_id, ts_ms, received_ms, depth + 1) or has_any

    def _list(
        self, found: Found, items: list[Any], source_id: str, ts_ms: int | None, received_ms: int, depth: int
    ) -> bool:
        own = Found(self._state)
        has_any = False
        for item in items:
            has_any |= self._item(own, item, source_id, ts_ms, received_ms, depth)
            move(own, found)
        return has_any

    def _item(self, found: Found, node: Any, source_id: str, ts_ms: int | None, received_ms: int, depth: int) -> bool:
        if type(node) is not dict:
            return False
        if self._has_own_ids and (raw := self.id_of(node)) is not ABSENT:
            own = id_text(raw)
            if own is None:
                found.reject("no_id", f"{shown(raw)} is no id of a meter or a unit")
                return True
            source_id = own
        try:
            ts_ms = self._own_time(node, source_id, ts_ms, received_ms, found)
        except BadTimeError as error:
            return self._refused(found, error)
        return self._members(found, node, source_id, ts_ms, received_ms, depth)

    def _own_time(
        self, node: dict[str, Any], source_id: str, ts_ms: int | None, received_ms: int, found: Found
    ) -> int | None:
        if self._clock is None or (raw := self.time_of(node)) is ABSENT:
            return ts_ms
        return self._clock.ms(raw, source_id, received_ms, found)

    @staticmethod
    def _refused(found: Found, error: BadTimeError) -> bool:
        found.reject(error.reason, error.detail)
        return True

    def _add_value(
        self, found: Found, name: str, node: dict[str, Any], shape: Shape, source_id: str, ts_ms: int | None
    ) -> bool:
        raw = node[shape.value_key or ""]
        unit = node.get(shape.unit_key or "")
        if type(raw) in (dict, list):
            return False
        unit = unit if type(unit) is str else None
        if type(raw) is str:
            raw, unit = plain_text(raw, unit, self._decimal)
        return self._names.add(found, source_id, name, raw, ts_ms, unit)

    def _add_net(self, found: Found, node: dict[str, Any], shape: Shape, source_id: str, ts_ms: int | None) -> bool:
        net_kw = 0.0
        for key in (shape.import_key, shape.export_key):
            meaning = self._names.meaning(key or "")
            raw = node[key or ""]
            if meaning is None or not meaning.is_unit_known or type(raw) not in (int, float):
                return False
            number = to_number(raw)
            if number is None:
                return False
            net_kw += number * meaning.factor
        found.add(source_id, "power_kw", net_kw, ts_ms, shape.import_key or "")
        return True


def move(element: Found, found: Found) -> None:
    """What one of several elements holds to what the message holds. Its registers add up among themselves: those of the
    next element may be of another time."""
    element.end_message()
    found.values += element.values
    element.values.clear()
    if element.rejected or element.ignored or element.flagged:
        found.rejected += element.rejected
        found.ignored += element.ignored
        found.flagged += element.flagged
        element.clear()


def _first(usual: Iterable[str], folded: dict[str, str]) -> str | None:
    return next((folded[key] for key in usual if key in folded), None)
