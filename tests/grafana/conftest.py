"""One town for all tests of queries: ten days through a real broker, the real service and a real InfluxDB 1.x."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from monitor.simulate.delivery import deliveries
from monitor.simulate.run import live_scenario
from tests.e2e.plant import FAULTS, Course, Gateways, Plant
from tests.e2e.results import DATABASE, of_truth
from tests.grafana.filled import DAY_MS, Range
from tests.services.influxd import Influxd
from tests.services.mosquitto import Mosquitto

_DAYS = 9.5
"""More than a week: the same weekday before is compared."""


_EVENING = datetime.timedelta(days=2, hours=13)
"""Wednesday 13:00 UTC, when both countries have peak hours and offices are closed: violations are open then. The same
on whatever day the tests run."""


def last_evening_ms(now: datetime.datetime) -> int:
    """The latest such evening before `now` [UTC ms]."""
    monday = now.replace(hour=0, minute=0, second=0, microsecond=0) - datetime.timedelta(days=now.weekday())
    evening = monday + _EVENING
    if evening > now:
        evening -= datetime.timedelta(days=7)
    return int(evening.timestamp() * 1000)


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


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Four buildings of both countries; with them every rule is broken and every kind of device is there."""
    now_ms = last_evening_ms(datetime.datetime.now(datetime.UTC))
    scenario = live_scenario(
        seed=11,
        duration_s=_DAYS * 86_400,
        speed=math.inf,
        now_ms=now_ms,
        buildings=4,
        ac_cadence_s=900.0,
        faults=FAULTS,
    )
    course = Course(scenario, list(deliveries(scenario)), of_truth(scenario))
    folder = tmp_path_factory.mktemp("town")
    with Plant(folder, scenario, Mosquitto(folder / "broker"), Influxd(folder / "influx")) as plant:
        plant.subscribe()
        Gateways(course.sent, plant.broker.url).finish()
        plant.finish(course.truth)
        yield Town(plant, now_ms)
