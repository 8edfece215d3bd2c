"""SIGTERM while gateways publish: an orderly stop within seconds, and nothing is lost or open to doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Uninterrupted, plant_of
from tests.e2e.plant import STOP_WITHIN_S, Course, Gateways
from tests.e2e.results import assert_same, of_influx, of_sqlite

pytestmark = pytest.mark.services


def test_sigterm_in_the_middle(course: Course, uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    with plant_of(course, tmp_path) as plant:
        assert plant.influx is not None
        monitor = plant.monitor
        plant.subscribe()
        gateways = Gateways(course.sent, plant.broker.url, run_s=2.0)
        monitor.until(lambda: monitor.number("SELECT COUNT(*) FROM intervals") > 100, "results come")
        monitor.terminate(STOP_WITHIN_S)
        assert not gateways.done, "it was to be stopped in the middle"
        stopped = of_sqlite(monitor)
        assert len(stopped.intervals) < len(course.truth.intervals)
        assert monitor.number("SELECT COUNT(*) FROM outbox") == 0, "what was judged was to be sent before the end"
        assert of_influx(plant.influx, course.scenario.registry).intervals == stopped.intervals
        gateways.finish()
        monitor.launch()
        plant.finish(course.truth)
        found = of_sqlite(monitor)
        assert_same(found, course.truth, "SQLite")
        assert found == uninterrupted.sqlite
        assert plant.left_at_broker() == []
        # Nothing was taken twice: what an orderly stop has taken it has acknowledged.
        assert sorted(plant.quarantined()) == sorted(uninterrupted.quarantine)
