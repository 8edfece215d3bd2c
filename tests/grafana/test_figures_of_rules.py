"""Figures of the dashboards AC compliance, Peak hours and Data quality, to the digit against SQLite."""

from __future__ import annotations

import datetime
import math
from collections import Counter, defaultdict
from zoneinfo import ZoneInfo

import pytest

from tests.grafana.conftest import Town
from tests.grafana.filled import HOUR_MS, Range, committed
from tests.grafana.test_figures import PEAK, Row, coverage, events, figure, intervals, kwh, same, shown, within

pytestmark = pytest.mark.services

AC, HOURS, QUALITY = (committed()[name] for name in ("3-ac-compliance", "4-peak-hours", "5-data-quality"))
_AHEAD = ZoneInfo("Etc/GMT-12")
"""In which a bucket of a day begins on the date of the day that it holds."""


def _began(chosen: Range) -> str:
    return f"start_ms BETWEEN {chosen.from_ms} AND {chosen.to_ms}"


def _hours(found: list[dict[str, float]]) -> float:
    return math.fsum(event["duration_ms"] for event in found) / HOUR_MS


def test_air_conditioner_verdicts(town: Town) -> None:
    of = {
        rule: events(town, f"{_began(town.week)} AND rule = '{rule}'")
        for rule in ("ac_cool_setpoint", "ac_heat_setpoint", "ac_hours")
    }
    assert all(of.values())
    assert same(figure(town, AC, "Below the minimum"), _hours(of["ac_cool_setpoint"]))
    assert same(figure(town, AC, "Running after hours"), _hours(of["ac_hours"]))
    set_points = of["ac_cool_setpoint"] + of["ac_heat_setpoint"]
    assert same(figure(town, AC, "Degree hours"), math.fsum(event["excess"] for event in set_points))
    units = {event["device"] for found in of.values() for event in found}
    assert figure(town, AC, "Units in violation") == len(units)
    assert figure(town, AC, "Open AC violations") == len(events(town, "state = 'open' AND rule LIKE 'ac_%'"))
    found = {row["rule"]: row for row in shown(town, AC, "Violations by rule")}
    assert {rule: row["events"] for rule, row in found.items()} == {rule: len(each) for rule, each in of.items()}
    assert all(same(found[rule]["hours"], _hours(each)) for rule, each in of.items())


def test_units_by_their_last_set_point(town: Town) -> None:
    """Against the readings that InfluxDB holds of each unit, counted here one by one."""
    chosen = f"time >= {town.week.from_ms}ms AND time <= {town.week.to_ms}ms"
    last = {
        row["device"]: row["setpoint_c"] for row in town.rows(f'SELECT setpoint_c, device FROM "ac" WHERE {chosen}')
    }
    found = [row["value"] for row in shown(town, AC, "Units by their last set-point")]
    assert sorted(found) == sorted(float(str(value)) for value in last.values())
    assert len(found) == figure(town, AC, "Units reporting")


def test_worst_units(town: Town) -> None:
    for title, which, column in (
        ("Units with the most degree hours", "rule IN ('ac_cool_setpoint', 'ac_heat_setpoint')", "excess"),
        ("Units longest on after hours", "rule = 'ac_hours'", "hours"),
    ):
        sums: dict[str, list[float]] = defaultdict(list)
        for event in events(town, f"{_began(town.week)} AND {which}"):
            sums[event["device"]].append(event["excess"] if column == "excess" else event["duration_ms"] / HOUR_MS)
        found = {row["device"]: row for row in shown(town, AC, title)}
        assert found.keys() == sums.keys()
        assert all(same(row[column], math.fsum(sums[device])) for device, row in found.items())
        assert all(row["events"] == len(sums[device]) for device, row in found.items())


def test_peak_hours(town: Town) -> None:
    rows = within(intervals(town), town.week, "day_ms")
    peak = [row for row in rows if row.period in PEAK]
    assert same(figure(town, HOURS, "Peak energy"), kwh(peak))
    assert same(figure(town, HOURS, "Share of peak hours"), kwh(peak) / kwh(rows))
    assert same(figure(town, HOURS, "Data completeness"), coverage(peak))
    over = {rule: events(town, f"{_began(town.week)} AND rule = '{rule}'") for rule in ("peak_demand", "peak_budget")}
    for title, rule in (("Excess over the limit", "peak_demand"), ("Excess over budget", "peak_budget")):
        assert same(figure(town, HOURS, title), math.fsum(event["excess"] for event in over[rule]))
    assert figure(town, HOURS, "Windows exceeded") == len(over["peak_budget"])


def test_peak_energy_against_the_budget(town: Town) -> None:
    """Of each local day, for those buildings alone that have a budget."""
    buildings = {building.id: building for building in town.plant.scenario.registry.buildings}
    taken: dict[str, list[Row]] = defaultdict(list)
    for row in within(intervals(town), town.week, "day_ms"):
        building = buildings[row.building]
        if row.period in PEAK and building.peak_budget_kwh:
            day = datetime.datetime.fromtimestamp(row.day_ms / 1000, ZoneInfo(building.timezone)).date().isoformat()
            taken[day].append(row)
    expected = {
        "A": {day: kwh(rows) for day, rows in taken.items()},
        "B": {
            day: math.fsum(buildings[name].peak_budget_kwh or 0.0 for name in {row.building for row in rows})
            for day, rows in taken.items()
        },
    }
    assert taken
    for ref, days in expected.items():
        found = {
            datetime.datetime.fromtimestamp(row["time"] / 1000, _AHEAD).date().isoformat(): next(
                value for name, value in row.items() if name != "time"
            )
            for row in shown(town, HOURS, "Peak energy against the budget", ref)
        }
        assert found.keys() == days.keys()
        assert all(same(found[day], value) for day, value in days.items()), ref


def test_load_by_hour_and_its_duration(town: Town) -> None:
    by_hour: dict[int, list[Row]] = defaultdict(list)
    for row in within(intervals(town), town.week, "hour_ms"):
        by_hour[row.hour_ms].append(row)
    found = {row["time"]: row["kw"] for row in shown(town, HOURS, "Mean power by hour and day (kW)")}
    assert found.keys() == by_hour.keys()
    assert all(same(found[hour], kwh(rows)) for hour, rows in by_hour.items())
    assert shown(town, HOURS, "Load duration") == shown(town, HOURS, "Mean power by hour and day (kW)")


def test_closest_to_the_limit(town: Town) -> None:
    limits = {building.id: building.peak_limit_kw for building in town.plant.scenario.registry.buildings}
    highest: dict[str, float] = defaultdict(float)
    for row in within(intervals(town), town.week, "day_ms"):
        if row.period in PEAK:
            highest[row.building] = max(highest[row.building], row.demand_kw or 0.0)
    expected = {name: kw / limit for name, kw in highest.items() if (limit := limits[name])}
    found = {row["building"]: row["ratio"] for row in shown(town, HOURS, "Closest to the limit or above it")}
    assert found.keys() == expected.keys()
    assert all(same(found[name], ratio) for name, ratio in expected.items())


def test_quality_of_the_data(town: Town) -> None:
    rows = within(intervals(town, None), town.week, "day_ms")
    assert same(figure(town, QUALITY, "Data completeness"), coverage(rows))
    electricity = [row for row in rows if row.item not in ("water", "gas", "heat", "cooling")]
    estimated = math.fsum(row.estimated for row in electricity) / kwh(electricity)
    assert estimated > 0
    assert same(figure(town, QUALITY, "Estimated share"), estimated)
    chosen = (town.week.from_ms, town.week.to_ms)
    entries = town.plant.monitor.rows("SELECT building, device, kind FROM ledger WHERE ts_ms BETWEEN ? AND ?", *chosen)
    assert figure(town, QUALITY, "Ledger entries") == len(entries)
    kinds = {row["kind"]: row["entries"] for row in shown(town, QUALITY, "What the meters did")}
    assert kinds == Counter(kind for _, _, kind in entries)
    worst = {
        (row["building"], row["device"], row["kind"]): row["entries"]
        for row in shown(town, QUALITY, "Meters to look at first")
    }
    counted = Counter(entries)
    assert sorted(worst.values(), reverse=True) == sorted(counted.values(), reverse=True)[: len(worst)]
    assert all(counted[key] == count for key, count in worst.items())


def test_least_complete_items(town: Town) -> None:
    by_item: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in within(intervals(town, None), town.week, "day_ms"):
        by_item[row.building, row.item].append(row)
    expected = {key: coverage(rows) for key, rows in by_item.items()}
    found = {(row["building"], row["item"]): row["coverage"] for row in shown(town, QUALITY, "Least complete items")}
    assert len(found) == min(20, len(expected))
    assert all(same(value, expected[key]) for key, value in found.items())
