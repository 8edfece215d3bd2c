"""Resident memory of a monitor with many devices, after each has reported for a while."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.bench.children import run_module
from monitor.bench.measure import Bench, Figure
from monitor.bench.workload import DEVICES_PER_BUILDING, MORNING_MS, build_town
from monitor.simulate.configuration import write_config

__all__ = ["measure"]

_TARGET_MB = 600.0


def measure(bench: Bench) -> Iterator[Figure]:
    buildings = bench.size(10_000, 10)
    devices = buildings * DEVICES_PER_BUILDING
    rounds = bench.size(17, 2)
    bench.say(f"memory: {devices} devices, {rounds} rounds")
    write_config(build_town(buildings).registry, bench.folder / "config")
    found, _ = run_module(
        "monitor.bench.headless",
        bench.folder,
        "0",
        str(rounds),
        *("--start-ms", str(MORNING_MS)),
        *("--checkpoint-after", str(rounds - 1)),
    )
    yield Figure(
        "memory",
        f"{devices:,} devices, no broker, after {found['taken']:,} readings and a checkpoint",
        "MB",
        found["resident_mb"],
        target=_TARGET_MB,
        at_most=True,
        details={"most_resident_mb": found["most_resident_mb"], "rounds_s": found["rounds_s"]},
    )
