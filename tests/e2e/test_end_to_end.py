"""Simulator, Mosquitto, monitor, database: everything that is true is there, once, and everything bad is set aside."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from monitor.simulate.delivery import Delivery
from tests.e2e.conftest import Uninterrupted
from tests.e2e.plant import Course, Gateways, Plant, make_course
from tests.e2e.results import ac_points_of, assert_same, of_sqlite
from tests.services.mosquitto import Mosquitto
from tests.services.victoriametrics import VictoriaMetrics

pytestmark = pytest.mark.services


def test_the_course_is_worth_its_name(course: Course) -> None:
    """What the tests of this folder rely on to prove anything."""
    kinds = Counter(delivery.kind for delivery in course.sent)
    assert min(kinds["duplicate"], kinds["backfill"]) > 100
    assert 0.04 < sum(course.bad.values()) / (len(course.sent) - sum(course.bad.values())) < 0.06
    assert len(course.bad) >= 5
    assert {event.rule for event in course.truth.events} >= {"peak_demand", "peak_budget", "ac_cool_setpoint"}
    assert {entry.kind for entry in course.truth.ledger} >= {"outlier", "rollover", "reset"}
    assert [delivery.due_ms for delivery in course.sent] == sorted(delivery.due_ms for delivery in course.sent)


def test_everything_true_is_in_sqlite_once(course: Course, uninterrupted: Uninterrupted) -> None:
    assert_same(uninterrupted.sqlite, course.truth, "SQLite")


def test_everything_true_is_in_influxdb_once(course: Course, uninterrupted: Uninterrupted) -> None:
    assert_same(uninterrupted.influx, course.truth, "InfluxDB")
    assert uninterrupted.ac_points == ac_points_of(course.scenario)


def test_all_good_messages_were_read_and_acknowledged(course: Course, uninterrupted: Uninterrupted) -> None:
    assert uninterrupted.accepted == course.good_readings
    assert uninterrupted.left_at_broker == []


def test_everything_bad_is_in_quarantine_with_its_reason(course: Course, uninterrupted: Uninterrupted) -> None:
    """One message in twenty is malformed, each in one of a dozen ways."""
    expected = Counter(
        (delivery.topic, delivery.payload[:4096], delivery.reason) for delivery in course.sent if delivery.reason
    )
    assert Counter(uninterrupted.quarantine) == expected
    assert uninterrupted.quarantined == {**course.bad, "unknown_device": course.bad["unknown_device"] + 1}  # the mark


def test_two_brokers_at_once(course: Course, uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    """Each has some of the gateways, and what they send together is judged together."""
    gateways = sorted({delivery.topic.split("/")[1] for delivery in course.sent})
    of_second = set(gateways[1::2])
    second = Mosquitto(tmp_path / "second")
    with Plant(tmp_path, course.scenario, Mosquitto(tmp_path / "broker"), second=second) as plant:
        plant.subscribe()
        parts: list[list[Delivery]] = [[], []]
        for delivery in course.sent:
            parts[delivery.topic.split("/")[1] in of_second].append(delivery)
        assert all(parts)
        publishing = [Gateways(part, broker.url) for part, broker in zip(parts, plant.brokers, strict=True)]
        for each in publishing:
            each.finish()
        plant.finish(course.truth)
        assert of_sqlite(plant.monitor) == uninterrupted.sqlite
        assert sorted(plant.quarantined()) == sorted(uninterrupted.quarantine)


def test_victoria_metrics_over_the_v2_api(tmp_path: Path) -> None:
    """It keeps figures only. In a world without faults, sent in order, no figure is revised: each stands there once."""
    course = make_course(6, faults=None)
    database = VictoriaMetrics(tmp_path / "victoria")
    database.start()
    try:
        section = {"version": 2, "url": database.url, "org": "a", "bucket": "b"}
        broker = Mosquitto(tmp_path / "broker")
        with Plant(tmp_path, course.scenario, broker, database=section) as plant:
            plant.subscribe()
            Gateways(course.sent, broker.url, connections=1).finish()
            plant.finish(course.truth)
            assert_same(of_sqlite(plant.monitor), course.truth, "SQLite")
        for name in ("measured", "estimated", "coverage", "demand_kw"):
            found = {
                (_label(tags, "building"), _label(tags, "item"), ts_ms, _label(tags, "period")): value
                for tags, samples in database.exported(f"consumption_{name}").items()
                for ts_ms, value in samples.items()
            }
            true = {row[:4]: getattr(row, name) for row in course.truth.intervals if getattr(row, name) is not None}
            assert found.keys() == true.keys()
            assert found == pytest.approx(true, rel=1e-6, abs=1e-9)
        starts = {
            (_label(tags, "rule"), _label(tags, "building"), _label(tags, "device"), ts_ms)
            for tags, samples in database.exported("violation_excess").items()
            for ts_ms in samples
        }
        assert starts == {
            (event.rule, event.building, event.device or "-", event.start_ms) for event in course.truth.events
        }
        points = {
            (_label(tags, "device"), ts_ms, name, value)
            for name in ("on", "setpoint_c", "room_c")
            for tags, samples in database.exported(f"ac_{name}").items()
            for ts_ms, value in samples.items()
        }
        assert points == {point for point in ac_points_of(course.scenario) if point[2] != "mode"}
    finally:
        database.stop()


def _label(tags: str, name: str) -> str:
    """One label out of `key=value,...`; no value that is asked for has a comma."""
    return dict(part.split("=", 1) for part in tags.split(",") if "=" in part)[name]
