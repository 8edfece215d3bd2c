"""What detection gives to a store: rows with natural keys, so that writing one twice changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.readings import ReadingColumns

__all__ = [
    "RULES",
    "Event",
    "EventScope",
    "IntervalColumns",
    "LedgerEntry",
    "LedgerScope",
    "Step",
    "event_id",
]

RULES: tuple[str, ...] = ("peak_demand", "peak_budget", "ac_cool_setpoint", "ac_heat_setpoint", "ac_hours")


@dataclass(frozen=True, slots=True)
class IntervalColumns:
    """Due demand intervals, all arrays of length n. Key: (item, start_ms).

    item: int32[n], a row of `Registry.items`, which names building and item. start_ms: int64[n], UTC.
    period: int16[n], an index of `Registry.period_names`. measured, estimated: float64[n] in the item's unit.
    coverage: float64[n] in 0..1. demand_kw: float64[n], NaN for a medium that is no electricity.
    revised: bool[n], true where an earlier step may already have given the row.
    """

    item: NDArray[np.int32]
    start_ms: NDArray[np.int64]
    period: NDArray[np.int16]
    measured: NDArray[np.float64]
    estimated: NDArray[np.float64]
    coverage: NDArray[np.float64]
    demand_kw: NDArray[np.float64]
    revised: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.start_ms)

    @classmethod
    def empty(cls) -> IntervalColumns:
        real = np.empty(0, np.float64)
        return cls(
            np.empty(0, np.int32),
            np.empty(0, np.int64),
            np.empty(0, np.int16),
            real,
            real,
            real,
            real,
            np.empty(0, np.bool_),
        )


class Event(NamedTuple):
    """One violation. Key: event_id. Times in UTC ms, duration in ms, limit and worst in the rule's unit."""

    event_id: str
    rule: str
    building: str
    device: str
    """Empty for building rules."""
    start_ms: int
    end_ms: int | None
    """None while open."""
    state: Literal["open", "closed", "withdrawn"]
    reason: str
    """Why it closed: corrected, no_data or scope; empty while open."""
    limit: float | None
    worst: float | None
    excess: float
    duration_ms: int
    policy: str


class LedgerEntry(NamedTuple):
    """Something a meter did that figures depend on. Key: (kind, device, quantity, ts_ms)."""

    kind: str
    """conflict, gap, rollover, outlier, reset, spike or too_late."""
    building: str
    device: str
    quantity: str
    ts_ms: int
    amount: float

    def after(self, before: LedgerEntry | None) -> LedgerEntry:
        """What is to stand once this entry comes where `before` stands.

        Of two readings of one key that both came too late the one that would have counted stays, in whatever steps they
        came; any other entry says all that is known of its key."""
        if before is None or self.kind != "too_late":
            return self
        best = max if self.quantity == "setpoint_c" else min
        return self._replace(amount=best(self.amount, before.amount))


class EventScope(NamedTuple):
    """After a recomputation: events of this rule, building and device that start at or after `from_ms`, stand in
    the store and are not among the step's events were undone, and are to be withdrawn."""

    rule: str
    building: str
    device: str
    from_ms: int


class LedgerScope(NamedTuple):
    """After a recomputation: entries of this device whose kind is among `kinds`, whose quantity is `quantity` (None:
    any) and whose ts is after `after_ms`, that are not among the step's entries, are to be removed."""

    device: str
    kinds: tuple[str, ...]
    quantity: str | None
    after_ms: int


@dataclass(frozen=True, slots=True)
class Step:
    """All that one step of detection changed. A store takes it whole, or not at all."""

    intervals: IntervalColumns = field(default_factory=IntervalColumns.empty)
    events: Sequence[Event] = ()
    """New and changed events, withdrawn ones included."""
    ledger: Sequence[LedgerEntry] = ()
    event_scopes: Sequence[EventScope] = ()
    ledger_scopes: Sequence[LedgerScope] = ()
    readings: ReadingColumns = field(default_factory=ReadingColumns.empty)
    """The accepted readings of the step, in order of arrival (the AC state's history is written from them)."""


def event_id(rule: str, building: str, device: str, start_ms: int) -> str:
    """16 hexadecimal digits made from rule, building, device and start alone: the same event, the same id."""
    text = "\x1f".join((rule, building, device, str(start_ms)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
