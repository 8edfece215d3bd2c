"""Changed results to line protocol, on one core."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.bench.measure import Bench, Figure, rate, take_times
from monitor.bench.workload import MORNING_MS, Town, build_town, readings
from monitor.errors import MonitorError
from monitor.results import IntervalColumns, Step
from monitor.store.lines import LineEncoder
from monitor.store.protocol import Applied

__all__ = ["due_intervals", "measure"]

_TARGET = 1_000_000.0
_INTERVAL_MS = 900_000
_SEED = 20260629


def due_intervals(town: Town, number: int, *, rounds: int = 1) -> IntervalColumns:
    """One row of every item for each of `rounds` demand intervals from the interval `number` on, with figures that
    have as many digits as real ones."""
    items = len(town.registry.items)
    chance = np.random.default_rng([_SEED, number])
    measured = chance.uniform(0.5, 12.0, items * rounds)
    start_ms = MORNING_MS + (number + np.arange(rounds, dtype=np.int64)) * _INTERVAL_MS
    return IntervalColumns(
        item=np.tile(np.arange(items, dtype=np.int32), rounds),
        start_ms=np.repeat(start_ms, items),
        period=np.zeros(items * rounds, np.int16),
        measured=measured,
        estimated=np.zeros(items * rounds),
        coverage=np.ones(items * rounds),
        demand_kw=measured * 4,
        revised=np.zeros(items * rounds, np.bool_),
    )


def measure(bench: Bench) -> Iterator[Figure]:
    town = build_town(bench.size(10_000, 10))
    encoder = LineEncoder()
    rounds = 10
    points = rounds * len(town.registry.items)
    runs = bench.size(7, 2)

    def encode(given: tuple[Applied, Step]) -> None:
        made = sum(batch.points for batch in encoder.encode(*given, town.registry))
        if made != points:
            raise MonitorError(f"lines: {made} points made of {points}")

    bench.say(f"lines: {points} points of consumption")
    encode((Applied(due_intervals(town, 0, rounds=rounds)), Step()))  # learns the registry
    times = take_times(
        lambda run: (Applied(due_intervals(town, (run + 1) * rounds, rounds=rounds)), Step()), encode, runs
    )
    yield rate("lines", f"consumption, {points:,} points a step", "points/s", points, times, target=_TARGET)

    units = int(town.is_ac.sum())
    rounds = max(1, points // units)
    points = rounds * units
    bench.say(f"lines: {points} points of air conditioning")
    times = take_times(lambda run: (Applied(), Step(readings=readings(town, (run + 1) * rounds, rounds))), encode, runs)
    yield rate("lines", f"air conditioning, {points:,} points a step", "points/s", points, times, target=_TARGET)
