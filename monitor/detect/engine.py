"""Readings in, results out: the one core of the live monitor and of the replay.

Readings that are in order for their own device take the state forward. Any other reading makes its building
disordered: the building is computed again, by the same kernels, from the newest earlier state that knows nothing as
late as that reading, and the step says what undone results are to go. So the results are a function of the set of
readings (SEMANTICS 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.detect.findings import TOO_LATE, Found, Namer
from monitor.detect.history import Anchor, History, Snapshot
from monitor.detect.kernels.advance import advance
from monitor.detect.kernels.sorting import admit, find_disorder, sort_by_device
from monitor.detect.offsets import doubtful_buildings, offset_error
from monitor.detect.params import (
    Calendars,
    Layout,
    Params,
    build_layout,
    build_params,
    compile_calendars,
)
from monitor.detect.scopes import event_scopes, ledger_scopes
from monitor.detect.state import AXES, NEVER, NONE, State, clear_building, copy_building, empty_state
from monitor.errors import ConfigError
from monitor.readings import Quantity, ReadingColumns
from monitor.registry import Registry
from monitor.results import Event, LedgerEntry, Step

DAY_MS = 86_400_000
PORTION_DEVICES = 10_000
"""Buildings with together about so many devices are computed again at once: a week of theirs is some 200 MB."""


@dataclass(slots=True)
class _Sorted:
    """Readings by device and time, and what they mean for each building."""

    offsets: NDArray[np.int64]
    quantity: NDArray[np.int8]
    ts_ms: NDArray[np.int64]
    value: NDArray[np.float64]
    touched: NDArray[np.bool_]
    disorder: NDArray[np.bool_]
    first_source_ts: NDArray[np.int64]


class Engine:
    """Owns the state. Not thread-safe: one caller at a time.

    horizon_ms: the revision horizon, None for none. An exception out of `step` leaves the state undefined: go back to
    the last checkpoint.
    """

    def __init__(self, registry: Registry, history: History, *, horizon_ms: int | None) -> None:
        self.registry = registry
        self.history = history
        self.horizon_ms = -1 if horizon_ms is None else horizon_ms
        self.layout: Layout = build_layout(registry)
        self.state: State = empty_state(self.layout)
        self.late_readings = 0
        """How often so far late readings made a building be computed again."""
        self._calendars: Calendars | None = None
        self._params: Params | None = None
        self._namer = Namer(registry)
        self._deferred = np.zeros(len(registry.buildings), np.bool_)
        self._doubtful = np.zeros(len(registry.buildings), np.bool_)

    # ------------------------------------------------------------------ steps

    def step(self, columns: ReadingColumns, end: int, *, defer: bool = False) -> Step:
        """Takes in readings in order of arrival; `end` is the history's position after them.

        defer: leave disordered buildings alone until `finish`, which then computes each of them once."""
        found = Found()
        accepted, late = self._admit(columns, self.state)
        found.ledger.extend(late)
        batch = self._sort(accepted)
        disorder = batch.disorder | (self._deferred & batch.touched)
        in_order = batch.touched & ~disorder
        if in_order.any():
            self._advance(batch, in_order, found, whole_window=False)
        if defer:
            self._deferred |= disorder
        elif disorder.any():
            self.late_readings += int(disorder.sum())
            self._compute_again(disorder, end, found)
        return found.as_step(accepted)

    def finish(self, end: int) -> Step:
        """What `defer` has left."""
        found = Found()
        if self._deferred.any():
            self._compute_again(self._deferred, end, found)
            self._deferred[:] = False
        return found.as_step(ReadingColumns.empty())

    def absorb(self, columns: ReadingColumns) -> None:
        """Takes admitted readings, in order of arrival, into the state and gives no results: to make an earlier state
        of a still earlier one. The clocks become those of what is in the state."""
        self.state.clock[:] = NONE
        known = self.state.last_ts != NONE
        for building in range(len(self.registry.buildings)):
            part = self.layout.slice("D", building)
            if known[part].any():
                self.state.clock[building] = self.state.last_ts[part].max()
        batch = self._sort(columns)
        if batch.disorder.any():
            columns, _ = self._refuse(columns, batch.disorder)
            batch = self._sort(columns)
        if batch.touched.any():
            newest = np.full(len(self.registry.buildings), NONE, np.int64)
            np.maximum.at(newest, self.registry.device_building[columns.device], columns.ts_ms)
            np.maximum(self.state.clock, newest, out=self.state.clock)
            self._advance(batch, batch.touched, Found(), whole_window=False)

    def freeze(self) -> Step:
        """Judges all that is due for good, before another configuration takes over."""
        found = Found()
        seen = self.state.clock != NONE
        if seen.any():
            self._advance(self._sort(ReadingColumns.empty()), seen, found, whole_window=False, freeze=True)
        return found.as_step(ReadingColumns.empty())

    # ------------------------------------------------------------------ state in and out

    def snapshot(self, end: int) -> Snapshot:
        """A copy of the state, in which all readings before `end` are."""
        arrays = {name: getattr(self.state, name).copy() for name in AXES}
        return Snapshot(arrays, np.full(len(self.registry.buildings), end, np.int64))

    def recover(self, events_since: Callable[[Mapping[str, int]], list[Event]], end: int) -> Step:
        """After a restart: the newest state, and all that the readings since then make of it.

        The store may be ahead of that state, so what the step does not hold of the time since then is undone.
        events_since: building id to ms -> the store's events that are open or start at or after it."""
        anchor = next(iter(self.history.anchors()))
        if anchor.arrays is not None:
            for name in AXES:
                getattr(self.state, name)[...] = anchor.arrays[name]
        everything = np.ones(len(self.registry.buildings), np.bool_)
        since = self.history.readings(everything, anchor, end)
        first_ts = _first_ts(since, len(self.registry.devices))
        p = self._require_params()
        scopes = {}
        for building in range(len(self.registry.buildings)):
            for scope in event_scopes(self.registry, self.layout, p, self.state, building, first_ts):
                scopes[scope.rule, scope.building, scope.device] = scope.from_ms
        earliest: dict[str, int] = {}
        for (_, building_id, _), from_ms in scopes.items():
            earliest[building_id] = min(earliest.get(building_id, from_ms), from_ms)
        for event in events_since(earliest):
            if event.start_ms >= scopes.get((event.rule, event.building, event.device), event.start_ms + 1):
                self._namer.remember(event)
        touched = np.zeros(len(self.registry.buildings), np.bool_)
        touched[self.registry.device_building[since.device]] = True
        found = Found()
        if touched.any():
            self._compute_again(touched, end, found)
        return found.as_step(since)

    # ------------------------------------------------------------------ inside

    def _require_params(self) -> Params:
        if self._params is None:
            self._cover(0, 0)
        assert self._params is not None  # noqa: S101  # _cover has just made them
        return self._params

    def _cover(self, from_ms: int, to_ms: int) -> None:
        """Sees to calendars for [from_ms, to_ms], with room to spare so that it seldom happens."""
        had = self._calendars
        if had is not None and had.from_ms <= from_ms and to_ms < had.to_ms:
            return
        first, last = from_ms - 8 * DAY_MS, to_ms + 40 * DAY_MS
        if had is not None and had.to_ms > had.from_ms and had.from_ms > 0:
            first, last = min(first, had.from_ms), max(last, had.to_ms)
        self._calendars = compile_calendars(self.registry, first, last)
        self._params = build_params(self.registry, self.layout, self._calendars)
        self._doubtful = doubtful_buildings(self.registry, first, last)

    def _check_offsets(self, batch: _Sorted, selected: NDArray[np.bool_]) -> None:
        """Raises ConfigError where a zone's offset at an instant that is judged does not fit the demand interval.

        Each building by its own instants: what is an error must not depend on what else came in the batch."""
        problems = []
        for number in np.flatnonzero(selected & self._doubtful).tolist():
            oldest = self._oldest_held(batch, np.arange(len(selected)) == number)
            problem = offset_error(self.registry, number, oldest, int(self.state.clock[number]))
            if problem is not None:
                problems.append(problem)
        if problems:
            raise ConfigError(problems)

    def _admit(self, columns: ReadingColumns, state: State) -> tuple[ReadingColumns, list[LedgerEntry]]:
        """Moves the clocks on and separates what comes too late."""
        too_late = np.zeros(len(columns), np.bool_)
        of_device = self.registry.device_building.astype(np.int64)
        if not admit(of_device, columns.device, columns.ts_ms, self.horizon_ms, state.clock, too_late):
            return columns, []
        entries: dict[tuple[int, int, int], float] = {}
        late = columns.take(too_late)
        for device, quantity, ts, value in zip(
            late.device.tolist(), late.quantity.tolist(), late.ts_ms.tolist(), late.value.tolist(), strict=True
        ):
            key = (device, quantity, ts)
            best = max if quantity == Quantity.SETPOINT_C else min
            entries[key] = best(entries.get(key, value), value)
        ledger = [self._namer.entry(TOO_LATE, *key, amount) for key, amount in entries.items()]
        return columns.take(~too_late), ledger

    def _sort(self, columns: ReadingColumns) -> _Sorted:
        devices, buildings, n = len(self.registry.devices), len(self.registry.buildings), len(columns)
        result = _Sorted(
            offsets=np.zeros(devices + 1, np.int64),
            quantity=np.empty(n, np.int8),
            ts_ms=np.empty(n, np.int64),
            value=np.empty(n, np.float64),
            touched=np.zeros(buildings, np.bool_),
            disorder=np.zeros(buildings, np.bool_),
            first_source_ts=np.full(buildings, NEVER, np.int64),
        )
        if n == 0:
            return result
        sort_by_device(
            columns.device,
            columns.quantity,
            columns.ts_ms,
            columns.value,
            result.offsets,
            result.quantity,
            result.ts_ms,
            result.value,
        )
        find_disorder(
            self._require_params(),
            self.state,
            result.offsets,
            result.quantity,
            result.ts_ms,
            result.value,
            result.touched,
            result.disorder,
            result.first_source_ts,
        )
        return result

    def _oldest_held(self, batch: _Sorted, selected: NDArray[np.bool_]) -> int:
        """The oldest instant in ms that these buildings' state or new readings hold open."""
        s, p = self.state, self._require_params()
        starts = s.window_start[selected]
        window_ms = (starts * p.interval_ms[selected])[starts != NONE]
        holds = s.hold_ts[np.repeat(selected, np.diff(self.layout.ac_start))]
        new_ms = batch.ts_ms
        if not selected[batch.touched].all():
            new_ms = new_ms[np.repeat(selected, np.diff(batch.offsets[self.registry.device_start]))]
        return min((int(part.min()) for part in (window_ms, holds[holds != NONE], new_ms) if len(part)), default=0)

    def _cover_state(self, batch: _Sorted, selected: NDArray[np.bool_]) -> None:
        """The calendars must reach from the oldest thing that these buildings still hold open to their clocks."""
        self._cover(self._oldest_held(batch, selected), int(self.state.clock[selected].max()) + DAY_MS)
        self._check_offsets(batch, selected)

    def _advance(
        self,
        batch: _Sorted,
        selected: NDArray[np.bool_],
        found: Found,
        *,
        whole_window: bool,
        freeze: bool = False,
    ) -> None:
        self._cover_state(batch, selected)
        ledger, amounts, events, figures, rows, row_figures, groups = advance(
            self._require_params(),
            self.state,
            selected,
            whole_window,
            freeze,
            batch.first_source_ts,
            batch.offsets,
            batch.quantity,
            batch.ts_ms,
            batch.value,
        )
        for (kind, device, quantity, ts), (amount,) in zip(ledger.tolist(), amounts.tolist(), strict=True):
            found.ledger.append(self._namer.entry(kind, device, quantity, ts, amount))
        if len(rows):
            found.intervals.append(self._namer.intervals(rows, row_figures))
        if whole_window:
            for building in np.flatnonzero(selected).tolist():
                self._namer.forget(building)
        if len(events) or len(groups):
            self._namer.compare(events, figures, groups, found, everything=whole_window)

    def _compute_again(self, wanted: NDArray[np.bool_], end: int, found: Found) -> None:
        """From the newest anchor that knows nothing of what comes late, so many buildings at a time that their past
        fits into memory."""
        anchors = list(self.history.anchors())
        portion = self.registry.device_start[:-1] // PORTION_DEVICES
        for number in np.unique(portion[wanted]).tolist():
            self._compute_portion(wanted & (portion == number), anchors, end, found)

    def _compute_portion(self, todo: NDArray[np.bool_], anchors: list[Anchor], end: int, found: Found) -> None:
        for number, anchor in enumerate(anchors):
            arrays = anchor.arrays
            for building in np.flatnonzero(todo).tolist():
                if arrays is None:
                    clear_building(self.state, self.layout, building)
                else:
                    copy_building(arrays, self.state, self.layout, building)
            columns = self.history.readings(todo, anchor, end)
            accepted, late = self._admit(columns, self.state)
            batch = self._sort(accepted)
            is_last = number == len(anchors) - 1
            if is_last and arrays is not None and batch.disorder.any():
                accepted, refused = self._refuse(accepted, batch.disorder)
                late.extend(refused)
                batch = self._sort(accepted)
                batch.disorder[:] = False
            ready = todo & ~batch.disorder & (self.state.clock != NONE)
            if ready.any():
                names = {self.registry.buildings[row].id for row in np.flatnonzero(ready).tolist()}
                found.ledger.extend(entry for entry in late if entry.building in names)
                first_ts, p = _first_ts(accepted, len(self.registry.devices)), self._require_params()
                for building in np.flatnonzero(ready).tolist():
                    found.event_scopes.extend(
                        event_scopes(self.registry, self.layout, p, self.state, building, first_ts)
                    )
                    found.ledger_scopes.extend(
                        ledger_scopes(self.registry, self.layout, self.state, building, first_ts)
                    )
                self._advance(batch, ready, found, whole_window=True)
            todo &= batch.disorder
            if not todo.any():
                return

    def _refuse(self, columns: ReadingColumns, disorder: NDArray[np.bool_]) -> tuple[ReadingColumns, list[LedgerEntry]]:
        """No earlier state is kept: readings of these buildings that come before what their devices had reported are
        entered as too late, and a new meter's before the intervals that are still open. (They are older than all that
        the journal still knows.)"""
        s, p = self.state, self._require_params()
        device, building = columns.device, p.building[columns.device]
        slot = np.where(p.ac_slot[device] >= 0, columns.quantity - 2, columns.quantity)
        last = s.last_ts[device, slot]
        held = np.where(p.ac_slot[device] >= 0, s.hold_ts[p.ac_slot[device]], NONE) if len(s.hold_ts) else last
        known = (columns.ts_ms == last) & (columns.value == s.last_value[device, slot])
        is_first = (columns.quantity == p.source[device]) & (p.ac_slot[device] < 0) & (last == NONE)
        is_before = is_first & (columns.ts_ms // p.interval_ms[building] < s.window_start[building])
        old = ((columns.ts_ms <= last) | (columns.ts_ms < held) | is_before) & ~known & disorder[building]
        entries = [
            self._namer.entry(TOO_LATE, *row)
            for row in zip(
                device[old].tolist(),
                columns.quantity[old].tolist(),
                columns.ts_ms[old].tolist(),
                columns.value[old].tolist(),
                strict=True,
            )
        ]
        return columns.take(~old), entries


def _first_ts(columns: ReadingColumns, devices: int) -> NDArray[np.int64]:
    """int64[devices]: the earliest reading of each, NEVER where there is none."""
    first = np.full(devices, NEVER, np.int64)
    np.minimum.at(first, columns.device, columns.ts_ms)
    return first
