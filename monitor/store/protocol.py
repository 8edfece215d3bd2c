"""What every store promises. `tests/contracts` holds each of them to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from monitor.registry import Registry
from monitor.results import Event, IntervalColumns, LedgerEntry, Step

__all__ = ["Applied", "Interval", "Moved", "ResultStore"]


class Interval(NamedTuple):
    """One stored demand interval. Key: (building, item, start_ms)."""

    building: str
    item: str
    start_ms: int
    period: str
    measured: float
    estimated: float
    coverage: float
    demand_kw: float | None
    """None for a medium that is no electricity."""


class Moved(NamedTuple):
    """A stored interval whose period is another now (a reload changed the calendar): where the period is a tag, the
    row still stands under the old one."""

    item: int
    """Row of `Registry.items`."""
    start_ms: int
    period: str
    """The period under which it stood."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a step really changed. Outbox lines and metrics are made from this alone, so that a step that is given
    again (after a restart) is counted once.

    A row with `revised=False` is taken as new without asking the store; a restart can give such a row again.
    """

    intervals: IntervalColumns = field(default_factory=IntervalColumns.empty)
    """Rows that are new or differ from what stood there; rows and periods are those of the registry given."""
    events: Sequence[Event] = ()
    """New and changed events as they stand now, the withdrawn ones included."""
    ledger_added: Sequence[LedgerEntry] = ()
    """New entries, and entries whose amount changed."""
    ledger_removed: Sequence[LedgerEntry] = ()
    """As they stood before."""
    new_events: Sequence[Event] = ()
    """Those of `events` whose id the store did not know at all."""
    reopened: frozenset[str] = frozenset()
    """Ids of those of `events` that had an end before and have none now."""
    moved: Sequence[Moved] = ()
    revised_intervals: int = 0
    """Intervals that stood there with other figures."""
    withdrawn_events: int = 0
    """Events that were not withdrawn before and are now."""


class ResultStore(Protocol):
    """Where results are kept. One thread calls `apply`; the queries may be called between two of its calls."""

    def apply(self, step: Step, registry: Registry) -> Applied:
        """Take the whole step, or nothing of it.

        Idempotent: rows have natural keys, and the same step again leaves the same contents.
        Intervals and ledger entries are upserted, then what a scope covers and the step does not hold is withdrawn
        (events) or removed (ledger). A withdrawn event that comes back is upserted like any other; a withdrawn event
        that the store never had is passed over.

        Raises StoreError (`kind`, `retryable`) when the write failed; the store then stands as before.
        """
        ...

    def events_since(self, building_from: Mapping[str, int]) -> list[Event]:
        """Of each building named: the events, not withdrawn, that are open or start at or after its from_ms [UTC ms].

        In the order of `events()`. Used once, at the start.
        """
        ...

    def intervals(self) -> Iterator[Interval]:
        """All intervals, sorted by (building, item, start_ms)."""
        ...

    def events(self) -> Iterator[Event]:
        """All events, withdrawn ones too, sorted by (building, rule, device, start_ms)."""
        ...

    def ledger(self) -> Iterator[LedgerEntry]:
        """All entries, sorted by (kind, device, quantity, ts_ms)."""
        ...

    def close(self) -> None:
        """Release files. Calling it again does nothing."""
        ...
