"""The whole way: publisher, Mosquitto, service with journal and SQLite, all on this machine, each in its process.

A rate counts from the first publish to the moment at which the store has the last due interval, and with it the last
reading. Latencies are those that the service itself observes: of each step from the earliest arrival in it to its
stored results, so the p99 is that of the unluckiest readings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from monitor.bench.children import Child, wait_until
from monitor.bench.measure import Bench, Figure, machine_processor_s, processor_s, resident_mb, skipped
from monitor.bench.plant import LATENCY, Plant, find_mosquitto, open_plant, quantile
from monitor.bench.workload import CADENCE_MS, DEVICES_PER_BUILDING, build_town
from monitor.errors import MonitorError

__all__ = ["measure"]

_INTERVAL_ROUNDS = 15
_INTERVAL_MS = _INTERVAL_ROUNDS * CADENCE_MS
_DRAIN_S = 300.0
_POLL_S = 0.1
_P99_TARGET_S = 1.0
_WARM_START_TARGET_S = 10.0
_MEMORY_TARGET_MB = 600.0


class _Case(NamedTuple):
    per_message: int
    buildings: int
    intervals: int
    """Length of the run in demand intervals; each is 15 readings of every device."""
    target: float
    """Readings per second."""


_CASES = (
    _Case(per_message=1, buildings=1_000, intervals=1, target=12_000.0),
    _Case(per_message=100, buildings=1_000, intervals=10, target=150_000.0),
)


class _Run(NamedTuple):
    readings: int
    taken_s: float
    details: dict[str, float | int | str]
    latency_p99_s: float


def measure(bench: Bench) -> Iterator[Figure]:
    mosquitto = find_mosquitto()
    if mosquitto is None:
        reason = "Mosquitto is not installed (Debian: apt-get install mosquitto)"
        for case in _CASES:
            yield skipped("pipeline", _name(case), _unit(case), reason, target=case.target)
        return
    for number, case in enumerate(_CASES):
        if bench.quick:
            case = case._replace(buildings=10, intervals=1)
        town = build_town(case.buildings, _start_ms(bench, case.intervals))
        with open_plant(bench.folder / f"plant-{number}", town, mosquitto) as plant, plant.service() as service:
            yield from _case(bench, case, plant, service)
    if not bench.quick:
        yield from _many_devices(bench, mosquitto)


def _start_ms(bench: Bench, intervals: int) -> int:
    """On an interval's edge, so that the last of two runs of so many intervals ends just before now."""
    return bench.now_ms // _INTERVAL_MS * _INTERVAL_MS - 2 * intervals * _INTERVAL_MS


def _unit(case: _Case) -> str:
    return "messages/s" if case.per_message == 1 else "readings/s"


def _name(case: _Case) -> str:
    return "one-reading messages" if case.per_message == 1 else f"{case.per_message}-reading messages"


def _case(bench: Bench, case: _Case, plant: Plant, service: Child) -> Iterator[Figure]:
    rounds = case.intervals * _INTERVAL_ROUNDS
    name = f"{_name(case)}, {case.buildings * DEVICES_PER_BUILDING:,} devices"
    bench.say(f"pipeline: {name}, as fast as it goes")
    full = _run(plant, service, case, 0, rounds + 1, None)
    rate = full.readings / full.taken_s
    details = {"messages_per_s": rate / case.per_message, **full.details}
    yield Figure("pipeline", name, _unit(case), rate, 1e6 / rate, case.target, details=details)
    bench.say(f"pipeline: {name}, at half of the target")
    half = _run(plant, service, case, rounds + 1, rounds, case.target / 2 / case.per_message)
    yield Figure(
        "latency",
        f"{name}, arrival to stored, p99 at {case.target / 2:,.0f} {_unit(case)}",
        "s",
        half.latency_p99_s,
        target=_P99_TARGET_S,
        at_most=True,
        details=half.details,
    )


def _run(plant: Plant, service: Child, case: _Case, first: int, rounds: int, per_second: float | None) -> _Run:
    """Publishes rounds first to first + rounds, the last of which is on an interval's edge."""
    count = rounds * len(plant.town.registry.devices)
    intervals = (first + rounds - 1) // _INTERVAL_ROUNDS * len(plant.town.registry.items)
    with plant.publisher(first, rounds, case.per_message, per_second) as publisher:
        before = plant.metrics()
        used_before = _processor_s(plant, service)
        published = plant.publish(publisher)

        def is_stored() -> bool:
            return service.is_running() and plant.stored_intervals() >= intervals

        wait_until(is_stored, f"{intervals} intervals stored", within_s=_DRAIN_S, poll_s=_POLL_S)
        ended_s = time.monotonic()
        used = {name: used_s - used_before[name] for name, used_s in _processor_s(plant, service).items()}
    after = plant.metrics()
    taken = _accepted(before, after)
    if taken != count:
        raise MonitorError(f"pipeline: {taken} readings accepted of {count} published")
    taken_s = ended_s - published.began_s
    details: dict[str, float | int | str] = {
        "readings": count,
        "taken_s": taken_s,
        "published_s": published.ended_s - published.began_s,
        "publisher_processor_s": published.processor_s,
        "monitor_processor_s": used["monitor"],
        "broker_processor_s": used["broker"],
        # The kernel's work for the sockets, this process' looking into the store, and whatever else runs here: a
        # machine that is busy with something else shows in this figure.
        "rest_of_machine_processor_s": used["machine"] - used["monitor"] - used["broker"] - published.processor_s,
        "latency_p50_s": quantile(before, after, LATENCY, 0.5),
        "latency_p99_s": quantile(before, after, LATENCY, 0.99),
        **{f"monitor_{name}": value for name, value in resident_mb(service.pid).items()},
    }
    return _Run(count, taken_s, details, quantile(before, after, LATENCY, 0.99))


def _processor_s(plant: Plant, service: Child) -> dict[str, float]:
    return {
        "monitor": processor_s(service.pid),
        "broker": processor_s(plant.broker.pid),
        "machine": machine_processor_s(),
    }


def _accepted(before: Mapping[tuple[str, str], float], after: Mapping[tuple[str, str], float]) -> int:
    key = ("meter_monitor_readings_total", "accepted")
    return round(after.get(key, 0.0) - before.get(key, 0.0))


def _many_devices(bench: Bench, mosquitto: str) -> Iterator[Figure]:
    """The service with 100,000 devices: rate, memory, and its start after kill -9."""
    case = _Case(per_message=100, buildings=10_000, intervals=1, target=150_000.0)
    devices = case.buildings * DEVICES_PER_BUILDING
    town = build_town(case.buildings, _start_ms(bench, case.intervals))
    name = f"service with {devices:,} devices"
    with open_plant(bench.folder / "plant-many", town, mosquitto) as plant:
        bench.say(f"pipeline: {name}")
        with plant.service() as service:
            # At the rate that is asked for, not in one burst: what waits in a burst would be measured, not the devices.
            run = _run(plant, service, case, 0, _INTERVAL_ROUNDS + 1, case.target / case.per_message)
            resident = resident_mb(service.pid)
            yield Figure(
                "memory",
                f"{name}, after {run.readings:,} readings at {case.target:,.0f} readings/s",
                "MB",
                resident["resident_mb"],
                target=_MEMORY_TARGET_MB,
                at_most=True,
                details={**run.details, **resident},
            )
        bench.say(f"pipeline: {name}, killed and started again")
        with plant.service() as service:
            with plant.publisher(_INTERVAL_ROUNDS + 1, 1, case.per_message) as publisher:
                before = plant.metrics()
                plant.publish(publisher)
                wait_until(
                    lambda: _accepted(before, plant.metrics()) >= devices,
                    f"{devices} readings accepted",
                    within_s=_DRAIN_S,
                    poll_s=1.0,
                )
            service.kill()
        began_s = time.monotonic()
        with plant.service():
            yield Figure(
                "restart",
                f"{name}, ready again after kill -9, {devices:,} readings since the checkpoint",
                "s",
                time.monotonic() - began_s,
                target=_WARM_START_TARGET_S,
                at_most=True,
            )
