"""The engine's past, as it lies on disk: checkpoints as earlier states, the journal as the readings since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.detect.carry import carry, changed_buildings, identity
from monitor.detect.history import Anchor, Snapshot
from monitor.detect.params import build_layout
from monitor.detect.state import AXES, NONE
from monitor.errors import JournalError
from monitor.journal.checkpoint import Checkpoint, CheckpointLadder
from monitor.journal.segments import Journal
from monitor.readings import ReadingColumns
from monitor.registry import Registry

POSITION = "position"
"""int64[buildings] in a checkpoint: the first reading of each building that is not in its state."""
SILENT_KEEP_MS = 35 * 86_400_000
"""So long the base state of a building waits for a meter that is silent, so that its return spreads the gap."""


class CheckpointHistory:
    """`monitor.detect.history.History` over a journal and a ladder of checkpoints of the same registry."""

    def __init__(self, journal: Journal, ladder: CheckpointLadder, registry: Registry) -> None:
        self._journal = journal
        self._ladder = ladder
        self._registry = registry

    def anchors(self) -> Iterator[Anchor]:
        """Newest first; each is opened when it is its turn."""
        for rung in self._ladder.rungs():
            yield Snapshot({name: rung.array(name) for name in AXES}, np.asarray(rung.array(POSITION)))

    def readings(self, buildings: NDArray[np.bool_], position: NDArray[np.int64], end: int) -> ReadingColumns:
        parts = []
        of_device = self._registry.device_building
        for chunk in self._journal.chunks(int(position[buildings].min()), end, devices=buildings[of_device]):
            new = chunk.position >= position[of_device[chunk.columns.device]]
            parts.append(chunk.columns if new.all() else chunk.columns.take(new))
        return ReadingColumns.concat(parts)


def carry_ladder(
    ladder: CheckpointLadder, head: Snapshot, head_identity: dict[str, Any], registry: Registry, end: int
) -> Snapshot:
    """Makes every checkpoint one of the new registry; returns the head under it.

    Where a building changed, what was judged before stays: its earlier states are replaced by the head, so that nothing
    before `end` is computed again under the new rules."""
    changed = changed_buildings(head_identity, registry)
    layout = build_layout(registry)
    if head.arrays is None:
        raise JournalError("no state to carry over: a checkpoint is written before the first reload")
    old_rows = {building: row for row, building in enumerate(head_identity["buildings"])}
    state = carry(head.arrays, head_identity, registry)
    position = np.array(
        [
            end if changed[row] else head.position[old_rows[building.id]]
            for row, building in enumerate(registry.buildings)
        ],
        np.int64,
    )
    new_head = Snapshot({name: getattr(state, name) for name in AXES}, position)
    for rung in list(ladder.rungs()):
        before = rung.meta["identity"]
        moved = carry({name: rung.array(name) for name in AXES}, before, registry)
        rows = {building: row for row, building in enumerate(before["buildings"])}
        its_position = position.copy()
        rung_position = np.asarray(rung.array(POSITION))
        its_changed = changed | changed_buildings(before, registry)
        for row, building in enumerate(registry.buildings):
            if its_changed[row]:
                for name, axis in AXES.items():
                    part = layout.slice(axis, row)
                    getattr(moved, name)[part] = getattr(state, name)[part]
            else:
                its_position[row] = rung_position[rows[building.id]]
        arrays = {name: getattr(moved, name) for name in AXES}
        ladder.replace(rung, {**arrays, POSITION: its_position}, {**rung.meta, "identity": identity(registry)})
    return new_head


def graft(old: Checkpoint, new: Checkpoint, head: Snapshot, registry: Registry, keep_ms: int) -> Snapshot | None:
    """The state that may take the place of the oldest one, `old`: mostly that of `new`.

    A building whose clock has not gone on for `keep_ms` since `new`, or one of whose meters is silent since before the
    window of `new`, keeps its part of `old`. None where nothing has to be kept."""
    layout = build_layout(registry)
    arrays = head.arrays
    if arrays is None:
        return None
    clock: NDArray[np.int64] = np.asarray(arrays["clock"], np.int64)
    new_clock: NDArray[np.int64] = np.asarray(new.array("clock"), np.int64)
    stays = (clock != NONE) & ((new_clock == NONE) | (new_clock > clock - keep_ms))
    window_start = np.asarray(new.array("window_start"))
    base_ts: NDArray[np.int64] = np.asarray(arrays["base_ts"], np.int64)
    for row, building in enumerate(registry.buildings):
        start = int(window_start[row])
        if stays[row] or start == NONE:
            continue
        since_ms = start * registry.policies[building.policy].demand_interval_min * 60_000
        bases = base_ts[layout.slice("D", row)]
        silent = (bases != NONE) & (bases < since_ms) & (bases > clock[row] - SILENT_KEEP_MS)
        stays[row] = bool(silent.any())
    if not stays.any():
        return None
    merged = {name: np.array(new.array(name)) for name in AXES}
    position = np.array(new.array(POSITION))
    for row in np.flatnonzero(stays).tolist():
        for name, axis in AXES.items():
            part = layout.slice(axis, row)
            merged[name][part] = old.array(name)[part]
        position[row] = old.array(POSITION)[row]
    return Snapshot(merged, position)


def needed_from(base: Iterable[int], registry: Registry) -> NDArray[np.int64]:
    """int64[devices]: the first position that the oldest state still needs of each device."""
    return np.array(list(base), np.int64)[registry.device_building]
