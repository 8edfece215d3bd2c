"""What every section of the mapper's options is checked with: keys, paths, texts out of the message, words, numbers.

Problems are collected, none is raised: whoever writes a mapping sees all of them at once.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from monitor.decoders.formats.mapper_csv import column_key
from monitor.decoders.formats.mapper_path import ABSENT, Get, Path, PathError, Scope, Step, Trail, parse
from monitor.decoders.formats.mapper_typed import Direct, Place
from monitor.decoders.formats.mapper_values import Label, word_of
from monitor.decoders.names import Names
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.times import LocalClock

__all__ = ["MOST_LEVELS", "YAML_WORDS", "Sections", "nearest", "quoted"]

MOST_LEVELS = 100
"""Parts of an id, levels of a topic."""
YAML_WORDS = {True: ("true", "on", "yes"), False: ("false", "off", "no")}
"""What YAML takes for a truth value without quotes, so that ON stands for itself as well."""


def nearest(found: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(found), list(known), 1, 0.6)
    return f"; did you mean {close[0]}?" if close else ""


def quoted(raw: object) -> str:
    return "nothing (a ~ needs quotes in YAML)" if raw is None else repr(raw)[:100]


class Sections:
    """One mapping while it is compiled."""

    def __init__(self, more: Mapping[str, Any], options: Options, state: SourceState) -> None:
        self.problems: list[tuple[str, str]] = []
        self._more = more
        self._options = options
        self._names = Names(options)
        self._local = LocalClock(options.timezone, state)
        self._payload = "json"
        self._scope = Scope()
        self._each: Path | None = None
        self._numbers: set[int] = set()
        self._columns: tuple[str, ...] = ()
        self._uses_names = False
        self._decimal = "."
        self._begins_with_position = False
        self._has_parts = False
        self._wanted: list[tuple[Step, ...]] = []
        """Where the mapping's paths lead, from the root."""
        self._places: dict[Get, Place] = {}
        """The same for each getter, from a slot of the trail."""
        self._direct: list[Direct] = []

    def _add(self, where: str, text: str) -> None:
        self.problems.append((where, text))

    def _section(self, raw: object, where: str, known: tuple[str, ...]) -> dict[str, Any] | None:
        """An object with known keys; None where it is none."""
        if not isinstance(raw, Mapping):
            self._add(where, f"found {quoted(raw)}, expected keys out of {', '.join(known)}")
            return None
        section: dict[str, Any] = {}
        for key, value in raw.items():
            name = YAML_WORDS[key][1] if isinstance(key, bool) else str(key)
            if name in known:
                section[name] = value
            else:
                text = f"unknown key{nearest(name, known)}; known are {', '.join(known)}"
                self._add(f"{where}.{name}" if where else name, text)
        return section

    def _one_of(self, section: Mapping[str, Any], key: str, known: tuple[str, ...], default: str) -> str:
        raw = section.get(key, default)
        if isinstance(raw, str) and raw in known:
            return raw
        self._add(key, f"found {quoted(raw)}, expected one of {', '.join(known)}{nearest(raw, known)}")
        return default

    def _path(self, raw: object, where: str) -> Path | None:
        """A path, or in CSV a column; None with a problem noted."""
        if self._payload == "csv":
            return self._column(raw, where)
        if self._payload == "value":
            self._add(where, "a payload that is one value has no paths: expected {topic: <level>} or {fixed: <text>}")
            return None
        if not isinstance(raw, str):
            what = "; a position in a list is [3], a key of digits '\"3\"'" if isinstance(raw, int) else ""
            self._add(where, f"found {quoted(raw)}, expected a path such as energy.total in quotes{what}")
            return None
        try:
            path = parse(raw)
        except PathError as error:
            self._add(where, str(error))
            return None
        # `each` is compiled before all others, so without one this is a path into a list at the root.
        if self._each is None and path.steps and not isinstance(path.steps[0], str):
            self._begins_with_position = True
        return path

    def _column(self, raw: object, where: str) -> Path | None:
        if isinstance(raw, bool) or not isinstance(raw, int | str) or raw == "":
            self._add(where, f"found {quoted(raw)}, expected a column's name or its number")
            return None
        if isinstance(raw, int):
            if not 1 <= raw <= (len(self._columns) or 1000):
                self._add(where, f"found column {raw}, expected 1 to {len(self._columns) or 1000}")
                return None
            self._numbers.add(raw)
        else:
            self._uses_names = True
            if self._columns and raw not in self._columns:
                known = ", ".join(self._columns)
                self._add(
                    where, f"found {raw!r}, expected one of columns{nearest(raw, self._columns)}; these are {known}"
                )
                return None
        return Path(str(raw), 0, (column_key(raw),))

    def _bind(self, scope: Scope, path: Path, where: str) -> Get | None:
        try:
            get = scope.bind(path)
        except PathError as error:
            self._add(where, str(error))
            return None
        if not path.is_key:
            self._places[get] = Place(scope.slot(path), path.steps)
            self._wanted.append((*scope.way[scope.slot(path)], *path.steps))
        return get

    def _label(self, raw: object, where: str, inner: Scope | None = None, head: Path | None = None) -> Label | None:
        """Text out of the message: {topic: …}, {fixed: …} or a path; None with a problem noted. inner, head: the places
        over which the path of the value goes that this belongs to."""
        if isinstance(raw, Mapping):
            section = self._section(raw, where, ("path", "topic", "fixed"))
            if section is None or len(section) != 1:
                if section is not None and len(raw) == len(section):
                    self._add(where, f"found {quoted(dict(raw))}, expected one of path, topic, fixed")
                return None
            if "topic" in section:
                return self._topic_label(section["topic"], f"{where}.topic")
            if "fixed" in section:
                return self._fixed_label(section["fixed"], f"{where}.fixed")
            raw, where = section["path"], f"{where}.path"
        get = self._get(raw, where, inner, head)
        return None if get is None else lambda trail, topic: get(trail)

    def _get(self, raw: object, where: str, inner: Scope | None = None, head: Path | None = None) -> Get | None:
        path = self._path(raw, where)
        if path is None:
            return None
        last = path.last_every()
        if not last:
            return self._bind(self._scope, path, where)  # also for longer trails: these begin with the same slots
        if inner is None or head is None:
            self._add(where, f"found {path.text!r}, which leads to many places, expected a path to one")
            return None
        if path.ups != head.ups or path.steps[:last] != head.steps:
            self._add(where, f"found {path.text!r}, which does not go over the same places as the path of its value")
            return None
        return self._bind(inner, Path(path.text, 0, path.steps[last:], path.is_key), where)

    def _topic_label(self, raw: object, where: str) -> Label | None:
        if raw == "all":
            return lambda trail, topic: topic.text
        many: list[Any] = raw if isinstance(raw, list) and raw else [raw]
        if not all(isinstance(n, int) and not isinstance(n, bool) and 0 < abs(n) <= MOST_LEVELS for n in many):
            self._add(where, f"found {quoted(raw)}, expected a level counted from 1, or from -1 at the end, or all")
            return None
        levels: list[int] = [n - 1 if n > 0 else n for n in many]

        def label(trail: Trail, topic: Any) -> Any:
            given: list[str] = topic.levels
            if not all(-len(given) <= level < len(given) for level in levels):
                return ABSENT
            return "/".join([given[level] for level in levels])

        return label

    def _fixed_label(self, raw: object, where: str) -> Label | None:
        if isinstance(raw, bool) or not isinstance(raw, str | int) or raw == "":
            self._add(where, f"found {quoted(raw)}, expected a text")
            return None
        text = str(raw)
        return lambda trail, topic: text

    def _words(self, raw: object, where: str) -> frozenset[str]:
        many = raw if isinstance(raw, list) else [raw]
        words: set[str] = set()
        for row, each in enumerate(many):
            if isinstance(each, bool):
                words.update(YAML_WORDS[each])
            elif each is None or (word := word_of(each)) is None:
                place = f"{where}.{row}" if many is raw else where
                self._add(place, f"found {quoted(each)}, expected a text, a number, true or false")
            else:
                words.add(word)
        return frozenset(words)

    def _number(self, section: Mapping[str, Any], key: str, where: str, default: float) -> float:
        raw = section.get(key, default)
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(float(raw)):
            self._add(f"{where}.{key}", f"found {quoted(raw)}, expected a number")
            return default
        if key == "scale" and raw == 0:
            self._add(f"{where}.{key}", "found 0, expected the factor that makes the value one of its unit")
        return float(raw)
