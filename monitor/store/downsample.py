"""Hours and days of consumption: sums over stored intervals, for dashboards that show months.

They are functions of the table `intervals` alone. An hour is one of UTC, a day is the building's own; an interval
belongs where it starts. What a step touches is summed anew from the table, in its transaction. For the ordinary row,
one that comes after all others of its item, that would mean to read the day again for each interval, six times what
storing it costs: so the sums of each item's newest hour and day are kept and added to. Whatever is not such a row (a
revision, a row that comes again, the first after a start or a reload) is looked up.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.registry import Registry
from monitor.results import IntervalColumns
from monitor.store.local_days import local_days
from monitor.store.protocol import Moved

__all__ = ["Downsampler", "SumColumns", "Sums", "sums_touched_by"]

_HOUR_MS = 3_600_000
_LOOKED_UP_AT_ONCE = 4000
"""Spans of one query: a thousand days are 96,000 rows for SQLite to group."""
_UNKNOWN = np.iinfo(np.int64).max
"""No start is later than this: the item's rows have to be looked up."""

_MEASURED, _ESTIMATED, _COVERAGE, _INTERVALS, _DEMAND = range(5)
_ADDED = slice(_MEASURED, _DEMAND)
_NOTHING = np.array([0.0, 0.0, 0.0, 0.0, np.nan])

_NEWEST_START = """
    SELECT (SELECT MAX(start_ms) FROM intervals
            WHERE building = json_extract(asked.value, '$[0]') AND item = json_extract(asked.value, '$[1]'))
    FROM json_each(?) AS asked ORDER BY asked.key"""
_SUMS = """
    SELECT asked.key, period, SUM(measured), SUM(estimated), SUM(coverage), COUNT(*), MAX(demand_kw)
    FROM json_each(?) AS asked CROSS JOIN intervals
    WHERE building = json_extract(asked.value, '$[0]') AND item = json_extract(asked.value, '$[1]')
      AND start_ms >= json_extract(asked.value, '$[2]') AND start_ms < json_extract(asked.value, '$[3]')
    GROUP BY asked.key, period"""

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]
_Bounds = Callable[[_Integers, _Integers], tuple[_Integers, _Integers]]
"""Rows of items and instants [UTC ms] to start and end of the hours, or days, that hold them."""


@dataclass(frozen=True, slots=True)
class SumColumns:
    """Sums over the due intervals of one item and period that start in one hour or day; arrays of length n.

    item: int64[n], a row of `Registry.items`. start_ms: int64[n], UTC, of the hour or day. period: int64[n], an index
    of `Sums.period_names`. figures: float64[n, 5]: measured and estimated (sums, in the item's unit), coverage (a sum:
    divided by the intervals it is 0..1), how many intervals, the largest demand [kW] (NaN for a medium). No intervals:
    there were some of that period once, which have another now.
    """

    item: _Integers
    start_ms: _Integers
    period: _Integers
    figures: _Floats

    def __len__(self) -> int:
        return len(self.start_ms)

    @property
    def measured(self) -> _Floats:
        return self.figures[:, _MEASURED]

    @property
    def estimated(self) -> _Floats:
        return self.figures[:, _ESTIMATED]

    @property
    def covered(self) -> _Floats:
        """How many intervals' worth is covered: the sum of their coverage."""
        return self.figures[:, _COVERAGE]

    @property
    def coverage(self) -> _Floats:
        """The mean, 0 of no intervals."""
        return self.covered / np.maximum(self.figures[:, _INTERVALS], 1.0)

    @property
    def intervals(self) -> _Integers:
        return self.figures[:, _INTERVALS].astype(np.int64)

    @property
    def demand_kw(self) -> _Floats:
        return self.figures[:, _DEMAND]

    @classmethod
    def joined(cls, parts: Sequence[SumColumns]) -> SumColumns:
        return cls(
            np.concatenate([part.item for part in parts]),
            np.concatenate([part.start_ms for part in parts]),
            np.concatenate([part.period for part in parts]),
            np.concatenate([part.figures for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Sums:
    """What became of the hours and days that a step touched."""

    hours: SumColumns
    days: SumColumns
    period_names: tuple[str, ...]


class _Periods:
    """Numbers for periods. Rows of the table may have one that no policy knows any more."""

    def __init__(self, names: Iterable[str]) -> None:
        self._number = {name: number for number, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self._number)

    def number(self, name: str) -> int:
        return self._number.setdefault(name, len(self._number))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._number)


class _Items:
    """The registry's items as the table knows them, and their days."""

    def __init__(self, registry: Registry) -> None:
        buildings = [registry.buildings[item.building] for item in registry.items]
        self.names = [(building.id, item.name) for building, item in zip(buildings, registry.items, strict=True)]
        self.is_electricity = np.array([item.is_electricity for item in registry.items], np.bool_)
        zones = {building.timezone: None for building in buildings}
        self._zones = list(zones)
        number = {zone: row for row, zone in enumerate(zones)}
        self._zone = np.array([number[building.timezone] for building in buildings], np.int64)

    def hours(self, _item: _Integers, ts_ms: _Integers) -> tuple[_Integers, _Integers]:
        """Start and end of the hour of each instant [UTC ms]."""
        start_ms = ts_ms - ts_ms % _HOUR_MS
        return start_ms, start_ms + _HOUR_MS

    def days(self, item: _Integers, ts_ms: _Integers) -> tuple[_Integers, _Integers]:
        """Start and end of the day of each instant in the timezone of the item's building [UTC ms]."""
        zone = self._zone[item]
        start_ms, end_ms = np.empty_like(ts_ms), np.empty_like(ts_ms)
        for number in np.unique(zone).tolist():
            rows = zone == number
            start_ms[rows], end_ms[rows] = local_days(self._zones[number], ts_ms[rows])
        return start_ms, end_ms


class _Newest:
    """The sums of each item's newest hour, or day."""

    def __init__(self, items: int, periods: int) -> None:
        self.start_ms = np.full(items, -1, np.int64)
        self._figures = np.broadcast_to(_NOTHING, (items, periods, len(_NOTHING))).copy()

    def add(self, item: _Integers, start_ms: _Integers, period: _Integers, figures: _Floats) -> SumColumns:
        """Rows that come after all that is known of their items, by item and time, and the hour or day of each. Returns
        the sums that they changed."""
        if not len(item):
            return SumColumns(item, start_ms, period, figures)
        self._widen(int(period.max()) + 1)
        is_next = np.zeros(len(item), np.int64)
        is_next[1:] = (item[1:] != item[:-1]) | (start_ms[1:] != start_ms[:-1])
        group = np.cumsum(is_next) * self._figures.shape[1] + period
        order = np.argsort(group, kind="stable")
        firsts = np.flatnonzero(np.diff(group[order], prepend=-1))
        first_rows = order[firsts]
        sums = np.empty((len(firsts), len(_NOTHING)))
        sums[:, _ADDED] = np.add.reduceat(figures[order, _ADDED], firsts, axis=0)
        sums[:, _DEMAND] = np.fmax.reduceat(figures[order, _DEMAND], firsts)
        changed = SumColumns(item[first_rows], start_ms[first_rows], period[first_rows], sums)
        goes_on = self.start_ms[changed.item] == changed.start_ms
        before = self._figures[changed.item[goes_on], changed.period[goes_on]]
        sums[goes_on, _ADDED] += before[:, _ADDED]
        sums[goes_on, _DEMAND] = np.fmax(sums[goes_on, _DEMAND], before[:, _DEMAND])
        last_rows = np.flatnonzero(np.append(item[1:] != item[:-1], True))
        self._begin(item[last_rows], start_ms[last_rows])
        self._put(changed)
        return changed

    def learn(self, item: _Integers, start_ms: _Integers, looked_up: SumColumns) -> None:
        """The newest hour or day of these items; those that were not looked up stay as they are."""
        is_there = np.isin(_pairs(item, start_ms), _pairs(looked_up.item, looked_up.start_ms))
        self.start_ms[item[is_there]] = -1
        self._begin(item[is_there], start_ms[is_there])
        self._widen(int(looked_up.period.max(initial=-1)) + 1)
        self._put(looked_up)

    def _begin(self, item: _Integers, start_ms: _Integers) -> None:
        begins = self.start_ms[item] != start_ms
        self._figures[item[begins]] = _NOTHING
        self.start_ms[item[begins]] = start_ms[begins]

    def _put(self, sums: SumColumns) -> None:
        newest = self.start_ms[sums.item] == sums.start_ms
        self._figures[sums.item[newest], sums.period[newest]] = sums.figures[newest]

    def _widen(self, periods: int) -> None:
        more = periods - self._figures.shape[1]
        if more > 0:
            wider = np.broadcast_to(_NOTHING, (len(self._figures), more, len(_NOTHING)))
            self._figures = np.concatenate([self._figures, wider], axis=1)


class Downsampler:
    """Knows the newest hours and days of the registry it saw last. Call `forget` when a transaction was undone."""

    def __init__(self) -> None:
        self._registry: Registry | None = None

    def forget(self) -> None:
        """What is known may never have been stored."""
        self._registry = None

    def sums(
        self, db: sqlite3.Connection, changed: IntervalColumns, moved: Sequence[Moved], registry: Registry
    ) -> Sums:
        """The hours and days of the rows that changed, which are in the table by now, in its transaction."""
        self._know(registry)
        order = np.lexsort((changed.start_ms, changed.item))
        item, ts_ms = changed.item[order].astype(np.int64), changed.start_ms[order]
        period = changed.period[order].astype(np.int64)
        figures = np.column_stack(
            (changed.measured, changed.estimated, changed.coverage, np.ones(len(changed)), changed.demand_kw)
        )[order]
        follows = ts_ms > self._last_ms[item]
        follows[1:] &= (item[1:] != item[:-1]) | (ts_ms[1:] != ts_ms[:-1])
        is_asked = np.zeros(len(self._last_ms), np.bool_)
        is_asked[item[~follows]] = True
        asks = is_asked[item]
        asked = np.flatnonzero(is_asked)
        known = self._last_ms[asked] != _UNKNOWN
        np.maximum.at(self._last_ms, item[~asks], ts_ms[~asks])
        newest_ms = self._newest_ms(db, asked, known, item[asks], ts_ms[asks])
        self._last_ms[asked] = newest_ms
        parts = []
        for bounds, newest in ((self._items.hours, self._hours), (self._items.days, self._days)):
            start_ms, _ = bounds(item, ts_ms)
            added = newest.add(item[~asks], start_ms[~asks], period[~asks], figures[~asks])
            # of an item of which nothing is known, its newest hour and day as well: from there it goes on
            wanted = np.append(item[asks], asked[~known]), np.append(ts_ms[asks], newest_ms[~known])
            looked_up = _look_up(db, self._items, self._periods, bounds, *wanted)
            newest.learn(asked, bounds(asked, newest_ms)[0], looked_up)
            emptied = _emptied(self._items, self._periods, bounds, moved, looked_up)
            parts.append(SumColumns.joined([added, looked_up, emptied]))
        return Sums(parts[0], parts[1], self._periods.names)

    def _know(self, registry: Registry) -> None:
        if registry is self._registry:
            return
        self._registry = registry
        self._items = _Items(registry)
        self._periods = _Periods(registry.period_names)
        count = len(registry.items)
        self._last_ms = np.full(count, _UNKNOWN)
        """int64[items]: start of the newest row of each."""
        self._hours, self._days = (_Newest(count, len(self._periods)) for _ in range(2))

    def _newest_ms(
        self, db: sqlite3.Connection, asked: _Integers, known: NDArray[np.bool_], item: _Integers, ts_ms: _Integers
    ) -> _Integers:
        """The start of the newest row of each item `asked`; item and ts_ms are their rows of this step, by time."""
        newest_ms = ts_ms[np.searchsorted(item, asked, "right") - 1]
        newest_ms[known] = np.maximum(newest_ms[known], self._last_ms[asked[known]])
        unknown = [self._items.names[row] for row in asked[~known].tolist()]
        if unknown:
            found = db.execute(_NEWEST_START, (json.dumps(unknown),))
            newest_ms[~known] = [start_ms for (start_ms,) in found]
        return newest_ms


def sums_touched_by(db: sqlite3.Connection, rows: IntervalColumns, registry: Registry) -> Sums:
    """The hours and days of these rows as they stand in the table."""
    items = _Items(registry)
    periods = _Periods(())
    hours, days = (
        _look_up(db, items, periods, bounds, rows.item.astype(np.int64), rows.start_ms)
        for bounds in (items.hours, items.days)
    )
    return Sums(hours, days, periods.names)


def _look_up(
    db: sqlite3.Connection, items: _Items, periods: _Periods, bounds: _Bounds, item: _Integers, ts_ms: _Integers
) -> SumColumns:
    """The sums over the hours or days of these rows, by one query for thousands of them."""
    start_ms, end_ms = bounds(item, ts_ms)
    _, once = np.unique(_pairs(item, start_ms), return_index=True)
    item, start_ms, end_ms = item[once], start_ms[once], end_ms[once]
    asked = [
        (*items.names[row], start, end)
        for row, start, end in zip(item.tolist(), start_ms.tolist(), end_ms.tolist(), strict=True)
    ]
    place: list[int] = []
    period: list[int] = []
    figures: list[tuple[float, ...]] = []
    for first in range(0, len(asked), _LOOKED_UP_AT_ONCE):
        found = db.execute(_SUMS, (json.dumps(asked[first : first + _LOOKED_UP_AT_ONCE]),))
        for number, name, *values in found:
            place.append(first + number)
            period.append(periods.number(name))
            figures.append(values)
    return SumColumns(
        item[place], start_ms[place], np.array(period, np.int64), np.array(figures, np.float64).reshape(-1, 5)
    )


def _emptied(
    items: _Items, periods: _Periods, bounds: _Bounds, moved: Sequence[Moved], looked_up: SumColumns
) -> SumColumns:
    """Nothing, where a period has no interval left in an hour or day: its point is there already and cannot be deleted
    by writing."""
    item = np.array([row.item for row in moved], np.int64)
    start_ms, _ = bounds(item, np.array([row.start_ms for row in moved], np.int64))
    period = [periods.number(row.period) for row in moved]
    standing = set(zip(looked_up.item.tolist(), looked_up.start_ms.tolist(), looked_up.period.tolist(), strict=True))
    gone = sorted(set(zip(item.tolist(), start_ms.tolist(), period, strict=True)) - standing)
    keys = np.array(gone, np.int64).reshape(-1, 3)
    figures = np.zeros((len(gone), len(_NOTHING)))
    figures[~items.is_electricity[keys[:, 0]], _DEMAND] = np.nan
    return SumColumns(keys[:, 0], keys[:, 1], keys[:, 2], figures)


def _pairs(item: _Integers, start_ms: _Integers) -> _Integers:
    """One number for (item, start): hours and days start on whole minutes, 32 bits of which reach to the year 10136."""
    return item << 32 | start_ms // 60_000
