"""CSV files as spreadsheets save them: UTF-8 with or without a BOM, a header, empty cells for defaults.

Lines that begin with `#` are comments, also those that a spreadsheet has parted into cells.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from monitor.config.findings import Bounds, Findings, nearest, number_of, shown, text_problem

__all__ = ["Row", "header_of", "read_table"]

_QUOTED_OR_COMMENT = re.compile(r'((?:^|,)"(?:[^"]|"")*+")|^#[^\r\n]*', re.MULTILINE)
"""A cell in quotes may have lines of its own, which are no comments."""


class Row:
    """One row whose cells are read by column. A cell that is wrong is entered in the findings and reads as empty."""

    __slots__ = ("_cells", "_file", "_findings", "line")

    def __init__(self, file: str, line: int, cells: dict[str, str], findings: Findings) -> None:
        self._file, self.line, self._cells, self._findings = file, line, cells, findings

    def error(self, column: str, found: str) -> None:
        self._findings.error(self._file, found, line=self.line, column=column)

    def warn(self, column: str, found: str) -> None:
        self._findings.warn(self._file, found, line=self.line, column=column)

    def given(self, column: str) -> bool:
        return bool(self._cells.get(column))

    def text(self, column: str, default: str = "") -> str:
        text = self._cells.get(column)
        if not text:
            return default
        problem = text_problem(text)
        if problem is not None:
            self.error(column, problem)
            return default
        return text

    def required(self, column: str) -> str:
        if not self._cells.get(column):
            self.error(column, "empty, expected a text")
        return self.text(column)

    def choice(self, column: str, default: str, choices: Collection[str]) -> str:
        text = self._cells.get(column)
        if not text:
            return default
        if text not in choices:
            self.error(column, f"found {shown(text)}, expected one of {', '.join(choices)}{nearest(text, choices)}")
            return default
        return text

    def number(self, column: str, bounds: Bounds) -> float | None:
        text = self._cells.get(column)
        if not text:
            return None
        value = number_of(text, bounds)
        if isinstance(value, str):
            self.error(column, value)
            return None
        return value


def read_table(
    path: Path, file: str, findings: Findings, *, required: Collection[str], optional: Collection[str]
) -> Iterator[Row]:
    """The rows of a file that are not wholly empty. What is wrong with the file itself is entered in the findings."""
    try:
        data = path.read_bytes()
    except OSError as error:
        findings.error(file, f"cannot be read: {error.strerror or error}; check that it is there and its permissions")
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        findings.error(file, "not UTF-8 text; save the sheet as 'CSV UTF-8'", line=line)
        return
    reader = csv.reader(_without_comments(text), strict=True)
    columns: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            first_line, line = line, reader.line_num + 1
            if _is_passed_over(cells):
                continue
            if columns is None:
                columns = _header(cells, file, first_line, findings, required=required, optional=optional)
                if columns is None:
                    return
                continue
            if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                findings.error(
                    file,
                    f"found {len(cells)} cells, expected {len(columns)}; put a text that holds a comma in quotes",
                    line=first_line,
                )
                continue
            stripped = {column: cell.strip() for column, cell in zip(columns, cells, strict=False)}
            yield Row(file, first_line, stripped, findings)
    except csv.Error as error:
        findings.error(file, f"not valid CSV: {error}; check the quotes", line=reader.line_num)
        return
    if columns is None:
        findings.error(file, f"empty, expected a header with the columns {', '.join(required)}")


def header_of(path: Path) -> list[str]:
    """The columns of a file in which nothing is wrong."""
    reader = csv.reader(_without_comments(path.read_text("utf-8-sig")))
    return [column.strip() for column in next(cells for cells in reader if not _is_passed_over(cells))]


def _without_comments(text: str) -> io.StringIO:
    """Their lines are left empty, for quotes in them are no CSV."""
    return io.StringIO(_QUOTED_OR_COMMENT.sub(lambda match: match[1] or "", text), newline="")


def _is_passed_over(cells: Sequence[str]) -> bool:
    return not any(cell.strip() for cell in cells) or cells[0].startswith("#")


def _header(
    cells: list[str],
    file: str,
    line: int,
    findings: Findings,
    *,
    required: Collection[str],
    optional: Collection[str],
) -> list[str] | None:
    """The names of the columns; None if rows cannot be told apart by them."""
    columns = [cell.strip() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        findings.error(
            file, "the columns are not parted by commas; save the sheet with the comma as separator", line=line
        )
        return None
    known = [*required, *optional]
    usable = True
    for number, column in enumerate(columns):
        if columns.index(column) != number:
            findings.error(file, "the column is there twice; remove one", line=line, column=column or None)
            usable = False
        elif column not in known and not column.startswith("x_"):
            like = nearest(column, set(known) - set(columns))
            findings.error(
                file,
                f"unknown column{like}; expected {', '.join(known)}, or a name that begins with x_",
                line=line,
                column=column or f"number {number + 1}",
            )
    for column in required:
        if column not in columns:
            findings.error(file, "the column is missing", line=line, column=column)
            usable = False
    return columns if usable else None
