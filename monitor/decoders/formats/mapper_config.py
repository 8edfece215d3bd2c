"""The options of format `mapper`: compiled once, and every problem in them said at once.

payload: json | csv | value                how the payload is to be taken
each: data.meters[*]                       what is one element: a meter, a unit, a point of time (JSON)
id: sn | [$.gw, sn] | {topic: 2} | {fixed: x}     absent: the usual keys, else the topic
time: ts | {path: ts, format: "%d.%m.%Y %H:%M"} | arrival     absent: the usual keys, else the arrival
values: [{path: e, quantity: register, unit: Wh}, …]          absent: whatever has a usual name
when: {path: type, is: reading}            other elements are ignored
commands: [set, get]                       last levels of topics that are no readings
separator, columns, header                 of CSV
decimal: ","                               of numbers that come as text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from monitor.decoders.formats.mapper_checks import MOST_LEVELS, nearest, quoted
from monitor.decoders.formats.mapper_csv import SEPARATORS, Table
from monitor.decoders.formats.mapper_entries import Entries
from monitor.decoders.formats.mapper_path import ABSENT, Every, Get, Path, Scope, Trail, getter
from monitor.decoders.formats.mapper_time import FORMATS, Clock
from monitor.decoders.formats.mapper_typed import Layout, layout_of
from monitor.decoders.formats.mapper_values import Label, Read, word_of
from monitor.decoders.formats.mapper_wanted import reader_of
from monitor.decoders.names import Names
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json
from monitor.decoders.state import SourceState

__all__ = ["Condition", "Plan", "check", "compile_plan"]

_KEYS = (
    *("payload", "each", "id", "time", "values", "when", "commands"),
    *("separator", "columns", "header", "decimal"),
)
_PAYLOADS = ("json", "csv", "value")
_COMMANDS = ("set", "get", "cmd", "command", "commands", "cmnd", "control", "write", "desired")
_DECIMALS = (".", ",")


class Condition(NamedTuple):
    """What an element must fulfil to be read."""

    get: Label
    words: frozenset[str] | None
    """None: it must be there."""
    is_wanted: bool = True

    def holds(self, trail: Trail, topic: Any) -> bool:
        raw = self.get(trail, topic)
        if self.words is None:
            return raw is not ABSENT and raw is not None
        return (raw is not ABSENT and word_of(raw) in self.words) is self.is_wanted


class Plan(NamedTuple):
    """A mapping, compiled."""

    payload: str
    each: Path | None
    """None: the root, or each item of a root that is a list (if `is_list_split`)."""
    is_list_split: bool
    read_json: Callable[[bytes], Any]
    """Of JSON, at least what the paths lead to."""
    id_at: Get | None
    """Where the id stands, if it is in one place of the payload; then `id_parts` is not needed."""
    id_parts: tuple[Label, ...]
    """Empty: by usual keys, else the topic."""
    is_id_of_topic: bool
    """No part of the id comes from the payload."""
    name_level: int | None
    """Level of the topic, as an index, that names the value and so is no part of the id."""
    around: tuple[int, ...]
    """Slots of the element and of the objects around it, the nearest first."""
    own_key: Get | None
    """The key of an element that is a member of an object."""
    time: tuple[Get, ...]
    """More than one are put together with a blank. Empty: by usual keys."""
    clock: Clock
    is_arrival: bool
    values: tuple[Read, ...]
    """Empty: by usual names."""
    wants_objects: bool
    """Every value is looked for inside the element."""
    conditions: tuple[Condition, ...]
    commands: frozenset[str]
    table: Table
    has_parts: bool
    layout: Layout | None
    """Of payloads that are built just as the mapping says; None: the mapping says too little of that."""
    decimal: str
    names: Names


def check(more: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every problem of these options: the key's path, and what was found there and what was expected."""
    compiler = _Compiler(more, Options(), SourceState())
    compiler.plan()
    return compiler.problems


def compile_plan(options: Options, state: SourceState) -> Plan:
    """Raises ValueError for options in which `check` finds a problem."""
    compiler = _Compiler(options.more, options, state)
    plan = compiler.plan()
    if compiler.problems:
        raise ValueError("; ".join(f"{key}: {text}" for key, text in compiler.problems))
    return plan


class _Compiler(Entries):
    def plan(self) -> Plan:
        more = self._section(self._more, "", _KEYS) or {}
        self._payload = self._one_of(more, "payload", _PAYLOADS, "json")
        self._decimal = self._one_of(more, "decimal", _DECIMALS, ".")
        for key in ("separator", "columns", "header"):
            if key in more and self._payload != "csv":
                self._add(key, f"it belongs to payload: csv, found payload: {self._payload}")
        table = self._table(more)
        self._compile_each(more)
        values = self._values(more)
        id_parts, is_id_of_topic, id_at = self._id(more)
        time, clock, is_arrival = self._time(more)
        conditions = self._conditions(more)
        has_header = more.get("header", bool(self._uses_names or "values" not in more))
        if self._payload == "csv" and not self._columns and not has_header and self._uses_names:
            self._add("header", "columns are named, but neither a header nor `columns` says which they are")
        is_list_split = self._payload == "json" and self._each is None and not self._begins_with_position
        is_all_said = bool(values and "id" in more and "time" in more) and not self.problems
        last = self._scope.steps[-1] if self._scope.steps else None
        return Plan(
            payload=self._payload,
            each=self._each,
            is_list_split=is_list_split,
            read_json=reader_of(self._wanted, is_list_split=is_list_split) if is_all_said else read_json,
            id_at=id_at,
            id_parts=id_parts,
            is_id_of_topic=is_id_of_topic,
            name_level=self._default_name_level(more),
            around=(self._scope.element, *self._scope.around),
            own_key=getter(self._scope.element - 1, ()) if last is Every.MEMBER else None,
            time=time,
            clock=clock,
            is_arrival=is_arrival,
            values=values,
            wants_objects=self._wants_objects(more),
            conditions=conditions,
            commands=self._commands(more),
            table=table._replace(
                columns=self._columns, has_header=bool(has_header), numbers=tuple(sorted(self._numbers))
            ),
            has_parts=self._has_parts or not values,
            layout=self._layout(id_at, time, is_id_of_topic) if is_all_said and not conditions else None,
            decimal=self._decimal,
            names=self._names,
        )

    def _table(self, more: Mapping[str, Any]) -> Table:
        raw = more.get("separator", "auto")
        separator = ""
        if isinstance(raw, str) and raw in SEPARATORS:
            separator = SEPARATORS[raw]
        elif isinstance(raw, str) and len(raw) == 1 and not raw.isalnum() and raw not in '"\r\n\0':
            separator = raw
        else:
            known = ", ".join(SEPARATORS)
            self._add(
                "separator",
                f"found {quoted(raw)}, expected one character, or one of {known}{nearest(raw, SEPARATORS)}",
            )
        if separator and separator == self._decimal:
            self._add("separator", f"found {separator!r}, which is the decimal sign, too")
        columns = more.get("columns", [])
        if not isinstance(columns, list) or not all(isinstance(each, str) and each for each in columns):
            self._add("columns", f"found {quoted(columns)}, expected a list of names")
        elif len(set(columns)) != len(columns):
            twice = next(each for each in columns if columns.count(each) > 1)
            self._add("columns", f"found {twice!r} twice")
        elif "columns" in more:
            if not columns:
                self._add("columns", "found an empty list, expected the names of the columns")
            self._columns = tuple(columns)
        if not isinstance(more.get("header", True), bool):
            self._add("header", f"found {quoted(more['header'])}, expected true or false")
        return Table(separator)

    def _compile_each(self, more: Mapping[str, Any]) -> None:
        if "each" not in more:
            return
        if self._payload != "json":
            what = "every line is an element" if self._payload == "csv" else "the whole payload is one"
            self._add("each", f"it belongs to payload: json; in {self._payload} {what}")
            return
        each = self._path(more["each"], "each")
        self._begins_with_position = False
        if each is None:
            return
        if each.is_key or each.ups > 0:
            self._add("each", f"found {each.text!r}, expected a path from the root to the elements")
        elif not each.last_every():
            self._add(
                "each", f"found {each.text!r}, expected [*] (items of a list) or {{*}} (members of an object) in it"
            )
        else:
            self._each = each
            self._scope = Scope(each)

    def _id(self, more: Mapping[str, Any]) -> tuple[tuple[Label, ...], bool, Get | None]:
        if "id" not in more:
            return (), self._payload == "value", None
        raw = more["id"]
        parts = raw if isinstance(raw, list) else [raw]
        if not parts:
            self._add("id", "found an empty list, expected a path, {topic: <level>} or {fixed: <text>}")
        if isinstance(raw, str | int) or (len(parts) == 1 and isinstance(parts[0], str)):
            get = self._get(parts[0], "id")
            return (), False, get
        labels = [
            self._label(part, f"id.{row}" if parts is raw else "id") for row, part in enumerate(parts[:MOST_LEVELS])
        ]
        is_of_topic = all(isinstance(part, Mapping) and "path" not in part for part in parts)
        return tuple(label for label in labels if label), is_of_topic, None

    def _time(self, more: Mapping[str, Any]) -> tuple[tuple[Get, ...], Clock, bool]:
        auto = Clock("auto", self._local)
        raw = more.get("time")
        if raw == "arrival" or (self._payload == "value" and "time" not in more):
            return (), auto, True
        if "time" not in more:
            return (), auto, False
        if self._payload == "value":
            self._add("time", f"found {quoted(raw)}, expected arrival: a payload that is one value has no time")
            return (), auto, True
        where, form = "time", "auto"
        if isinstance(raw, Mapping):
            section = self._section(raw, "time", ("path", "format")) or {}
            raw, where = section.get("path"), "time.path"
            form = section.get("format", "auto")
        paths = raw if isinstance(raw, list) and raw else [raw]
        time = [self._get(path, f"{where}.{row}" if paths is raw else where) for row, path in enumerate(paths)]
        return tuple(get for get in time if get), self._clock(form), False

    def _clock(self, form: object) -> Clock:
        words = ", ".join(FORMATS)
        if isinstance(form, str) and len(form) <= 100 and (form in FORMATS or "%" in form):
            try:
                return Clock(form, self._local)
            except ValueError as error:
                self._add("time.format", str(error))
        else:
            text = f"found {quoted(form)}, expected one of {words}, or a pattern such as %Y-%m-%d %H:%M:%S"
            self._add("time.format", text + nearest(form, FORMATS))
        return Clock("auto", self._local)

    def _conditions(self, more: Mapping[str, Any]) -> tuple[Condition, ...]:
        if "when" not in more:
            return ()
        raw = more["when"]
        many = raw if isinstance(raw, list) else [raw]
        conditions = []
        for row, each in enumerate(many):
            where = f"when.{row}" if many is raw else "when"
            section = self._section(each, where, ("path", "topic", "is", "is_not"))
            if section is None:
                continue
            place = {key: section[key] for key in ("path", "topic") if key in section}
            if len(place) != 1:
                self._add(where, f"found {quoted(section)}, expected path or topic, and is or is_not")
                continue
            get = self._label(place, where)
            if "is" in section and "is_not" in section:
                self._add(where, "found both is and is_not, expected one of them")
            words = None
            for key in ("is", "is_not"):
                if key in section:
                    words = self._words(section[key], f"{where}.{key}")
            if get is not None:
                conditions.append(Condition(get, words, "is_not" not in section))
        return tuple(conditions)

    def _commands(self, more: Mapping[str, Any]) -> frozenset[str]:
        raw = more.get("commands", list(_COMMANDS))
        if not isinstance(raw, list) or not all(isinstance(each, str) and each for each in raw):
            self._add("commands", f"found {quoted(raw)}, expected a list of last levels of topics, such as [set, get]")
            return frozenset()
        return frozenset(each.lower() for each in raw)

    def _layout(self, id_at: Get | None, time: tuple[Get, ...], is_id_of_topic: bool) -> Layout | None:
        if self._payload != "json" or self._has_parts or len(time) > 1 or (id_at is None and not is_id_of_topic):
            return None
        gets = [*time, *([id_at] if id_at else [])]
        if len(self._direct) < len(self._more["values"]) or not all(get in self._places for get in gets):
            return None
        return layout_of(
            self._each.steps if self._each else None,
            self._scope.element,
            self._places[id_at] if id_at else None,
            self._places[time[0]] if time else None,
            self._direct,
        )

    def _default_name_level(self, more: Mapping[str, Any]) -> int | None:
        """Level that names the value where the payload is nothing but a value."""
        if self._payload != "value":
            return None
        values = more.get("values")
        if values is None:
            return -1
        first = values[0] if isinstance(values, list) and values else None
        if not isinstance(first, Mapping):
            return None
        name = first.get("name")
        if isinstance(name, Mapping) and isinstance(level := name.get("topic"), int):
            return level - 1 if level > 0 else level
        return -1 if name is None and "quantity" not in first else None

    def _wants_objects(self, more: Mapping[str, Any]) -> bool:
        values = more.get("values")
        if self._payload != "json" or not isinstance(values, list):
            return self._payload == "json"
        paths = [value.get("path") for value in values if isinstance(value, Mapping)]
        return all(isinstance(path, str) and path[:1] not in ("~", "^", "$") for path in paths)
