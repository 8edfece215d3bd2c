"""Warm start: how long a monitor that was killed takes to know all that it knew.

What the process needs from its start to the moment at which it would connect to the broker: interpreter, libraries and
compiled kernels, configuration, journal, checkpoint, and the readings of the minute since the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.bench.children import run_module
from monitor.bench.measure import Bench, Figure
from monitor.bench.workload import DEVICES_PER_BUILDING, MORNING_MS, build_town
from monitor.simulate.configuration import write_config

__all__ = ["measure"]

_TARGET_S = 10.0
_LAPS = ("configuration_s", "opening_s", "recovery_s")


def measure(bench: Bench) -> Iterator[Figure]:
    buildings = bench.size(10_000, 10)
    devices = buildings * DEVICES_PER_BUILDING
    bench.say(f"restart: {devices} devices, their first rounds")
    write_config(build_town(buildings).registry, bench.folder / "config")
    rounds = 4
    start = ("--start-ms", str(MORNING_MS))
    run_module("monitor.bench.headless", bench.folder, "0", str(rounds), *start, "--checkpoint-after", str(rounds - 1))
    starts = []
    for number in range(bench.size(3, 1)):
        bench.say(f"restart: start {number + 1}")
        starts.append(run_module("monitor.bench.headless", bench.folder, str(rounds), "0", *start))
    starts.sort(key=lambda entry: entry[1])
    found, taken_s = starts[len(starts) // 2]
    laps = {name: float(found[name]) for name in _LAPS}
    yield Figure(
        "restart",
        f"{devices:,} devices, {devices:,} readings since the checkpoint",
        "s",
        taken_s,
        target=_TARGET_S,
        at_most=True,
        details={"interpreter_libraries_s": taken_s - sum(laps.values()), **laps, "journaled": found["journaled"]},
    )
