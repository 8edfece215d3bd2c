"""Every metric that Prometheus reads. The registry they belong to is passed in; nothing here is global.

Labels are bounded by the configuration and by literal tables of the code: brokers, sources, buildings, rules, reasons.
A device is never a label. What is said for each building is kept apart (`_PerBuilding`): one figure a series instead
of one object a series, and a building that is taken out of the configuration takes its series with it.

`Metrics` fulfils `monitor.ingest.intake.IntakeMetrics` and `monitor.store.sender.SinkMetrics`. All methods may be
called from any thread.
"""

from __future__ import annotations

import math
import platform
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor import __version__
from monitor.decoders import OUTCOMES
from monitor.registry import Building, Policy, Registry
from monitor.results import Event
from monitor.store.outbox import OutboxStats

__all__ = ["Metrics"]

_PREFIX = "meter_monitor"
_COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_MAX_WORDS = 200
"""Outcomes and reasons that become labels."""
_LATENCY_BUCKETS_S = (0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 6.0, 7.5, 10.0, 30.0, 60.0, 300.0)
"""Closer around 1 s (the promise without settling) and around 5 s (the default of settle_s)."""


class Metrics:
    """All metrics of the monitor, zero from the start where their labels are known beforehand."""

    def __init__(self, registry: CollectorRegistry, *, now_s: Callable[[], float] = time.time) -> None:
        """now_s: seconds since the epoch; says when the configuration was last read with success, first of all now.

        Raises ValueError if the registry holds metrics of these names already."""
        self._now_s = now_s
        self._lock = threading.Lock()
        self._is_connected: dict[str, bool] = {}
        self._words: set[str] = set()

        def counter(name: str, text: str, labels: Iterable[str] = ()) -> Counter:
            return Counter(name, text, labels, namespace=_PREFIX, registry=registry)

        def gauge(name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
            return Gauge(name, text, labels, namespace=_PREFIX, registry=registry)

        def histogram(name: str, text: str, buckets_s: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, namespace=_PREFIX, registry=registry, buckets=buckets_s)

        build = Info("build", "What runs.", namespace=_PREFIX, registry=registry)
        build.info({"version": __version__, "python": platform.python_version()})
        ProcessCollector(registry=registry)

        self._messages = counter("messages", "Messages taken from a broker, by outcome.", ["source", "outcome"])
        self._source_messages = counter(
            "source_messages",
            "Messages that a source of the configuration has read, by outcome.",
            ["source", "outcome"],
        )
        self._readings = counter("readings", "Readings, by outcome; duplicates count as accepted.", ["outcome"])
        self._quarantined = counter("quarantined", "Readings and messages put into quarantine.", ["reason"])
        self._quarantine_rows = gauge("quarantine_rows", "Entries in quarantine.")
        self._quarantine_dropped = gauge("quarantine_dropped_rows", "Entries that quarantine had no more room for.")
        self._connected = gauge("connected", "1 while the broker is connected, else 0.", ["broker"])
        self._connections = counter("connections", "Connections made to the broker.", ["broker"])

        self._commit_s = histogram("journal_commit_seconds", "Time for one commit to the journal.", _COMMIT_BUCKETS_S)
        self._journal_errors = counter("journal_errors", "Commits and checkpoints that failed.")
        self._journal_bytes = gauge("journal_bytes", "Size of the journal on disk.")
        self._journal_end = gauge("journal_end_position", "Readings journaled over the journal's life.")
        self._checkpoint_age_s = gauge("checkpoint_age_seconds", "Age of the newest checkpoint.")
        self._disk_free_bytes = gauge("disk_free_bytes", "Free space where the state is kept.")
        self._disk_reserved_bytes = gauge("disk_reserved_bytes", "With less free space nothing is acknowledged.")

        self._latency_s = histogram(
            "result_latency_seconds", "From a message's arrival to its stored result.", _LATENCY_BUCKETS_S
        )
        self._revisions = counter("revisions", "Stored intervals and events that late readings changed.")
        self._late = counter("late_readings", "Times that late readings made a building be computed again.")

        self._outbox_points = gauge("outbox_points", "Points that wait for the sink.")
        self._outbox_oldest_s = gauge("outbox_oldest_seconds", "How long the oldest of them has waited.")
        self._outbox_bytes = gauge("outbox_bytes", "Space they take, compressed.")
        self._outbox_capacity = gauge("outbox_capacity_bytes", "At this size of the outbox ingest stops.")
        self._sink_points = counter("sink_points", "Points that the sink has accepted.", ["sink"])
        self._sink_errors = counter("sink_errors", "Writes that failed.", ["sink", "kind"])
        self._sink_refused = counter("sink_refused_points", "Points refused, now in quarantine.", ["sink"])

        self._reloads = counter("reloads", "Reloads of the configuration.", ["outcome"])
        for outcome in ("ok", "failed"):
            self._reloads.labels(outcome)
        self._reload_failed = gauge("config_reload_failed", "1 if the last reload failed: the old one is in force.")
        self._reload_s = gauge(
            "config_last_reload_success_timestamp_seconds", "When the configuration in force was read (Unix time)."
        )
        self._reload_s.set(now_s())

        self._per_building = _PerBuilding()
        registry.register(self._per_building)

    # -- ingest ----------------------------------------------------------------------------------------------------

    def messages(self, source: str, outcome: str, count: int) -> None:
        """source: a broker's name. outcome: one of `monitor.decoders.OUTCOMES`."""
        self._messages.labels(source, outcome).inc(count)

    def sources(self, names: Iterable[str]) -> None:
        """Those of the configuration in force until the monitor ends: each shows 0 until something comes, so that one
        whose topics nobody publishes to is seen."""
        for name in names:
            for outcome in OUTCOMES:
                self._source_messages.labels(name, outcome)

    def source_messages(self, source: str, outcome: str, count: int) -> None:
        """source: one of `sources`. outcome: one of `monitor.decoders.OUTCOMES`."""
        self._source_messages.labels(source, outcome).inc(count)

    def readings(self, outcome: str, count: int) -> None:
        """outcome: accepted, rejected, or why something was no reading."""
        self._readings.labels(self._bounded(outcome)).inc(count)

    def quarantined(self, reason: str, count: int) -> None:
        self._quarantined.labels(self._bounded(reason)).inc(count)

    def _bounded(self, word: str) -> str:
        """A decoder's word as a label. They are literals of ours; should one not be, gateways must not make series."""
        if word in self._words or len(self._words) < _MAX_WORDS:
            self._words.add(word)
            return word
        return "other"

    def quarantine(self, rows: int, dropped_rows: int) -> None:
        """What `Quarantine` holds, and what it ever let go of to stay within its bound."""
        self._quarantine_rows.set(rows)
        self._quarantine_dropped.set(dropped_rows)

    def connected(self, broker: str, is_connected: bool) -> None:
        """How the link to a broker is now. Each change to connected counts as one connection."""
        with self._lock:
            is_new = is_connected and not self._is_connected.get(broker, False)
            self._is_connected[broker] = is_connected
            self._connected.labels(broker).set(is_connected)
            self._connections.labels(broker).inc(is_new)

    # -- journal and checkpoints -----------------------------------------------------------------------------------

    def journal_commit(self, seconds: float) -> None:
        self._commit_s.observe(seconds)

    def journal_failed(self) -> None:
        """One for each commit or checkpoint that failed."""
        self._journal_errors.inc()

    def journal(self, end_position: int, size_bytes: int) -> None:
        self._journal_end.set(end_position)
        self._journal_bytes.set(size_bytes)

    def checkpoint_age(self, seconds: float) -> None:
        self._checkpoint_age_s.set(seconds)

    def disk(self, free_bytes: int, reserved_bytes: int) -> None:
        """reserved_bytes: what is to stay free (journal.min_free_mb)."""
        self._disk_free_bytes.set(free_bytes)
        self._disk_reserved_bytes.set(reserved_bytes)

    # -- results ---------------------------------------------------------------------------------------------------

    def result_latency(self, seconds: float) -> None:
        """From the earliest arrival among the messages of a batch until its results are stored."""
        self._latency_s.observe(seconds)

    def revised(self, count: int) -> None:
        self._revisions.inc(count)

    def late(self, count: int) -> None:
        self._late.inc(count)

    def violations(self, new_events: Iterable[Event]) -> None:
        """Count events that the store did not know before (`Applied.new_events`)."""
        self._per_building.count(new_events)

    def events(self, changed: Iterable[Event]) -> None:
        """Events as they stand now (`Applied.events`): keeps `open_violations` up to date. Passed over before
        `open_events`, which learns all of them."""
        self._per_building.update(changed)

    def open_events(self, events: Iterable[Event]) -> None:
        """Every event that is open, at the start and after a reload; others among them are passed over. Before the
        first call nothing is shown of open violations: a 0 would end alerts at every restart."""
        self._per_building.restart(events)

    # -- buildings -------------------------------------------------------------------------------------------------

    def buildings(self, registry: Registry) -> None:
        """The configuration in force. Series of buildings that it does not have are gone from here on; violations of
        each rule that can befall a building begin at 0, so that the first one is seen as an increase."""
        self._per_building.configure(registry)

    def building_states(
        self, registry: Registry, silent_devices: NDArray[np.integer], clock_lag_s: NDArray[np.float64]
    ) -> None:
        """All buildings at once.

        silent_devices: int[buildings], devices from which nothing came for longer than their max_gap_s.
        clock_lag_s: float64[buildings], how far the building's clock is behind now [s]; NaN while it has none.
        registry: whose rows these are; figures for another one than that of `buildings` are passed over.
        Raises ValueError if an array has another length."""
        self._per_building.set_states(registry, silent_devices, clock_lag_s)

    # -- outbox and sinks ------------------------------------------------------------------------------------------

    def outbox(self, stats: OutboxStats, now_ms: int) -> None:
        """now_ms: UTC, as the clock that the outbox' entries were stored by."""
        age_s = 0.0 if stats.oldest_ms is None else max(0.0, (now_ms - stats.oldest_ms) / 1000)
        self._outbox_points.set(stats.points)
        self._outbox_oldest_s.set(age_s)
        self._outbox_bytes.set(stats.bytes)
        self._outbox_capacity.set(stats.max_bytes)

    def delivered(self, sink: str, points: int) -> None:
        self._sink_points.labels(sink).inc(points)

    def failed(self, sink: str, kind: str) -> None:
        """kind: that of the StoreError. The SQLite file is a sink too: `failed("sqlite", error.kind)`."""
        self._sink_errors.labels(sink, kind).inc()

    def refused(self, sink: str, points: int) -> None:
        self._sink_refused.labels(sink).inc(points)

    # -- configuration ---------------------------------------------------------------------------------------------

    def reload(self, ok: bool) -> None:
        """A reload was tried; not ok: the configuration before it stays in force."""
        self._reloads.labels("ok" if ok else "failed").inc()
        self._reload_failed.set(not ok)
        if ok:
            self._reload_s.set(self._now_s())


class _States(NamedTuple):
    silent_devices: list[int]
    clock_lag_s: list[float]


class _Open(NamedTuple):
    building: str
    rule: str
    start_ms: int


class _PerBuilding(Collector):
    """Series with the label `building`. Kept as plain figures and made into metrics when they are asked for: children
    of prometheus_client's own classes take several kilobytes each, and there may be ten thousand buildings."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registry: Registry | None = None
        self._devices: list[int] = []
        self._units: list[int] = []
        self._possible: list[tuple[str, str]] = []
        """(building, rule) of every rule that a building is judged by."""
        self._states: _States | None = None
        self._counted: Tally[tuple[str, str]] = Tally()
        self._open: dict[str, _Open] | None = None
        """By event id; None until the store was asked."""

    def configure(self, registry: Registry) -> None:
        with self._lock:
            self._registry = registry
            self._devices = np.diff(registry.device_start).tolist()
            units = np.array([device.kind == "ac" for device in registry.devices], np.bool_)
            self._units = np.bincount(registry.device_building[units], minlength=len(registry.buildings)).tolist()
            self._possible = list(_possible(registry))
            self._states = None
            for pair in [pair for pair in self._counted if pair[0] not in registry.building_row]:
                del self._counted[pair]

    def set_states(
        self, registry: Registry, silent_devices: NDArray[np.integer], clock_lag_s: NDArray[np.float64]
    ) -> None:
        expected = len(registry.buildings)
        if len(silent_devices) != expected or len(clock_lag_s) != expected:
            raise ValueError(
                f"silent_devices has {len(silent_devices)} and clock_lag_s {len(clock_lag_s)} entries, "
                f"expected one for each of {expected} buildings"
            )
        states = _States(silent_devices.tolist(), clock_lag_s.tolist())
        with self._lock:
            if registry is self._registry:
                self._states = states

    def count(self, new_events: Iterable[Event]) -> None:
        with self._lock:
            self._counted.update((event.building, event.rule) for event in new_events)

    def update(self, changed: Iterable[Event]) -> None:
        with self._lock:
            if self._open is None:
                return
            for event in changed:
                if event.state == "open":
                    self._open[event.event_id] = _Open(event.building, event.rule, event.start_ms)
                else:
                    self._open.pop(event.event_id, None)

    def restart(self, events: Iterable[Event]) -> None:
        found = {
            event.event_id: _Open(event.building, event.rule, event.start_ms)
            for event in events
            if event.state == "open"
        }
        with self._lock:
            self._open = found

    def collect(self) -> Iterator[Metric]:
        """Everything is of one moment; the lock is not held while it is made into text."""
        with self._lock:
            registry, states, devices, units = self._registry, self._states, self._devices, self._units
            known = registry.building_row if registry is not None else {}
            zero = dict.fromkeys(self._possible, 0)
            counted = zero | {pair: count for pair, count in self._counted.items() if pair[0] in known}
            now_open = None if self._open is None else [one for one in self._open.values() if one.building in known]
        yield from _of_buildings(registry.buildings if registry is not None else (), devices, units)
        yield from _of_states(list(known), states)
        yield from _of_violations(counted, zero, now_open)

    def describe(self) -> Iterator[Metric]:
        """The names alone, so that registering takes no figures."""
        yield from _of_buildings((), [], [])
        yield from _of_states([], None)
        yield from _of_violations({}, {}, None)


def _per_building(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=["building", *labels])


def _of_buildings(buildings: Sequence[Building], devices: list[int], units: list[int]) -> Iterator[Metric]:
    info = _per_building("building_info", "1, with what alerts are routed by.", "org", "policy")
    registered = _per_building("devices", "Devices of the building.")
    conditioners = _per_building("air_conditioners", "Those of them that are air conditioners.")
    for building, device_count, unit_count in zip(buildings, devices, units, strict=True):
        info.add_metric([building.id, building.org, building.policy], 1)
        registered.add_metric([building.id], device_count)
        conditioners.add_metric([building.id], unit_count)
    yield info
    yield registered
    yield conditioners


def _of_states(buildings: list[str], states: _States | None) -> Iterator[Metric]:
    silent = _per_building("silent_devices", "Devices not heard of for longer than their max_gap_s.")
    lag = _per_building("building_clock_lag_seconds", "How far the building's clock is behind now.")
    if states is not None:
        for building, count, lag_s in zip(buildings, *states, strict=True):
            silent.add_metric([building], count)
            if not math.isnan(lag_s):
                lag.add_metric([building], lag_s)
    yield silent
    yield lag


def _of_violations(
    counted: dict[tuple[str, str], int], zero: dict[tuple[str, str], int], now_open: list[_Open] | None
) -> Iterator[Metric]:
    violations = CounterMetricFamily(f"{_PREFIX}_violations", "Violations found, by rule.", labels=["building", "rule"])
    for pair, count in counted.items():
        violations.add_metric(pair, count)
    yield violations
    open_now = _per_building("open_violations", "Violations that go on now, by rule.", "rule")
    since = _per_building(
        "oldest_open_violation_start_timestamp_seconds", "When the longest of them began (Unix time).", "rule"
    )
    if now_open is not None:
        for pair, count in (zero | Tally((one.building, one.rule) for one in now_open)).items():
            open_now.add_metric(pair, count)
        oldest: dict[tuple[str, str], int] = {}
        for building, rule, start_ms in now_open:
            oldest[building, rule] = min(start_ms, oldest.get((building, rule), start_ms))
        for pair, start_ms in oldest.items():
            since.add_metric(pair, start_ms / 1000)
    yield open_now
    yield since


def _possible(registry: Registry) -> Iterator[tuple[str, str]]:
    for row, building in enumerate(registry.buildings):
        policy = registry.policies[building.policy]
        devices = registry.devices[registry.device_start[row] : registry.device_start[row + 1]]
        units = [device.exempt for device in devices if device.kind == "ac"]
        for rule in _rules(building, policy):
            if not rule.startswith("ac_") or any(rule not in exempt for exempt in units):
                yield building.id, rule


def _rules(building: Building, policy: Policy) -> Iterator[str]:
    """Rules with a limit, in the order of `monitor.results.RULES`."""
    given = {
        "peak_demand": building.peak_limit_kw is not None,
        "peak_budget": building.peak_budget_kwh is not None,
        "ac_cool_setpoint": policy.ac.cool_min_c is not None,
        "ac_heat_setpoint": policy.ac.heat_max_c is not None,
        "ac_hours": bool(policy.ac.allowed),
    }
    return (rule for rule, is_given in given.items() if is_given)
