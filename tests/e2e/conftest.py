"""What the tests of this folder share: one course of deliveries, and an uninterrupted run over it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.plant import FAULTS, Course, Gateways, Plant, make_course
from tests.e2e.results import AcPoint, Results, ac_points_in, of_influx, of_sqlite
from tests.services.influxd import Influxd
from tests.services.mosquitto import Mosquitto


@dataclass(frozen=True)
class Uninterrupted:
    """What one run without any trouble left behind."""

    sqlite: Results
    influx: Results
    ac_points: set[AcPoint]
    quarantine: list[tuple[str, bytes, str]]
    accepted: float
    quarantined: dict[str, float]
    """As /metrics counted them."""
    left_at_broker: list[str]


@pytest.fixture(scope="session")
def course() -> Course:
    return make_course(5, faults=FAULTS)


@pytest.fixture(scope="session")
def uninterrupted(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    folder = tmp_path_factory.mktemp("uninterrupted")
    with plant_of(course, folder) as plant:
        assert plant.influx is not None
        plant.subscribe()
        Gateways(course.sent, plant.broker.url).finish()
        plant.settle(course.truth)
        accepted = plant.monitor.metric("readings_total", outcome="accepted")
        quarantined = {reason: plant.monitor.metric("quarantined_total", reason=reason) for reason in course.bad}
        plant.finish(course.truth)
        return Uninterrupted(
            of_sqlite(plant.monitor),
            of_influx(plant.influx, course.scenario.registry),
            ac_points_in(plant.influx),
            plant.quarantined(),
            accepted,
            quarantined,
            plant.left_at_broker(),
        )


def plant_of(course: Course, folder: Path) -> Plant:
    return Plant(folder, course.scenario, Mosquitto(folder / "broker"), Influxd(folder / "influx"))
