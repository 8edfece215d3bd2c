"""Comparisons and searches that all kernels share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.detect.jit import kernel

EPSILON = 1e-9
HOUR_MS = 3_600_000.0

# Kinds of ledger entries, the index of results' names in findings.LEDGER_KINDS.
CONFLICT, GAP, ROLLOVER, OUTLIER, RESET, SPIKE, TOO_LATE = 0, 1, 2, 3, 4, 5, 6

# Why an event closed; index of findings.REASONS.
NO_REASON, CORRECTED, NO_DATA, SCOPE = 0, 1, 2, 3

# Columns of the integer arrays that carry results out.
LEDGER_COLUMNS = 4  # kind, device, quantity, ts
EVENT_COLUMNS = 9  # rule, building, device, start, end, state, reason, duration, final
GROUP_COLUMNS = 5  # rule, building, device, first event, end of events
ROW_COLUMNS = 4  # item, start, period, revised


@kernel
def greater(a: float, b: float) -> bool:
    """a > b between measured values: rounding decides nothing (SEMANTICS 1)."""
    return a - b > EPSILON * max(1.0, abs(a), abs(b))


@kernel
def last_at_or_before(starts: NDArray[np.int64], lo: int, hi: int, ts: int) -> int:
    """The last index in [lo, hi) whose start is <= ts; lo when there is none."""
    left, right = lo, hi
    while right - left > 1:
        middle = (left + right) // 2
        if starts[middle] <= ts:
            left = middle
        else:
            right = middle
    return left


@kernel
def mix(digest: int, value: int) -> int:
    """One step of a 63-bit hash (FNV-1a's multiplier with a shift), to see whether results changed."""
    mixed = ((int(digest) ^ int(value)) * 1099511628211) & 0x7FFFFFFFFFFFFFFF
    return mixed ^ (mixed >> 29)


@kernel
def room_for_ints(buffer: NDArray[np.int64], used: int, more: int) -> NDArray[np.int64]:
    """The buffer, grown by doubling where it has no room for `more` rows after `used`."""
    if used + more <= buffer.shape[0]:
        return buffer
    grown = np.empty((max(2 * buffer.shape[0], used + more), buffer.shape[1]), np.int64)
    grown[:used] = buffer[:used]
    return grown


@kernel
def room_for_reals(buffer: NDArray[np.float64], used: int, more: int) -> NDArray[np.float64]:
    """The same for real numbers."""
    if used + more <= buffer.shape[0]:
        return buffer
    grown = np.empty((max(2 * buffer.shape[0], used + more), buffer.shape[1]), np.float64)
    grown[:used] = buffer[:used]
    return grown
