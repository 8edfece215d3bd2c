"""Which readings are accepted (SEMANTICS 2), for columns of known devices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.readings import AC_QUANTITIES, METER_QUANTITIES, MODE_NAMES, Quantity

MIN_TS_MS = 946_684_800_000
"""2000-01-01T00:00:00Z."""

REASONS = ("", "unknown_device", "unknown_quantity", "bad_value", "bad_time")
"""In the order in which they are tried; the index is the code that `rejection` gives."""
UNKNOWN = -1
"""A device or a quantity that no row or number stands for."""


def rejection(
    device: NDArray[np.int64],
    quantity: NDArray[np.int64],
    ts_ms: NDArray[np.int64],
    value: NDArray[np.float64],
    is_ac: NDArray[np.bool_],
    *,
    latest_ms: NDArray[np.int64] | int,
    earliest_ms: NDArray[np.int64] | int | None = None,
) -> NDArray[np.int8]:
    """int8[n]: 0 accepted, else an index of REASONS, the first that holds.

    device, quantity: int64[n], UNKNOWN where nothing is known. is_ac: bool[devices]. latest_ms: arrival plus
    max_future; earliest_ms: arrival less max_age, None for no such limit. NaN stands for a value that was no number,
    a ts before 2000 for one that was no time."""
    known = device >= 0
    ac = np.zeros(len(device), np.bool_)
    ac[known] = is_ac[device[known]]
    meter_codes = [int(q) for q in METER_QUANTITIES]
    ac_codes = [int(q) for q in AC_QUANTITIES]
    fits = np.where(ac, np.isin(quantity, ac_codes), np.isin(quantity, meter_codes))
    with np.errstate(invalid="ignore"):
        good = np.isfinite(value)
        good &= (quantity != Quantity.ON) | (value == 0.0) | (value == 1.0)
        is_mode = (value >= 0) & (value < len(MODE_NAMES)) & (value == np.floor(value))
        good &= (quantity != Quantity.MODE) | is_mode
    in_time = (ts_ms >= MIN_TS_MS) & (ts_ms <= latest_ms)
    if earliest_ms is not None:
        in_time &= ts_ms >= earliest_ms
    reason = np.where(in_time, 0, 4)
    reason = np.where(good, reason, 3)
    reason = np.where(fits, reason, 2)
    return np.where(known, reason, 1).astype(np.int8)
