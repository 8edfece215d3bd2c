"""From the readings of one air conditioner to its violations (SEMANTICS 5)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.detect.jit import kernel
from monitor.detect.kernels.common import (
    CONFLICT,
    CORRECTED,
    HOUR_MS,
    NO_DATA,
    NO_REASON,
    SCOPE,
    greater,
    last_at_or_before,
)
from monitor.detect.kernels.events import put_event
from monitor.detect.kernels.meters import note
from monitor.detect.state import AC_RULES, NEVER, NONE

ON, MODE, SETPOINT, ROOM = 0, 1, 2, 3
OFF_MODE, COOL, HEAT, AUTO = 0, 1, 2, 5
COOL_RULE, HEAT_RULE, HOURS_RULE = 0, 1, 2
FIRST_AC_RULE = 2
"""Index of ac_cool_setpoint in results.RULES."""


class AcParams(NamedTuple):
    """What these kernels need of `Params`: a call pays for every array that it is given."""

    ac_slot: NDArray[np.int64]
    exempt: NDArray[np.int64]
    max_gap_ms: NDArray[np.int64]
    auto_counts: NDArray[np.int64]
    cool_min_c: NDArray[np.float64]
    heat_max_c: NDArray[np.float64]
    tolerance_c: NDArray[np.float64]
    on_delay_ms: NDArray[np.int64]
    off_delay_ms: NDArray[np.int64]
    ac_lo: NDArray[np.int64]
    ac_hi: NDArray[np.int64]
    ac_start: NDArray[np.int64]
    ac_flags: NDArray[np.int64]


class AcState(NamedTuple):
    """What they change of `State`."""

    last_ts: NDArray[np.int64]
    last_value: NDArray[np.float64]
    hold_ts: NDArray[np.int64]
    held_value: NDArray[np.float64]
    held_known: NDArray[np.bool_]
    cluster_start: NDArray[np.int64]
    cluster_end: NDArray[np.int64]
    cluster_ms: NDArray[np.int64]
    cluster_reason: NDArray[np.int64]
    cluster_excess: NDArray[np.float64]
    cluster_worst: NDArray[np.float64]


@kernel
def base_condition(
    rule: int,
    exempt: int,
    auto_counts: int,
    limit_c: float,
    tolerance_c: float,
    on: float,
    on_known: bool,
    mode: float,
    mode_known: bool,
    setpoint_c: float,
    setpoint_known: bool,
) -> bool:
    """What the rule demands of the unit's state, without the calendar."""
    if exempt & (1 << rule):
        return False
    if mode_known and mode == OFF_MODE:
        return False
    runs = on == 1.0 if on_known else mode_known
    if not runs:
        return False
    if rule == HOURS_RULE:
        return True
    if np.isnan(limit_c) or not mode_known or not setpoint_known:
        return False
    if rule == COOL_RULE:
        return (mode == COOL or (mode == AUTO and auto_counts == COOL)) and greater(limit_c - tolerance_c, setpoint_c)
    return (mode == HEAT or (mode == AUTO and auto_counts == HEAT)) and greater(setpoint_c, limit_c + tolerance_c)


@kernel
def in_calendar(flags: int, rule: int) -> bool:
    """Bits of calendars.AcCalendar.flags: 0 outside all allowed windows, 1 cool months, 2 heat months."""
    if rule == HOURS_RULE:
        return flags & 1 != 0
    if rule == COOL_RULE:
        return flags & 2 != 0
    return flags & 4 != 0


@kernel
def excess_of(rule: int, limit_c: float, setpoint_c: float, excess: float, piece_ms: int, total_ms: int) -> float:
    """The excess with one more piece of true time: °C·h beyond the limit; hours for ac_hours, of total_ms."""
    if rule == COOL_RULE:
        return excess + (limit_c - setpoint_c) * (piece_ms / HOUR_MS)
    if rule == HEAT_RULE:
        return excess + (setpoint_c - limit_c) * (piece_ms / HOUR_MS)
    return total_ms / HOUR_MS


@kernel
def worst_of(rule: int, setpoint_c: float, worst: float) -> float:
    """The worst set-point so far (NaN: none yet); NaN for ac_hours."""
    if rule == COOL_RULE:
        return worst if worst <= setpoint_c else setpoint_c
    if rule == HEAT_RULE:
        return worst if worst >= setpoint_c else setpoint_c
    return np.nan


@kernel
def integrate(
    b: int,
    d: int,
    rule: int,
    limit_c: float,
    setpoint_c: float,
    holds: bool,
    from_ms: int,
    to_ms: int,
    runs_out: bool,
    on_delay_ms: int,
    off_delay_ms: int,
    edges: NDArray[np.int64],
    flags: NDArray[np.int64],
    lo: int,
    hi: int,
    cluster: NDArray[np.int64],
    cluster_figures: NDArray[np.float64],
    events: NDArray[np.int64],
    figures: NDArray[np.float64],
    n_events: int,
    final: bool,
) -> int:
    """Holds one state over [from_ms, to_ms) and lets the rule's cluster grow; closed clusters become events.

    holds: what `base_condition` says of the state. edges, flags in [lo, hi): the calendar. cluster: [start, end, ms,
    reason]; cluster_figures: [excess, worst]. runs_out: the hold ends there for want of data. Returns the count of
    events."""
    if not holds:
        if cluster[0] != NONE and cluster[1] == from_ms and from_ms < to_ms:
            cluster[3] = CORRECTED
        return n_events
    k = last_at_or_before(edges, lo, hi, from_ms)
    t = from_ms
    while t < to_ms:
        piece_end = to_ms
        if k + 1 < hi and edges[k + 1] < to_ms:
            piece_end = edges[k + 1]
        if in_calendar(flags[k], rule):
            if cluster[0] != NONE and t != cluster[1] and t - cluster[1] >= off_delay_ms:
                if cluster[2] >= on_delay_ms:
                    n_events = put_cluster(
                        events, figures, n_events, rule, b, d, cluster, cluster_figures, False, final
                    )
                cluster[0] = NONE
            if cluster[0] == NONE:
                cluster[0], cluster[2], cluster[3] = t, 0, NO_REASON
                cluster_figures[0], cluster_figures[1] = 0.0, np.nan
            cluster[1] = piece_end
            cluster[2] += piece_end - t
            cluster_figures[0] = excess_of(rule, limit_c, setpoint_c, cluster_figures[0], piece_end - t, cluster[2])
            cluster_figures[1] = worst_of(rule, setpoint_c, cluster_figures[1])
        elif cluster[0] != NONE and cluster[1] == t:
            cluster[3] = SCOPE
        k += 1
        t = piece_end
    if runs_out and cluster[0] != NONE and cluster[1] == to_ms:
        cluster[3] = NO_DATA
    return n_events


@kernel
def put_cluster(
    events: NDArray[np.int64],
    figures: NDArray[np.float64],
    n: int,
    rule: int,
    b: int,
    d: int,
    cluster: NDArray[np.int64],
    cluster_figures: NDArray[np.float64],
    is_open: bool,
    final: bool,
) -> int:
    """A cluster as an event; returns the new count."""
    return put_event(
        events,
        figures,
        n,
        FIRST_AC_RULE + rule,
        b,
        d,
        cluster[0],
        cluster[1],
        is_open,
        cluster[3],
        cluster[2],
        final,
        cluster_figures[1],
        cluster_figures[0],
    )


@kernel
def load_cluster(
    s: AcState, slot: int, rule: int, cluster: NDArray[np.int64], cluster_figures: NDArray[np.float64]
) -> None:
    cluster[0], cluster[1] = s.cluster_start[slot, rule], s.cluster_end[slot, rule]
    cluster[2], cluster[3] = s.cluster_ms[slot, rule], s.cluster_reason[slot, rule]
    cluster_figures[0], cluster_figures[1] = s.cluster_excess[slot, rule], s.cluster_worst[slot, rule]


@kernel
def read_ac(
    p: AcParams,
    s: AcState,
    b: int,
    d: int,
    quantity: NDArray[np.int8],
    ts_ms: NDArray[np.int64],
    value: NDArray[np.float64],
    ledger: NDArray[np.int64],
    amounts: NDArray[np.float64],
    n_ledger: int,
    events: NDArray[np.int64],
    figures: NDArray[np.float64],
    n_events: int,
    clusters: NDArray[np.int64],
    cluster_figures: NDArray[np.float64],
    holds: NDArray[np.bool_],
) -> tuple[int, int]:
    """Advances unit d by its readings, sorted by time; a last group with hold_ts' own ts joins the state held there.

    clusters [3, 4], cluster_figures [3, 2] and holds [3] are room to work in.
    Events that readings in order can change no more are put out as final. Returns the counts of ledger entries and
    events."""
    slot = p.ac_slot[d]
    lo, hi = p.ac_lo[b], p.ac_hi[b]
    edges, flags = p.ac_start, p.ac_flags
    exempt, auto_counts, tolerance_c = p.exempt[d], p.auto_counts[b], p.tolerance_c[b]
    on_delay_ms, off_delay_ms, max_gap_ms = p.on_delay_ms[b], p.off_delay_ms[b], p.max_gap_ms[d]
    held, known = s.held_value[slot], s.held_known[slot]
    last_ts, last_value = s.last_ts[d], s.last_value[d]
    cool_min_c, heat_max_c = p.cool_min_c[b], p.heat_max_c[b]
    for rule in range(AC_RULES):
        load_cluster(s, slot, rule, clusters[rule], cluster_figures[rule])
    is_changed = True
    # The calendar's piece in which the hold lies: most holds begin and end in one.
    piece_start, piece_end, piece_flags = NONE, NONE, 0
    hold = s.hold_ts[slot]
    k = 0
    n = len(ts_ms)
    while k < n:
        t = ts_ms[k]
        if t > hold and hold != NONE:
            limit = hold + max_gap_ms
            runs_out = limit < t
            until = min(t, limit)
            if hold < piece_start or hold >= piece_end:
                c = last_at_or_before(edges, lo, hi, hold)
                piece_start, piece_flags = edges[c], flags[c]
                piece_end = edges[c + 1] if c + 1 < hi else NEVER
            for rule in range(AC_RULES):
                limit_c = cool_min_c if rule == COOL_RULE else heat_max_c
                if is_changed:
                    holds[rule] = base_condition(
                        rule,
                        exempt,
                        auto_counts,
                        limit_c,
                        tolerance_c,
                        held[ON],
                        known[ON],
                        held[MODE],
                        known[MODE],
                        held[SETPOINT],
                        known[SETPOINT],
                    )
                if not holds[rule] and clusters[rule, 0] == NONE:
                    continue
                # Where the hold only lengthens a run, or makes none, in one piece of the calendar, it is done here: a
                # call with arrays costs more than the sum.
                joins = clusters[rule, 0] != NONE and clusters[rule, 1] == hold
                is_true = holds[rule] and in_calendar(piece_flags, rule)
                if until <= piece_end and not is_true:
                    if joins:
                        clusters[rule, 3] = SCOPE if holds[rule] else CORRECTED
                elif until <= piece_end and joins:
                    clusters[rule, 1] = until
                    clusters[rule, 2] += until - hold
                    cluster_figures[rule, 0] = excess_of(
                        rule, limit_c, held[SETPOINT], cluster_figures[rule, 0], until - hold, clusters[rule, 2]
                    )
                    cluster_figures[rule, 1] = worst_of(rule, held[SETPOINT], cluster_figures[rule, 1])
                    if runs_out:
                        clusters[rule, 3] = NO_DATA
                else:
                    n_events = integrate(
                        b,
                        d,
                        rule,
                        limit_c,
                        held[SETPOINT],
                        holds[rule],
                        hold,
                        until,
                        runs_out,
                        on_delay_ms,
                        off_delay_ms,
                        edges,
                        flags,
                        lo,
                        hi,
                        clusters[rule],
                        cluster_figures[rule],
                        events,
                        figures,
                        n_events,
                        True,
                    )
                end = clusters[rule, 1]
                if clusters[rule, 0] != NONE and t > end and t - end >= off_delay_ms:
                    if clusters[rule, 2] >= on_delay_ms:
                        n_events = put_cluster(
                            events,
                            figures,
                            n_events,
                            rule,
                            b,
                            d,
                            clusters[rule],
                            cluster_figures[rule],
                            False,
                            True,
                        )
                    clusters[rule, 0] = NONE
            is_changed = runs_out
            if runs_out:
                known[:] = False
        hold = t
        group_end = k + 1
        while group_end < n and ts_ms[group_end] == t:
            group_end += 1
        for q in range(4):
            if group_end == k + 1 and quantity[k] - 2 != q:
                continue
            low, high, seen = np.inf, -np.inf, False
            for j in range(k, group_end):
                if quantity[j] - 2 == q:
                    low, high, seen = min(low, value[j]), max(high, value[j]), True
            if not seen or last_ts[q] == t:
                continue
            counts = high if q == SETPOINT else low
            if low != high:
                n_ledger = note(ledger, amounts, n_ledger, CONFLICT, d, q + 2, t, low if q == SETPOINT else high)
            last_ts[q], last_value[q] = t, counts
            is_changed = is_changed or not known[q] or held[q] != counts
            held[q], known[q] = counts, True
        k = group_end
    s.hold_ts[slot] = hold
    for rule in range(AC_RULES):
        s.cluster_start[slot, rule], s.cluster_end[slot, rule] = clusters[rule, 0], clusters[rule, 1]
        s.cluster_ms[slot, rule], s.cluster_reason[slot, rule] = clusters[rule, 2], clusters[rule, 3]
        s.cluster_excess[slot, rule] = cluster_figures[rule, 0]
        s.cluster_worst[slot, rule] = cluster_figures[rule, 1]
    return n_ledger, n_events


@kernel
def judge_ac(
    p: AcParams,
    s: AcState,
    b: int,
    d: int,
    clock: int,
    events: NDArray[np.int64],
    figures: NDArray[np.float64],
    n_events: int,
    ends: NDArray[np.int64],
    clusters: NDArray[np.int64],
    cluster_figures: NDArray[np.float64],
) -> int:
    """The events of a unit as they stand at the building's clock, from what may still change. Changes no state.

    ends: int64[3], set to the count of events after each rule. clusters, cluster_figures: as in `read_ac`. Returns the
    count of events."""
    slot = p.ac_slot[d]
    hold = s.hold_ts[slot]
    held, known = s.held_value[slot], s.held_known[slot]
    cluster, its_figures = clusters[0], cluster_figures[0]
    limit = hold + p.max_gap_ms[d]
    for rule in range(AC_RULES):
        limit_c = p.cool_min_c[b] if rule == COOL_RULE else p.heat_max_c[b]
        holds = base_condition(
            rule,
            p.exempt[d],
            p.auto_counts[b],
            limit_c,
            p.tolerance_c[b],
            held[ON],
            known[ON],
            held[MODE],
            known[MODE],
            held[SETPOINT],
            known[SETPOINT],
        )
        if holds or s.cluster_start[slot, rule] != NONE:
            load_cluster(s, slot, rule, cluster, its_figures)
            n_events = integrate(
                b,
                d,
                rule,
                limit_c,
                held[SETPOINT],
                holds,
                hold,
                min(clock, limit),
                limit < clock,
                p.on_delay_ms[b],
                p.off_delay_ms[b],
                p.ac_start,
                p.ac_flags,
                p.ac_lo[b],
                p.ac_hi[b],
                cluster,
                its_figures,
                events,
                figures,
                n_events,
                False,
            )
            if cluster[0] != NONE and cluster[2] >= p.on_delay_ms[b]:
                is_open = cluster[1] >= clock or clock - cluster[1] < p.off_delay_ms[b]
                n_events = put_cluster(events, figures, n_events, rule, b, d, cluster, its_figures, is_open, False)
        ends[rule] = n_events
    return n_events
