"""A monitor without a broker, as a process of its own: what it takes to start and to hold many devices.

`python -m monitor.bench.headless FOLDER FIRST ROUNDS --start-ms MS [--checkpoint-after N]` opens the configuration and
the state in FOLDER as the service does, takes ROUNDS rounds of readings from round FIRST on through decoder, journal,
detection and SQLite, and prints one JSON object. It then ends without any goodbye, as after kill -9.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from monitor.bench.measure import resident_mb
from monitor.bench.workload import Town, messages, readings
from monitor.config import load_registry
from monitor.decoders import Limits
from monitor.decoders.native import NativeDecoder
from monitor.detector import Detector
from monitor.journal.checkpoint import CheckpointLadder
from monitor.journal.segments import Journal
from monitor.store.sqlite import SqliteStore

__all__ = ["main"]

_HOUR_MS = 3_600_000
_STEP_READINGS = 30_000


class _Laps:
    """Seconds from lap to lap."""

    def __init__(self) -> None:
        self._from_s = time.perf_counter()
        self.taken_s: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now_s = time.perf_counter()
        self.taken_s[name] = now_s - self._from_s
        self._from_s = now_s


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("first", type=int)
    parser.add_argument("rounds", type=int)
    parser.add_argument("--start-ms", type=int, required=True)
    parser.add_argument("--checkpoint-after", type=int, default=-1, help="write one when so many rounds are in")
    given = parser.parse_args(arguments)
    now_ms = given.start_ms + (given.first + given.rounds) * 60_000
    laps = _Laps()
    registry, _ = load_registry(given.folder / "config", now_ms=now_ms)
    laps.lap("configuration_s")
    state = given.folder / "state"
    journal = Journal.open(
        state / "journal",
        device_ids=[device.id for device in registry.devices],
        segment_max_bytes=64_000_000,
        now=lambda: now_ms,
    )
    store = SqliteStore(state / "monitor.sqlite", now_ms=lambda: now_ms)
    detector = Detector(
        registry,
        journal,
        CheckpointLadder(state / "checkpoints", keep_ms=200 * _HOUR_MS),
        store,
        horizon_ms=168 * _HOUR_MS,
        keep_ms=200 * _HOUR_MS,
        now_ms=lambda: now_ms,
    )
    decoder = NativeDecoder(registry, Limits())
    laps.lap("opening_s")
    recovered = journal.end
    detector.start()
    laps.lap("recovery_s")
    town = Town.of(registry, given.start_ms)
    taken = 0
    for number in range(given.rounds):
        columns = readings(town, given.first + number, 1)
        for first in range(0, len(columns), _STEP_READINGS):
            rows = np.arange(first, min(first + _STEP_READINGS, len(columns)))
            decoded = decoder.decode(messages(registry, columns.take(rows), 100))
            journal.append(decoded.columns)
            detector.take(decoded.columns, journal.commit())
            taken += len(decoded.columns)
        if number + 1 == given.checkpoint_after:
            detector.checkpoint()
    laps.lap("rounds_s")
    result = {"devices": len(registry.devices), "journaled": recovered, "taken": taken, **laps.taken_s, **resident_mb()}
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    os._exit(0)  # a crash for all that is open: the next start has to cope


if __name__ == "__main__":
    main(sys.argv[1:])
