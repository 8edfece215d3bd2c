"""The syntax of one line of InfluxDB's line protocol, before anybody asks what it means.

A comma, a space or an equals sign that belongs to a name stands behind a backslash; a text stands in quotes and may
hold anything, quotes behind a backslash. Most lines hold neither: they are split, all others go through expressions
that never go back, so that time is proportional to length.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Line", "MalformedLineError", "joined", "read", "stamp_of", "value_of", "without_quotes"]

_HEAD = re.compile(r"((?:[^\\ ]|\\.)++)(?: ++|$)", re.DOTALL)
_PART = re.compile(r"((?:[^\\,]|\\.)*+)(?:,|$)", re.DOTALL)
_TAG = re.compile(r"((?:[^\\=]|\\.)++)=(.*+)", re.DOTALL)
_FIELD = re.compile(r"""((?:[^\\,= ]|\\.)++)=("(?:[^"\\]|\\.)*+"|[^," ]++)(,|\ ++|$)""", re.DOTALL)
_ESCAPED = re.compile(r"\\([,= \\])")
_ESCAPED_IN_TEXT = re.compile(r'\\(["\\])')
_TRUTH = {
    "t": True, "T": True, "true": True, "True": True, "TRUE": True,
    "f": False, "F": False, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_MAX_DIGITS = 20
_MAX_NUMBER = 60


class MalformedLineError(ValueError):
    """It is no line of line protocol; says why."""


class Line(NamedTuple):
    head: str
    """Measurement and tags as they were sent: what is the same has the same text."""
    fields: list[tuple[str, str]]
    """Name and value, the value as it was sent."""
    stamp: int | None
    """The time, in whatever unit; None: there is none."""
    has_text: bool
    """A field may be a text."""

    def series(self) -> tuple[str, list[tuple[str, str]]]:
        """The measurement, and its tags with their values. A tag without a value is left out."""
        measurement, *parts = (part[1] for part in _PART.finditer(self.head))
        tags = [(_plain(tag[1]), _plain(tag[2])) for part in parts if (tag := _TAG.fullmatch(part))]
        return _plain(measurement), tags


def read(line: str) -> Line:
    """One line without its end. Raises MalformedLineError."""
    if "\\" in line or '"' in line:
        return _read_escaped(line)
    parts = line.split(" ")
    if len(parts) > 3 or "" in parts:
        parts = line.split()
    if not 2 <= len(parts) <= 3:
        raise MalformedLineError("expected a measurement, fields and a time")
    fields = []
    for field in parts[1].split(","):
        key, _, value = field.partition("=")
        if not (key and value):
            raise MalformedLineError("a field without a name or a value")
        fields.append((key, value))
    head = parts[0]
    if not head or head[0] == ",":
        raise MalformedLineError("no measurement")
    return Line(head, fields, stamp_of(parts[2]) if len(parts) == 3 else None, False)


def _read_escaped(line: str) -> Line:
    head = _HEAD.match(line)
    if head is None or head[1][0] == ",":
        raise MalformedLineError("no measurement")
    position, fields, end = head.end(), [], ","
    while end == ",":
        field = _FIELD.match(line, position)
        if field is None:
            raise MalformedLineError("a field without a name or a value")
        fields.append((_plain(field[1]), field[2]))
        position, end = field.end(), field[3]
    rest = line[position : position + 2 * _MAX_DIGITS].strip()
    return Line(head[1], fields, stamp_of(rest) if rest else None, True)


def stamp_of(text: str) -> int:
    """The time of a line. Raises MalformedLineError."""
    digits = text[1:] if text[0] == "-" else text
    if len(digits) > _MAX_DIGITS or not digits.isdecimal() or not digits.isascii():
        raise MalformedLineError("the time is no integer")
    return int(text)


def value_of(raw: str) -> float | bool | str:
    """A field's value: a float, an integer (`1i`, `1u`), a truth value or a text. Raises MalformedLineError."""
    if len(raw) <= _MAX_NUMBER and "_" not in raw:
        try:
            return float(raw[:-1] if raw[-1] in "iu" else raw)
        except ValueError:
            pass
    if raw[0] == '"':
        return without_quotes(raw)
    if raw in _TRUTH:
        return _TRUTH[raw]
    raise MalformedLineError("a value that is no number, no text in quotes, neither true nor false")


def without_quotes(raw: str) -> str:
    """What a text in quotes says."""
    text = raw[1:-1]
    return _ESCAPED_IN_TEXT.sub(r"\1", text) if "\\" in text else text


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def joined(lines: list[str], first: int) -> tuple[Line, int] | None:
    """The line that begins at `first` and goes on, because a text in it holds line ends, to the next line with an odd
    number of quotes; and the position after it. None: there is none. Every line is looked at twice at most."""
    if not _is_odd(lines[first]):
        return None
    for last in range(first + 1, len(lines)):
        if _is_odd(lines[last]):
            try:
                return read("\n".join(lines[first : last + 1]).strip(" \r\t\0")), last + 1
            except MalformedLineError:
                return None
    return None


def _is_odd(line: str) -> bool:
    return (line.count('"') - line.count('\\"')) % 2 == 1
