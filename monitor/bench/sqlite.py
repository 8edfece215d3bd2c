"""Results into the embedded store, one transaction a step, on one core."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from monitor.bench.lines import due_intervals
from monitor.bench.measure import Bench, Figure, rate, take_times
from monitor.bench.workload import build_town
from monitor.results import Step
from monitor.store.sqlite import SqliteStore

__all__ = ["measure"]


def measure(bench: Bench) -> Iterator[Figure]:
    town = build_town(bench.size(10_000, 10))
    rows = len(town.registry.items)
    cases: tuple[tuple[str, tuple[str, ...]], ...] = (
        (f"{rows:,} new intervals a step", ()),
        (f"{rows:,} new intervals a step; they, their hours and days into the outbox", ("influx",)),
    )
    for number, (case, sinks) in enumerate(cases):
        bench.say(f"sqlite: {case}")
        store = SqliteStore(bench.folder / f"results-{number}.sqlite", sinks=sinks, now_ms=lambda: bench.now_ms)
        try:
            store.apply(Step(due_intervals(town, 0)), town.registry)
            apply = partial(store.apply, registry=town.registry)
            times = take_times(lambda run: Step(due_intervals(town, run + 1)), apply, bench.size(15, 2))
        finally:
            store.close()
        yield rate("sqlite", case, "rows/s", rows, times)
