"""From the readings of one meter to the consumption of its intervals (SEMANTICS 3)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.detect.jit import kernel
from monitor.detect.kernels.common import (
    CONFLICT,
    GAP,
    HOUR_MS,
    OUTLIER,
    RESET,
    ROLLOVER,
    SPIKE,
    greater,
)
from monitor.detect.state import NEVER, NONE

HERE, HERE_MS, CHANGED = 0, 1, 2
"""Places in `place`: the interval in which the last segment ended, its start [ms], the first interval changed."""
FITS, JITTERS, ROLLS_OVER, SUSPECT = 0, 1, 2, 3
LOOK_AHEAD = 3
LEDGER_PER_READING = 3
"""At most a conflict, a rollover or outlier, and a gap."""


@kernel
def note(
    ledger: NDArray[np.int64],
    amounts: NDArray[np.float64],
    n: int,
    kind: int,
    device: int,
    quantity: int,
    ts: int,
    amount: float,
) -> int:
    """Writes one ledger entry; returns the new count."""
    ledger[n, 0] = kind
    ledger[n, 1] = device
    ledger[n, 2] = quantity
    ledger[n, 3] = ts
    amounts[n, 0] = amount
    return n + 1


@kernel
def rolls_over(rate: float, top: float, t0: int, v0: float, t1: int, v1: float) -> bool:
    """Whether (t1, v1) rolls over from the base (t0, v0), by the words of case 3 alone. rate, top: as in `classify`."""
    return (
        greater(v0, v1)
        and not np.isnan(top)
        and not np.isnan(rate)
        and not greater(v0, top + v1)
        and not greater(top - v0 + v1, rate * ((t1 - t0) / HOUR_MS))
    )


@kernel
def classify(rate: float, top: float, jitter: float, t0: int, v0: float, t1: int, v1: float) -> int:
    """How reading (t1, v1) stands to the base (t0, v0): the first that holds of cases 1 to 4 of SEMANTICS 3.

    rate, top, jitter: max_rate and register_max (NaN: none) and jitter of the meter, in multiplied units."""
    if not greater(v0, v1):
        if np.isnan(rate) or not greater(v1 - v0, rate * ((t1 - t0) / HOUR_MS)):
            return FITS
        return SUSPECT
    if not greater(v0 - v1, jitter):
        return JITTERS
    if rolls_over(rate, top, t0, v0, t1, v1):
        return ROLLS_OVER
    return SUSPECT


@kernel
def add_segment(
    length: int,
    max_gap_ms: int,
    t0: int,
    t1: int,
    amount: float,
    is_reset: bool,
    window_start: int,
    peak: NDArray[np.bool_],
    occurrence: NDArray[np.int64],
    measured: NDArray[np.float64],
    estimated: NDArray[np.float64],
    inside: NDArray[np.float64],
    covered_ms: NDArray[np.int64],
    place: NDArray[np.int64],
) -> bool:
    """Spreads a segment over the intervals of `length` ms from window_start on (arrays begin there). True: it is a gap.

    What lies before the window is left out; callers see to it that nothing does unless no earlier state exists.
    place: where the segment ended is noted there."""
    first, last = t0 // length, (t1 - 1) // length
    gap = t1 - t0 > max_gap_ms
    uncertain = gap or is_reset
    if not uncertain and 2 * (t1 - t0) > 3 * length:
        for i in range(max(first, window_start) + 1, last + 1):
            if peak[i - window_start] != peak[i - 1 - window_start]:
                uncertain = True
                break
    in_occurrence = False
    if uncertain and not is_reset and first >= window_start:
        start = occurrence[first - window_start]
        in_occurrence = start >= 0 and start == occurrence[last - window_start]
    whole = float(t1 - t0)
    for i in range(max(first, window_start), last + 1):
        overlap = min(t1, (i + 1) * length) - max(t0, i * length)
        share = amount * (overlap / whole)
        k = i - window_start
        if uncertain:
            estimated[k] += share
            if in_occurrence:
                inside[k] += share
        else:
            measured[k] += share
            covered_ms[k] += overlap
    place[CHANGED] = min(place[CHANGED], first)
    place[HERE] = t1 // length
    place[HERE_MS] = place[HERE] * length
    return gap and not is_reset


class MeterParams(NamedTuple):
    """What `read_meter` needs of `Params`: a call pays for every array that it is given."""

    source: NDArray[np.int64]
    multiplier: NDArray[np.float64]
    max_rate: NDArray[np.float64]
    register_max: NDArray[np.float64]
    jitter: NDArray[np.float64]
    max_gap_ms: NDArray[np.int64]


class MeterState(NamedTuple):
    """What it changes of `State`."""

    last_ts: NDArray[np.int64]
    last_value: NDArray[np.float64]
    base_ts: NDArray[np.int64]
    base_value: NDArray[np.float64]
    suspects: NDArray[np.int64]
    suspect_ts: NDArray[np.int64]
    suspect_value: NDArray[np.float64]


@kernel
def read_meter(
    p: MeterParams,
    s: MeterState,
    length: int,
    d: int,
    quantity: NDArray[np.int8],
    ts_ms: NDArray[np.int64],
    value: NDArray[np.float64],
    window_start: int,
    peak: NDArray[np.bool_],
    occurrence: NDArray[np.int64],
    measured: NDArray[np.float64],
    estimated: NDArray[np.float64],
    inside: NDArray[np.float64],
    covered_ms: NDArray[np.int64],
    ledger: NDArray[np.int64],
    amounts: NDArray[np.float64],
    n_ledger: int,
    queue_ts: NDArray[np.int64],
    queue_value: NDArray[np.float64],
    place: NDArray[np.int64],
) -> tuple[int, int]:
    """Advances meter d by its readings, sorted by time. The arrays of intervals of `length` ms begin at window_start.

    queue_ts, queue_value: room for four readings. place: int64[3], afterwards place[CHANGED] is the first interval that
    got something (NEVER: none). Returns the ledger's count and the earliest source reading (NEVER: none)."""
    source = p.source[d]
    max_gap_ms = p.max_gap_ms[d]
    rate, top, jitter, multiplier = p.max_rate[d], p.register_max[d], p.jitter[d], p.multiplier[d]
    # Taken out of the tuple once: each time costs an atomic count of references.
    last_ts, last_value = s.last_ts[d], s.last_value[d]
    suspects, suspect_ts, suspect_value = s.suspects, s.suspect_ts[d], s.suspect_value[d]
    base_t, base_v = s.base_ts[d], s.base_value[d]
    earliest = NEVER
    place[HERE], place[HERE_MS], place[CHANGED] = 0, 0, NEVER
    k = 0
    n = len(ts_ms)
    while k < n:
        # One instant: the smallest value of each quantity counts.
        t = ts_ms[k]
        group_end = k + 1
        while group_end < n and ts_ms[group_end] == t:
            group_end += 1
        is_new = False
        reported = 0.0
        for q in range(2):
            if group_end == k + 1 and quantity[k] != q:
                continue
            low, high, seen = np.inf, -np.inf, False
            for j in range(k, group_end):
                if quantity[j] == q:
                    low, high, seen = min(low, value[j]), max(high, value[j]), True
            if not seen or t == last_ts[q]:
                continue  # a duplicate of the last reading: no more is said of it
            if low != high:
                n_ledger = note(ledger, amounts, n_ledger, CONFLICT, d, q, t, high)
            last_ts[q], last_value[q] = t, low
            if q == source:
                is_new, reported = True, low * multiplier
        k = group_end
        if not is_new:
            continue
        earliest = min(earliest, t)

        is_power = source == 1
        if is_power and not np.isnan(rate) and greater(reported, rate):
            n_ledger = note(ledger, amounts, n_ledger, OUTLIER, d, source, t, reported)
            continue

        queue_ts[0], queue_value[0] = t, reported
        queued, position = 1, 0
        while position < queued:
            t1, v1 = queue_ts[position], queue_value[position]
            position += 1
            t0, v0 = base_t, base_v
            if t0 == NONE:
                base_t, base_v = t1, v1
                continue
            waiting = suspects[d]
            case = FITS if is_power else classify(rate, top, jitter, t0, v0, t1, v1)
            if waiting > 0 and case == JITTERS and not rolls_over(rate, top, t0, v0, t1, v1):
                case = SUSPECT  # only a fit or a rollover clears those before it
            if case != SUSPECT:
                for j in range(waiting):
                    n_ledger = note(ledger, amounts, n_ledger, OUTLIER, d, 0, suspect_ts[j], suspect_value[j] - v0)
                suspects[d] = 0
                if is_power:
                    amount = (max(v0, 0.0) + max(v1, 0.0)) / 2.0 * ((t1 - t0) / HOUR_MS)
                elif case == FITS:
                    amount = max(0.0, v1 - v0)
                elif case == ROLLS_OVER:
                    rolled = top - v0 + v1
                    n_ledger = note(ledger, amounts, n_ledger, ROLLOVER, d, 0, t1, rolled)
                    amount = max(0.0, rolled)
                else:
                    amount = 0.0
                # Most segments stay within one interval. Here, because a call with arrays costs more than the sum.
                if t0 >= place[HERE_MS] and t1 <= place[HERE_MS] + length and t1 - t0 <= max_gap_ms:
                    measured[place[HERE] - window_start] += amount
                    covered_ms[place[HERE] - window_start] += t1 - t0
                    place[CHANGED] = min(place[CHANGED], place[HERE])
                elif add_segment(
                    length,
                    max_gap_ms,
                    t0,
                    t1,
                    amount,
                    False,
                    window_start,
                    peak,
                    occurrence,
                    measured,
                    estimated,
                    inside,
                    covered_ms,
                    place,
                ):
                    n_ledger = note(ledger, amounts, n_ledger, GAP, d, source, t1, amount)
                base_t = t1
                base_v = v0 if case == JITTERS else v1
                continue
            if waiting < LOOK_AHEAD:
                suspect_ts[waiting], suspect_value[waiting] = t1, v1
                suspects[d] = waiting + 1
                continue
            # Three readings after the suspect and none fits: it stands, as a reset or as a spike.
            suspect_t, suspect_v = suspect_ts[0], suspect_value[0]
            if greater(v0, suspect_v):
                hours = (suspect_t - t0) / HOUR_MS
                amount = 0.0
                if not greater(0.0, suspect_v) and not np.isnan(rate) and not greater(suspect_v, rate * hours):
                    amount = max(0.0, suspect_v)
                add_segment(
                    length,
                    max_gap_ms,
                    t0,
                    suspect_t,
                    amount,
                    True,
                    window_start,
                    peak,
                    occurrence,
                    measured,
                    estimated,
                    inside,
                    covered_ms,
                    place,
                )
                n_ledger = note(ledger, amounts, n_ledger, RESET, d, 0, suspect_t, amount)
            else:
                n_ledger = note(ledger, amounts, n_ledger, SPIKE, d, 0, suspect_t, suspect_v - v0)
            base_t, base_v = suspect_t, suspect_v
            suspects[d] = 0
            # The three go in again from the new base; with the three there cannot be a fourth suspect among them.
            queue_ts[0], queue_value[0] = suspect_ts[1], suspect_value[1]
            queue_ts[1], queue_value[1] = suspect_ts[2], suspect_value[2]
            queue_ts[2], queue_value[2] = t1, v1
            queued, position = 3, 0
    s.base_ts[d], s.base_value[d] = base_t, base_v
    return n_ledger, earliest
