"""Takes buildings forward by readings that are in order for each of their devices, and puts out what that changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.detect.jit import kernel
from monitor.detect.kernels.ac import AcParams, AcState, judge_ac, read_ac
from monitor.detect.kernels.common import (
    EVENT_COLUMNS,
    GROUP_COLUMNS,
    LEDGER_COLUMNS,
    ROW_COLUMNS,
    last_at_or_before,
    room_for_ints,
    room_for_reals,
)
from monitor.detect.kernels.events import digest_events
from monitor.detect.kernels.meters import CHANGED, LEDGER_PER_READING, LOOK_AHEAD, MeterParams, MeterState, read_meter
from monitor.detect.kernels.rules import PEAK_BUDGET, PEAK_DEMAND, judge_budget, judge_demand
from monitor.detect.params import Params
from monitor.detect.state import AC_RULES, NEVER, NONE, State


@kernel
def due_before(
    last_ts: NDArray[np.int64],
    source: NDArray[np.int64],
    item_of: NDArray[np.int64],
    item: int,
    d0: int,
    d1: int,
    clock: int,
    grace_ms: int,
    length: int,
) -> int:
    """The first interval of the item that is not due yet (SEMANTICS 3). Devices [d0, d1) are those of its building."""
    all_reported = clock
    for d in range(d0, d1):
        if item_of[d] == item:
            all_reported = min(all_reported, last_ts[d, source[d]])
    after_grace: int = (clock - grace_ms) // length
    if all_reported == NONE:
        return after_grace
    return max(int(all_reported // length), after_grace)


@kernel
def shift_window(
    p: Params,
    s: State,
    b: int,
    start: int,
    length: int,
    next_start: int,
    cells: NDArray[np.float64],
    covered: NDArray[np.int64],
) -> None:
    """Keeps the last cells of each meter: [next_start, start + length) of arrays that begin at start."""
    window = p.window[b]
    skip = next_start - start
    meter = 0
    for d in range(p.device_start[b], p.device_start[b + 1]):
        if p.cell[d] < 0:
            continue
        for k in range(window):
            cell = p.cell[d] + k
            if skip + k < length:
                s.cell_measured[cell] = cells[0, meter, skip + k]
                s.cell_estimated[cell] = cells[1, meter, skip + k]
                s.cell_inside[cell] = cells[2, meter, skip + k]
                s.cell_covered_ms[cell] = covered[meter, skip + k]
            else:
                s.cell_measured[cell] = 0.0
                s.cell_estimated[cell] = 0.0
                s.cell_inside[cell] = 0.0
                s.cell_covered_ms[cell] = 0
        meter += 1


@kernel
def advance(
    p: Params,
    s: State,
    selected: NDArray[np.bool_],
    whole_window: bool,
    freeze: bool,
    first_source_ts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    quantity: NDArray[np.int8],
    ts_ms: NDArray[np.int64],
    value: NDArray[np.float64],
) -> tuple[
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.int64],
]:
    """The selected buildings, one after the other, by readings sorted by device and time (see sorting.py).

    The building clocks are already moved on. whole_window: put out every row and event of the window, not only what
    changed. freeze: fold the building rules over all that is due, so that another configuration judges only what comes
    after. Returns ledger [n, 4] with amounts [n, 1], events [n, 9] with figures [n, 2] (worst, excess), interval rows
    [n, 4] with figures [n, 4] (measured, estimated, coverage, energy per hour), and the groups [n, 5] of events that
    are all there are now, not counting final ones, of one rule and device."""
    ledger = np.empty((64, LEDGER_COLUMNS), np.int64)
    amounts = np.empty((64, 1), np.float64)
    n_ledger = 0
    events = np.empty((64, EVENT_COLUMNS), np.int64)
    figures = np.empty((64, 2), np.float64)
    n_events = 0
    rows = np.empty((256, ROW_COLUMNS), np.int64)
    row_figures = np.empty((256, 4), np.float64)
    n_rows = 0
    groups = np.empty((64, GROUP_COLUMNS), np.int64)
    n_groups = 0
    of_meter = MeterParams(p.source, p.multiplier, p.max_rate, p.register_max, p.jitter, p.max_gap_ms)
    meter_state = MeterState(
        s.last_ts, s.last_value, s.base_ts, s.base_value, s.suspects, s.suspect_ts, s.suspect_value
    )
    of_ac = AcParams(
        p.ac_slot,
        p.exempt,
        p.max_gap_ms,
        p.auto_counts,
        p.cool_min_c,
        p.heat_max_c,
        p.tolerance_c,
        p.on_delay_ms,
        p.off_delay_ms,
        p.ac_lo,
        p.ac_hi,
        p.ac_start,
        p.ac_flags,
    )
    ac_state = AcState(
        s.last_ts,
        s.last_value,
        s.hold_ts,
        s.held_value,
        s.held_known,
        s.cluster_start,
        s.cluster_end,
        s.cluster_ms,
        s.cluster_reason,
        s.cluster_excess,
        s.cluster_worst,
    )
    ends = np.empty(AC_RULES, np.int64)
    queue_ts = np.empty(LOOK_AHEAD + 1, np.int64)
    queue_value = np.empty(LOOK_AHEAD + 1, np.float64)
    place = np.empty(3, np.int64)
    clusters = np.empty((AC_RULES, 4), np.int64)
    cluster_figures = np.empty((AC_RULES, 2), np.float64)
    holds = np.empty(AC_RULES, np.bool_)

    for b in range(len(p.interval_ms)):
        if not selected[b]:
            continue
        length = p.interval_ms[b]
        clock = s.clock[b]
        d0, d1 = p.device_start[b], p.device_start[b + 1]

        # Air conditioners: readings first.
        for d in range(d0, d1):
            slot = p.ac_slot[d]
            first, end = offsets[d], offsets[d + 1]
            if slot < 0 or first == end:
                continue
            n = end - first
            since = s.hold_ts[slot]
            edges = 0
            if since != NONE:
                lo, hi = p.ac_lo[b], p.ac_hi[b]
                edges = last_at_or_before(p.ac_start, lo, hi, ts_ms[end - 1]) - last_at_or_before(
                    p.ac_start, lo, hi, since
                )
            else:
                lo, hi = p.ac_lo[b], p.ac_hi[b]
                edges = last_at_or_before(p.ac_start, lo, hi, ts_ms[end - 1]) - last_at_or_before(
                    p.ac_start, lo, hi, ts_ms[first]
                )
            ledger = room_for_ints(ledger, n_ledger, n)
            amounts = room_for_reals(amounts, n_ledger, n)
            events = room_for_ints(events, n_events, AC_RULES * (2 * n + edges + 2))
            figures = room_for_reals(figures, n_events, AC_RULES * (2 * n + edges + 2))
            n_ledger, n_events = read_ac(
                of_ac,
                ac_state,
                b,
                d,
                quantity[first:end],
                ts_ms[first:end],
                value[first:end],
                ledger,
                amounts,
                n_ledger,
                events,
                figures,
                n_events,
                clusters,
                cluster_figures,
                holds,
            )

        # Meters: their window, copied to where it has room up to the clock.
        meters = 0
        for d in range(d0, d1):
            if p.cell[d] >= 0:
                meters += 1
        if s.window_start[b] == NONE and first_source_ts[b] != NEVER:
            s.window_start[b] = first_source_ts[b] // length
        start = s.window_start[b]
        if meters > 0 and start != NONE:
            span = clock // length - start + 1
            cells = np.zeros((3, meters, span), np.float64)
            covered = np.zeros((meters, span), np.int64)
            # One interval more than the window, to see whether the one after it is a peak interval.
            period = np.empty(span + 1, np.int64)
            peak = np.empty(span + 1, np.bool_)
            occurrence = np.empty(span + 1, np.int64)
            occurrence_end = np.empty(span + 1, np.int64)
            lo, hi = p.period_lo[b], p.period_hi[b]
            c = last_at_or_before(p.period_start, lo, hi, start * length)
            for k in range(span + 1):
                while c + 1 < hi and p.period_start[c + 1] <= (start + k) * length:
                    c += 1
                period[k], peak[k] = p.period_code[c], p.period_peak[c]
                occurrence[k], occurrence_end[k] = p.occurrence_start[c], p.occurrence_end[c]

            items = p.item_start[b + 1] - p.item_start[b]
            changed_from = np.full(items, NEVER, np.int64)
            meter = 0
            for d in range(d0, d1):
                if p.cell[d] < 0:
                    continue
                for k in range(min(span, p.window[b])):
                    cells[0, meter, k] = s.cell_measured[p.cell[d] + k]
                    cells[1, meter, k] = s.cell_estimated[p.cell[d] + k]
                    cells[2, meter, k] = s.cell_inside[p.cell[d] + k]
                    covered[meter, k] = s.cell_covered_ms[p.cell[d] + k]
                first, end = offsets[d], offsets[d + 1]
                if first < end:
                    n = LEDGER_PER_READING * (end - first + LOOK_AHEAD)
                    ledger = room_for_ints(ledger, n_ledger, n)
                    amounts = room_for_reals(amounts, n_ledger, n)
                    n_ledger, earliest = read_meter(
                        of_meter,
                        meter_state,
                        length,
                        d,
                        quantity[first:end],
                        ts_ms[first:end],
                        value[first:end],
                        start,
                        peak,
                        occurrence,
                        cells[0, meter],
                        cells[1, meter],
                        cells[2, meter],
                        covered[meter],
                        ledger,
                        amounts,
                        n_ledger,
                        queue_ts,
                        queue_value,
                        place,
                    )
                    item = p.item[d]
                    local = item - p.item_start[b]
                    changed_from[local] = min(changed_from[local], place[CHANGED])
                    if earliest != NEVER and earliest // length < s.first_interval[item]:
                        s.first_interval[item] = earliest // length
                        changed_from[local] = min(changed_from[local], earliest // length)
                meter += 1

            # Which intervals are due, and how far the window may move on.
            next_start = clock // length + 1
            for item in range(p.item_start[b], p.item_start[b + 1]):
                if s.first_interval[item] != NEVER:
                    next_start = min(
                        next_start, due_before(s.last_ts, p.source, p.item, item, d0, d1, clock, p.grace_ms[b], length)
                    )
            next_start = max(start, min(next_start, clock // length + 1 - p.window[b]))

            total = np.zeros((4, span), np.float64)  # measured, estimated, inside, covered
            for item in range(p.item_start[b], p.item_start[b + 1]):
                origin = s.first_interval[item]
                if origin == NEVER:
                    continue
                due_to = due_before(s.last_ts, p.source, p.item, item, d0, d1, clock, p.grace_ms[b], length)
                # Without any row before, all rows are due for the first time.
                emitted_to = max(s.emitted_to[item], origin)
                emit_from = min(emitted_to, max(changed_from[item - p.item_start[b]], origin))
                is_judged = item == p.total_item[b] and not (np.isnan(p.limit_kw[b]) and np.isnan(p.budget_kwh[b]))
                sum_from = max(start, origin) if whole_window or is_judged else emit_from
                if whole_window:
                    emit_from = sum_from
                emit_from = max(emit_from, start)
                sum_from = max(sum_from, start)
                if due_to > sum_from:
                    total[:, sum_from - start : due_to - start] = 0.0
                    meter = 0
                    for d in range(d0, d1):
                        if p.cell[d] < 0:
                            continue
                        if p.item[d] == item:
                            for k in range(sum_from - start, due_to - start):
                                total[0, k] += cells[0, meter, k]
                                total[1, k] += cells[1, meter, k]
                                total[2, k] += cells[2, meter, k]
                                total[3, k] += covered[meter, k]
                        meter += 1
                    full = float(length * p.item_meters[item])
                    for k in range(sum_from - start, due_to - start):
                        total[3, k] /= full
                    rows = room_for_ints(rows, n_rows, due_to - emit_from)
                    row_figures = room_for_reals(row_figures, n_rows, due_to - emit_from)
                    for i in range(emit_from, due_to):
                        k = i - start
                        rows[n_rows, 0] = item
                        rows[n_rows, 1] = i * length
                        rows[n_rows, 2] = period[k]
                        rows[n_rows, 3] = whole_window or i < s.emitted_to[item]
                        row_figures[n_rows, 0] = total[0, k]
                        row_figures[n_rows, 1] = total[1, k]
                        row_figures[n_rows, 2] = total[3, k]
                        row_figures[n_rows, 3] = total[0, k] * (3_600_000.0 / length)
                        n_rows += 1
                    s.emitted_to[item] = max(s.emitted_to[item], due_to)
                if is_judged:
                    events = room_for_ints(events, n_events, 2 * (span + 2))
                    figures = room_for_reals(figures, n_events, 2 * (span + 2))
                    judged_from = max(start, origin, s.frozen_to[b])
                    folded_to = due_to if freeze else next_start
                    for rule in range(2):
                        given = p.limit_kw[b] if rule == PEAK_DEMAND else p.budget_kwh[b]
                        if np.isnan(given):
                            continue
                        before = n_events
                        if rule == PEAK_DEMAND:
                            n_events = judge_demand(
                                p,
                                s,
                                b,
                                start,
                                judged_from,
                                due_to,
                                folded_to,
                                peak,
                                total[0],
                                total[3],
                                events,
                                figures,
                                n_events,
                            )
                        else:
                            for k in range(max(judged_from - start, 0), max(due_to - start, 0)):
                                total[2, k] += total[0, k]
                            n_events = judge_budget(
                                p,
                                s,
                                b,
                                start,
                                judged_from,
                                due_to,
                                folded_to,
                                occurrence,
                                occurrence_end,
                                total[2],
                                events,
                                figures,
                                n_events,
                            )
                        # The final ones come first: they ended earlier.
                        alive = before
                        while alive < n_events and events[alive, 8]:
                            alive += 1
                        digest = digest_events(events, figures, alive, n_events)
                        if whole_window or digest != s.building_digest[b, rule]:
                            s.building_digest[b, rule] = digest
                            groups = room_for_ints(groups, n_groups, 1)
                            groups[n_groups, 0] = PEAK_DEMAND if rule == PEAK_DEMAND else PEAK_BUDGET
                            groups[n_groups, 1], groups[n_groups, 2] = b, -1
                            groups[n_groups, 3], groups[n_groups, 4] = alive, n_events
                            n_groups += 1
                        else:
                            n_events = alive
                if (
                    freeze and item == p.total_item[b]
                ):  # also without a limit: one that comes later judges what comes later
                    s.frozen_to[b] = max(s.frozen_to[b], due_to)
            shift_window(p, s, b, start, span, next_start, cells, covered)
            s.window_start[b] = next_start

        # Air conditioners as they stand at the clock, which all of the building's devices move.
        for d in range(d0, d1):
            slot = p.ac_slot[d]
            if slot < 0 or s.hold_ts[slot] == NONE:
                continue
            lo, hi = p.ac_lo[b], p.ac_hi[b]
            last = min(clock, s.hold_ts[slot] + p.max_gap_ms[d])
            edges = last_at_or_before(p.ac_start, lo, hi, last) - last_at_or_before(p.ac_start, lo, hi, s.hold_ts[slot])
            events = room_for_ints(events, n_events, AC_RULES * (edges + 3))
            figures = room_for_reals(figures, n_events, AC_RULES * (edges + 3))
            groups = room_for_ints(groups, n_groups, AC_RULES)
            before = n_events
            judge_ac(of_ac, ac_state, b, d, clock, events, figures, n_events, ends, clusters, cluster_figures)
            for rule in range(AC_RULES):
                digest = digest_events(events, figures, before, ends[rule])
                if whole_window or digest != s.ac_digest[slot, rule]:
                    # Kept, moved down over those that are left out.
                    for n in range(before, ends[rule]):
                        events[n_events + n - before, :] = events[n, :]
                        figures[n_events + n - before, :] = figures[n, :]
                    s.ac_digest[slot, rule] = digest
                    groups[n_groups, 0], groups[n_groups, 1], groups[n_groups, 2] = 2 + rule, b, d
                    groups[n_groups, 3], groups[n_groups, 4] = n_events, n_events + ends[rule] - before
                    n_groups += 1
                    n_events += ends[rule] - before
                before = ends[rule]
    return (
        ledger[:n_ledger],
        amounts[:n_ledger],
        events[:n_events],
        figures[:n_events],
        rows[:n_rows],
        row_figures[:n_rows],
        groups[:n_groups],
    )
