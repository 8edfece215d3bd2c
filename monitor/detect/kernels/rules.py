"""The two rules over a building's due intervals (SEMANTICS 5): peak_demand and peak_budget.

Each folds over the window from the state kept at its start, and leaves the state at the window's next start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.detect.jit import kernel
from monitor.detect.kernels.common import CORRECTED, HOUR_MS, NO_DATA, NO_REASON, SCOPE, greater
from monitor.detect.kernels.events import put_event
from monitor.detect.params import Params
from monitor.detect.state import NONE, State

PEAK_DEMAND, PEAK_BUDGET = 0, 1
"""Indices in results.RULES."""


@kernel
def judge_demand(
    p: Params,
    s: State,
    b: int,
    window_start: int,
    first: int,
    due_to: int,
    next_start: int,
    peak: NDArray[np.bool_],
    energy: NDArray[np.float64],
    coverage: NDArray[np.float64],
    events: NDArray[np.int64],
    figures: NDArray[np.float64],
    n_events: int,
) -> int:
    """peak_demand over the due intervals [first, due_to); arrays begin at window_start and hold one interval more.

    energy: kWh measured. Returns the count of events; the state is left as it is at next_start."""
    length = p.interval_ms[b]
    hours = length / HOUR_MS
    limit = p.limit_kw[b]
    trip = limit * (1.0 + p.tolerance[b])
    clear = limit * p.clear_ratio[b]
    active, start = s.demand_active[b], s.demand_start[b]
    worst, excess, over_ms = s.demand_worst[b], s.demand_excess[b], s.demand_ms[b]
    kept = False
    for i in range(first, due_to + 1):
        if not kept and i >= next_start:
            kept = True
            s.demand_active[b], s.demand_start[b] = active, start
            s.demand_worst[b], s.demand_excess[b], s.demand_ms[b] = worst, excess, over_ms
        if i == due_to:
            break
        k = i - window_start
        demand = energy[k] / hours
        goes_on = False
        if not active:
            if peak[k] and greater(demand, trip):
                active, start, worst, excess, over_ms = 1, i * length, demand, 0.0, 0
                goes_on = True
        elif peak[k] and greater(demand, clear):
            goes_on = True
        else:
            reason = CORRECTED
            if not peak[k]:
                reason = SCOPE
            elif greater(p.min_coverage[b], coverage[k]):
                reason = NO_DATA
            n_events = put_event(
                events,
                figures,
                n_events,
                PEAK_DEMAND,
                b,
                -1,
                start,
                i * length,
                False,
                reason,
                over_ms,
                i < next_start,
                worst,
                excess,
            )
            active = 0
        if goes_on:
            worst = max(worst, demand)
            excess += max(0.0, demand - limit) * hours
            if greater(demand, limit):
                over_ms += length
            if not peak[k + 1]:
                n_events = put_event(
                    events,
                    figures,
                    n_events,
                    PEAK_DEMAND,
                    b,
                    -1,
                    start,
                    (i + 1) * length,
                    False,
                    SCOPE,
                    over_ms,
                    i < next_start,
                    worst,
                    excess,
                )
                active = 0
    if active:
        n_events = put_event(
            events, figures, n_events, PEAK_DEMAND, b, -1, start, NONE, True, NO_REASON, over_ms, False, worst, excess
        )
    return n_events


@kernel
def judge_budget(
    p: Params,
    s: State,
    b: int,
    window_start: int,
    first: int,
    due_to: int,
    next_start: int,
    occurrence: NDArray[np.int64],
    occurrence_end: NDArray[np.int64],
    energy: NDArray[np.float64],
    events: NDArray[np.int64],
    figures: NDArray[np.float64],
    n_events: int,
) -> int:
    """peak_budget likewise; energy: kWh that count for the budget, measured and inside the occurrence."""
    length = p.interval_ms[b]
    budget = p.budget_kwh[b]
    current, total, start = s.budget_occurrence[b], s.budget_sum[b], s.budget_start[b]
    kept = False
    for i in range(first, due_to + 1):
        if not kept and i >= next_start:
            kept = True
            s.budget_occurrence[b], s.budget_sum[b], s.budget_start[b] = current, total, start
        if i == due_to:
            break
        k = i - window_start
        if occurrence[k] != current:
            current, total, start = occurrence[k], 0.0, NONE
        if current < 0:
            continue
        total += energy[k]
        if start == NONE and greater(total, budget):
            start = i * length
        end = (i + 1) * length
        if start != NONE and end == occurrence_end[k]:
            n_events = put_event(
                events,
                figures,
                n_events,
                PEAK_BUDGET,
                b,
                -1,
                start,
                end,
                False,
                SCOPE,
                end - start,
                i < next_start,
                total,
                total - budget,
            )
            start = NONE
    if start != NONE:
        n_events = put_event(
            events,
            figures,
            n_events,
            PEAK_BUDGET,
            b,
            -1,
            start,
            NONE,
            True,
            NO_REASON,
            due_to * length - start,
            False,
            total,
            total - budget,
        )
    return n_events
