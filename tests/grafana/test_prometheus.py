"""Every PromQL query of the dashboards, filled in as Grafana does it, gives rows in a real Prometheus that scrapes a
real monitor; and what it asks for is what the monitor has."""

from __future__ import annotations

import datetime
import math
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from monitor.metrics import Metrics
from monitor.simulate.delivery import deliveries
from monitor.simulate.run import live_scenario
from tests.e2e.plant import FAULTS, Course, Gateways, Plant
from tests.e2e.results import of_truth
from tests.grafana.conftest import last_evenings_ms
from tests.grafana.filled import Target, committed, fill_promql, target, targets
from tests.services.influxd import Influxd
from tests.services.mosquitto import Mosquitto
from tests.services.prometheus import Prometheus

DASHBOARDS = committed()
QUERIES = [(name, each) for name, model in DASHBOARDS.items() for each in targets(model, "prometheus")]
_NAME = re.compile(r"\b(?:meter_monitor|process)_\w+")
_ENDINGS = {"counter": ("_total",), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count")}
_PER_SECOND = 5
"""Scrapes, so that a rate has its two samples at once."""
NEVER_HERE = {"Points refused A"}
"""Nothing in this run makes InfluxDB refuse a point."""


def _names() -> set[str]:
    """Of all samples that the monitor can give."""
    registry = CollectorRegistry()
    Metrics(registry)
    return {f"{family.name}{ending}" for family in registry.collect() for ending in _ENDINGS.get(family.type, ("",))}


def test_only_metrics_that_the_monitor_has() -> None:
    asked = {name for _, each in QUERIES for name in _NAME.findall(each.expression)}
    assert len(asked) > 30
    assert asked - _names() == set()


def test_every_metric_of_the_monitor_is_shown() -> None:
    asked = {name for _, each in QUERIES for name in _NAME.findall(each.expression)}
    assert {name for name in _names() if name.startswith("meter_monitor_")} - asked == set()


def test_only_the_monitors_own_job_is_asked() -> None:
    for _, each in QUERIES:
        for name in _NAME.findall(each.expression):
            assert re.search(rf'{name}\{{job="meter-monitor"[,}}]', each.expression), (each.name, name)


def test_counters_are_shown_as_rates() -> None:
    """Except for what was put into quarantine since the start, which says so in its title."""
    for _, each in QUERIES:
        for name in re.findall(r"\w+_total", each.expression):
            filled = fill_promql(each.expression, {})
            is_rate = re.search(rf"(rate|increase)\({name}\{{[^}}]*\}}\[1m\]\)", filled)
            assert is_rate or "since" in each.panel["title"], each.name


SOURCES = [
    {"name": "silent", "format": "tasmota", "topics": ["nobody/+/SENSOR"]},
    {"name": "simulated", "format": "native", "topics": ["meters/#"]},
]


@dataclass(frozen=True)
class Watched:
    plant: Plant
    prometheus: Prometheus

    def rows(self, each: Target, **choices: str) -> list[tuple[dict[str, str], float]]:
        return self.prometheus.query(fill_promql(each.expression, {name: [value] for name, value in choices.items()}))


def _config(folder: Path, address: str) -> Path:
    job = {"job_name": "meter-monitor", "static_configs": [{"targets": [address]}]}
    path = folder / "prometheus.yml"
    interval = f"{1000 // _PER_SECOND}ms"
    path.write_text(yaml.safe_dump({"global": {"scrape_interval": interval}, "scrape_configs": [job]}))
    return path


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A day of two buildings; InfluxDB is away at first, so that writes fail."""
    now_ms = next(last_evenings_ms(datetime.datetime.now(datetime.UTC)))
    scenario = live_scenario(
        seed=11, duration_s=86_400, speed=math.inf, now_ms=now_ms, buildings=2, ac_cadence_s=900.0, faults=FAULTS
    )
    course = Course(scenario, list(deliveries(scenario)), of_truth(scenario))
    folder = tmp_path_factory.mktemp("watched")
    with ExitStack() as stack:
        influx = Influxd(folder / "influx")
        plant = stack.enter_context(
            Plant(folder, scenario, Mosquitto(folder / "broker"), influx, sections={"sources": SOURCES})
        )
        plant.subscribe()
        address = plant.monitor.url.removeprefix("http://")
        prometheus = Prometheus(folder / "prometheus", _config(folder, address))
        prometheus.start()
        stack.callback(prometheus.stop)
        monitor = plant.monitor
        monitor.until(lambda: bool(prometheus.query("up == 1")), "Prometheus has seen the monitor")
        influx.stop()
        Gateways(course.sent, plant.broker.url).finish()
        monitor.until(lambda: monitor.metric("sink_errors_total") > 0, "a write has failed")
        influx.start()
        plant.settle(course.truth)
        settled_s = time.time()
        for expression in (
            f"timestamp(up) > {settled_s + 1}",
            "rate(meter_monitor_sink_points_total[1m])",
            "meter_monitor_building_clock_lag_seconds",
            "meter_monitor_outbox_points == 0",
            f"sum(meter_monitor_silent_devices) == {len(scenario.registry.devices)}",
        ):
            monitor.until(lambda asked=expression: bool(prometheus.query(asked)), expression)  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
        yield Watched(plant, prometheus)


@pytest.mark.services
def test_every_query_gives_rows(watched: Watched) -> None:
    empty = {each.name for _, each in QUERIES if not watched.rows(each)}
    assert empty - NEVER_HERE == set()


@pytest.mark.services
def test_legends_and_columns_are_labels_of_what_comes_back(watched: Watched) -> None:
    for _, each in QUERIES:
        labels = set(re.findall(r"\{\{(\w+)\}\}", each.query.get("legendFormat", "")))
        for found, _value in watched.rows(each):
            assert labels <= found.keys(), each.name


@pytest.mark.services
def test_no_query_gives_a_series_for_each_building(watched: Watched) -> None:
    """But those that are cut to a number."""
    for _, each in QUERIES:
        by_building = any("building" in found for found, _value in watched.rows(each))
        assert not by_building or each.expression.startswith("topk(20, "), each.name


@pytest.mark.services
def test_variables_have_values(watched: Watched) -> None:
    asked = {each["name"]: each["query"] for each in DASHBOARDS["6-operations"]["templating"]["list"]}
    assert asked.keys() == {"instance", "broker"}
    for query in asked.values():
        parts = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
        assert parts
        found = watched.prometheus.query(fill_promql(parts[1], {}))
        assert {labels[parts[2]] for labels, _value in found} == (
            {"main"} if parts[2] == "broker" else {watched.plant.monitor.url.removeprefix("http://")}
        )


@pytest.mark.services
def test_a_part_of_the_tree_leaves_the_others_out(watched: Watched) -> None:
    """All that was simulated is of the past, so every device is silent: the figures are the registry's own."""
    board = DASHBOARDS["5-data-quality"]
    silent = target(board, "Silent devices", kind="prometheus")
    registry = watched.plant.scenario.registry
    for building in registry.buildings:
        devices = sum(registry.buildings[row].id == building.id for row in registry.device_building.tolist())
        for choice in ({"building": building.id}, {"org4": building.org}):
            ((_, count),) = watched.rows(silent, **choice)
            assert count == devices
        ((_, share),) = watched.rows(target(board, "Silent share", kind="prometheus"), building=building.id)
        assert share == 1
    assert len({building.org for building in registry.buildings}) == len(registry.buildings)
    assert not watched.rows(silent, org1="Lạng S")
    ((_, all_devices),) = watched.rows(silent)
    assert all_devices == len(registry.devices)


@pytest.mark.services
def test_figures_of_operations(watched: Watched) -> None:
    board, monitor = DASHBOARDS["6-operations"], watched.plant.monitor
    for title, expected in (
        ("Brokers away", 0),
        ("Points waiting", 0),
        ("Failed reloads", 0),
    ):
        ((_, value),) = watched.rows(target(board, title, kind="prometheus"))
        assert value == expected, title
    found = {
        labels["rule"]: value
        for labels, value in watched.rows(target(board, "Open violations by rule", kind="prometheus"))
    }
    assert found == {rule: monitor.metric("open_violations", rule=rule) for rule in found}
    assert sum(found.values()) > 0
    table = target(board, "Messages since the start", kind="prometheus")
    taken = {labels["source"]: value for labels, value in watched.rows(table)}
    assert taken == {"silent": 0, "simulated": monitor.metric("messages_total")}
    assert taken["simulated"] > 0
    reasons = target(DASHBOARDS["5-data-quality"], "Reasons since the monitor started", kind="prometheus")
    entries = {labels["reason"]: value for labels, value in watched.rows(reasons)}
    counted = monitor.rows("SELECT reason, COUNT(*) FROM quarantine GROUP BY reason")
    assert entries == dict(counted)
