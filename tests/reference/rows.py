"""What goes into the reference and what comes out of it, row by row. Times are UTC milliseconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Row = tuple[int | None, str, str, float]
"""ts (None: the cell holds no time), device, quantity, value as reported (NaN: the cell holds no number)."""

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


class IntervalRow(NamedTuple):
    building: str
    item: str
    start_ms: int
    period: str
    measured: float
    estimated: float
    coverage: float
    demand_kw: float | None


class EventRow(NamedTuple):
    event_id: str
    rule: str
    building: str
    device: str
    start_ms: int
    end_ms: int | None
    state: str
    reason: str
    limit: float | None
    worst: float | None
    excess: float
    duration_s: float
    policy: str


class LedgerRow(NamedTuple):
    kind: str
    building: str
    device: str
    quantity: str
    ts_ms: int
    amount: float


class RejectedRow(NamedTuple):
    reason: str
    rows: int


@dataclass(frozen=True)
class NaiveResult:
    """Each list sorted by its key columns."""

    intervals: list[IntervalRow]
    events: list[EventRow]
    ledger: list[LedgerRow]
    rejected: list[RejectedRow]
