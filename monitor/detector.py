"""Engine, store and checkpoints as one thing that never contradicts itself, whenever it is interrupted.

All methods block and belong to one thread. The order is always: the readings are in the journal; the engine takes them;
the store takes the engine's step; now and then a checkpoint says up to where that is so. A crash between any two of
these repeats work whose results have natural keys, and what the store has from beyond the checkpoint is undone by the
step that recovery makes if it is no longer so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.detect.carry import changed_buildings, identity
from monitor.detect.engine import Engine
from monitor.detect.history import Snapshot
from monitor.errors import StoreError
from monitor.journal.checkpoint import CheckpointLadder
from monitor.journal.segments import Journal
from monitor.readings import ReadingColumns
from monitor.recovery import (
    POSITION,
    CheckpointHistory,
    as_arrays,
    as_snapshot,
    carry_ladder,
    move_base,
    needed_from,
)
from monitor.registry import Registry
from monitor.results import Event, Step
from monitor.store.protocol import Applied, ResultStore

RETRY_MIN_S, RETRY_MAX_S = 0.2, 10.0
BASE_STEPS = 8
"""The oldest state is moved on in steps of this part of the time that is kept: about once a day."""


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """The store does not take a step; it is tried again until it does."""

    error: StoreError
    tries: int


class Detector:
    """See the module. `on_trouble` is told of each failed write, and of None when it is over."""

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        ladder: CheckpointLadder,
        store: ResultStore,
        *,
        horizon_ms: int,
        keep_ms: int,
        now_ms: Callable[[], int],
        on_trouble: Callable[[StoreTrouble | None], None] = lambda trouble: None,
        sleep: Callable[[float], None] = time.sleep,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """keep_ms: age from which on a checkpoint may be the oldest that is kept."""
        self.registry = registry
        self.position = 0
        """Readings before it are in the engine's state, and their results in the store."""
        self._journal = journal
        self._ladder = ladder
        self._store = store
        self._horizon_ms = horizon_ms
        self._keep_ms = keep_ms
        self._now_ms = now_ms
        self._on_trouble = on_trouble
        self._sleep = sleep
        self._is_stopping = is_stopping
        self._history = CheckpointHistory(journal, ladder, registry)
        self.engine = Engine(registry, self._history, horizon_ms=horizon_ms)

    # ------------------------------------------------------------------ the life of a service

    def start(self) -> Applied:
        """From the newest checkpoint and the rest of the journal to the present. Raises JournalError and StoreError."""
        newest = self._ladder.newest()
        end = self._journal.end
        if newest is None:
            self._write(Snapshot(self.engine.snapshot(0).arrays, np.zeros(len(self.registry.buildings), np.int64)), 0)
        elif newest.meta["identity"] != identity(self.registry):
            carry_ladder(self._ladder, as_snapshot(newest), newest.meta["identity"], self.registry, end)
        applied = self._apply(self.engine.recover(self._store.events_since, end))
        self.position = end
        return applied

    def take(self, columns: ReadingColumns, end: int) -> Applied:
        """Readings that the journal has, in its order, up to its position `end`."""
        applied = self._apply(self.engine.step(columns, end))
        self.position = end
        return applied

    def checkpoint(self) -> None:
        """1. write the state  2. move the oldest state on  3. let go of checkpoints  4. let go of the journal."""
        head = self.engine.snapshot(self.position)
        self._write(head, self.position)
        now_ms = self._now_ms()
        base = self._ladder.oldest()
        if now_ms - int(base.meta["moved_ms"]) >= self._keep_ms // BASE_STEPS:
            moved = move_base(
                self._history, base, head, self.position, horizon_ms=self._horizon_ms, keep_ms=self._keep_ms
            )
            self._ladder.replace(base, as_arrays(moved), {**base.meta, "moved_ms": now_ms})
        for rung in self._ladder.superfluous(now_ms):
            self._ladder.delete(rung)
        oldest = self._ladder.oldest()
        self._journal.drop(needed_from(np.asarray(oldest.array(POSITION)).tolist(), self.registry))

    def reload(self, registry: Registry) -> Applied:
        """Another configuration from here on. What was judged stays; events of rules and devices that are gone close.

        Everything that can fail on the new configuration is done by whoever made the registry."""
        old, old_identity = self.registry, identity(self.registry)
        applied = self._apply(self.engine.freeze())
        closing = self._closing(registry)
        self._apply(Step(events=closing))
        head = self.engine.snapshot(self.position)
        self._write(head, self.position)
        self._journal.set_devices([device.id for device in registry.devices])
        try:
            carry_ladder(self._ladder, head, old_identity, registry, self.position)
        except Exception:
            self._journal.set_devices([device.id for device in old.devices])
            raise
        self.registry = registry
        self._history = CheckpointHistory(self._journal, self._ladder, registry)
        self.engine = Engine(registry, self._history, horizon_ms=self._horizon_ms)
        self._apply(self.engine.recover(self._store.events_since, self.position))
        return applied

    # ------------------------------------------------------------------ inside

    def _write(self, snapshot: Snapshot, position: int) -> None:
        now_ms = self._now_ms()
        meta: dict[str, Any] = {"identity": identity(self.registry), "position": position, "moved_ms": now_ms}
        self._ladder.write(position, as_arrays(snapshot), meta, now_ms)

    def _apply(self, step: Step) -> Applied:
        """Until the store has it. A store that fails holds back what comes after it, and loses nothing."""
        tries = 0
        while True:
            try:
                applied = self._store.apply(step, self.registry)
            except StoreError as error:
                tries += 1
                self._on_trouble(StoreTrouble(error, tries))
                if self._is_stopping():
                    raise
                self._sleep(min(RETRY_MAX_S, RETRY_MIN_S * 2.0 ** min(tries - 1, 16)))
            else:
                if tries:
                    self._on_trouble(None)
                return applied

    def _closing(self, registry: Registry) -> list[Event]:
        """Open events of what the new configuration no longer judges: out of scope as of the building's clock."""
        closing = []
        changed = {
            building.id
            for row, building in enumerate(registry.buildings)
            if changed_buildings(identity(self.registry), registry)[row]
        }
        kept = {building.id for building in registry.buildings}
        since = {building.id: 1 << 61 for building in self.registry.buildings}
        for event in self._store.events_since(since):
            if event.building in kept and event.building not in changed:
                continue
            if event.state == "open" and not _is_judged(event, registry):
                clock = int(self.engine.state.clock[self.registry.building_row[event.building]])
                closing.append(event._replace(state="closed", reason="scope", end_ms=max(clock, event.start_ms)))
        return closing


def _is_judged(event: Event, registry: Registry) -> bool:
    row = registry.building_row.get(event.building)
    if row is None:
        return False
    building = registry.buildings[row]
    policy = registry.policies[building.policy]
    if event.rule == "peak_demand":
        return building.peak_limit_kw is not None
    if event.rule == "peak_budget":
        return building.peak_budget_kwh is not None
    device_row = registry.device_row.get(event.device)
    if device_row is None:
        return False
    device = registry.devices[device_row]
    if device.building != event.building or device.kind != "ac" or event.rule in device.exempt:
        return False
    given = {
        "ac_cool_setpoint": policy.ac.cool_min_c is not None,
        "ac_heat_setpoint": policy.ac.heat_max_c is not None,
        "ac_hours": bool(policy.ac.allowed),
    }
    return given[event.rule]
