"""kill -9 at any moment, of the monitor, the broker and the database: the outcome is that of a run without trouble."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Uninterrupted, plant_of
from tests.e2e.plant import Course, Gateways, Plant
from tests.e2e.results import ac_points_in, ac_points_of, assert_same, of_influx, of_sqlite

pytestmark = pytest.mark.services

KILLS = 15


def assert_nothing_lost(plant: Plant, course: Course, uninterrupted: Uninterrupted) -> None:
    """The stores hold what is true, and to the bit what they hold after a run without trouble; nothing good stands in
    quarantine, and nothing bad is missing there (after a crash it may stand there twice)."""
    assert plant.influx is not None
    found = of_sqlite(plant.monitor)
    assert_same(found, course.truth, "SQLite")
    assert found == uninterrupted.sqlite
    shown = of_influx(plant.influx, course.scenario.registry)
    assert_same(shown, course.truth, "InfluxDB")
    assert shown == uninterrupted.influx
    assert ac_points_in(plant.influx) == ac_points_of(course.scenario)
    assert set(plant.quarantined()) == set(uninterrupted.quarantine)
    assert plant.left_at_broker() == []


def test_the_monitor_is_killed_again_and_again(course: Course, uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    """A third of the kills strike while it starts and recovers, a third when it has just been given what the broker
    kept for it meanwhile, a third while it goes on; the gateways never pause."""
    chance = random.Random(20)
    with plant_of(course, tmp_path) as plant:
        began = time.monotonic()
        plant.subscribe()
        start_s = time.monotonic() - began
        monitor = plant.monitor
        monitor.kill()
        longest_s = {"starting": start_s, "receiving": 0.15, "going on": 0.6}
        moments = [(kind, chance.uniform(0.0, longest_s[kind])) for kind in longest_s for _ in range(KILLS // 3)]
        chance.shuffle(moments)
        expected_s = sum(wait_s + (0.0 if kind == "starting" else start_s) for kind, wait_s in moments)
        gateways = Gateways(course.sent, plant.broker.url, run_s=expected_s)
        progressed = set()
        for kind, wait_s in moments:
            monitor.launch()
            if kind != "starting":
                monitor.await_ready()
            time.sleep(wait_s)  # the random moment itself
            monitor.kill()
            progressed.add(monitor.number("SELECT SUM(seq) FROM sqlite_sequence"))
        assert len(progressed) > KILLS // 3, "most lives were to leave something on disk"
        gateways.finish()
        monitor.start()
        plant.finish(course.truth)
        assert_nothing_lost(plant, course, uninterrupted)


@pytest.mark.parametrize("trouble", ["broker", "database", "both"])
def test_the_servers_are_killed(trouble: str, course: Course, uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    """The broker four times while gateways publish; the database once, and it stays away for half of the run.

    Mosquitto acknowledges what it has in memory only, so the gateways send again what it took since it last saved.
    """
    chance = random.Random(21)
    rounds = 4
    with plant_of(course, tmp_path) as plant:
        broker, influx, monitor = plant.broker, plant.influx, plant.monitor
        assert influx is not None
        plant.subscribe()
        edges = [len(course.sent) * n // (2 * rounds) for n in range(2 * rounds + 1)]
        for n in range(rounds):
            if trouble != "broker" and n == 1:
                influx.kill()
            Gateways(course.sent[edges[2 * n] : edges[2 * n + 1]], broker.url).finish()
            part = course.sent[edges[2 * n + 1] : edges[2 * n + 2]]
            if trouble == "database":
                Gateways(part, broker.url).finish()
            else:
                broker.save()
                gateways = Gateways(part, broker.url)
                gateways.until_acknowledged(chance.randrange(1, len(part) // 2))
                broker.kill()
                assert not gateways.done, "it was to die in the middle"
                broker.start()
                gateways.finish()
                Gateways(part, broker.url).finish()
            if trouble != "broker" and n == 2:
                monitor.until(lambda: monitor.number("SELECT COUNT(*) FROM outbox") > 0, "lines wait")
                monitor.until(lambda: monitor.metric("sink_errors_total", sink="influx") > 0, "errors are counted")
                influx.start()
        plant.finish(course.truth)
        assert_nothing_lost(plant, course, uninterrupted)
