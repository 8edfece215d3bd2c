"""Metrics as a scrape shows them."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitor.decoders import OUTCOMES
from monitor.ingest.intake import IntakeMetrics
from monitor.metrics import Metrics
from monitor.registry import AcRules, Building, Device, Policy, Registry, Window
from monitor.results import RULES, Event, event_id
from monitor.store.outbox import OutboxStats
from monitor.store.sender import SinkMetrics

POLICIES = {
    "cool": Policy("cool", ac=AcRules(cool_min_c=26.0)),
    "plain": Policy("plain"),
}
OFFICE = Building("Trụ sở 1", "Asia/Ho_Chi_Minh", "cool", org="Việt Nam/Sở Y tế", peak_limit_kw=50.0)
SCHOOL = Building("school", "Asia/Ho_Chi_Minh", "plain", peak_budget_kwh=9.0)
SITE = Registry.of(
    [OFFICE, SCHOOL],
    [Device("m", OFFICE.id, "meter"), Device("ac", OFFICE.id, "ac"), Device("n", SCHOOL.id, "meter")],
    POLICIES,
)
PROMISED = [
    "messages_total",
    "source_messages_total",
    "readings_total",
    "quarantined_total",
    "open_violations",
    "violations_total",
    "silent_devices",
    "building_clock_lag_seconds",
    "journal_commit_seconds",
    "result_latency_seconds",
    "outbox_points",
    "outbox_oldest_seconds",
    "sink_errors_total",
    "revisions_total",
    "connected",
    "build_info",
]


class Scraped:
    """One metrics registry under test. NaN is the absence of a series."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.clock_s = 1000.0
        self.metrics = Metrics(self.registry, now_s=lambda: self.clock_s)

    def value(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(f"meter_monitor_{name}", labels)
        return math.nan if value is None else value

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """Label values, sorted by label name, to value."""
        return {
            tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == f"meter_monitor_{name}"
        }


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()


def event(building: str, rule: str, start_ms: int, **changes: object) -> Event:
    made = Event(
        event_id(rule, building, "", start_ms), rule, building, "", start_ms, None, "open", "", 50.0, 60.0, 1.0, 2, "p"
    )
    return made._replace(**changes)  # type: ignore[arg-type]  # a test names the fields that it changes


def test_every_promised_metric_is_there_under_its_name(scraped: Scraped) -> None:
    text = generate_latest(scraped.registry).decode()
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    assert {f"meter_monitor_{name}" for name in PROMISED} <= names
    assert {name for name in names if not name.startswith(("meter_monitor_", "process_"))} == set()


def test_the_text_is_read_back_whole_with_names_as_they_are_written(scraped: Scraped) -> None:
    scraped.metrics.buildings(SITE)
    scraped.metrics.messages('a "quoted"\nbroker\\', "accepted", 3)
    families = list(text_string_to_metric_families(generate_latest(scraped.registry).decode()))
    samples = [sample for family in families for sample in family.samples]
    assert ("meter_monitor_devices", {"building": "Trụ sở 1"}, 2.0) in [sample[:3] for sample in samples]
    labels = {"source": 'a "quoted"\nbroker\\', "outcome": "accepted"}
    assert ("meter_monitor_messages_total", labels, 3.0) in [sample[:3] for sample in samples]


def test_no_metric_has_a_device_as_label(scraped: Scraped) -> None:
    scraped.metrics.buildings(SITE)
    labels = {label for family in scraped.registry.collect() for sample in family.samples for label in sample.labels}
    assert "building" in labels
    assert "device" not in labels


def test_two_in_one_registry_are_refused(scraped: Scraped) -> None:
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(scraped.registry)


def test_what_the_intake_says_is_counted(scraped: Scraped) -> None:
    intake: IntakeMetrics = scraped.metrics
    intake.messages("main", "accepted", 4)
    intake.messages("main", "accepted", 3)
    intake.messages("other", "rejected", 1)
    intake.readings("accepted", 70)
    intake.quarantined("bad_time", 2)
    intake.journal_commit(0.004)
    assert scraped.series("messages_total") == {("accepted", "main"): 7, ("rejected", "other"): 1}
    assert scraped.series("readings_total") == {("accepted",): 70}
    assert scraped.series("quarantined_total") == {("bad_time",): 2}
    assert scraped.value("journal_commit_seconds_count") == 1
    assert scraped.value("journal_commit_seconds_bucket", le="0.0025") == 0
    assert scraped.value("journal_commit_seconds_bucket", le="0.005") == 1


def test_each_source_has_a_figure_from_the_start_and_no_other_has_one(scraped: Scraped) -> None:
    assert scraped.series("source_messages_total") == {}
    scraped.metrics.sources(["own", "plugs"])
    zero = dict.fromkeys(itertools.product(OUTCOMES, ("own", "plugs")), 0)
    assert scraped.series("source_messages_total") == zero
    intake: IntakeMetrics = scraped.metrics
    intake.source_messages("plugs", "ignored", 3)
    intake.source_messages("plugs", "ignored", 2)
    assert scraped.series("source_messages_total") == zero | {("ignored", "plugs"): 5}


def test_reload_leaves_the_sources_figures(scraped: Scraped) -> None:
    scraped.metrics.sources(["own"])
    scraped.metrics.source_messages("own", "accepted", 2)
    scraped.metrics.buildings(SITE)
    scraped.metrics.reload(ok=True)
    assert scraped.value("source_messages_total", source="own", outcome="accepted") == 2


def test_what_the_sender_says_is_counted(scraped: Scraped) -> None:
    sink: SinkMetrics = scraped.metrics
    sink.delivered("influx", 500)
    sink.failed("influx", "unreachable")
    sink.failed("influx", "unreachable")
    sink.failed("sqlite", "full")
    sink.refused("influx", 1)
    assert scraped.value("sink_points_total", sink="influx") == 500
    assert scraped.series("sink_errors_total") == {("unreachable", "influx"): 2, ("full", "sqlite"): 1}
    assert scraped.value("sink_refused_points_total", sink="influx") == 1


def test_a_connection_is_counted_once_however_often_it_is_reported(scraped: Scraped) -> None:
    for is_connected in (False, True, True, False, True):
        scraped.metrics.connected("main", is_connected)
    scraped.metrics.connected("other", False)
    assert scraped.series("connected") == {("main",): 1, ("other",): 0}
    assert scraped.series("connections_total") == {("main",): 2, ("other",): 0}


@pytest.mark.parametrize(("oldest_ms", "oldest_s"), [(None, 0.0), (5_000, 2.5), (9_000, 0.0)])
def test_the_outbox_shows_what_waits_and_how_long(scraped: Scraped, oldest_ms: int | None, oldest_s: float) -> None:
    scraped.metrics.outbox(OutboxStats(2, 30, 400, oldest_ms, 1024), now_ms=7_500)
    assert scraped.value("outbox_points") == 30
    assert scraped.value("outbox_oldest_seconds") == oldest_s
    assert scraped.value("outbox_bytes") == 400
    assert scraped.value("outbox_capacity_bytes") == 1024


def test_gauges_of_what_lies_on_disk(scraped: Scraped) -> None:
    scraped.metrics.journal(end_position=12, size_bytes=34)
    scraped.metrics.journal_failed()
    scraped.metrics.checkpoint_age(56.0)
    scraped.metrics.disk(free_bytes=78, reserved_bytes=11)
    scraped.metrics.quarantine(rows=9, dropped_rows=10)
    assert scraped.value("journal_end_position") == 12
    assert scraped.value("journal_bytes") == 34
    assert scraped.value("journal_errors_total") == 1
    assert scraped.value("checkpoint_age_seconds") == 56
    assert scraped.value("disk_free_bytes") == 78
    assert scraped.value("disk_reserved_bytes") == 11
    assert scraped.value("quarantine_rows") == 9
    assert scraped.value("quarantine_dropped_rows") == 10


def test_what_detection_says_is_counted(scraped: Scraped) -> None:
    scraped.metrics.revised(3)
    scraped.metrics.late(4)
    scraped.metrics.result_latency(0.6)
    assert scraped.value("revisions_total") == 3
    assert scraped.value("late_readings_total") == 4
    assert scraped.value("result_latency_seconds_bucket", le="0.5") == 0
    assert scraped.value("result_latency_seconds_bucket", le="0.75") == 1


def test_a_failed_reload_stays_visible_until_one_succeeds(scraped: Scraped) -> None:
    assert scraped.series("reloads_total") == {("ok",): 0, ("failed",): 0}
    assert scraped.value("config_last_reload_success_timestamp_seconds") == 1000
    scraped.clock_s = 2000.0
    scraped.metrics.reload(ok=False)
    assert scraped.value("config_reload_failed") == 1
    assert scraped.value("config_last_reload_success_timestamp_seconds") == 1000
    scraped.metrics.reload(ok=True)
    assert scraped.value("config_reload_failed") == 0
    assert scraped.value("config_last_reload_success_timestamp_seconds") == 2000
    assert scraped.series("reloads_total") == {("ok",): 1, ("failed",): 1}


def test_each_rule_that_can_befall_a_building_begins_at_zero(scraped: Scraped) -> None:
    scraped.metrics.buildings(SITE)
    scraped.metrics.open_events([])
    expected = {(OFFICE.id, "peak_demand"): 0, (OFFICE.id, "ac_cool_setpoint"): 0, (SCHOOL.id, "peak_budget"): 0}
    assert scraped.series("violations_total") == expected
    assert scraped.series("open_violations") == expected


def test_an_ac_rule_from_which_every_unit_is_exempt_has_no_series(scraped: Scraped) -> None:
    units = [Device("ac", OFFICE.id, "ac", exempt=frozenset({"ac_cool_setpoint"}))]
    scraped.metrics.buildings(Registry.of([OFFICE], units, POLICIES))
    assert scraped.series("violations_total") == {(OFFICE.id, "peak_demand"): 0}


def test_every_rule_has_a_series_where_it_has_a_limit(scraped: Scraped) -> None:
    policy = Policy("all", ac=AcRules(cool_min_c=26.0, heat_max_c=20.0, allowed=(Window("", 450, 1050),)))
    building = Building("b", "UTC", "all", peak_limit_kw=1.0, peak_budget_kwh=1.0)
    scraped.metrics.buildings(Registry.of([building], [Device("ac", "b", "ac")], {"all": policy}))
    assert list(scraped.series("violations_total")) == [("b", rule) for rule in RULES]


def test_violations_open_go_on_and_end(scraped: Scraped) -> None:
    scraped.metrics.buildings(SITE)
    scraped.metrics.open_events([])
    first, second = event(OFFICE.id, "peak_demand", 1), event(OFFICE.id, "peak_demand", 2)
    scraped.metrics.violations([first, second])
    scraped.metrics.events([first, second])
    scraped.metrics.events([first._replace(worst=70.0)])
    pair = {"building": OFFICE.id, "rule": "peak_demand"}
    assert scraped.value("open_violations", **pair) == 2
    scraped.metrics.events([first._replace(state="closed", end_ms=3), second._replace(state="withdrawn")])
    assert scraped.value("open_violations", **pair) == 0
    assert scraped.value("violations_total", **pair) == 2


def test_nothing_is_said_of_open_violations_before_the_store_was_asked(scraped: Scraped) -> None:
    """A 0 at each restart would end the alerts of violations that go on."""
    scraped.metrics.buildings(SITE)
    scraped.metrics.events([event(OFFICE.id, "peak_demand", 1)])
    assert scraped.series("open_violations") == {}
    scraped.metrics.open_events([])
    assert set(scraped.series("open_violations").values()) == {0}
    scraped.metrics.buildings(SITE)  # a reload forgets nothing
    assert set(scraped.series("open_violations").values()) == {0}


def test_the_start_of_the_oldest_open_violation_of_a_rule_is_shown_while_there_is_one(scraped: Scraped) -> None:
    scraped.metrics.buildings(SITE)
    late, early = event(OFFICE.id, "ac_cool_setpoint", 9_500), event(OFFICE.id, "ac_cool_setpoint", 4_000)
    scraped.metrics.open_events([late, early, event(OFFICE.id, "peak_demand", 7_000)])
    name = "oldest_open_violation_start_timestamp_seconds"
    assert scraped.series(name) == {(OFFICE.id, "ac_cool_setpoint"): 4.0, (OFFICE.id, "peak_demand"): 7.0}
    scraped.metrics.events([early._replace(state="closed", end_ms=9_000)])
    assert scraped.value(name, building=OFFICE.id, rule="ac_cool_setpoint") == 9.5
    scraped.metrics.events([late._replace(state="withdrawn")])
    assert scraped.series(name) == {(OFFICE.id, "peak_demand"): 7.0}


def test_what_alerts_are_routed_by_is_shown_of_each_building(scraped: Scraped) -> None:
    scraped.metrics.buildings(SITE)
    assert scraped.series("building_info") == {
        (OFFICE.id, "Việt Nam/Sở Y tế", "cool"): 1,
        (SCHOOL.id, "", "plain"): 1,
    }
    assert scraped.series("devices") == {(OFFICE.id,): 2, (SCHOOL.id,): 1}
    assert scraped.series("air_conditioners") == {(OFFICE.id,): 1, (SCHOOL.id,): 0}


def test_what_is_open_at_the_start_takes_the_place_of_what_was_known(scraped: Scraped) -> None:
    scraped.metrics.buildings(SITE)
    scraped.metrics.events([event(OFFICE.id, "peak_demand", 1)])
    scraped.metrics.open_events(
        [event(SCHOOL.id, "peak_budget", 2), event(SCHOOL.id, "peak_budget", 3, state="closed", end_ms=4)]
    )
    assert scraped.value("open_violations", building=OFFICE.id, rule="peak_demand") == 0
    assert scraped.value("open_violations", building=SCHOOL.id, rule="peak_budget") == 1


def test_buildings_that_are_taken_out_take_their_series_with_them(scraped: Scraped) -> None:
    scraped.metrics.buildings(SITE)
    scraped.metrics.open_events([])
    scraped.metrics.building_states(SITE, np.array([1, 0]), np.array([2.5, np.nan]))
    events = [event(OFFICE.id, "peak_demand", 1), event(SCHOOL.id, "peak_budget", 1)]
    scraped.metrics.violations(events)
    scraped.metrics.events(events)
    smaller = Registry.of([SCHOOL], [Device("n", SCHOOL.id, "meter")], POLICIES)
    scraped.metrics.buildings(smaller)
    assert scraped.series("devices") == {(SCHOOL.id,): 1}
    assert scraped.series("building_info") == {(SCHOOL.id, "", "plain"): 1}
    assert scraped.series("oldest_open_violation_start_timestamp_seconds") == {(SCHOOL.id, "peak_budget"): 0.001}
    assert scraped.series("violations_total") == {(SCHOOL.id, "peak_budget"): 1}
    assert scraped.series("open_violations") == {(SCHOOL.id, "peak_budget"): 1}
    assert scraped.series("silent_devices") == {}
    scraped.metrics.building_states(SITE, np.array([1, 0]), np.array([2.5, np.nan]))  # was on its way
    assert scraped.series("silent_devices") == {}
    scraped.metrics.building_states(smaller, np.array([1]), np.array([4.0]))
    assert scraped.series("silent_devices") == {(SCHOOL.id,): 1}


def test_the_state_of_buildings_is_shown_and_a_lag_only_where_there_is_a_clock(scraped: Scraped) -> None:
    scraped.metrics.buildings(SITE)
    assert scraped.series("silent_devices") == {}
    scraped.metrics.building_states(SITE, np.array([1, 0], np.int32), np.array([2.5, np.nan]))
    assert scraped.series("silent_devices") == {(OFFICE.id,): 1, (SCHOOL.id,): 0}
    assert scraped.series("building_clock_lag_seconds") == {(OFFICE.id,): 2.5}


def test_arrays_of_another_length_are_refused(scraped: Scraped) -> None:
    scraped.metrics.buildings(SITE)
    with pytest.raises(ValueError, match="expected one for each of 2 buildings"):
        scraped.metrics.building_states(SITE, np.array([1]), np.array([1.0, 2.0]))


def test_words_of_decoders_cannot_make_series_without_end() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for number in range(1000):
        metrics.readings(f"reason_{number}", 1)
        metrics.quarantined(f"reason_{number}", 1)
    metrics.readings("reason_0", 1)
    outcomes = [sample for family in registry.collect() for sample in family.samples if "outcome" in sample.labels]
    assert len(outcomes) < 500
    assert registry.get_sample_value("meter_monitor_readings_total", {"outcome": "other"}) == 800
    assert registry.get_sample_value("meter_monitor_readings_total", {"outcome": "reason_0"}) == 2
