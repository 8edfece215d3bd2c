"""YAML read by hand, node by node, so that every value knows its line and YAML's surprises do no harm.

YAML 1.1 takes 17:30 for 1050, NO for false and 010 for 8. Values are therefore taken from the text as it stands in the
file, and its type is asked of the field that wants it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

import yaml

from monitor.config.findings import Bounds, Findings, nearest, number_of, shown, text_problem

__all__ = ["Section", "duplicate_keys", "is_null", "kind_of", "line_of", "read_yaml"]

T = TypeVar("T")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})", re.ASCII)
_NULL_TAG = "tag:yaml.org,2002:null"
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def read_yaml(path: Path, file: str, findings: Findings) -> yaml.Node | None:
    """The document of a file as nodes; None if it is empty or (then there is an error) cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        findings.error(file, f"cannot be read: {error.strerror or error}; check that it is there and its permissions")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        findings.error(file, "not UTF-8 text; save the file as UTF-8", line=line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "no YAML"
        findings.error(file, f"not valid YAML: {what}", line=None if mark is None else mark.line + 1)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        findings.error(file, f"a character that YAML does not allow (#x{error.character:04x}); remove it", line=line)
    except RecursionError:
        findings.error(file, "nested too deeply to be a configuration")
    else:
        return node
    return None


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL_TAG


def line_of(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def kind_of(node: yaml.Node) -> str:
    """What stands there, for an error."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if is_null(node) else shown(str(node.value))


def duplicate_keys(node: yaml.MappingNode, file: str, findings: Findings, path: str = "") -> None:
    """One error for each key that a mapping holds twice; YAML itself lets the later one win in silence."""
    first: dict[str, int] = {}
    for key_node, _ in node.value:
        key = str(key_node.value)
        if key in first:
            findings.error(
                file,
                f"the key is given twice, first in line {first[key]}; remove one",
                line=line_of(key_node),
                column=path + key,
            )
        first.setdefault(key, line_of(key_node))


class Section:
    """A mapping whose fields are asked for one by one; `finish` then names the keys that nobody asked for.

    A field that is wrong is entered in the findings and reads as its default.
    """

    def __init__(self, node: yaml.Node | None, file: str, findings: Findings, path: str = "") -> None:
        self.file, self.findings, self.path = file, findings, path
        self.line = 1 if node is None else line_of(node)
        self.lines: dict[str, int] = {}
        self.is_mapping = False
        self._nodes: dict[str, yaml.Node] = {}
        self._asked: set[str] = set()
        if node is None or is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            findings.error(
                file, f"found {kind_of(node)}, expected keys with values", line=self.line, column=path[:-1] or None
            )
            return
        self.is_mapping = True
        duplicate_keys(node, file, findings, path)
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                findings.error(
                    file, f"found {kind_of(key_node)} as a key, expected a name", line=line_of(key_node), column=path
                )
                continue
            self._nodes[str(key_node.value)] = value_node
            self.lines[str(key_node.value)] = line_of(key_node)

    def error(self, key: str, found: str, line: int | None = None) -> None:
        self.findings.error(self.file, found, line=line or self.lines.get(key, self.line), column=self.path + key)

    def warn(self, key: str, found: str, line: int | None = None) -> None:
        self.findings.warn(self.file, found, line=line or self.lines.get(key, self.line), column=self.path + key)

    def given(self, key: str) -> bool:
        """Whether the key is there with a value that is not empty."""
        return key in self._nodes and not is_null(self._nodes[key])

    def finish(self) -> None:
        for key in self._nodes:
            if key not in self._asked:
                self.error(key, f"unknown key; expected one of {', '.join(sorted(self._asked))}{self._like(key)}")

    def _like(self, key: str) -> str:
        return nearest(key, self._asked - self._nodes.keys())

    def _take(self, key: str) -> yaml.Node | None:
        self._asked.add(key)
        return self._nodes[key] if self.given(key) else None

    def _scalar(self, key: str, expected: str) -> yaml.ScalarNode | None:
        node = self._take(key)
        if node is None or isinstance(node, yaml.ScalarNode):
            return node
        self.error(key, f"found {kind_of(node)}, expected {expected}")
        return None

    def text(self, key: str, default: str = "", *, required: bool = False) -> str:
        """Any text, taken as it stands: an id may be 007 or NO."""
        node = self._scalar(key, "a text")
        text = default if node is None else str(node.value).strip()
        if required and not text and (node is not None or not self.given(key)):
            self.error(key, "missing or empty, expected a text")
        problem = text_problem(text)
        if problem is not None:
            self.error(key, problem)
        return text

    def choice(self, key: str, default: str, choices: Collection[str]) -> str:
        node = self._scalar(key, "a text")
        if node is None:
            return default
        if str(node.value) not in choices:
            options = ", ".join(choice or "(empty)" for choice in choices)
            self.error(key, f"found {kind_of(node)}, expected one of {options}{nearest(str(node.value), choices)}")
            return default
        return str(node.value)

    def truth(self, key: str, *, default: bool) -> bool:
        node = self._scalar(key, "true or false")
        if node is None:
            return default
        truth = None if node.style else _TRUTHS.get(str(node.value).lower())
        if truth is None:
            self.error(key, f"found {kind_of(node)}, expected true or false")
            return default
        return truth

    def number(self, key: str, default: float, bounds: Bounds) -> float:
        number = self.optional_number(key, bounds)
        return default if number is None else number

    def optional_number(self, key: str, bounds: Bounds) -> float | None:
        node = self._scalar(key, str(bounds))
        if node is None:
            return None
        number = f"found the text {kind_of(node)}, expected {bounds} without quotes"
        value = number if node.style else number_of(str(node.value), bounds)
        if isinstance(value, str):
            self.error(key, value)
            return None
        return value

    def one_of(self, key: str, default: int, choices: Collection[int]) -> int:
        node = self._scalar(key, "a whole number")
        if node is None:
            return default
        value = number_of(str(node.value), Bounds())
        if node.style or isinstance(value, str) or value not in choices:
            self.error(key, f"found {kind_of(node)}, expected one of {', '.join(map(str, choices))}")
            return default
        return int(value)

    def date(self, key: str) -> dt.date | None:
        node = self._scalar(key, "a date")
        return None if node is None else self._date_of(key, node)

    def minute(self, key: str) -> int | None:
        """A time of day in minutes, 0 to 1440. Missing is an error."""
        node = self._scalar(key, 'a time of day as "17:30"')
        if node is None:
            if not self.given(key):
                self.error(key, 'missing, expected a time of day as "17:30"')
            return None
        text = str(node.value)
        minute: int | None = None
        clock = _CLOCK.fullmatch(text)
        if clock is not None:
            minute = int(clock[1]) * 60 + int(clock[2])
            if int(clock[2]) >= 60:
                minute = None
        elif not node.style and text.isascii() and text.isdecimal():
            minute = int(text)
            if 0 < minute <= 24:
                self.warn(key, f'{text} is read as minutes after midnight; write "{minute:02d}:00" if hours are meant')
        if minute is None or minute > 1440:
            self.error(key, f'found {kind_of(node)}, expected a time of day as "17:30", at most "24:00"')
            return None
        return minute

    def names(self, key: str, choices: Collection[str]) -> frozenset[str] | None:
        """A list of some of the choices; None if absent."""

        def read(node: yaml.ScalarNode) -> str | None:
            name = str(node.value)
            if name in choices:
                return name
            like = nearest(name, choices)
            self.error(key, f"found {shown(name)}, expected any of {', '.join(choices)}{like}", line_of(node))
            return None

        return self._listed(key, f"a list of {', '.join(choices)}", read)

    def months(self, key: str) -> frozenset[int] | None:
        def read(node: yaml.ScalarNode) -> int | None:
            value = number_of(str(node.value), Bounds(1, 12))
            if node.style or isinstance(value, str) or value != int(value):
                self.error(key, f"found {kind_of(node)}, expected a month from 1 to 12", line_of(node))
                return None
            return int(value)

        return self._listed(key, "a list of months from 1 to 12", read)

    def dates(self, key: str) -> frozenset[dt.date]:
        found = self._listed(
            key, "a list of dates as 2026-05-04", lambda node: self._date_of(key, node), may_be_empty=True
        )
        return frozenset() if found is None else found

    def section(self, key: str) -> Section:
        node = self._take(key)
        child = Section(node, self.file, self.findings, f"{self.path}{key}.")
        child.line = self.lines.get(key, self.line)
        return child

    def sections(self, key: str) -> list[Section]:
        node = self._take(key)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.error(key, f"found {kind_of(node)}, expected a list")
            return []
        children = []
        for number, item in enumerate(node.value, 1):
            path = f"{self.path}{key}[{number}]."
            if is_null(item):
                self.findings.error(self.file, "found nothing, expected keys", line=line_of(item), column=path[:-1])
                continue
            children.append(Section(item, self.file, self.findings, path))
        return children

    def _date_of(self, key: str, node: yaml.ScalarNode) -> dt.date | None:
        text = str(node.value)
        # fromisoformat alone would also take 20260504 and 2026-W19-1.
        if _DATE.fullmatch(text):
            try:
                return dt.date.fromisoformat(text)
            except ValueError as error:
                self.error(key, f"found {shown(text)}, which is no date: {error}", line_of(node))
                return None
        self.error(key, f"found {kind_of(node)}, expected a date as 2026-05-04", line_of(node))
        return None

    def _listed(
        self, key: str, expected: str, read: Callable[[yaml.ScalarNode], T | None], *, may_be_empty: bool = False
    ) -> frozenset[T] | None:
        node = self._take(key)
        if node is None:
            return None
        if not isinstance(node, yaml.SequenceNode):
            self.error(key, f"found {kind_of(node)}, expected {expected}, written as [a, b]")
            return None
        if not node.value and not may_be_empty:
            self.warn(key, "an empty list holds never; leave the key out if it should hold always")
        values: set[T] = set()
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode) or is_null(item):
                self.error(key, f"found {kind_of(item)} in the list, expected {expected}", line_of(item))
                continue
            value = read(item)
            if value is not None:
                values.add(value)
        return frozenset(values)
