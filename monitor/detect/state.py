"""Everything that detection remembers, as arrays: what a checkpoint holds and nothing else.

D devices, A air conditioners, I items, B buildings, P cells of the interval window. Times are UTC ms, interval
numbers count demand intervals since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.detect.params import Layout

NONE = -(1 << 62)
"""No time, no interval: smaller than any real one. Far from the limits, so that differences do not overflow."""
NEVER = 1 << 62
"""No interval yet: greater than any real one."""

AC_RULES = 3
"""ac_cool_setpoint, ac_heat_setpoint, ac_hours: the second axis of the cluster arrays."""
BUILDING_RULES = 2
"""peak_demand, peak_budget."""


class State(NamedTuple):
    """The detector's memory. Every array belongs to exactly one of the axes D, A, I, B or P (see `AXES`)."""

    # D: the last reading of each quantity (column: quantity of a meter, quantity - 2 of an AC)
    last_ts: NDArray[np.int64]  # [D, 4], NONE
    last_value: NDArray[np.float64]  # [D, 4]
    # D: meters: the base of the next segment and the suspects after it, in multiplied units
    base_ts: NDArray[np.int64]  # [D], NONE
    base_value: NDArray[np.float64]  # [D]
    suspects: NDArray[np.int64]  # [D], 0..3
    suspect_ts: NDArray[np.int64]  # [D, 3]
    suspect_value: NDArray[np.float64]  # [D, 3]
    # P: meters: what each interval of the building's window has so far
    cell_measured: NDArray[np.float64]
    cell_estimated: NDArray[np.float64]
    cell_inside: NDArray[np.float64]  # estimated, but wholly inside one peak occurrence: counts for the budget
    cell_covered_ms: NDArray[np.int64]
    # A: the state held since hold_ts, not yet integrated
    hold_ts: NDArray[np.int64]  # [A], NONE
    held_value: NDArray[np.float64]  # [A, 4]
    held_known: NDArray[np.bool_]  # [A, 4]
    # A: the cluster of runs that may still grow, integrated up to hold_ts
    cluster_start: NDArray[np.int64]  # [A, 3], NONE
    cluster_end: NDArray[np.int64]  # [A, 3]
    cluster_ms: NDArray[np.int64]  # [A, 3]
    cluster_excess: NDArray[np.float64]  # [A, 3]
    cluster_worst: NDArray[np.float64]  # [A, 3]
    cluster_reason: NDArray[np.int64]  # [A, 3]
    ac_digest: NDArray[np.int64]  # [A, 3], of the events given last
    # I
    first_interval: NDArray[np.int64]  # [I], NEVER
    emitted_to: NDArray[np.int64]  # [I], rows before this interval have been given; NONE
    # B
    clock: NDArray[np.int64]  # [B], NONE
    window_start: NDArray[np.int64]  # [B], first interval of the window, NONE
    demand_active: NDArray[np.int64]  # [B], the fold of peak_demand over all intervals before the window
    demand_start: NDArray[np.int64]
    demand_worst: NDArray[np.float64]
    demand_excess: NDArray[np.float64]
    demand_ms: NDArray[np.int64]
    budget_occurrence: NDArray[np.int64]  # [B], likewise of peak_budget; start of the occurrence or -1
    budget_sum: NDArray[np.float64]
    budget_start: NDArray[np.int64]
    frozen_to: NDArray[np.int64]  # [B], the folds already hold all before this interval: a reload judges nothing again
    building_digest: NDArray[np.int64]  # [B, 2]


AXES: dict[str, str] = {
    "last_ts": "D",
    "last_value": "D",
    "base_ts": "D",
    "base_value": "D",
    "suspects": "D",
    "suspect_ts": "D",
    "suspect_value": "D",
    "cell_measured": "P",
    "cell_estimated": "P",
    "cell_inside": "P",
    "cell_covered_ms": "P",
    "hold_ts": "A",
    "held_value": "A",
    "held_known": "A",
    "cluster_start": "A",
    "cluster_end": "A",
    "cluster_ms": "A",
    "cluster_excess": "A",
    "cluster_worst": "A",
    "cluster_reason": "A",
    "ac_digest": "A",
    "first_interval": "I",
    "emitted_to": "I",
    "clock": "B",
    "window_start": "B",
    "demand_active": "B",
    "demand_start": "B",
    "demand_worst": "B",
    "demand_excess": "B",
    "demand_ms": "B",
    "budget_occurrence": "B",
    "budget_sum": "B",
    "budget_start": "B",
    "frozen_to": "B",
    "building_digest": "B",
}

_SECOND_AXIS = {
    "last_ts": 4,
    "last_value": 4,
    "suspect_ts": 3,
    "suspect_value": 3,
    "held_value": 4,
    "held_known": 4,
    "cluster_start": AC_RULES,
    "cluster_end": AC_RULES,
    "cluster_ms": AC_RULES,
    "cluster_excess": AC_RULES,
    "cluster_worst": AC_RULES,
    "cluster_reason": AC_RULES,
    "ac_digest": AC_RULES,
    "building_digest": BUILDING_RULES,
}

_FLOATS = frozenset(
    {
        "last_value",
        "base_value",
        "suspect_value",
        "cell_measured",
        "cell_estimated",
        "cell_inside",
        "held_value",
        "cluster_excess",
        "cluster_worst",
        "demand_worst",
        "demand_excess",
        "budget_sum",
    }
)

_FILL: dict[str, int] = {
    "last_ts": NONE,
    "base_ts": NONE,
    "hold_ts": NONE,
    "cluster_start": NONE,
    "cluster_end": NONE,
    "first_interval": NEVER,
    "emitted_to": NONE,
    "clock": NONE,
    "window_start": NONE,
    "demand_start": NONE,
    "budget_occurrence": -1,
    "budget_start": NONE,
    "frozen_to": NONE,
}


def empty_state(layout: Layout) -> State:
    """The state of a monitor that has seen nothing yet."""
    arrays: dict[str, Any] = {}
    for name, axis in AXES.items():
        length = layout.length(axis)
        shape = (length, _SECOND_AXIS[name]) if name in _SECOND_AXIS else (length,)
        dtype: type[np.float64 | np.int64 | np.bool_]
        dtype = np.float64 if name in _FLOATS else np.bool_ if name == "held_known" else np.int64
        arrays[name] = np.full(shape, _FILL.get(name, 0), dtype)
    return State(**arrays)


def clear_building(state: State, layout: Layout, building: int) -> None:
    """Forget all of one building."""
    for name, axis in AXES.items():
        getattr(state, name)[layout.slice(axis, building)] = _FILL.get(name, 0)


def copy_building(source: Mapping[str, NDArray[np.generic]], target: State, layout: Layout, building: int) -> None:
    """Put one building's slice of a state with the same layout in the place of the target's."""
    for name, axis in AXES.items():
        part = layout.slice(axis, building)
        getattr(target, name)[part] = source[name][part]
