"""What panels show is what SQLite holds, to the digit: computed here from the rows of the embedded store alone."""

from __future__ import annotations

import datetime
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from grafana.builders.influx import ORG_LEVELS
from tests.grafana.conftest import Town
from tests.grafana.filled import DAY_MS, HOUR_MS, Range, committed, fill, target

pytestmark = pytest.mark.services

OVERVIEW, BUILDING = committed()["1-overview"], committed()["2-building"]
ALL: dict[str, Sequence[str] | None] = dict.fromkeys((*ORG_LEVELS, "building", "item"))
PEAK = ("peak", "critical")


class Row(NamedTuple):
    """A row of `intervals`, with the hour (UTC) and the local day it belongs to [UTC ms]."""

    building: str
    item: str
    start_ms: int
    period: str
    measured: float
    estimated: float
    coverage: float
    demand_kw: float | None
    hour_ms: int
    day_ms: int


def _day_ms(start_ms: int, timezone: str) -> int:
    local = datetime.datetime.fromtimestamp(start_ms / 1000, ZoneInfo(timezone))
    return int(local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


def intervals(town: Town, item: str | None = "total") -> list[Row]:
    zones = {building.id: building.timezone for building in town.plant.scenario.registry.buildings}
    rows = town.plant.monitor.rows("SELECT * FROM intervals ORDER BY building, item, start_ms")
    found = [Row._make((*row, row[2] - row[2] % HOUR_MS, _day_ms(row[2], zones[row[0]]))) for row in rows]
    return [row for row in found if item is None or row.item == item]


def events(town: Town, where: str = "1") -> list[dict[str, Any]]:
    names = ("event_id", "rule", "building", "device", "start_ms", "end_ms", "state", "excess", "duration_ms", "worst")
    rows = town.plant.monitor.rows(
        f"SELECT {', '.join(names)} FROM events WHERE state <> 'withdrawn' AND {where} ORDER BY start_ms"
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def kwh(rows: Iterable[Row]) -> float:
    return math.fsum(row.measured + row.estimated for row in rows)


def coverage(rows: Sequence[Row]) -> float:
    return math.fsum(row.coverage for row in rows) / len(rows)


def shown(town: Town, dashboard: dict[str, Any], title: str, ref: str = "A", **choices: str) -> list[dict[str, Any]]:
    """The rows of a panel over the last week."""
    found = target(dashboard, title, ref)
    chosen = town.week.of(found.panel, _midnight_ms(town))
    picked = {**ALL, **{name: [value] for name, value in choices.items()}}
    return town.rows(fill(found.text, picked, chosen, str(found.panel.get("interval") or "1h")))


def figure(town: Town, dashboard: dict[str, Any], title: str, **choices: str) -> float:
    """The one value of a panel with one figure."""
    (row,) = shown(town, dashboard, title, **choices)
    (value,) = [value for name, value in row.items() if name != "time"]
    return float(value)


def same(value: float | None, expected: float) -> bool:
    """But for the order in which floats were added."""
    return value is not None and math.isclose(value, expected, rel_tol=1e-12, abs_tol=1e-9)


def _midnight_ms(town: Town) -> int:
    return town.now_ms - town.now_ms % DAY_MS


def within(rows: Iterable[Row], chosen: Range, by: str) -> list[Row]:
    return [row for row in rows if chosen.from_ms <= getattr(row, by) <= chosen.to_ms]


def test_open_violations(town: Town) -> None:
    found = events(town, "state = 'open'")
    assert found
    assert figure(town, OVERVIEW, "Open violations") == len(found)
    assert figure(town, OVERVIEW, "Buildings in violation") == len({event["building"] for event in found})


def test_energy_of_today_and_of_the_week_before(town: Town) -> None:
    today = Range(_midnight_ms(town), town.now_ms)
    before = Range(today.from_ms - 7 * DAY_MS, today.to_ms - 7 * DAY_MS)
    for title, chosen in (("Energy today", today), ("Same weekday before", before)):
        rows = within(intervals(town), chosen, "hour_ms")
        assert rows
        assert same(figure(town, OVERVIEW, title), kwh(rows)), title


def test_shares_of_periods_and_completeness(town: Town) -> None:
    rows = within(intervals(town), town.week, "day_ms")
    found = {row["period"]: row["sum_sum"] for row in shown(town, OVERVIEW, "Share of peak hours")}
    assert found.keys() == {row.period for row in rows}
    assert all(same(value, kwh(row for row in rows if row.period == name)) for name, value in found.items())
    assert same(figure(town, OVERVIEW, "Data completeness"), coverage(rows))


def test_energy_by_local_day_and_period(town: Town) -> None:
    """The date that Grafana writes is that of UTC+12 at the bucket's begin; it must be the building's own date."""
    expected: dict[tuple[str, str], list[Row]] = defaultdict(list)
    zones = {building.id: building.timezone for building in town.plant.scenario.registry.buildings}
    for row in within(intervals(town), town.week, "day_ms"):
        date = datetime.datetime.fromtimestamp(row.day_ms / 1000, ZoneInfo(zones[row.building])).date().isoformat()
        expected[date, row.period].append(row)
    ahead = ZoneInfo("Etc/GMT-12")
    found = {
        (datetime.datetime.fromtimestamp(row["time"] / 1000, ahead).date().isoformat(), row["period"]): row["sum_sum"]
        for row in shown(town, OVERVIEW, "Energy by day and period")
    }
    assert found.keys() == expected.keys()
    assert all(same(found[key], kwh(rows)) for key, rows in expected.items())


@pytest.mark.parametrize(
    ("title", "rule", "column"),
    [
        ("Excess over the peak limit", "peak_demand", "excess"),
        ("Excess over the peak budget", "peak_budget", "excess"),
        ("Hours in violation", None, "hours"),
    ],
)
def test_rankings(town: Town, title: str, rule: str | None, column: str) -> None:
    sums: dict[str, list[float]] = defaultdict(list)
    for event in events(town, f"start_ms BETWEEN {town.week.from_ms} AND {town.week.to_ms}"):
        if rule in (None, event["rule"]):
            sums[event["building"]].append(event["excess"] if rule else event["duration_ms"] / HOUR_MS)
    found = shown(town, OVERVIEW, title)
    assert {row["building"] for row in found} == set(sums)
    assert all(same(row[column], math.fsum(sums[row["building"]])) for row in found)
    assert found


def test_organisations(town: Town) -> None:
    orgs = {building.id: building.org for building in town.plant.scenario.registry.buildings}
    by_org: dict[str, list[Row]] = defaultdict(list)
    for row in within(intervals(town), town.week, "day_ms"):
        by_org[orgs[row.building]].append(row)
    found = {row["org"]: row for row in shown(town, OVERVIEW, "Organisations")}
    assert found.keys() == by_org.keys()
    for org, rows in by_org.items():
        assert same(found[org]["energy"], kwh(rows))
        assert same(found[org]["coverage"], coverage(rows))


def test_a_province_has_all_below_it_and_nothing_else(town: Town) -> None:
    orgs = {building.id: building.org for building in town.plant.scenario.registry.buildings}
    province = "Lạng Sơn"
    rows = [row for row in within(intervals(town), town.week, "day_ms") if orgs[row.building].startswith(province)]
    assert len({row.building for row in rows}) > 1
    assert same(figure(town, OVERVIEW, "Data completeness", org1=province), coverage(rows))


def test_least_complete_buildings(town: Town) -> None:
    by_building: dict[str, list[Row]] = defaultdict(list)
    for row in within(intervals(town), town.week, "day_ms"):
        by_building[row.building].append(row)
    found = {row["building"]: row["coverage"] for row in shown(town, OVERVIEW, "Least complete buildings")}
    assert found.keys() == by_building.keys()
    assert all(same(found[name], coverage(rows)) for name, rows in by_building.items())


def test_a_buildings_figures(town: Town) -> None:
    for building in town.plant.scenario.registry.buildings:
        rows = [row for row in within(intervals(town), town.week, "start_ms") if row.building == building.id]
        highest_kw = max(row.demand_kw or 0.0 for row in rows if row.period in PEAK)
        here = {"building": building.id}
        assert figure(town, BUILDING, "Highest at peak", **here) == highest_kw
        assert figure(town, BUILDING, "Peak limit", **here) == building.peak_limit_kw
        assert same(figure(town, BUILDING, "Energy", **here), kwh(rows))
        assert same(figure(town, BUILDING, "Data completeness", **here), coverage(rows))


def test_demand_against_the_limit(town: Town) -> None:
    """Each interval of 15 min is a point of its own; shaded are the peak ones, red those of them above the limit."""
    exceeded = 0
    for building in town.plant.scenario.registry.buildings:
        rows = [row for row in within(intervals(town), town.week, "start_ms") if row.building == building.id]
        limit_kw = building.peak_limit_kw or math.inf
        expected: dict[str, dict[int, float | None]] = {
            "A": {row.start_ms: 1 for row in rows if row.period in PEAK},
            "B": {row.start_ms: row.demand_kw for row in rows if row.coverage > 0},
            "C": {
                row.start_ms: row.demand_kw
                for row in rows
                if row.period in PEAK and row.coverage > 0 and (row.demand_kw or 0.0) > limit_kw
            },
            "D": {row.start_ms: building.peak_limit_kw for row in rows},
        }
        for ref, points in expected.items():
            found = {
                row["time"]: next(value for name, value in row.items() if name != "time")
                for row in shown(town, BUILDING, "Demand against the limit", ref, building=building.id)
            }
            assert {time: value for time, value in found.items() if value is not None} == points, ref
        exceeded += len(expected["C"])
    assert exceeded


def test_consumption_by_item_and_period(town: Town) -> None:
    for building in town.plant.scenario.registry.buildings:
        sums: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in within(intervals(town, None), town.week, "hour_ms"):
            if row.building == building.id:
                sums[row.item, row.period].append(row)
        title = "Consumption by item and period"
        found = {(row["item"], row["period"]): row for row in shown(town, BUILDING, title, building=building.id)}
        assert found.keys() == sums.keys()
        for key, rows in sums.items():
            assert same(found[key]["energy"], kwh(rows))
            assert same(found[key]["estimated"], math.fsum(row.estimated for row in rows))
            assert same(found[key]["coverage"], coverage(rows))


def test_tables_of_a_building(town: Town) -> None:
    entries = 0
    for building in town.plant.scenario.registry.buildings:
        where = f"building = '{building.id}' AND start_ms BETWEEN {town.week.from_ms} AND {town.week.to_ms}"
        expected = [(each["start_ms"], each["rule"], each["device"] or "-") for each in events(town, where)]
        found = shown(town, BUILDING, "Violations", building=building.id)
        assert sorted((row["time"], row["rule"], row["device"]) for row in found) == sorted(expected)
        ledger = town.plant.monitor.rows(
            "SELECT ts_ms, kind, device, quantity, amount FROM ledger WHERE building = ? AND ts_ms BETWEEN ? AND ?",
            building.id,
            town.week.from_ms,
            town.week.to_ms,
        )
        shown_entries = shown(town, BUILDING, "What the meters did", building=building.id)
        columns = ("time", "kind", "device", "quantity", "amount")
        assert sorted(tuple(row[name] for name in columns) for row in shown_entries) == sorted(ledger)
        entries += len(ledger)
    assert entries
