"""The store in memory: what a replay computes into."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from monitor.registry import Registry
from monitor.results import Event, EventScope, IntervalColumns, LedgerEntry, LedgerScope, Step
from monitor.store.protocol import Applied, Interval, Moved

__all__ = ["MemoryStore", "take_intervals"]

_MINUTE_MS = 60_000
_ITER_ROWS = 65_536


def take_intervals(columns: IntervalColumns, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> IntervalColumns:
    """The rows that an index, a mask or a slice selects, in its order."""
    return IntervalColumns(*(getattr(columns, each.name)[rows] for each in fields(columns)))


class MemoryStore:
    """A `ResultStore` in dicts and columns. It ends with the process, and no write to it can fail."""

    def __init__(self) -> None:
        self._intervals = _IntervalTable()
        self._events: dict[str, Event] = {}
        self._event_starts: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
        """(rule, building, device) -> sorted (start_ms, event_id)."""
        self._ledger: dict[tuple[str, str, str, int], LedgerEntry] = {}
        self._ledger_times: dict[str, list[tuple[int, str, str]]] = {}
        """device -> sorted (ts_ms, kind, quantity)."""

    def apply(self, step: Step, registry: Registry) -> Applied:
        """See `ResultStore.apply`. Never raises StoreError."""
        changed, moved, revised = self._intervals.apply(step.intervals, registry)
        events, new, reopened, withdrawn = self._apply_events(step)
        added, removed = self._apply_ledger(step)
        return Applied(
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

    def _apply_events(self, step: Step) -> tuple[list[Event], list[Event], list[str], int]:
        changed: list[Event] = []
        new: list[Event] = []
        reopened: list[str] = []
        withdrawn = 0
        for event in step.events:
            before = self._events.get(event.event_id)
            if before == event or (before is None and event.state == "withdrawn"):
                continue
            if before is None:
                key = (event.rule, event.building, event.device)
                insort(self._event_starts.setdefault(key, []), (event.start_ms, event.event_id))
                new.append(event)
            else:
                if before.end_ms is not None and event.end_ms is None:
                    reopened.append(event.event_id)
                withdrawn += event.state == "withdrawn" and before.state != "withdrawn"
            self._events[event.event_id] = event
            changed.append(event)
        kept = {event.event_id for event in step.events}
        for scope in step.event_scopes:
            for event in self._undone(scope, kept):
                self._events[event.event_id] = gone = event._replace(state="withdrawn")
                changed.append(gone)
                withdrawn += 1
        return changed, new, reopened, withdrawn

    def _undone(self, scope: EventScope, kept: set[str]) -> list[Event]:
        starts = self._event_starts.get((scope.rule, scope.building, scope.device), [])
        ids = [key for _, key in starts[bisect_left(starts, (scope.from_ms, "")) :] if key not in kept]
        return [event for event in map(self._events.__getitem__, ids) if event.state != "withdrawn"]

    def _apply_ledger(self, step: Step) -> tuple[list[LedgerEntry], list[LedgerEntry]]:
        added: list[LedgerEntry] = []
        removed: list[LedgerEntry] = []
        kept = set()
        for entry in step.ledger:
            key = (entry.kind, entry.device, entry.quantity, entry.ts_ms)
            kept.add(key)
            before = self._ledger.get(key)
            after = entry.after(before)
            if before == after:
                continue
            if before is None:
                insort(self._ledger_times.setdefault(entry.device, []), (entry.ts_ms, entry.kind, entry.quantity))
            self._ledger[key] = after
            added.append(after)
        for scope in step.ledger_scopes:
            removed.extend(self._remove(scope, kept))
        return added, removed

    def _remove(self, scope: LedgerScope, kept: set[tuple[str, str, str, int]]) -> list[LedgerEntry]:
        times = self._ledger_times.get(scope.device)
        if not times:
            return []
        first = bisect_right(times, scope.after_ms, key=lambda each: each[0])
        stays: list[tuple[int, str, str]] = []
        removed: list[LedgerEntry] = []
        for ts_ms, kind, quantity in times[first:]:
            key = (kind, scope.device, quantity, ts_ms)
            if kind in scope.kinds and scope.quantity in (None, quantity) and key not in kept:
                removed.append(self._ledger.pop(key))
            else:
                stays.append((ts_ms, kind, quantity))
        if removed:
            times[first:] = stays
        return removed

    def events_since(self, building_from: Mapping[str, int]) -> list[Event]:
        """See `ResultStore.events_since`."""
        return [
            event
            for event in self.events()
            if event.state != "withdrawn"
            and event.building in building_from
            and (event.end_ms is None or event.start_ms >= building_from[event.building])
        ]

    def intervals(self) -> Iterator[Interval]:
        """See `ResultStore.intervals`."""
        return self._intervals.rows()

    def events(self) -> Iterator[Event]:
        """See `ResultStore.events`."""
        return iter(
            sorted(self._events.values(), key=lambda each: (each.building, each.rule, each.device, each.start_ms))
        )

    def ledger(self) -> Iterator[LedgerEntry]:
        """See `ResultStore.ledger`."""
        return (self._ledger[key] for key in sorted(self._ledger))

    def close(self) -> None:
        """See `ResultStore.close`: there is nothing to release."""


class _IntervalTable:
    """Intervals in growing columns; the rows keep their place, revisions overwrite them.

    A dict from key to place took 170 bytes a row and more time than everything else. Instead the keys are indexed by
    sorted runs, made only when a revision asks, and merged when they are of like size: a revision of m rows costs
    m searches in each of the log n runs.
    """

    def __init__(self) -> None:
        self._count = 0
        self._indexed = 0
        self._columns = IntervalColumns.empty()
        self._runs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        """Sorted keys and their places, oldest run first; equal keys stand in the order of their places."""
        self._items: dict[tuple[str, str], int] = {}
        """(building, item) -> row of this table's own: rows of the registry change when it is loaded again."""
        self._periods: dict[str, int] = {}
        self._registry: Registry | None = None
        self._own_item = np.empty(0, np.int32)
        self._own_period = np.empty(0, np.int16)

    def apply(self, given: IntervalColumns, registry: Registry) -> tuple[IntervalColumns, list[Moved], int]:
        """The rows that changed, those that changed their period, and how many stood there with other figures."""
        if not len(given):
            return given, [], 0
        self._know(registry)
        own = replace(given, item=self._own_item[given.item], period=self._own_period[given.period])
        if not given.revised.any():
            self._append(own)
            return given, [], 0
        fresh = np.flatnonzero(~given.revised)
        asked = np.flatnonzero(given.revised)
        self._append(take_intervals(own, fresh))
        wanted = take_intervals(own, asked)
        place = self._find(_keys(wanted))
        known = place >= 0
        at = place[known]
        differs = _differs(wanted, known, self._columns, at)
        names = list(self._periods)
        changed_at = at[differs]
        changed = np.flatnonzero(known)[differs]
        other = np.flatnonzero(self._columns.period[changed_at] != wanted.period[changed])
        moved = [
            Moved(
                int(given.item[asked[changed[row]]]),
                int(wanted.start_ms[changed[row]]),
                names[self._columns.period[changed_at[row]]],
            )
            for row in other
        ]
        for each in fields(IntervalColumns):
            getattr(self._columns, each.name)[changed_at] = getattr(wanted, each.name)[changed]
        self._append(take_intervals(wanted, ~known))
        rows = np.sort(np.concatenate([fresh, asked[~known], asked[changed]]))
        return take_intervals(given, rows), moved, len(changed)

    def _know(self, registry: Registry) -> None:
        if registry is self._registry:
            return
        self._registry = registry
        own = [
            self._items.setdefault((registry.buildings[item.building].id, item.name), len(self._items))
            for item in registry.items
        ]
        self._own_item = np.array(own, np.int32)
        periods = [self._periods.setdefault(name, len(self._periods)) for name in registry.period_names]
        self._own_period = np.array(periods, np.int16)

    def _append(self, rows: IntervalColumns) -> None:
        end = self._count + len(rows)
        room = len(self._columns)
        if end > room:
            grown = []
            for each in fields(IntervalColumns):
                column = getattr(self._columns, each.name)
                wider = np.empty(max(end, 2 * room, 1024), column.dtype)
                wider[: self._count] = column[: self._count]
                grown.append(wider)
            self._columns = IntervalColumns(*grown)
        for each in fields(IntervalColumns):
            getattr(self._columns, each.name)[self._count : end] = getattr(rows, each.name)
        self._count = end

    def _find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The place of each key, -1 where there is none; of equal keys the one written last."""
        self._index()
        found = np.full(len(keys), -1, np.int64)
        for run_keys, run_places in self._runs:
            last = np.searchsorted(run_keys, keys, side="right") - 1
            hit = (last >= 0) & (run_keys[last] == keys)
            found[hit] = run_places[last[hit]]
        return found

    def _index(self) -> None:
        if self._indexed < self._count:
            tail = take_intervals(self._columns, slice(self._indexed, self._count))
            self._runs.append(_run(_keys(tail), self._indexed))
            self._indexed = self._count
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            new_keys, new_places = self._runs.pop()
            old_keys, old_places = self._runs.pop()
            keys = np.concatenate([old_keys, new_keys])
            order = np.argsort(keys, kind="stable")
            self._runs.append((keys[order], np.concatenate([old_places, new_places])[order]))

    def rows(self) -> Iterator[Interval]:
        """All rows, sorted; of equal keys the one written last."""
        items = sorted(self._items)
        rank = np.empty(len(items), np.int64)
        for place, name in enumerate(items):
            rank[self._items[name]] = place
        columns = self._columns
        if not self._count:
            return
        keys = rank[columns.item[: self._count]] << 32 | columns.start_ms[: self._count] // _MINUTE_MS
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        order = order[np.append(keys[1:] != keys[:-1], True)]
        names = list(self._items)
        periods = list(self._periods)
        for first in range(0, len(order), _ITER_ROWS):
            part = take_intervals(columns, order[first : first + _ITER_ROWS])
            pairs = [names[row] for row in part.item.tolist()]
            yield from starmap(
                Interval,
                zip(
                    (pair[0] for pair in pairs),
                    (pair[1] for pair in pairs),
                    part.start_ms.tolist(),
                    (periods[row] for row in part.period.tolist()),
                    part.measured.tolist(),
                    part.estimated.tolist(),
                    part.coverage.tolist(),
                    (None if demand != demand else demand for demand in part.demand_kw.tolist()),
                    strict=True,
                ),
            )


def _keys(columns: IntervalColumns) -> NDArray[np.int64]:
    """One number for (item, start): intervals start on whole minutes, 32 bits of minutes reach to the year 10136."""
    return columns.item.astype(np.int64) << 32 | columns.start_ms // _MINUTE_MS


def _run(keys: NDArray[np.int64], first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.argsort(keys, kind="stable")
    return keys[order], order + first


def _differs(
    wanted: IntervalColumns, known: NDArray[np.bool_], stored: IntervalColumns, at: NDArray[np.int64]
) -> NDArray[np.bool_]:
    differs: NDArray[np.bool_] = wanted.period[known] != stored.period[at]
    for name in ("measured", "estimated", "coverage", "demand_kw"):
        new, old = getattr(wanted, name)[known], getattr(stored, name)[at]
        differs |= (new != old) & ~(np.isnan(new) & np.isnan(old))
    return differs
