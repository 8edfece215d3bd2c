"""Hours and days against sums over the interval rows, whatever came late, moved or failed in between."""

from __future__ import annotations

import datetime as dt
import random
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from monitor.errors import StoreError
from monitor.registry import Registry
from monitor.results import IntervalColumns, Step
from monitor.store.memory import take_intervals
from monitor.store.protocol import Interval
from monitor.store.sqlite import SqliteStore
from tests.store.line_points import Database
from tests.store.made import NAN, QUARTER_MS, START_MS, intervals, registry

HOUR_MS = 3_600_000
ITEMS = (("B-1", "total"), ("B-1", "water"), ("B-2", "total"), ("B-2", "hvac"), ("B-3", "total"))
MEDIA = {"water"}
Key = tuple[str, str, str, int]
"""Building, item, period, start."""
Figures = tuple[float, float, float, float, float, int]
"""Measured, estimated, coverage, demand_kw (below 0: none), intervals."""


def town(zones: Iterable[str], periods: Iterable[str] = ("normal", "peak"), *, backwards: bool = False) -> Registry:
    """Buildings B-1, B-2, ... in these timezones; `backwards`: the same under other numbers."""
    made = registry(ITEMS[::-1] if backwards else ITEMS, periods=list(periods), org="o", peak_limit_kw=70.0)
    zone_of = {f"B-{number}": zone for number, zone in enumerate(zones, 1)}
    buildings = tuple(
        replace(building, timezone=zone_of[building.id], peak_budget_kwh=9.5) for building in made.buildings
    )
    return replace(made, buildings=buildings)


@cache
def day_start_ms(zone: str, date: dt.date) -> int:
    """By asking the wall clock, minute by minute from a day before."""
    at_ms = round(dt.datetime.combine(date, dt.time(), dt.UTC).timestamp()) * 1000 - 30 * HOUR_MS
    while dt.datetime.fromtimestamp(at_ms // 1000, ZoneInfo(zone)).date() < date:
        at_ms += 60_000
    return at_ms


def summed(rows: Iterable[Interval], zone_of: dict[str, str], measurement: str) -> dict[Key, Figures]:
    groups: dict[Key, list[Interval]] = {}
    for row in rows:
        zone = zone_of[row.building]
        date = dt.datetime.fromtimestamp(row.start_ms // 1000, ZoneInfo(zone)).date()
        hour_ms = row.start_ms // HOUR_MS * HOUR_MS
        start_ms = hour_ms if measurement == "consumption_hour" else day_start_ms(zone, date)
        groups.setdefault((row.building, row.item, row.period, start_ms), []).append(row)
    return {
        key: (
            sum(row.measured for row in group),
            sum(row.estimated for row in group),
            sum(row.coverage for row in group) / len(group),
            sum(row.coverage for row in group),
            -1.0 if key[1] in MEDIA else max(row.demand_kw for row in group if row.demand_kw is not None),
            len(group),
        )
        for key, group in groups.items()
    }


def told(database: Database, measurement: str) -> dict[Key, Figures]:
    """The points as they stand, those without intervals too."""
    return {
        (tags["building"], tags["item"], tags["period"], ts_ms): (
            float(fields["measured"]),
            float(fields["estimated"]),
            float(fields["coverage"]),
            float(fields["covered"]),
            float(fields.get("demand_kw", "-1")),
            int(fields["intervals"].removesuffix("i")),
        )
        for tags, ts_ms, fields in database.of(measurement)
    }


def assert_exact(store: SqliteStore, database: Database, names: Registry) -> int:
    """Hours and days are the sums over the rows; returns how many points were emptied."""
    zone_of = {building.id: building.timezone for building in names.buildings}
    emptied = 0
    for measurement in ("consumption_hour", "consumption_day"):
        expected = summed(store.intervals(), zone_of, measurement)
        found = told(database, measurement)
        standing = {key: figures for key, figures in found.items() if figures[-1]}
        assert standing.keys() == expected.keys()
        keys = sorted(expected)
        np.testing.assert_allclose([standing[key] for key in keys], [expected[key] for key in keys], 1e-12, 1e-12)
        gone = [figures for figures in found.values() if not figures[-1]]
        assert set(gone) <= {(0.0, 0.0, 0.0, 0.0, 0.0, 0), (0.0, 0.0, 0.0, 0.0, -1.0, 0)}
        emptied += len(gone)
    return emptied


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path, sinks=["influx"])
    yield made
    made.close()


def rows_of(chance: random.Random, keys: Iterable[tuple[int, int]], names: Registry, revised: bool) -> IntervalColumns:
    """One row for each (item, quarter) with figures by chance."""
    keys = list(keys)
    rows = intervals([(item, quarter, chance.uniform(0, 5)) for item, quarter in keys], revised=revised)
    is_medium = np.array([names.items[item].name in MEDIA for item, _ in keys])
    return replace(
        rows,
        period=np.array([chance.randrange(len(names.period_names)) for _ in keys], np.int16),
        estimated=np.array([chance.choice([0.0, chance.random()]) for _ in keys]),
        coverage=np.array([chance.random() for _ in keys]),
        demand_kw=np.where(is_medium, NAN, rows.demand_kw),
    )


def shuffled(chance: random.Random, rows: IntervalColumns) -> IntervalColumns:
    order = list(range(len(rows)))
    chance.shuffle(order)
    return take_intervals(rows, np.array(order))


# START_MS is 9:00 UTC on 28 June 2026
COURSES = {
    "ordinary days": (("Asia/Ho_Chi_Minh", "Asia/Kathmandu", "UTC"), 0),
    "put back": (("Europe/Berlin", "America/New_York", "America/Havana"), 11_300),  # around 25 October, 1 November
    "put forward": (("Africa/Cairo", "Australia/Lord_Howe", "America/Santiago"), 6_500),  # around 6 September
}


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_hours_and_days_are_the_sums_of_the_rows(
    course: str, seed: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(f"{course} {seed}")
    zones, first = COURSES[course]
    names = town(zones)
    newest = {item: first + chance.randrange(4) for item in ITEMS}
    database = Database()
    store = SqliteStore(path, sinks=["influx"])
    emptied = 0
    for number in range(90):
        row = {
            item: number for number, item in enumerate((names.buildings[i.building].id, i.name) for i in names.items)
        }
        given = []
        for item in chance.sample(ITEMS, chance.randint(1, len(ITEMS))):
            count = chance.choice([1, 1, 1, 2, 7, 120])
            given += [(row[item], newest[item] + later) for later in range(count)]
            newest[item] += count
        fresh = rows_of(chance, given, names, revised=False)
        late = []
        if chance.random() < 0.5:
            item = chance.choice(ITEMS)
            place = newest[item] - chance.choice([1, 5, 90, 400])
            end = min(newest[item], place + chance.randint(1, 9))
            late = [(row[item], quarter) for quarter in range(max(first, place), end)]
            late = [key for key in late if key not in given]
        step = Step(intervals=shuffled(chance, fresh))
        if late:
            revised = rows_of(chance, late, names, revised=True)
            both = (fresh, revised)
            joined = {name: np.concatenate([getattr(rows, name) for rows in both]) for name in fresh.__slots__}
            step = Step(intervals=shuffled(chance, IntervalColumns(**joined)))
        if chance.random() < 0.1:

            def fails(*_: object) -> None:
                raise sqlite3.OperationalError("injected")

            with monkeypatch.context() as broken, pytest.raises(StoreError):
                broken.setattr("monitor.store.sqlite.insert_batches", fails)
                store.apply(step, names)
        store.apply(step, names)
        if chance.random() < 0.1:
            store.apply(step, names)  # as after a crash behind the store
        if chance.random() < 0.1:
            store.close()
            store = SqliteStore(path, sinks=["influx"])
        if chance.random() < 0.1:
            periods = chance.choice([("normal", "peak"), ("critical", "normal"), ("peak", "offpeak", "normal")])
            names = town(zones, periods, backwards=chance.random() < 0.5)
        if number % 45 == 44:
            database.drain(path)
            emptied += assert_exact(store, database, names)
    store.close()
    assert emptied > 0


def test_a_row_that_follows_touches_its_own_hour_day_and_period_alone(path: Path, store: SqliteStore) -> None:
    names = town(["UTC"] * 3)
    store.apply(Step(intervals=intervals([(item, quarter, 1.0) for item in (0, 2) for quarter in range(9)])), names)
    Database().drain(path)
    store.apply(Step(intervals=intervals([(0, 9, 4.0)], period=1)), names)
    database = Database()
    assert database.drain(path) == 3
    assert told(database, "consumption_hour") == {("B-1", "total", "peak", START_MS + 2 * HOUR_MS): (4, 0, 1, 1, 16, 1)}
    assert [key[:3] for key in told(database, "consumption_day")] == [("B-1", "total", "peak")]


def test_a_revision_of_the_day_before_leaves_today_as_it_is(path: Path, store: SqliteStore) -> None:
    """The newest hour and day are known on, and a row that follows is added to them."""
    names = town(["UTC"] * 3)
    store.apply(Step(intervals=intervals([(0, quarter, 1.0) for quarter in range(100)])), names)
    store.apply(Step(intervals=intervals([(0, 3, 5.0)], revised=True)), names)
    store.apply(Step(intervals=intervals([(0, 100, 2.0)])), names)
    database = Database()
    database.drain(path)
    assert assert_exact(store, database, names) == 0
    midnight_ms = START_MS + 15 * HOUR_MS
    assert told(database, "consumption_day") == {
        ("B-1", "total", "normal", midnight_ms - 24 * HOUR_MS): (64, 0, 1, 60, 20, 60),
        ("B-1", "total", "normal", midnight_ms): (42, 0, 1, 41, 8, 41),
    }


def test_what_was_never_stored_is_not_added_to(path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    names = town(["UTC"] * 3)
    store.apply(Step(intervals=intervals([(0, 0, 1.0)])), names)

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("injected")

    with monkeypatch.context() as broken, pytest.raises(StoreError):
        broken.setattr("monitor.store.sqlite.insert_batches", fails)
        store.apply(Step(intervals=intervals([(0, 1, 2.0)])), names)
    store.apply(Step(intervals=intervals([(0, 2, 4.0)])), names)
    database = Database()
    database.drain(path)
    assert told(database, "consumption_hour") == {("B-1", "total", "normal", START_MS): (5, 0, 1, 2, 16, 2)}


def test_a_row_that_one_step_holds_twice_counts_once(path: Path, store: SqliteStore) -> None:
    names = town(["UTC"] * 3)
    store.apply(Step(intervals=intervals([(0, 0, 1.0)])), names)
    store.apply(Step(intervals=intervals([(0, 1, 2.0), (0, 1, 3.0), (0, 2, 4.0)])), names)
    database = Database()
    database.drain(path)
    assert assert_exact(store, database, names) == 0
    assert told(database, "consumption_hour") == {("B-1", "total", "normal", START_MS): (8, 0, 1, 3, 16, 3)}


def test_a_period_that_is_left_without_intervals_is_emptied(path: Path, store: SqliteStore) -> None:
    names = town(["UTC"] * 3, ["normal", "peak"])
    keys = [(item, quarter) for item in (0, 1) for quarter in (0, 1)]
    first = rows_of(random.Random(1), keys, names, revised=False)
    second = replace(first, measured=np.full(4, 2.0), revised=np.full(4, True), period=np.zeros(4, np.int16))
    assert first.period.any()
    store.apply(Step(intervals=first), names)
    store.apply(Step(intervals=second), names)
    other = town(["UTC"] * 3, ["offpeak"])
    store.apply(Step(intervals=second), other)
    database = Database()
    database.drain(path)
    hours = told(database, "consumption_hour")
    assert hours["B-1", "total", "normal", START_MS] == (0, 0, 0, 0, 0, 0)
    assert hours["B-1", "water", "normal", START_MS] == (0, 0, 0, 0, -1, 0)
    assert hours["B-1", "total", "offpeak", START_MS][0] == 4
    assert assert_exact(store, database, other) >= 4


def test_the_points(path: Path, store: SqliteStore) -> None:
    names = town(["Asia/Kathmandu"] * 3)
    rows = rows_of(random.Random(5), [(0, 0)], names, revised=False)
    rows = replace(rows, measured=np.array([1.1]), estimated=np.array([0.5]), coverage=np.array([0.25]))
    store.apply(Step(intervals=replace(rows, demand_kw=np.array([4.4]), period=np.array([1], np.int16))), names)
    store.apply(Step(intervals=intervals([(1, 0, 3.0)], demand=False)), names)
    store.apply(Step(intervals=intervals([(3, 0, 2.0)])), names)
    database = Database()
    database.drain(path)
    total = {"building": "B-1", "item": "total", "org": "o", "period": "peak"}
    figures = {"measured": "1.1", "estimated": "0.5", "coverage": "0.25", "covered": "0.25"}
    figures |= {"demand_kw": "4.4", "intervals": "1i"}
    (first, water, hvac) = database.of("consumption_hour")
    assert first == (total, START_MS, {**figures, "limit_kw": "70.0"})
    assert water[0] == {**total, "item": "water", "period": "normal"}
    assert water[2] == {"measured": "3", "estimated": "0", "coverage": "1", "covered": "1", "intervals": "1i"}
    assert set(hvac[2]) == set(figures)
    (first, water, hvac) = database.of("consumption_day")
    midnight_ms = START_MS - (9 * 60 + 5 * 60 + 45) * 60_000
    assert first == (total, midnight_ms, {**figures, "limit_kw": "70.0", "budget_kwh": "9.5"})
    assert [set(water[2]), set(hvac[2])] == [set(figures) - {"demand_kw"}, set(figures)]


def test_hours_and_days_of_thousands_of_items_are_looked_up_in_parts(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.downsample._LOOKED_UP_AT_ONCE", 3)
    names = town(["UTC", "Asia/Shanghai", "Europe/Berlin"])
    chance = random.Random(2)
    keys = [(item, quarter) for item in range(len(ITEMS)) for quarter in range(150)]
    store.apply(Step(intervals=rows_of(chance, keys, names, revised=False)), names)
    database = Database()
    database.drain(path)
    assert_exact(store, database, names)
    assert len(told(database, "consumption_hour")) > 300


def test_a_day_starts_on_a_quarter_of_an_hour_too() -> None:
    """What the naive sums above rest on."""
    assert day_start_ms("Asia/Kathmandu", dt.date(2026, 6, 28)) % (4 * QUARTER_MS) == QUARTER_MS
    assert day_start_ms("Africa/Cairo", dt.date(2026, 4, 24)) == 1_776_981_600_000
