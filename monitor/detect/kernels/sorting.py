"""From readings in order of arrival to readings by device and time, and which buildings they let go on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.detect.jit import kernel
from monitor.detect.params import Params
from monitor.detect.state import NONE, State

SMALL_RUN = 32


@kernel
def admit(
    building: NDArray[np.int64],
    device: NDArray[np.int32],
    ts_ms: NDArray[np.int64],
    horizon_ms: int,
    clock: NDArray[np.int64],
    too_late: NDArray[np.bool_],
) -> int:
    """Moves the building clocks on, reading by reading; marks what is older at arrival than the horizon (< 0: none).

    Returns how many are too late (SEMANTICS 1)."""
    count = 0
    for i in range(len(ts_ms)):
        b = building[device[i]]
        if horizon_ms >= 0 and clock[b] != NONE and ts_ms[i] < clock[b] - horizon_ms:
            too_late[i] = True
            count += 1
        else:
            too_late[i] = False
            clock[b] = max(clock[b], ts_ms[i])
    return count


@kernel
def sort_by_device(
    device: NDArray[np.int32],
    quantity: NDArray[np.int8],
    ts_ms: NDArray[np.int64],
    value: NDArray[np.float64],
    offsets: NDArray[np.int64],
    sorted_quantity: NDArray[np.int8],
    sorted_ts: NDArray[np.int64],
    sorted_value: NDArray[np.float64],
) -> None:
    """Counting sort by device, then by time within each. `offsets`: int64[D + 1], zeroed; afterwards device d has rows
    offsets[d] to offsets[d + 1]. Readings come almost in order, so the second sort is mostly one look."""
    devices = len(offsets) - 1
    n = len(ts_ms)
    for i in range(n):
        offsets[device[i] + 1] += 1
    for d in range(devices):
        offsets[d + 1] += offsets[d]
    for i in range(n):
        d = device[i]
        k = offsets[d]
        offsets[d] = k + 1
        sorted_quantity[k] = quantity[i]
        sorted_ts[k] = ts_ms[i]
        sorted_value[k] = value[i]
    for d in range(devices, 0, -1):
        offsets[d] = offsets[d - 1]
    offsets[0] = 0
    for d in range(devices):
        first, end = offsets[d], offsets[d + 1]
        in_order = True
        for k in range(first + 1, end):
            if sorted_ts[k] < sorted_ts[k - 1]:
                in_order = False
                break
        if in_order:
            continue
        if end - first <= SMALL_RUN:
            for k in range(first + 1, end):
                t, q, v = sorted_ts[k], sorted_quantity[k], sorted_value[k]
                j = k - 1
                while j >= first and sorted_ts[j] > t:
                    sorted_ts[j + 1] = sorted_ts[j]
                    sorted_quantity[j + 1] = sorted_quantity[j]
                    sorted_value[j + 1] = sorted_value[j]
                    j -= 1
                sorted_ts[j + 1], sorted_quantity[j + 1], sorted_value[j + 1] = t, q, v
        else:
            order = np.argsort(sorted_ts[first:end], kind="mergesort")
            sorted_quantity[first:end] = sorted_quantity[first:end][order]
            sorted_value[first:end] = sorted_value[first:end][order]
            sorted_ts[first:end] = sorted_ts[first:end][order]


@kernel
def find_disorder(
    p: Params,
    s: State,
    offsets: NDArray[np.int64],
    quantity: NDArray[np.int8],
    ts_ms: NDArray[np.int64],
    value: NDArray[np.float64],
    touched: NDArray[np.bool_],
    disorder: NDArray[np.bool_],
    first_source_ts: NDArray[np.int64],
) -> None:
    """Looks, changing nothing but its outputs [B], whether the state may simply go on with these readings.

    touched: the building has readings here. disorder: one of them is at or before what its device has already been
    advanced to, or reaches back before the window of open intervals, so the building is to be computed again from an
    earlier state. first_source_ts: the earliest reading that counts for consumption (NEVER is left as it was)."""
    for b in range(len(p.interval_ms)):
        for d in range(p.device_start[b], p.device_start[b + 1]):
            first, end = offsets[d], offsets[d + 1]
            if first == end:
                continue
            touched[b] = True
            slot = p.ac_slot[d]
            for k in range(first, end):
                t, q = ts_ms[k], quantity[k]
                if slot >= 0:
                    q -= 2
                    if t < s.hold_ts[slot] or (
                        t == s.hold_ts[slot] and s.last_ts[d, q] == t and s.last_value[d, q] != value[k]
                    ):
                        disorder[b] = True
                    continue
                if t < s.last_ts[d, q] or (t == s.last_ts[d, q] and s.last_value[d, q] != value[k]):
                    disorder[b] = True
                    continue
                if q == p.source[d] and t != s.last_ts[d, q]:
                    first_source_ts[b] = min(first_source_ts[b], t)
                    start = s.window_start[b]
                    if start != NONE and (
                        t // p.interval_ms[b] < start
                        or (s.base_ts[d] != NONE and s.base_ts[d] // p.interval_ms[b] < start)
                    ):
                        disorder[b] = True
