"""The engine's past, as it lies on disk: checkpoints as earlier states, the journal as the readings since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.detect.carry import Identity, carry, changed_buildings
from monitor.detect.engine import Engine
from monitor.detect.history import Anchor, Snapshot, is_new
from monitor.detect.kernels.sorting import admit
from monitor.detect.params import build_layout
from monitor.detect.state import AXES, NONE
from monitor.errors import JournalError
from monitor.journal.checkpoint import Checkpoint, CheckpointLadder
from monitor.journal.segments import Journal
from monitor.readings import ReadingColumns
from monitor.registry import Registry

POSITION = "position"
"""int64[buildings] in a checkpoint: the first reading of each building that is not in its state."""
CUT = "cut_ms"
"""int64[buildings] in a checkpoint: see `monitor.detect.history.Anchor.cut_ms`."""
MADE_UNDER = "made_under"
CONFIGURATION = "configuration"
"""See `Mark`."""
GROUP_DEVICES = 25_000
"""So many devices have their oldest state moved at once: a bound for memory."""
SILENT_KEEP_MS = 35 * 86_400_000
"""So long the base state of a building waits for a meter that is silent, so that its return spreads the gap."""


def as_snapshot(rung: Checkpoint) -> Snapshot:
    """A checkpoint's state, read from the file where it is used."""
    arrays = {name: rung.array(name) for name in AXES}
    return Snapshot(arrays, np.array(rung.array(POSITION), np.int64), np.array(rung.array(CUT), np.int64))


class Mark(NamedTuple):
    """The identity of a configuration as checkpoints hold it: all of it is read only where it is another one, since of
    a large site it takes tens of megabytes."""

    digest: str
    """Stands in a checkpoint's meta as CONFIGURATION."""
    text: NDArray[np.uint8]
    """The identity as JSON, an array of the checkpoint."""


def mark_of(made_under: Identity) -> Mark:
    text = json.dumps(made_under, ensure_ascii=False, separators=(",", ":")).encode()
    return Mark(hashlib.sha256(text).hexdigest(), np.frombuffer(text, np.uint8))


def identity_of(rung: Checkpoint) -> Identity:
    """The configuration under which a checkpoint was made. Raises JournalError."""
    made_under: Identity = json.loads(rung.array(MADE_UNDER).tobytes())
    return made_under


def as_arrays(snapshot: Snapshot, mark: Mark) -> dict[str, NDArray[Any]]:
    """What a checkpoint of it holds."""
    return {**(snapshot.arrays or {}), POSITION: snapshot.position, CUT: snapshot.cut_ms, MADE_UNDER: mark.text}


class CheckpointHistory:
    """`monitor.detect.history.History` over a journal and a ladder of checkpoints of the same registry."""

    def __init__(self, journal: Journal, ladder: CheckpointLadder, registry: Registry) -> None:
        self.journal = journal
        self.ladder = ladder
        self.registry = registry

    def anchors(self) -> Iterator[Anchor]:
        """Newest first; each is opened when it is its turn."""
        for rung in self.ladder.rungs():
            yield as_snapshot(rung)

    def readings(self, buildings: NDArray[np.bool_], anchor: Anchor, end: int) -> ReadingColumns:
        parts = []
        of_device = self.registry.device_building
        start = int(anchor.position[buildings].min())
        for chunk in self.journal.chunks(start, end, devices=buildings[of_device]):
            new = is_new(anchor, of_device[chunk.columns.device], chunk.position, chunk.columns.ts_ms)
            parts.append(chunk.columns if new.all() else chunk.columns.take(new))
        return ReadingColumns.concat(parts)


def _groups(registry: Registry) -> Iterator[NDArray[np.bool_]]:
    """Masks of buildings with together about GROUP_DEVICES devices."""
    group = registry.device_start[:-1] // GROUP_DEVICES
    for number in np.unique(group):
        yield group == number


def carry_ladder(
    ladder: CheckpointLadder, head: Snapshot, head_identity: Identity, registry: Registry, new: Identity, end: int
) -> Snapshot:
    """Makes every checkpoint one of the new registry, whose identity is `new`; returns the head under it.

    Where a building changed, what was judged before stays: its earlier states are replaced by the head, so that nothing
    before `end` is computed again under the new rules."""
    changed, mark = changed_buildings(head_identity, new), mark_of(new)
    layout = build_layout(registry)
    if head.arrays is None:
        raise JournalError("no state to carry over: a checkpoint is written before the first reload")
    old_rows = {building: row for row, building in enumerate(head_identity["buildings"])}
    state = carry(head.arrays, head_identity, registry, new)
    position = np.array(
        [
            end if changed[row] else head.position[old_rows[building.id]]
            for row, building in enumerate(registry.buildings)
        ],
        np.int64,
    )
    cut_ms = np.full(len(position), NONE, np.int64)
    for row, building in enumerate(registry.buildings):
        if not changed[row]:
            cut_ms[row] = head.cut_ms[old_rows[building.id]]
    new_head = Snapshot({name: getattr(state, name) for name in AXES}, position, cut_ms)
    for rung in list(ladder.rungs()):
        before = identity_of(rung)
        moved = carry({name: rung.array(name) for name in AXES}, before, registry, new)
        rows = {building: row for row, building in enumerate(before["buildings"])}
        its_position, its_cut_ms = position.copy(), cut_ms.copy()
        rung_position, rung_cut_ms = np.asarray(rung.array(POSITION)), np.asarray(rung.array(CUT))
        its_changed = changed | changed_buildings(before, new)
        for row, building in enumerate(registry.buildings):
            if its_changed[row]:
                for name, axis in AXES.items():
                    part = layout.slice(axis, row)
                    getattr(moved, name)[part] = getattr(state, name)[part]
            else:
                its_position[row] = rung_position[rows[building.id]]
                its_cut_ms[row] = rung_cut_ms[rows[building.id]]
        converted = Snapshot({name: getattr(moved, name) for name in AXES}, its_position, its_cut_ms)
        ladder.replace(rung, as_arrays(converted, mark), {**rung.meta, CONFIGURATION: mark.digest})
    return new_head


def move_base(
    history: CheckpointHistory, base: Checkpoint, head: Snapshot, end: int, *, horizon_ms: int, keep_ms: int
) -> Snapshot:
    """The oldest state, moved on in time: all that is older than `keep_ms` before each building's clock is in it.

    It is cut at a time, not at a position of the journal, so that no reading that the horizon still lets in comes
    before it, in whatever order readings came. A building with a meter that has been silent for less than
    SILENT_KEEP_MS is cut no later than that meter's last segment."""
    if head.arrays is None:
        raise JournalError("no state to move to")
    registry, journal = history.registry, history.journal
    layout = build_layout(registry)
    clock: NDArray[np.int64] = np.asarray(head.arrays["clock"], np.int64)
    base_ts: NDArray[np.int64] = np.asarray(head.arrays["base_ts"], np.int64)
    old_cut: NDArray[np.int64] = np.array(base.array(CUT), np.int64)
    cut_ms = np.where(clock == NONE, NONE, clock - keep_ms)
    for row in range(len(registry.buildings)):
        bases = base_ts[layout.slice("D", row)]
        waiting = bases[(bases != NONE) & (bases > clock[row] - SILENT_KEEP_MS)]
        if len(waiting):
            cut_ms[row] = min(cut_ms[row], int(waiting.min()))
    cut_ms = np.maximum(cut_ms, old_cut)

    engine = Engine(registry, history, horizon_ms=None)
    for name in AXES:
        getattr(engine.state, name)[...] = base.array(name)
    admitted_clock = np.array(engine.state.clock)
    anchor = Snapshot(None, np.array(base.array(POSITION), np.int64), old_cut)
    position = np.full(len(registry.buildings), end, np.int64)
    of_device = registry.device_building
    for group in _groups(registry):
        absorbed = []
        for chunk in journal.chunks(int(anchor.position[group].min()), end, devices=group[of_device]):
            building = of_device[chunk.columns.device]
            new = is_new(anchor, building, chunk.position, chunk.columns.ts_ms)
            columns, places = chunk.columns.take(new), chunk.position[new]
            too_late = np.zeros(len(columns), np.bool_)
            admit(of_device.astype(np.int64), columns.device, columns.ts_ms, horizon_ms, admitted_clock, too_late)
            building = of_device[columns.device]
            is_old = columns.ts_ms <= cut_ms[building]
            np.minimum.at(position, building[~is_old], places[~is_old])
            absorbed.append(columns.take(is_old & ~too_late))
        engine.absorb(ReadingColumns.concat(absorbed))
    return Snapshot({name: getattr(engine.state, name) for name in AXES}, position, cut_ms)


def needed_from(rungs: Iterable[Checkpoint], registry: Registry) -> NDArray[np.int64]:
    """int64[devices]: the first position that any of these states still needs of each device."""
    positions = [np.asarray(rung.array(POSITION), np.int64) for rung in rungs]
    return np.asarray(np.min(positions, axis=0), np.int64)[registry.device_building]
