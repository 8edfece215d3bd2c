"""What SQLite holds, into the outbox once more: for a database that was lost, and for measurements that are new.

A running monitor changes the same rows meanwhile. So rows are read and their lines stored in one write transaction:
what changes afterwards comes behind them in the outbox, and nothing old is written over something new. The transactions
are small and leave each other as much time as they take, so that steps are held up little; and what waits is kept below
half of the outbox' budget, since a full one stops ingest.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from monitor.errors import StoreError
from monitor.registry import Building, Item, Registry
from monitor.results import Event, IntervalColumns, LedgerEntry, Step
from monitor.store.downsample import sums_touched_by
from monitor.store.lines import LineBatch, LineEncoder
from monitor.store.local_days import local_days
from monitor.store.outbox import Outbox, insert_batches
from monitor.store.protocol import Applied
from monitor.store.schema import connect, transaction, translated

__all__ = ["Days", "Resending"]

_ROWS = 10_000
"""Of one transaction: a tenth of a second."""
_SHARE = 0.5
_PATIENCE_S = 60.0
_POLL_S = 0.5
_SAY_EVERY_S = 5.0

# from one name to the next by the key: DISTINCT would read every row
_BUILDINGS = """
    WITH RECURSIVE found (name) AS (
        SELECT MIN(building) FROM intervals UNION ALL
        SELECT (SELECT MIN(building) FROM intervals WHERE building > name) FROM found WHERE name IS NOT NULL)
    SELECT name FROM found WHERE name IS NOT NULL"""
_ITEMS = """
    WITH RECURSIVE found (name) AS (
        SELECT MIN(item) FROM intervals WHERE building = :building UNION ALL
        SELECT (SELECT MIN(item) FROM intervals WHERE building = :building AND item > name)
        FROM found WHERE name IS NOT NULL)
    SELECT name FROM found WHERE name IS NOT NULL"""
_INTERVALS = (
    "SELECT * FROM intervals WHERE building = ? AND item = ? AND start_ms BETWEEN ? AND ? ORDER BY start_ms LIMIT ?"
)
_EVENTS = (
    "SELECT * FROM events WHERE building = ? AND start_ms < ? AND (start_ms, event_id) > (?, ?) "
    "ORDER BY start_ms, event_id LIMIT ?"
)
_LEDGER = (
    "SELECT * FROM ledger WHERE (kind, device, quantity, ts_ms) > (?, ?, ?, ?) "
    "ORDER BY kind, device, quantity, ts_ms LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Days:
    """Local dates of each building; None: no bound."""

    first: dt.date | None = None
    end: dt.date | None = None
    """Exclusive."""

    def bounds_ms(self, timezone: str) -> tuple[int, int]:
        """[from, to) in UTC ms."""
        return (
            0 if self.first is None else _start_ms(timezone, self.first),
            1 << 61 if self.end is None else _start_ms(timezone, self.end),
        )


class Resending:
    """One run; `run` raises StoreError where SQLite fails or nobody empties the outbox."""

    def __init__(
        self,
        path: Path,
        registry: Registry,
        outbox: Outbox,
        *,
        batch_points: int,
        now_ms: Callable[[], int],
        clock_s: Callable[[], float],
        sleep: Callable[[float], None],
        say: Callable[[str], None],
        buildings: Collection[str] = (),
        rows: int = _ROWS,
    ) -> None:
        """buildings: ids of the only ones to send; none: all. rows: of one transaction. now_ms: the age of waiting
        lines [UTC ms]; clock_s: monotonic. say: is told how far it is."""
        self.points = 0
        self._path = path
        self._registry = registry
        self._outbox = outbox
        self._encoder = LineEncoder(batch_points=batch_points)
        self._now_ms = now_ms
        self._clock_s = clock_s
        self._sleep = sleep
        self._say = say
        self._said_s = clock_s()
        self._buildings = [each for each in registry.buildings if not buildings or each.id in buildings]
        self._rows = rows

    def run(self, days: Days) -> list[str]:
        """Consumption with its hours and days, violations and the ledger. Returns the ids of buildings that the table
        has and the configuration has not: of those nothing is sent, for neither their zone nor their org is known."""
        db = connect(self._path)
        try:
            with translated(self._path, "send results again"):
                for number, building in enumerate(self._buildings):
                    self._building(db, building, days)
                    self._tell(f"{number + 1:,} of {len(self._buildings):,} buildings, {self.points:,} points")
                self._ledger(db, days)
                stored = {name for (name,) in db.execute(_BUILDINGS)}
        finally:
            db.close()
        return sorted(stored - self._registry.building_row.keys())

    def _building(self, db: sqlite3.Connection, building: Building, days: Days) -> None:
        from_ms, to_ms = days.bounds_ms(building.timezone)
        names = tuple(name for (name,) in db.execute(_ITEMS, {"building": building.id}))
        registry = _alone(self._registry, building, names)
        for item, name in enumerate(names):
            next_ms: int | None = from_ms
            while next_ms is not None:
                after_ms = next_ms
                with self._batch(db) as put:
                    rows = db.execute(_INTERVALS, (building.id, name, after_ms, to_ms - 1, self._rows)).fetchall()
                    next_ms = rows[-1][2] + 1 if len(rows) == self._rows else None
                    put(self._consumption(db, item, rows, registry))
        at: tuple[int, str] | None = (from_ms - 1, "\U0010ffff")
        while at is not None:
            before = at
            with self._batch(db) as put:
                events = [Event(*row) for row in db.execute(_EVENTS, (building.id, to_ms, *before, self._rows))]
                at = (events[-1].start_ms, events[-1].event_id) if len(events) == self._rows else None
                put(self._encoder.encode(Applied(events=events), Step(), registry))

    def _consumption(
        self, db: sqlite3.Connection, item: int, rows: Sequence[tuple[object, ...]], registry: Registry
    ) -> list[LineBatch]:
        if not rows:
            return []
        _, _, start_ms, period, *figures = zip(*rows, strict=True)
        names = tuple(dict.fromkeys(str(name) for name in period))
        registry = replace(registry, period_names=names)
        measured, estimated, coverage, demand_kw = (np.array(column, np.float64) for column in figures)
        columns = IntervalColumns(
            np.full(len(rows), item, np.int32),
            np.array(start_ms, np.int64),
            np.array([names.index(str(name)) for name in period], np.int16),
            measured,
            estimated,
            coverage,
            demand_kw,
            np.zeros(len(rows), np.bool_),
        )
        sums = sums_touched_by(db, columns, registry)
        return self._encoder.encode(Applied(intervals=columns), Step(), registry, sums)

    def _ledger(self, db: sqlite3.Connection, days: Days) -> None:
        bounds_ms = {building.id: days.bounds_ms(building.timezone) for building in self._buildings}
        nowhere = (1, 0)
        at: tuple[str, str, str, int] | None = ("", "", "", -1)
        while at is not None:
            after = at
            with self._batch(db) as put:
                rows = [LedgerEntry(*row) for row in db.execute(_LEDGER, (*after, self._rows))]
                last = rows[-1] if len(rows) == self._rows else None
                at = None if last is None else (last.kind, last.device, last.quantity, last.ts_ms)
                inside = []
                for entry in rows:
                    from_ms, to_ms = bounds_ms.get(entry.building, nowhere)
                    if from_ms <= entry.ts_ms < to_ms:
                        inside.append(entry)
                put(self._encoder.encode(Applied(ledger_added=inside), Step(), self._registry))
            self._tell(f"the ledger, {self.points:,} points")

    @contextlib.contextmanager
    def _batch(self, db: sqlite3.Connection) -> Iterator[Callable[[Sequence[LineBatch]], None]]:
        """One transaction, and as long a pause after it; yields what takes its lines."""
        self._wait()
        began_s = self._clock_s()

        def put(batches: Sequence[LineBatch]) -> None:
            insert_batches(db, (self._outbox.sink,), batches, self._now_ms())
            self.points += sum(batch.points for batch in batches)

        with transaction(db):
            yield put
        self._sleep(self._clock_s() - began_s)

    def _wait(self) -> None:
        """Until less than half of the outbox' budget is taken. Raises StoreError when it does not get less."""
        least = self._outbox.stats().bytes
        since_s = self._clock_s()
        while least >= _SHARE * self._outbox.max_bytes:
            self._tell(f"waiting for the outbox to empty itself, {self.points:,} points so far")
            if self._clock_s() - since_s >= _PATIENCE_S:
                raise StoreError(
                    f"{self._path}: the outbox is half full and nothing has left it for {_PATIENCE_S:.0f} s; start the "
                    "service, or see why InfluxDB takes nothing, then do this again (what comes twice changes nothing)",
                    kind="outbox",
                    retryable=True,
                )
            self._sleep(_POLL_S)
            size = self._outbox.stats().bytes
            if size < least:
                least, since_s = size, self._clock_s()

    def _tell(self, text: str) -> None:
        if self._clock_s() - self._said_s >= _SAY_EVERY_S:
            self._said_s = self._clock_s()
            self._say(text)


def _start_ms(timezone: str, date: dt.date) -> int:
    """Of a local date; of one that the zone left out, that of the next."""
    noon = dt.datetime.combine(date, dt.time(12), ZoneInfo(timezone))
    start_ms, _ = local_days(timezone, np.array([round(noon.timestamp()) * 1000]))
    return int(start_ms[0])


def _alone(registry: Registry, building: Building, items: Sequence[str]) -> Registry:
    """The building with the items that the table has of it, which may be more than it has today."""
    return replace(
        registry,
        buildings=(building,),
        devices=(),
        items=tuple(Item(building=0, name=name, meters=()) for name in items),
        device_row={},
        building_row={building.id: 0},
        device_building=np.empty(0, np.int32),
        device_start=np.zeros(2, np.int32),
        item_start=np.array([0, len(items)], np.int32),
    )
