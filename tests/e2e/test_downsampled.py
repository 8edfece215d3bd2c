"""Hours and days in InfluxDB are what InfluxDB itself makes of `consumption`, after late data and after it was lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.registry import Registry
from monitor.simulate.compare import ABS_TOL, REL_TOL
from tests.e2e.plant import FAULTS, Gateways, Plant, make_course
from tests.e2e.results import DATABASE
from tests.services.influxd import Influxd
from tests.services.mosquitto import Mosquitto

pytestmark = pytest.mark.services

MEASUREMENTS = ("consumption", "consumption_hour", "consumption_day", "violation", "ledger")
FIELDS = ("measured", "estimated", "coverage", "demand_kw", "intervals")
_AGGREGATED = (
    "SELECT SUM(measured) AS measured, SUM(estimated) AS estimated, MEAN(coverage) AS coverage, "
    "MAX(demand_kw) AS demand_kw, COUNT(measured) AS intervals FROM consumption "
    "WHERE building = '{building}' GROUP BY time({span}), item, period fill(none) tz('{timezone}')"
)
_STORED = "SELECT {fields} FROM {measurement} WHERE building = '{building}' GROUP BY item, period"

Points = dict[tuple[str, str, str, int], list[float]]


def series(influx: Influxd, building: str, statement: str) -> Points:
    """(building, item, period, time) to the FIELDS."""
    return {
        (building, one["tags"]["item"], one["tags"]["period"], row["time"]): [
            -1.0 if row.get(name) is None else float(row[name]) for name in FIELDS
        ]
        for one in influx.statement(statement, DATABASE)
        for row in (dict(zip(one["columns"], values, strict=True)) for values in one["values"])
    }


def compare(influx: Influxd, registry: Registry) -> int:
    """Returns how many points there are."""
    count = 0
    for measurement, span in (("consumption_hour", "1h"), ("consumption_day", "1d")):
        stored: Points = {}
        aggregated: Points = {}
        for building in registry.buildings:
            zone = building.timezone if span == "1d" else "UTC"
            asked = {"building": building.id, "measurement": measurement, "span": span, "timezone": zone}
            stored |= series(influx, building.id, _STORED.format(fields=", ".join(FIELDS), **asked))
            aggregated |= series(influx, building.id, _AGGREGATED.format(**asked))
        assert stored.keys() == aggregated.keys(), measurement
        for key, figures in aggregated.items():
            assert stored[key] == pytest.approx(figures, rel=REL_TOL, abs=ABS_TOL), (measurement, key)
        count += len(stored)
    return count


def everything(influx: Influxd) -> dict[str, list[dict[str, Any]]]:
    """All points that `resend` brings back, without those that say that something was undone."""
    rows = {name: influx.rows(f"SELECT * FROM {name}", DATABASE) for name in MEASUREMENTS}
    rows["ledger"] = [row for row in rows["ledger"] if row["detail"] != "withdrawn"]
    for row in rows["violation"]:
        if row.get("end_ms") == 0:
            del row["end_ms"]  # as if it had never been closed
    return {name: sorted(found, key=_tags_and_time) for name, found in rows.items()}


def _tags_and_time(row: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in row.items() if name == "time" or isinstance(value, str))


def _texts(row: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in row.items() if isinstance(value, str)}


def _figures(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if not isinstance(value, str)}


def assert_same(found: dict[str, list[dict[str, Any]]], expected: dict[str, list[dict[str, Any]]]) -> None:
    for name, rows in expected.items():
        assert len(found[name]) == len(rows), name
        for one, other in zip(found[name], rows, strict=True):
            assert _texts(one) == _texts(other), name
            assert _figures(one) == pytest.approx(_figures(other), rel=1e-12), name


def resend(plant: Plant, *options: str) -> None:
    command = [sys.executable, "-m", "monitor", "resend", "--config", str(plant.monitor.config), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    plant.drain()


def test_late_data_and_a_database_that_was_lost(tmp_path: Path) -> None:
    course = make_course(8, faults=FAULTS)
    influx = Influxd(tmp_path / "influx")
    with Plant(tmp_path, course.scenario, Mosquitto(tmp_path / "broker"), influx) as plant:
        plant.subscribe()
        half = len(course.sent) // 2
        Gateways(course.sent[:half], plant.broker.url).finish()
        plant.take_all()  # in one step with the rest nothing would be late
        Gateways(course.sent[half:], plant.broker.url).finish()
        plant.settle(course.truth)
        assert plant.monitor.metric("revisions_total") > 0
        assert compare(influx, course.scenario.registry) > 100
        before = everything(influx)
        assert all(before.values())
        influx.statement(f"DROP DATABASE {DATABASE}")
        influx.statement(f"CREATE DATABASE {DATABASE}")
        resend(plant)
        compare(influx, course.scenario.registry)
        assert_same(everything(influx), before)
        one = course.scenario.registry.buildings[0].id
        influx.statement(f"DROP SERIES FROM {', '.join(MEASUREMENTS)} WHERE building = '{one}'", DATABASE)
        assert len(everything(influx)["consumption_day"]) < len(before["consumption_day"])
        resend(plant, "--building", one)
        assert_same(everything(influx), before)
