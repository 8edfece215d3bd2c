"""What a building's state and the readings that come to it may still change among results that were given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.detect.findings import SEGMENT_KINDS
from monitor.detect.params import Layout, Params, judged_ac_rules
from monitor.detect.state import NEVER, NONE, State
from monitor.readings import QUANTITY_NAMES
from monitor.registry import Registry
from monitor.results import RULES, EventScope, LedgerScope


def event_scopes(
    registry: Registry, layout: Layout, p: Params, s: State, building: int, first_ts: NDArray[np.int64]
) -> list[EventScope]:
    """What the state and the readings that come to it may still change among the building's events.

    first_ts: int64[devices], the earliest of those readings, NEVER where there is none. It bounds what the state
    knows nothing of: the store may have events of a device from before it was taken out of the configuration and
    put in again, or from before the state directory was begun anew, and those stay."""
    row = registry.buildings[building]
    length, start = int(p.interval_ms[building]), int(s.window_start[building])
    devices = layout.slice("D", building)
    if start == NONE:
        start = int(first_ts[devices].min(initial=NEVER)) // length
    window_ms = max(start, int(s.frozen_to[building])) * length
    scopes = []
    if row.peak_limit_kw is not None:
        active = bool(s.demand_active[building])
        scopes.append(EventScope("peak_demand", row.id, "", int(s.demand_start[building]) if active else window_ms))
    if row.peak_budget_kwh is not None:
        begun = int(s.budget_start[building])
        scopes.append(EventScope("peak_budget", row.id, "", window_ms if begun == NONE else begun))
    for device in range(devices.start, devices.stop):
        slot = int(p.ac_slot[device])
        if slot < 0:
            continue
        device_id = registry.devices[device].id
        for rule, is_judged in enumerate(judged_ac_rules(registry, device)):
            if not is_judged:
                continue  # what there is of it was judged under an earlier configuration, and stays
            since = int(s.cluster_start[slot, rule])
            since = int(s.hold_ts[slot]) if since == NONE else since
            since = int(first_ts[device]) if since == NONE else since
            scopes.append(EventScope(RULES[2 + rule], row.id, device_id, since))
    return scopes


def ledger_scopes(
    registry: Registry, layout: Layout, s: State, building: int, first_ts: NDArray[np.int64]
) -> list[LedgerScope]:
    """Likewise for the ledger. What the state knows nothing of is said from the first reading on."""
    scopes = []
    devices = layout.slice("D", building)
    for row in range(devices.start, devices.stop):
        device, before = registry.devices[row], int(first_ts[row]) - 1
        if device.kind == "meter":
            # Of a power meter everything up to its last sample has been said; of a register up to its base.
            said = int(s.last_ts[row, 1] if device.source == "power" else s.base_ts[row])
            scopes.append(LedgerScope(device.id, SEGMENT_KINDS, None, before if said == NONE else said))
        first = 0 if device.kind == "meter" else 2
        for column in range(2 if device.kind == "meter" else 4):
            name = QUANTITY_NAMES[first + column]
            said = int(s.last_ts[row, column])
            scopes.append(LedgerScope(device.id, ("conflict",), name, before if said == NONE else said))
    return scopes
