"""Where a timezone's UTC offset is no multiple of the demand interval (SEMANTICS 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.calendars import offset_problem
from monitor.errors import Problem
from monitor.registry import Registry


def doubtful_buildings(registry: Registry, from_ms: int, to_ms: int) -> NDArray[np.bool_]:
    """bool[buildings]: those with such an offset somewhere in [from_ms, to_ms); nearly always none."""
    pairs = [(building.policy, building.timezone) for building in registry.buildings]
    doubtful = {
        (policy, zone)
        for policy, zone in set(pairs)
        if offset_problem(registry.policies[policy], zone, from_ms, to_ms) is not None
    }
    return np.array([pair in doubtful for pair in pairs], np.bool_)


def offset_error(registry: Registry, number: int, from_ms: int, to_ms: int) -> Problem | None:
    """What a user is told of such an offset of the building within [from_ms, to_ms]."""
    building = registry.buildings[number]
    text = offset_problem(registry.policies[building.policy], building.timezone, from_ms, to_ms)
    return None if text is None else Problem("buildings.csv", text, column="timezone")
