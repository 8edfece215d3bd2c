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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.detect.carry import Identity, changed_buildings, identity
from monitor.detect.engine import Engine
from monitor.detect.history import Snapshot
from monitor.errors import JournalError, StoreError
from monitor.journal.checkpoint import Checkpoint, CheckpointLadder
from monitor.journal.segments import Journal
from monitor.readings import ReadingColumns
from monitor.recovery import (
    CONFIGURATION,
    CheckpointHistory,
    as_arrays,
    as_snapshot,
    carry_ladder,
    identity_of,
    mark_of,
    move_base,
    needed_from,
)
from monitor.registry import Registry
from monitor.results import Event, Step
from monitor.store.protocol import Applied, ResultStore

RETRY_MIN_S, RETRY_MAX_S = 0.2, 10.0
STOPPING_TRIES = 3
BASE_STEPS = 8
"""The oldest state is moved on in steps of this part of the time that is kept: about once a day."""


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """The store does not take a step; it is tried again until it does."""

    error: StoreError
    tries: int


class Seen(NamedTuple):
    """What the detector knows of the buildings after a step: copies, for whoever looks from another thread."""

    registry: Registry
    last_ts: NDArray[np.int64]
    """int64[devices]: the newest reading of each [UTC ms]; far below 0 where there is none."""
    clock: NDArray[np.int64]
    """int64[buildings], likewise."""
    late: int
    """How often a building has been computed again because of late readings."""


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
        self._mark = mark_of(identity(registry))
        self._history = CheckpointHistory(journal, ladder, registry)
        self.engine = Engine(registry, self._history, horizon_ms=horizon_ms)
        self.seen = self._look()

    # ------------------------------------------------------------------ the life of a service

    def start(self, before: Registry | None = None) -> Applied:
        """From the newest checkpoint and the rest of the journal to the present.

        before: the configuration that was in force when the monitor stopped, if it is known. Where it is another one
        than today's, the past is finished under it, and then it is as with `reload`.
        Raises JournalError and StoreError."""
        newest = self._ladder.newest()
        end = self._journal.end
        if newest is None:
            self._write(Snapshot(self.engine.snapshot(0).arrays, np.zeros(len(self.registry.buildings), np.int64)), 0)
        else:
            if newest.meta["position"] > end:
                raise JournalError(
                    f"{newest.path}: made at reading {newest.meta['position']}, but the journal ends at {end}: it was "
                    "deleted or put back from a backup alone; put journal and checkpoints back together, or delete both"
                )
            today = self.registry
            if (
                before is not None
                and newest.meta[CONFIGURATION] != self._mark.digest
                and newest.meta[CONFIGURATION] == mark_of(identity(before)).digest
            ):
                self._begin(before)
                self._carry(newest, before)
                self._apply(self.engine.recover(self._store.events_since, end))
                self.position = end
                return self.reload(today)
            self._carry(newest, today)
        applied = self._apply(self.engine.recover(self._store.events_since, end))
        self.position = end
        self._ladder.forget()
        return applied

    def _begin(self, registry: Registry) -> None:
        """Everything that belongs to a registry, anew."""
        self._journal.set_devices([device.id for device in registry.devices])
        self.registry = registry
        self._mark = mark_of(identity(registry))
        self._history = CheckpointHistory(self._journal, self._ladder, registry)
        self.engine = Engine(registry, self._history, horizon_ms=self._horizon_ms)

    def _carry(self, newest: Checkpoint, registry: Registry) -> None:
        """Sees to it that every checkpoint is one of this registry (an interrupted reload leaves some of another)."""
        if any(rung.meta[CONFIGURATION] != self._mark.digest for rung in self._ladder.rungs()):
            carry_ladder(
                self._ladder, as_snapshot(newest), identity_of(newest), registry, identity(registry), self._journal.end
            )

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
            self._ladder.replace(base, as_arrays(moved, self._mark), {**base.meta, "moved_ms": now_ms})
        for rung in self._ladder.superfluous(now_ms):
            self._ladder.delete(rung)
        self._journal.drop(needed_from(self._ladder.rungs(), self.registry))

    def reload(self, registry: Registry) -> Applied:
        """Another configuration from here on. What was judged stays; events of rules and devices that are gone close.

        Everything that can fail on the new configuration is done by whoever made the registry. A JournalError that is
        retryable left the old one in force; after any other error the service has to start again."""
        # 1. Nothing of the past is left open to the new rules.
        old, old_identity, new = self.registry, identity(self.registry), identity(registry)
        applied = self._apply(self.engine.freeze())
        head = self.engine.snapshot(self.position)
        # 2. The state so far, and new devices' numbers, are on disk.
        try:
            self._write(head, self.position)
            self._journal.set_devices([device.id for device in registry.devices])
        except JournalError:
            self._begin(old)
            self._apply(self.engine.recover(self._store.events_since, self.position))
            raise
        try:
            self._apply(Step(events=self._closing(registry, old_identity, new)))
            # 3. Every checkpoint becomes one of the new configuration. From here on there is no way back.
            try:
                carry_ladder(self._ladder, head, old_identity, registry, new, self.position)
            except JournalError as error:
                raise JournalError(f"the reload broke off half-way; start again: {error}") from error
            # 4. On with it.
            self._begin(registry)
            self._apply(self.engine.recover(self._store.events_since, self.position))
        except BaseException:
            # The service ends. A batch that slips into the journal before it does is numbered by the old registry.
            self._journal.set_devices([device.id for device in old.devices])
            raise
        return applied

    # ------------------------------------------------------------------ inside

    def _write(self, snapshot: Snapshot, position: int) -> None:
        now_ms = self._now_ms()
        meta: dict[str, Any] = {CONFIGURATION: self._mark.digest, "position": position, "moved_ms": now_ms}
        self._ladder.write(position, as_arrays(snapshot, self._mark), meta, now_ms)

    def _apply(self, step: Step) -> Applied:
        """Until the store has it. A store that fails holds back what comes after it, and loses nothing."""
        tries = 0
        while True:
            try:
                applied = self._store.apply(step, self.registry)
            except StoreError as error:
                tries += 1
                self._on_trouble(StoreTrouble(error, tries))
                if self._is_stopping() and tries >= STOPPING_TRIES:
                    raise  # the journal has the readings: the next start makes these results again
                self._sleep(min(RETRY_MAX_S, RETRY_MIN_S * 2.0 ** min(tries - 1, 16)))
            else:
                if tries:
                    self._on_trouble(None)
                self.seen = self._look()
                return applied

    def _look(self) -> Seen:
        state = self.engine.state
        return Seen(self.registry, state.last_ts.max(axis=1), state.clock.copy(), self.engine.late_readings)

    def _closing(self, registry: Registry, old: Identity, new: Identity) -> list[Event]:
        """Open events of what the new configuration no longer judges: out of scope as of the building's clock."""
        closing = []
        is_changed = changed_buildings(old, new)
        changed = {building.id for building, new in zip(registry.buildings, is_changed, strict=True) if new}
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
