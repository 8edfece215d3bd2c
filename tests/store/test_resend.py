"""What SQLite holds, sent again: the same points, whatever the monitor does meanwhile."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import StoreError
from monitor.registry import Registry
from monitor.results import EventScope, LedgerScope, Step
from monitor.store.outbox import Outbox
from monitor.store.resend import Days, Resending
from monitor.store.sqlite import SqliteStore
from tests.store.line_points import Database
from tests.store.made import QUARTER_MS, START_MS, entry, event, intervals, registry

MEASUREMENTS = ("consumption", "consumption_hour", "consumption_day", "violation", "ledger")
ITEMS = (("B-1", "total"), ("B-1", "water"), ("B-2", "total"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path, sinks=["influx"])
    yield made
    made.close()


class Clock:
    """Goes on while somebody sleeps; `meanwhile` is what others do in that time."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.now_s = 0.0
        self.said: list[str] = []
        self._meanwhile = meanwhile

    def sleep(self, duration_s: float) -> None:
        self.now_s += max(duration_s, 0.1)
        self._meanwhile()


def resend(
    path: Path,
    names: Registry,
    days: Days | None = None,
    *,
    clock: Clock | None = None,
    max_bytes: int = 1 << 30,
    rows: int = 7,
) -> tuple[int, list[str]]:
    """How many points were put into the outbox, and the buildings left out."""
    clock = clock or Clock()
    outbox = Outbox(path, "influx", max_bytes=max_bytes, quarantine_rows=10)
    try:
        resending = Resending(
            path,
            names,
            outbox,
            batch_points=5,
            now_ms=lambda: 77,
            clock_s=lambda: clock.now_s,
            sleep=clock.sleep,
            say=clock.said.append,
            rows=rows,
        )
        unknown = resending.run(days or Days())
    finally:
        outbox.close()
    return resending.points, unknown


def filled(store: SqliteStore) -> Registry:
    """Two days of three items with a revision, a change of periods, and of events and ledger some that were undone."""
    names = registry(ITEMS, org="o", peak_limit_kw=70.5)
    rows = [(item, quarter, quarter / 7 + item) for item in range(3) for quarter in range(190)]
    is_water = np.array([item == 1 for item, _, _ in rows])
    first = intervals(rows)
    first = replace(first, demand_kw=np.where(is_water, np.nan, first.demand_kw))
    store.apply(
        Step(
            intervals=first,
            events=[event(quarter) for quarter in range(20)] + [event(30, quarters=None)],
            ledger=[entry(quarter) for quarter in range(20)],
        ),
        names,
    )
    store.apply(
        Step(
            intervals=intervals([(0, quarter, 9.0) for quarter in range(60, 80)], period=1, revised=True),
            event_scopes=[EventScope("peak_demand", "B-1", "", START_MS + 25 * QUARTER_MS)],
            ledger_scopes=[LedgerScope("M-B-1-total", ("gap",), None, START_MS + 15 * QUARTER_MS)],
        ),
        names,
    )
    return names


def standing(database: Database, measurement: str) -> dict[tuple[tuple[tuple[str, str], ...], int], dict[str, str]]:
    """The points that count: without zeros of before and what was removed."""
    return {
        (tuple(sorted(tags.items())), ts_ms): fields
        for tags, ts_ms, fields in database.of(measurement)
        if fields.get("intervals") != "0i" and fields.get("coverage") != "0" and fields.get("detail") != '"withdrawn"'
    }


@pytest.mark.parametrize("rows", [3, 19, 95, 10_000])
def test_an_empty_database_gets_what_the_lost_one_had(path: Path, store: SqliteStore, rows: int) -> None:
    names = filled(store)
    lost, new = Database(), Database()
    lost.drain(path)
    points, unknown = resend(path, names, rows=rows)
    assert new.drain(path) == points
    assert unknown == []
    for measurement in MEASUREMENTS:
        assert standing(new, measurement) == standing(lost, measurement)
        assert len(standing(new, measurement)) == len(list(new.of(measurement))) > 0
    assert sum(fields["state"] == '"withdrawn"' for _, _, fields in new.of("violation")) == 1


def test_dates_are_those_of_each_building(path: Path, store: SqliteStore) -> None:
    names = filled(store)
    Database().drain(path)
    zones = ("Asia/Kathmandu", "America/New_York")
    buildings = tuple(replace(building, timezone=zone) for building, zone in zip(names.buildings, zones, strict=True))
    days = Days(dt.date(2026, 6, 29), dt.date(2026, 6, 30))
    resend(path, replace(names, buildings=buildings), days)
    found = Database()
    found.drain(path)
    utc_ms = round(dt.datetime(2026, 6, 29, tzinfo=dt.UTC).timestamp()) * 1000
    starts_ms = {"B-1": utc_ms - (5 * 60 + 45) * 60_000, "B-2": utc_ms + 4 * 3_600_000}
    points = {(tags["building"], tags["item"], ts_ms) for tags, ts_ms, _ in found.of("consumption")}
    assert points == {
        (building, item, starts_ms[building] + quarter * QUARTER_MS)
        for building, item in ITEMS
        for quarter in range(96)
    }
    day_points = list(found.of("consumption_day"))
    assert {(tags["building"], ts_ms) for tags, ts_ms, _ in day_points} == set(starts_ms.items())
    counted = Counter[tuple[str, str]]()
    for tags, _, fields in day_points:
        counted[tags["building"], tags["item"]] += int(fields["intervals"].removesuffix("i"))
    assert counted == dict.fromkeys(ITEMS, 96)
    hours = {ts_ms: fields for tags, ts_ms, fields in found.of("consumption_hour") if tags["item"] == "water"}
    assert hours[min(hours)]["intervals"] == "4i"  # whole, although the day begins within it
    assert list(found.of("violation")) == []


def test_what_changes_meanwhile_is_not_written_over(path: Path, store: SqliteStore) -> None:
    """Whatever was read before the change lies before it in the outbox."""
    names = filled(store)
    Database().drain(path)
    changes = iter(range(1000))

    def revise() -> None:
        number = next(changes)
        rows = [(item, quarter, 1000.0 + number) for item in (0, 2) for quarter in (0, 70, 120, 189)]
        store.apply(Step(intervals=intervals(rows, revised=True, period=number % 2)), names)

    resend(path, names, clock=Clock(revise), rows=40)
    assert next(changes) > 10
    database, expected = Database(), Database()
    database.drain(path)
    resend(path, names)
    expected.drain(path)
    for measurement in MEASUREMENTS:
        assert standing(database, measurement) == standing(expected, measurement)


def test_it_waits_while_the_outbox_is_half_full(path: Path, store: SqliteStore) -> None:
    names = filled(store)
    Database().drain(path)
    resend(path, names, rows=50)
    unbounded = Database()
    unbounded.drain(path)
    seen: list[int] = []
    database = Database()

    def drain_now_and_then() -> None:
        with_reader = Outbox(path, "influx", max_bytes=1, quarantine_rows=1)
        seen.append(with_reader.stats().bytes)
        with_reader.close()
        if len(seen) % 20 == 0:
            database.drain(path)

    clock = Clock(drain_now_and_then)
    resend(path, names, clock=clock, max_bytes=6000, rows=50)
    database.drain(path)
    assert database.points == unbounded.points
    assert 3000 <= max(seen) < 6000
    assert any("waiting" in text for text in clock.said)


def test_it_gives_up_where_nobody_empties_the_outbox(path: Path, store: SqliteStore) -> None:
    names = filled(store)
    clock = Clock()
    with pytest.raises(StoreError, match="start the service"):
        resend(path, names, clock=clock, max_bytes=1000)
    assert 60 <= clock.now_s < 70


def test_what_the_configuration_no_longer_has(path: Path, store: SqliteStore) -> None:
    """An item is sent on; a building is not, for nobody knows its zone."""
    filled(store)
    Database().drain(path)
    today = registry([("B-1", "total"), ("B-9", "total")], periods=["normal"], org="new")
    points, unknown = resend(path, today)
    assert unknown == ["B-2"]
    found = Database()
    assert found.drain(path) == points
    tags = [tags for tags, _, _ in found.of("consumption")]
    assert {(each["building"], each["item"], each["org"]) for each in tags} == {
        ("B-1", "total", "new"),
        ("B-1", "water", "new"),
    }
    assert {each["period"] for each in tags} == {"normal", "peak"}


def test_nothing_stored_is_nothing_sent(path: Path, store: SqliteStore) -> None:
    assert resend(path, registry()) == (0, [])
