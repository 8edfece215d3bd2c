"""Lines of CSV as elements: objects of texts by the column's name, and by its number where the mapping counts."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import NamedTuple

from monitor.decoders.payloads import shown
from monitor.decoders.values import Found, UnreadableError

__all__ = ["SEPARATORS", "Table", "column_key"]

SEPARATORS = {"auto": "", "comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
_MOST_COLUMNS = 1000


def column_key(column: str | int) -> str:
    """The key of a column in an element. Numbers cannot meet names: no name begins with a zero byte."""
    return column if isinstance(column, str) else f"\0{column}"


class Table(NamedTuple):
    """How the lines of one source look."""

    separator: str = ""
    """Empty: tab, semicolon or comma, the first of them that the first line has."""
    columns: tuple[str, ...] = ()
    """Empty: as the first line says, where there is a header."""
    has_header: bool = True
    numbers: tuple[int, ...] = ()
    """Columns that the mapping names by number, from 1."""

    def elements(self, payload: bytes, found: Found) -> Iterator[dict[str, str]]:
        """One for each line that is whole. Raises UnreadableError."""
        try:
            text = payload.decode("utf-8-sig").strip("\r\n\0")
        except UnicodeDecodeError:
            raise UnreadableError(f"no UTF-8 text: {shown(payload)}") from None
        lines = [
            line
            for line in (each.rstrip("\r") for each in text.split("\n"))
            if line and not line.isspace() and line[0] != "#"
        ]
        if not lines:
            return
        separator = self.separator or next((each for each in "\t;," if each in lines[0]), ",")
        rows = _cells(lines, separator)
        columns = self.columns
        if not columns and self.has_header:
            columns = tuple(cell.strip() for cell in next(rows, []))
            if len(columns) > _MOST_COLUMNS:
                raise UnreadableError(f"{len(columns)} columns, expected at most {_MOST_COLUMNS}")
        count = len(columns)
        for number, cells in enumerate(rows, 1):
            if number == 1 and columns and [cell.strip() for cell in cells] == list(columns):
                continue  # a header although the mapping names the columns
            if count and len(cells) != count and not (len(cells) == count + 1 and not cells[-1].strip()):
                # One cell too many shifts all behind it: a decimal comma between commas does so.
                detail = f"{len(cells)} cells for {count} columns: {shown(separator.join(cells))}"
                found.reject("malformed", detail)
                continue
            element = dict(zip(columns, cells, strict=False))
            for column in self.numbers:
                if column <= len(cells):
                    element[column_key(column)] = cells[column - 1]
            yield element


def _cells(lines: list[str], separator: str) -> Iterator[list[str]]:
    if not any('"' in line for line in lines):
        for line in lines:
            yield line.split(separator)
        return
    try:
        yield from csv.reader(lines, delimiter=separator)
    except csv.Error as error:
        raise UnreadableError(f"no CSV: {error}") from None
