"""Detection: readings in order, through the engine into results, on one core."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.bench.measure import Bench, Figure, rate, take_times
from monitor.bench.workload import DEVICES_PER_BUILDING, build_town, readings
from monitor.detect.engine import Engine
from monitor.detect.history import MemoryHistory
from monitor.errors import MonitorError
from monitor.readings import ReadingColumns

__all__ = ["HORIZON_MS", "measure"]

HORIZON_MS = 168 * 3_600_000
_TARGET = 10_000_000.0


def measure(bench: Bench) -> Iterator[Figure]:
    million = bench.size(1_000_000, 2_000)
    for buildings in (bench.size(1_000, 5), bench.size(10_000, 10)):
        yield _steps(bench, buildings, million, target=_TARGET)
    # Where it goes: a unit's state is integrated for three rules at each of its readings.
    for kind in ("meters", "air conditioners"):
        yield _steps(bench, bench.size(1_000, 5), million, kind)
    # What one commit interval of the pipeline's target brings, as the service sees it.
    yield _steps(bench, bench.size(1_000, 5), bench.size(30_000, 500))


def _steps(
    bench: Bench, buildings: int, rows: int, kind: str = "half of them meters", *, target: float | None = None
) -> Figure:
    town = build_town(buildings)
    rounds = max(1, rows // (buildings * DEVICES_PER_BUILDING))

    def batch(first_round: int, rounds: int) -> ReadingColumns:
        columns = readings(town, first_round, rounds)
        if kind == "half of them meters":
            return columns
        return columns.take(town.is_ac[columns.device] == (kind == "air conditioners"))

    count = len(batch(0, rounds))
    case = f"{buildings:,} buildings × {DEVICES_PER_BUILDING} devices, {kind}, {count:,} a step"
    bench.say(f"kernel: {case}")
    engine = Engine(town.registry, MemoryHistory(town.registry.device_building, buildings), horizon_ms=HORIZON_MS)
    # Every quantity has been reported once, calendars and kernels are compiled.
    engine.step(batch(0, rounds + 4), 0)
    found = {"intervals": 0, "events": 0}

    def step(columns: ReadingColumns) -> None:
        result = engine.step(columns, 0)
        found["intervals"] += len(result.intervals)
        found["events"] += len(result.events)

    times = take_times(lambda run: batch(4 + (run + 1) * rounds, rounds), step, bench.size(7, 2))
    if engine.late_readings:
        raise MonitorError(f"kernel: {engine.late_readings} buildings computed again, expected none: not in order")
    return rate("kernel", case, "readings/s", count, times, target=target, details=found)
