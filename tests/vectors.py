"""Streams with the results that the semantics demand (tests/vectors/), results read from CSV, and their comparison."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.naive import EventRow, IntervalRow, LedgerRow, NaiveResult, RejectedRow, Row

FOLDER = Path(__file__).parent / "vectors"
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Vector:
    """One folder: `config/`, `input.csv.gz` and `expected/`, which has no `event_id`."""

    name: str
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def input(self) -> Path:
        return self.folder / "input.csv.gz"

    @property
    def expected(self) -> Path:
        return self.folder / "expected"

    def __str__(self) -> str:
        return self.name


def list_vectors() -> list[Vector]:
    return [Vector(path.name, path) for path in sorted(FOLDER.iterdir()) if path.is_dir()]


def parse_ts_ms(cell: str) -> int | None:
    """ISO 8601 with zone, or epoch milliseconds; None for what is neither."""
    try:
        return int(cell)
    except ValueError:
        pass
    try:
        time = dt.datetime.fromisoformat(cell)
    except ValueError:
        return None
    return None if time.tzinfo is None else (time - EPOCH) // dt.timedelta(milliseconds=1)


def format_ts(ts_ms: int) -> str:
    """As replay writes it: milliseconds only where not 0."""
    time = EPOCH + dt.timedelta(milliseconds=ts_ms)
    return time.isoformat(timespec="milliseconds" if ts_ms % 1000 else "seconds").replace("+00:00", "Z")


def parse_value(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def read_input(path: Path) -> list[Row]:
    """The rows of a replay input (.csv or .csv.gz), in order of arrival."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    return [
        (parse_ts_ms(row["ts"]), row["device"], row["quantity"], parse_value(row["value"]))
        for row in csv.DictReader(io.StringIO(text))
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _ts(cell: str) -> int:
    ts_ms = parse_ts_ms(cell)
    assert ts_ms is not None, f"{cell!r} is no time"
    return ts_ms


def _optional(cell: str) -> float | None:
    return float(cell) if cell else None


def read_results(folder: Path) -> NaiveResult:
    """The four files that replay writes. An absent column `event_id` reads as empty."""
    intervals = [
        IntervalRow(
            row["building"],
            row["item"],
            _ts(row["start"]),
            row["period"],
            float(row["measured"]),
            float(row["estimated"]),
            float(row["coverage"]),
            _optional(row["demand_kw"]),
        )
        for row in _rows(folder / "intervals.csv")
    ]
    events = [
        EventRow(
            row.get("event_id", ""),
            row["rule"],
            row["building"],
            row["device"],
            _ts(row["start"]),
            _ts(row["end"]) if row["end"] else None,
            row["state"],
            row["reason"],
            _optional(row["limit"]),
            _optional(row["worst"]),
            float(row["excess"]),
            float(row["duration_s"]),
            row["policy"],
        )
        for row in _rows(folder / "events.csv")
    ]
    ledger = [
        LedgerRow(row["kind"], row["building"], row["device"], row["quantity"], _ts(row["ts"]), float(row["amount"]))
        for row in _rows(folder / "ledger.csv")
    ]
    rejected = [RejectedRow(row["reason"], int(row["count"])) for row in _rows(folder / "rejected.csv")]
    return NaiveResult(intervals, events, ledger, rejected)


def _same(found: Any, expected: Any) -> bool:
    if isinstance(found, float) and isinstance(expected, float):
        # Sums of many terms that cancel (0 against 1e-13) have no relative error worth the name.
        return math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-9)
    return bool(found == expected)


def _compare_rows(
    what: str,
    found: Iterable[Sequence[Any]],
    expected: Iterable[Sequence[Any]],
    columns: Sequence[str],
    key: Sequence[int],
    skipped: Sequence[int],
) -> list[str]:
    def by_key(rows: Iterable[Sequence[Any]]) -> dict[Hashable, Sequence[Any]]:
        return {tuple(row[n] for n in key): row for row in rows}

    found, expected = list(found), list(expected)
    found_of, expected_of = by_key(found), by_key(expected)
    differences = []
    if len(found_of) != len(found):
        differences.append(f"{what}: {len(found) - len(found_of)} rows share the key of another")
    for name in sorted(expected_of.keys() - found_of.keys(), key=str):
        differences.append(f"{what}: missing {expected_of[name]}")
    for name in sorted(found_of.keys() - expected_of.keys(), key=str):
        differences.append(f"{what}: not expected {found_of[name]}")
    for name, row in found_of.items():
        other = expected_of.get(name)
        if other is None:
            continue
        wrong = [
            f"{column} {row[n]!r}, expected {other[n]!r}"
            for n, column in enumerate(columns)
            if n not in skipped and not _same(row[n], other[n])
        ]
        if wrong:
            differences.append(f"{what} {name}: {'; '.join(wrong)}")
    return differences


def differences(found: NaiveResult, expected: NaiveResult, *, with_event_id: bool = True) -> list[str]:
    """What differs, a line each: keys exactly, figures within 1e-6 relative. Empty if the results are equal."""
    no_id = () if with_event_id else (0,)
    return [
        *_compare_rows("interval", found.intervals, expected.intervals, IntervalRow._fields, (0, 1, 2), ()),
        *_compare_rows("event", found.events, expected.events, EventRow._fields, (1, 2, 3, 4), no_id),
        *_compare_rows("ledger", found.ledger, expected.ledger, LedgerRow._fields, (0, 1, 2, 3, 4), ()),
        *_compare_rows("rejected", found.rejected, expected.rejected, RejectedRow._fields, (0,), ()),
    ]
