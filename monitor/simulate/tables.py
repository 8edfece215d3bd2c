"""The truth as the files that `replay` writes (SEMANTICS 6), and its readings as a replay input."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path

from monitor.results import Event, LedgerEntry
from monitor.simulate.stream import Reading
from monitor.simulate.truth import IntervalRow, Truth

__all__ = ["event_rows", "format_ts", "interval_rows", "ledger_rows", "write_readings", "write_truth"]

EVENT_COLUMNS = (
    *("event_id", "rule", "building", "device", "start", "end", "state", "reason"),
    *("limit", "worst", "excess", "duration_s", "policy"),
)
INTERVAL_COLUMNS = ("building", "item", "start", "period", "measured", "estimated", "coverage", "demand_kw")
LEDGER_COLUMNS = ("kind", "building", "device", "quantity", "ts", "amount")
READING_COLUMNS = ("ts", "device", "quantity", "value")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def format_ts(ts_ms: int) -> str:
    """ISO 8601 in UTC, milliseconds only where not 0."""
    time = _EPOCH + dt.timedelta(milliseconds=ts_ms)
    return time.isoformat(timespec="milliseconds" if ts_ms % 1000 else "seconds").replace("+00:00", "Z")


def _figure(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def event_rows(events: Iterable[Event]) -> list[list[str]]:
    return [
        [
            *(event.event_id, event.rule, event.building, event.device),
            format_ts(event.start_ms),
            "" if event.end_ms is None else format_ts(event.end_ms),
            *(event.state, event.reason),
            *(_figure(value) for value in (event.limit, event.worst, event.excess, event.duration_ms / 1000)),
            event.policy,
        ]
        for event in events
    ]


def interval_rows(intervals: Iterable[IntervalRow]) -> list[list[str]]:
    return [
        [
            *(row.building, row.item, format_ts(row.start_ms), row.period),
            *(_figure(value) for value in (row.measured, row.estimated, row.coverage, row.demand_kw)),
        ]
        for row in intervals
    ]


def ledger_rows(ledger: Iterable[LedgerEntry]) -> list[list[str]]:
    return [
        [entry.kind, entry.building, entry.device, entry.quantity, format_ts(entry.ts_ms), _figure(entry.amount)]
        for entry in ledger
    ]


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write_readings(readings: Iterable[Reading], path: Path) -> None:
    """A replay input: ts as epoch ms."""
    rows = ([str(ts_ms), device, quantity, repr(value)] for ts_ms, device, quantity, value in readings)
    _write(path, READING_COLUMNS, rows)


def write_truth(truth: Truth, folder: Path) -> None:
    """events.csv, intervals.csv and ledger.csv in a folder, which is made."""
    _write(folder / "events.csv", EVENT_COLUMNS, event_rows(truth.events))
    _write(folder / "intervals.csv", INTERVAL_COLUMNS, interval_rows(truth.intervals))
    _write(folder / "ledger.csv", LEDGER_COLUMNS, ledger_rows(truth.ledger))
