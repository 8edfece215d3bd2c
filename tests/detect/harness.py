"""Drives the engine as the live monitor does (batches, anchors, crashes) and compares with the naive reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import numpy as np

from monitor.config.registry_files import load_registry
from monitor.detect.engine import Engine
from monitor.detect.history import Anchor, MemoryHistory, Snapshot
from monitor.detect.rejection import UNKNOWN, rejection
from monitor.readings import QUANTITY_BY_NAME, ReadingColumns
from monitor.registry import Registry
from monitor.store.memory import MemoryStore
from monitor.store.protocol import ResultStore
from tests.naive import NaiveResult, Row


class AnchoredHistory(MemoryHistory):
    """Everything in memory, with snapshots that are kept as earlier states."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry.device_building, len(registry.buildings))
        self.snapshots: list[Snapshot] = []

    def anchors(self) -> Iterable[Anchor]:
        return [*reversed(self.snapshots), *super().anchors()]


def accepted_columns(rows: Sequence[Row], registry: Registry, now_ms: int) -> ReadingColumns:
    """What ingest would let through."""
    device = np.array([registry.device_row.get(row[1], UNKNOWN) for row in rows], np.int64)
    quantity = np.array([int(QUANTITY_BY_NAME.get(row[2], UNKNOWN)) for row in rows], np.int64)
    ts_ms = np.array([-(1 << 62) if row[0] is None else row[0] for row in rows], np.int64)
    value = np.array([row[3] for row in rows], np.float64)
    is_ac = np.array([entry.kind == "ac" for entry in registry.devices], np.bool_)
    good = rejection(device, quantity, ts_ms, value, is_ac, latest_ms=now_ms + 600_000) == 0
    return ReadingColumns.of(device[good].astype(np.int32), quantity[good].astype(np.int8), ts_ms[good], value[good])


def stream(
    config_dir: Path,
    batches: Iterable[list[Row]],
    *,
    now_ms: int,
    horizon_ms: int | None = None,
    snapshot_chance: float = 0.0,
    crash_chance: float = 0.0,
    defer: bool = False,
    seed: int = 0,
) -> MemoryStore:
    """Runs the batches through an engine and a store. A crash goes back to a random snapshot, the store stays."""
    rng = Random(seed)
    registry, _ = load_registry(config_dir, now_ms=now_ms)
    history = AnchoredHistory(registry)
    engine = Engine(registry, history, horizon_ms=horizon_ms)
    store = MemoryStore()
    for rows in batches:
        columns = accepted_columns(rows, registry, now_ms)
        store.apply(engine.step(columns, history.append(columns), defer=defer), registry)
        if rng.random() < snapshot_chance:
            history.snapshots.append(engine.snapshot(history.end))
        if rng.random() < crash_chance:
            # The newest states may be lost too; readings and results are not.
            del history.snapshots[len(history.snapshots) - rng.randint(0, min(2, len(history.snapshots))) :]
            engine = Engine(registry, history, horizon_ms=horizon_ms)
            store.apply(engine.recover(store.events_since, history.end), registry)
    store.apply(engine.finish(history.end), registry)
    return store


def same(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return a == b


def differences(expected: NaiveResult, store: ResultStore) -> list[str]:
    """Every row that the two do not share, as text; empty when they are equal within 1e-6."""
    found = []
    events = [
        (*event[:10], event.excess, event.duration_ms / 1000, event.policy)
        for event in sorted(store.events(), key=lambda e: e[1:5])
        if event.state != "withdrawn"
    ]
    ledger = sorted(store.ledger(), key=lambda entry: entry[:5])
    for name, wanted, got in (
        ("interval", expected.intervals, list(store.intervals())),
        ("event", expected.events, events),
        ("ledger", expected.ledger, ledger),
    ):
        if len(wanted) != len(got):
            keys = 3 if name == "interval" else 5
            left, right = {row[:keys] for row in wanted}, {row[:keys] for row in got}
            found.append(f"{name}s: {len(wanted)} expected, {len(got)} found")
            found += [f"{name} missing: {key}" for key in sorted(left - right, key=str)[:5]]
            found += [f"{name} too many: {key}" for key in sorted(right - left, key=str)[:5]]
            continue
        for one, other in zip(wanted, got, strict=True):
            if not all(same(a, b) for a, b in zip(one, other, strict=True)):
                found.append(f"{name}: expected {tuple(one)}\n     found {tuple(other)}")
    return found
