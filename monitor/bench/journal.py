"""Readings to the disk: group commits with fsync, and back, on one core."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.bench.measure import Bench, Figure, rate, take_times
from monitor.bench.workload import build_town, readings
from monitor.errors import MonitorError
from monitor.journal.segments import Journal
from monitor.readings import ReadingColumns

__all__ = ["SEGMENT_BYTES", "measure"]

SEGMENT_BYTES = 64 * 1024 * 1024
_TARGET = 1_000_000.0


def measure(bench: Bench) -> Iterator[Figure]:
    town = build_town(bench.size(1_000, 10))
    rows = bench.size(30_000, 200)
    commits = bench.size(51, 3)
    rounds = rows // len(town.is_ac)
    bench.say(f"journal: {commits} commits of {rows} readings")
    with Journal.open(
        bench.folder / "journal",
        device_ids=[device.id for device in town.registry.devices],
        segment_max_bytes=SEGMENT_BYTES,
        now=lambda: bench.now_ms,
    ) as journal:

        def commit(columns: ReadingColumns) -> None:
            journal.append(columns)
            journal.commit()

        times = take_times(lambda run: readings(town, run * rounds, rounds), commit, commits)
        size = journal.size_bytes / (commits * rows)
        yield rate(
            "journal",
            f"group commit of {rows:,} readings, fsync",
            "readings/s",
            rows,
            times,
            target=_TARGET,
            details={"bytes_per_reading": size},
        )
        total = commits * rows
        everything = np.ones(len(town.registry.devices), np.bool_)
        for name, devices in (("all devices", everything), ("one building", town.registry.device_building == 0)):
            expected = int(devices.sum()) * rounds * commits

            def read_back(run: int, devices: NDArray[np.bool_] = devices, expected: int = expected) -> None:
                found = sum(len(columns) for _, columns in journal.read(0, devices=devices))
                if found != expected:
                    raise MonitorError(f"journal: run {run}: {found} readings read back of {expected}")

            times = take_times(int, read_back, bench.size(5, 2))
            yield rate("journal", f"read back {total:,}, {name}", "readings/s", total, times)
