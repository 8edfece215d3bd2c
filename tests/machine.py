"""Detector, journal, checkpoints and SQLite on one state directory, without ingest and without threads."""

from __future__ import annotations

from pathlib import Path

from monitor.detector import Detector
from monitor.journal.checkpoint import CheckpointLadder
from monitor.journal.segments import Journal
from monitor.registry import Registry
from monitor.store.sqlite import SqliteStore
from tests import naive
from tests.detect.harness import accepted_columns

HOUR_MS = 3_600_000


class Machine:
    """One state directory, opened again after each crash. `now_ms` is the wall clock."""

    def __init__(self, state: Path, registry: Registry, *, horizon_ms: int, now_ms: int) -> None:
        self.state = state
        self.horizon_ms = horizon_ms
        self.now_ms = now_ms
        self.open(registry)

    def open(self, registry: Registry, before: Registry | None = None) -> None:
        self.registry = registry
        self.journal = Journal.open(
            self.state / "journal",
            device_ids=[device.id for device in registry.devices],
            segment_max_bytes=20_000,
            now=lambda: self.now_ms,
        )
        self.ladder = CheckpointLadder(self.state / "checkpoints", keep_ms=self.horizon_ms + 30 * HOUR_MS)
        self.store = SqliteStore(self.state / "monitor.sqlite", now_ms=lambda: self.now_ms)
        self.detector = Detector(
            registry,
            self.journal,
            self.ladder,
            self.store,
            horizon_ms=self.horizon_ms,
            keep_ms=self.horizon_ms + 30 * HOUR_MS,
            now_ms=lambda: self.now_ms,
        )
        self.detector.start(before)

    def close(self) -> None:
        self.store.close()
        self.journal.close()

    def take(self, rows: list[naive.Row], now_ms: int) -> None:
        columns = accepted_columns(rows, self.registry, now_ms)
        self.journal.append(columns)
        self.journal.commit()
        self.detector.take(columns, self.journal.end)
