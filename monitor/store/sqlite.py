"""The embedded store: results, and the lines that wait for a sink, in one SQLite file and one transaction."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.registry import Registry
from monitor.results import Event, EventScope, IntervalColumns, LedgerEntry, LedgerScope, Step
from monitor.store.downsample import Downsampler
from monitor.store.lines import LineEncoder
from monitor.store.memory import take_intervals
from monitor.store.outbox import insert_batches
from monitor.store.protocol import Applied, Interval, Moved
from monitor.store.schema import connect, transaction, translated

__all__ = ["SqliteStore"]

_UPSERT_INTERVAL = "INSERT OR REPLACE INTO intervals VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_UPSERT_EVENT = f"INSERT OR REPLACE INTO events VALUES ({', '.join('?' * len(Event._fields))})"
_UPSERT_LEDGER = "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?)"
_ONE_EVENT = "SELECT * FROM events WHERE event_id = ?"
_ONE_ENTRY = "SELECT * FROM ledger WHERE kind = ? AND device = ? AND quantity = ? AND ts_ms = ?"

_Row = TypeVar("_Row")

_RANGE_MS = 86_400_000
"""Revised rows of one item that lie closer than this are compared by one range query."""


class SqliteStore:
    """A `ResultStore` in a SQLite file (WAL, synchronous FULL: what `apply` returned is on the disk)."""

    def __init__(
        self,
        path: Path,
        *,
        sinks: Sequence[str] = (),
        encoder: LineEncoder | None = None,
        now_ms: Callable[[], int] = lambda: 0,
        busy_timeout_s: float = 30.0,
    ) -> None:
        """sinks: names under which the lines of each step wait in the outbox; none: no lines are made.
        now_ms: the clock for the age of waiting lines [UTC ms].

        Raises StoreError.
        """
        self._path = path
        self._sinks = tuple(sinks)
        self._encoder = encoder or LineEncoder()
        self._downsampler = Downsampler()
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._registry: Registry | None = None
        self._names: list[tuple[str, str]] = []
        self._rank = np.empty(0, np.int64)
        self._db = connect(path, busy_timeout_s=busy_timeout_s)

    def apply(self, step: Step, registry: Registry) -> Applied:
        """See `ResultStore.apply`. The lines for the sinks are part of the same transaction."""
        with self._lock, translated(self._path, "store a step"), self._whole():
            self._know(registry)
            changed, moved, revised = self._apply_intervals(step.intervals, registry)
            events, new, reopened, withdrawn = self._apply_events(step)
            added, removed = self._apply_ledger(step)
            applied = Applied(
                intervals=changed,
                events=events,
                ledger_added=added,
                ledger_removed=removed,
                new_events=new,
                reopened=frozenset(reopened),
                moved=moved,
                revised_intervals=revised,
                withdrawn_events=withdrawn,
            )
            if self._sinks:
                self._put_out(applied, step, registry)
        return applied

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """A transaction; what is kept in memory beside it goes with it."""
        try:
            with transaction(self._db):
                yield
        except BaseException:
            self._downsampler.forget()
            raise

    def _put_out(self, applied: Applied, step: Step, registry: Registry) -> None:
        sums = None
        if len(applied.intervals):
            sums = self._downsampler.sums(self._db, applied.intervals, applied.moved, registry)
        insert_batches(self._db, self._sinks, self._encoder.encode(applied, step, registry, sums), self._now_ms())

    def _know(self, registry: Registry) -> None:
        if registry is self._registry:
            return
        self._registry = registry
        self._names = [(registry.buildings[item.building].id, item.name) for item in registry.items]
        order = sorted(range(len(self._names)), key=self._names.__getitem__)
        self._rank = np.empty(len(order), np.int64)
        self._rank[order] = np.arange(len(order))

    def _apply_intervals(self, given: IntervalColumns, registry: Registry) -> tuple[IntervalColumns, list[Moved], int]:
        if not len(given):
            return given, [], 0
        moved: list[Moved] = []
        revised = 0
        changed = given
        if given.revised.any():
            keeps, moved, revised = self._compared(given, registry)
            changed = take_intervals(given, keeps)
        # in the order of the key: neighbours share a page, which made the bulk twice as fast
        order = np.lexsort((changed.start_ms, self._rank[changed.item]))
        self._db.executemany(_UPSERT_INTERVAL, self._rows(take_intervals(changed, order), registry))
        return changed, moved, revised

    def _compared(self, given: IntervalColumns, registry: Registry) -> tuple[NDArray[np.bool_], list[Moved], int]:
        """Which rows are to be written: all that are not `revised`, and of the others those that differ."""
        keeps = ~given.revised
        asked = np.flatnonzero(given.revised)
        asked = asked[np.lexsort((given.start_ms[asked], self._rank[given.item[asked]]))]
        item, start_ms = given.item[asked], given.start_ms[asked]
        breaks = np.flatnonzero((np.diff(item) != 0) | (np.diff(start_ms) > _RANGE_MS)) + 1
        rows = self._rows(take_intervals(given, asked), registry)
        moved: list[Moved] = []
        revised = 0
        for group in np.split(asked, breaks):
            building, name = self._names[given.item[group[0]]]
            first, last = int(given.start_ms[group[0]]), int(given.start_ms[group[-1]])
            query = "SELECT * FROM intervals WHERE building = ? AND item = ? AND start_ms BETWEEN ? AND ?"
            stored = {row[2]: row for row in self._db.execute(query, (building, name, first, last))}
            for place in group.tolist():
                row = next(rows)
                before = stored.get(row[2])
                if before == row:
                    continue
                keeps[place] = True
                if before is not None:
                    revised += 1
                    if before[3] != row[3]:
                        moved.append(Moved(int(given.item[place]), row[2], before[3]))
        return keeps, moved, revised

    def _rows(self, columns: IntervalColumns, registry: Registry) -> Iterator[Interval]:
        items = columns.item.tolist()
        buildings = [name[0] for name in self._names]
        names = [name[1] for name in self._names]
        return zip(  # type: ignore[return-value]  # plain tuples in an Interval's order: making it costs a third more
            map(buildings.__getitem__, items),
            map(names.__getitem__, items),
            columns.start_ms.tolist(),
            map(registry.period_names.__getitem__, columns.period.tolist()),
            columns.measured.tolist(),
            columns.estimated.tolist(),
            columns.coverage.tolist(),
            [None if demand != demand else demand for demand in columns.demand_kw.tolist()],
            strict=True,
        )

    def _apply_events(self, step: Step) -> tuple[list[Event], list[Event], list[str], int]:
        changed: list[Event] = []
        new: list[Event] = []
        reopened: list[str] = []
        withdrawn = 0
        for event in step.events:
            row = self._db.execute(_ONE_EVENT, (event.event_id,)).fetchone()
            if row == event or (row is None and event.state == "withdrawn"):
                continue
            if row is None:
                new.append(event)
            else:
                before = Event(*row)
                if before.end_ms is not None and event.end_ms is None:
                    reopened.append(event.event_id)
                withdrawn += event.state == "withdrawn" and before.state != "withdrawn"
            self._db.execute(_UPSERT_EVENT, event)
            changed.append(event)
        kept = {event.event_id for event in step.events}
        for scope in step.event_scopes:
            undone = [
                event._replace(state="withdrawn") for event in self._in_scope(scope) if event.event_id not in kept
            ]
            self._db.executemany(_UPSERT_EVENT, undone)
            changed += undone
            withdrawn += len(undone)
        return changed, new, reopened, withdrawn

    def _in_scope(self, scope: EventScope) -> list[Event]:
        return self._events(
            "WHERE rule = ? AND building = ? AND device = ? AND start_ms >= ? AND state <> 'withdrawn' "
            "ORDER BY start_ms",
            scope,
        )

    def _apply_ledger(self, step: Step) -> tuple[list[LedgerEntry], list[LedgerEntry]]:
        added: list[LedgerEntry] = []
        for entry in step.ledger:
            row = self._db.execute(_ONE_ENTRY, (entry.kind, entry.device, entry.quantity, entry.ts_ms)).fetchone()
            before = None if row is None else LedgerEntry(*row)
            after = entry.after(before)
            if after != before:
                self._db.execute(_UPSERT_LEDGER, after)
                added.append(after)
        kept = {(entry.kind, entry.device, entry.quantity, entry.ts_ms) for entry in step.ledger}
        scopes_of: dict[str, list[LedgerScope]] = {}
        for scope in step.ledger_scopes:
            scopes_of.setdefault(scope.device, []).append(scope)
        removed = [entry for scopes in scopes_of.values() for entry in self._remove(scopes, kept)]
        return added, removed

    def _remove(self, scopes: Sequence[LedgerScope], kept: set[tuple[str, str, str, int]]) -> list[LedgerEntry]:
        """scopes: all of one device: after a restart there are hundreds of thousands, and each query has its price."""
        found = self._db.execute(
            "SELECT * FROM ledger WHERE device = ? AND ts_ms > ? ORDER BY ts_ms, kind, quantity",
            (scopes[0].device, min(scope.after_ms for scope in scopes)),
        )
        removed = [
            entry
            for entry in map(LedgerEntry._make, found)
            if (entry.kind, entry.device, entry.quantity, entry.ts_ms) not in kept
            and any(
                entry.ts_ms > scope.after_ms and entry.kind in scope.kinds and scope.quantity in (None, entry.quantity)
                for scope in scopes
            )
        ]
        if not removed:
            return removed
        self._db.executemany(
            "DELETE FROM ledger WHERE kind = ? AND device = ? AND quantity = ? AND ts_ms = ?",
            [(entry.kind, entry.device, entry.quantity, entry.ts_ms) for entry in removed],
        )
        return removed

    def events_since(self, building_from: Mapping[str, int]) -> list[Event]:
        """See `ResultStore.events_since`. Raises StoreError."""
        if not building_from:
            return []
        with self._lock, translated(self._path, "read events"):
            found = self._events("WHERE end_ms IS NULL AND state <> 'withdrawn'", ())
            found += self._events(
                "WHERE start_ms >= ? AND end_ms IS NOT NULL AND state <> 'withdrawn'", (min(building_from.values()),)
            )
        asked = [
            event
            for event in found
            if event.building in building_from
            and (event.end_ms is None or event.start_ms >= building_from[event.building])
        ]
        return sorted(asked, key=lambda each: (each.building, each.rule, each.device, each.start_ms))

    def _events(self, condition: str, values: Iterable[object]) -> list[Event]:
        return [Event(*row) for row in self._db.execute(f"SELECT * FROM events {condition}", tuple(values))]

    def intervals(self) -> Iterator[Interval]:
        """See `ResultStore.intervals`. Raises StoreError."""
        return self._stream("SELECT * FROM intervals ORDER BY building, item, start_ms", Interval._make)

    def events(self) -> Iterator[Event]:
        """See `ResultStore.events`. Raises StoreError."""
        return self._stream("SELECT * FROM events ORDER BY building, rule, device, start_ms", Event._make)

    def ledger(self) -> Iterator[LedgerEntry]:
        """See `ResultStore.ledger`. Raises StoreError."""
        return self._stream("SELECT * FROM ledger ORDER BY kind, device, quantity, ts_ms", LedgerEntry._make)

    def _stream(self, query: str, make: Callable[[Iterable[Any]], _Row]) -> Iterator[_Row]:
        with translated(self._path, "read"):
            yield from map(make, self._db.execute(query))

    def close(self) -> None:
        """See `ResultStore.close`."""
        with self._lock:
            self._db.close()
