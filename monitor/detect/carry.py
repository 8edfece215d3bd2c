"""A state made under one configuration, carried over to another.

A building of which nothing changed that results depend on is copied as it is. Of a changed one each device keeps what
it had reported, and the building what it had already judged; a new device begins with nothing.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.detect.params import Layout, build_layout, judged_ac_rules, window_lengths
from monitor.detect.state import AXES, NEVER, NONE, State, empty_state
from monitor.registry import Building, Device, Policy, Registry

Arrays = Mapping[str, NDArray[Any]]
Identity = Mapping[str, Any]
"""What `identity` gives."""

_NO_RESULT = {
    Building: {"name", "org", "kind", "area_m2", "occupants"},
    Device: {"name", "gateway", "source_id", "field", "exempt"},
    Policy: {"name", "sources"},
}
"""Fields on which no result depends; `exempt` of a device is taken in apart, sorted."""


def _counting(kind: type[Building | Device]) -> Callable[[Any], tuple[Any, ...]]:
    names = [field.name for field in dataclasses.fields(kind) if field.name not in _NO_RESULT[kind]]
    get: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)
    return get


_of_building, _of_device = _counting(Building), _counting(Device)


def _plain(value: Any) -> Any:
    """Something whose repr is the same in every process."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        left_out = _NO_RESULT.get(type(value), set())
        names = [field.name for field in dataclasses.fields(value) if field.name not in left_out]
        return [(name, _plain(getattr(value, name))) for name in names]
    if isinstance(value, frozenset):
        return sorted(_plain(entry) for entry in value)
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value.isoformat() if isinstance(value, dt.date) else value


def fingerprints(registry: Registry) -> list[str]:
    """Of all that the results of each building depend on."""
    policies = {name: repr(_plain(policy)) for name, policy in registry.policies.items()}
    found = []
    for row, building in enumerate(registry.buildings):
        devices = registry.devices[registry.device_start[row] : registry.device_start[row + 1]]
        parts = [(_of_device(device), sorted(device.exempt)) for device in devices]
        text = repr((_of_building(building), policies[building.policy], parts))
        found.append(hashlib.sha256(text.encode()).hexdigest()[:32])
    return found


def identity(registry: Registry) -> dict[str, Any]:
    """What a checkpoint has to say of its configuration (JSON), so that another one can take it over."""
    layout = build_layout(registry)
    intervals = [registry.policies[b.policy].demand_interval_min * 60_000 for b in registry.buildings]
    return {
        "buildings": [building.id for building in registry.buildings],
        "fingerprints": fingerprints(registry),
        "interval_ms": intervals,
        "window": window_lengths(registry).tolist(),
        "devices": [device.id for device in registry.devices],
        "sources": [f"{device.kind}/{device.item}/{device.source}" for device in registry.devices],
        "multipliers": [device.multiplier for device in registry.devices],
        "items": [item.name for item in registry.items],
        "layout": {name: getattr(layout, name).tolist() for name in Layout._fields},
    }


def changed_buildings(old: Identity, new: Identity) -> NDArray[np.bool_]:
    """bool[buildings of new]: other than in `old`, or not in it."""
    known = dict(zip(old["buildings"], old["fingerprints"], strict=True))
    pairs = zip(new["buildings"], new["fingerprints"], strict=True)
    return np.array([known.get(building) != fingerprint for building, fingerprint in pairs], np.bool_)


def carry(arrays: Arrays, old: Identity, registry: Registry, new: Identity) -> State:
    """The state `arrays`, made under the configuration whose `identity` is `old`, for this registry; `new` is its."""
    before = Layout(**{name: np.array(value, np.int64) for name, value in old["layout"].items()})
    after = build_layout(registry)
    state = empty_state(after)
    old_row = {building: row for row, building in enumerate(old["buildings"])}
    changed = changed_buildings(old, new)
    for row, building in enumerate(registry.buildings):
        if building.id not in old_row:
            continue
        source = old_row[building.id]
        if changed[row]:
            _carry_changed(arrays, old, before, source, state, after, registry, row)
            continue
        for name, axis in AXES.items():
            getattr(state, name)[after.slice(axis, row)] = arrays[name][before.slice(axis, source)]
    return state


def _carry_changed(
    arrays: Arrays,
    old: Identity,
    before: Layout,
    source: int,
    state: State,
    after: Layout,
    registry: Registry,
    row: int,
) -> None:
    for name, axis in AXES.items():
        if axis == "B":
            getattr(state, name)[row] = arrays[name][source]
    state.building_digest[row] = 0
    length = registry.policies[registry.buildings[row].policy].demand_interval_min * 60_000
    same_grid = length == old["interval_ms"][source]
    clock, start = int(state.clock[row]), int(state.window_start[row])
    window, old_window = int(window_lengths(registry)[row]), int(old["window"][source])
    skip = 0
    if start != NONE:
        if same_grid:
            skip = max(0, clock // length + 1 - window - start)
            state.window_start[row] = start + skip
        else:
            # Another grid: what stands on the old one stays as it was given, the new one begins after the clock.
            state.window_start[row] = clock // length
            state.frozen_to[row] = NONE
            state.demand_active[row] = 0
            state.budget_occurrence[row], state.budget_start[row] = -1, NONE
    # A rule that is no longer judged forgets what it had begun: it may come back long after.
    if registry.buildings[row].peak_limit_kw is None:
        state.demand_active[row] = 0
    if registry.buildings[row].peak_budget_kwh is None:
        state.budget_occurrence[row], state.budget_start[row] = -1, NONE
    for item in range(int(after.item_start[row]), int(after.item_start[row + 1])):
        for other in range(int(before.item_start[source]), int(before.item_start[source + 1])):
            if old["items"][other] != registry.items[item].name or arrays["first_interval"][other] == NEVER:
                continue
            begun = arrays["first_interval"][other] if same_grid else clock // length + 1
            state.first_interval[item] = begun
            state.emitted_to[item] = arrays["emitted_to"][other] if same_grid else begun

    old_device = {old["devices"][d]: d for d in range(*before.slice("D", source).indices(len(old["devices"])))}
    old_slots = _slots(old["sources"], before, source)
    new_slots = _slots([f"{d.kind}/{d.item}/{d.source}" for d in registry.devices], after, row)
    old_cells = _cells(old["sources"], before, source, old_window)
    new_cells = _cells([f"{d.kind}/{d.item}/{d.source}" for d in registry.devices], after, row, window)
    for new in range(int(after.device_start[row]), int(after.device_start[row + 1])):
        device = registry.devices[new]
        was = old_device.get(device.id)
        if was is None or old["sources"][was] != f"{device.kind}/{device.item}/{device.source}":
            continue
        for name, axis in AXES.items():
            if axis == "D":
                getattr(state, name)[new] = arrays[name][was]
        scale = device.multiplier / old["multipliers"][was]
        state.base_value[new] *= scale
        state.suspect_value[new] *= scale
        if new in new_slots:
            for name, axis in AXES.items():
                if axis == "A":
                    getattr(state, name)[new_slots[new]] = arrays[name][old_slots[was]]
            state.ac_digest[new_slots[new]] = 0
            for rule, is_judged in enumerate(judged_ac_rules(registry, new)):
                if not is_judged:
                    state.cluster_start[new_slots[new], rule] = NONE
        elif same_grid:
            kept = min(window, old_window - skip)
            for name, axis in AXES.items():
                if axis == "P":
                    target, origin = new_cells[new], old_cells[was] + skip
                    getattr(state, name)[target : target + kept] = arrays[name][origin : origin + kept]


def _slots(sources: list[str], layout: Layout, building: int) -> dict[int, int]:
    """Device row to row on axis A."""
    part = layout.slice("D", building)
    units = [row for row in range(part.start, part.stop) if sources[row].startswith("ac/")]
    return {row: int(layout.ac_start[building]) + n for n, row in enumerate(units)}


def _cells(sources: list[str], layout: Layout, building: int, window: int) -> dict[int, int]:
    """Device row to its first cell on axis P."""
    part = layout.slice("D", building)
    meters = [row for row in range(part.start, part.stop) if not sources[row].startswith("ac/")]
    return {row: int(layout.cell_start[building]) + n * window for n, row in enumerate(meters)}
