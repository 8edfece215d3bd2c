"""One town for all tests of queries: ten days through a real broker, the real service and a real InfluxDB 1.x."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from monitor.simulate.delivery import deliveries
from monitor.simulate.run import live_scenario
from monitor.simulate.scenario import Scenario
from tests.e2e.plant import FAULTS, Course, Gateways, Plant
from tests.e2e.results import DATABASE, of_truth
from tests.grafana.filled import DAY_MS, Range
from tests.services.influxd import Influxd
from tests.services.mosquitto import Mosquitto

_DAYS = 9.5
"""More than a week: the same weekday before is compared."""

_EVENING = datetime.timedelta(days=2, hours=13)
"""Wednesday 13:00 UTC, when both countries have peak hours and offices are closed: violations are open then."""
_OPEN = {"ac_hours", "peak_demand"}
_MOST_WEEKS = 12
"""Some queries look back for 92 days."""


def last_evenings_ms(now: datetime.datetime) -> Iterator[int]:
    """Such evenings, the latest first [UTC ms]; all are a day old, so that everything has been silent for long."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0) - datetime.timedelta(days=now.weekday())
    evening = day + _EVENING
    if evening > now - datetime.timedelta(days=1):
        evening -= datetime.timedelta(days=7)
    for weeks in range(_MOST_WEEKS):
        yield int((evening - datetime.timedelta(days=7 * weeks)).timestamp() * 1000)


@dataclass(frozen=True)
class Town:
    plant: Plant
    now_ms: int
    """The end of what is simulated, which panels take for now."""

    @property
    def week(self) -> Range:
        return Range(self.now_ms - 7 * DAY_MS, self.now_ms)

    def rows(self, query: str) -> list[dict[str, object]]:
        """Rows of an InfluxQL query; of grouped ones each with its tags."""
        assert self.plant.influx is not None
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
            for series in self.plant.influx.statement(query, DATABASE)
            for row in series["values"]
        ]


def _town_ending_at(now_ms: int) -> Scenario:
    """Four buildings of both countries; with them every rule is broken and every kind of device is there."""
    return live_scenario(
        seed=11,
        duration_s=_DAYS * 86_400,
        speed=math.inf,
        now_ms=now_ms,
        buildings=4,
        ac_cadence_s=900.0,
        faults=FAULTS,
    )


def _has_open_violations(scenario: Scenario) -> bool:
    """By chance nobody leaves a unit on, on one evening of twenty-five."""
    return {event.rule for event in scenario.truth().events if event.end_ms is None} >= _OPEN


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    towns = map(_town_ending_at, last_evenings_ms(datetime.datetime.now(datetime.UTC)))
    scenario = next(filter(_has_open_violations, towns))
    course = Course(scenario, list(deliveries(scenario)), of_truth(scenario))
    folder = tmp_path_factory.mktemp("town")
    with Plant(folder, scenario, Mosquitto(folder / "broker"), Influxd(folder / "influx")) as plant:
        plant.subscribe()
        Gateways(course.sent, plant.broker.url).finish()
        plant.finish(course.truth)
        yield Town(plant, scenario.end_ms)
