"""Where the local day of an instant begins and ends in a timezone, for whole columns.

A day begins at the first instant whose local date is later than any before: where the clock is put forward over
midnight that is the moment of the change, and where it is put back over midnight the day goes on. So days part time
without gaps, and have 23, 24 or 25 hours; a date that a zone left out (Samoa, 30 December 2011) has no day.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from monitor.calendars import utc_offsets

__all__ = ["local_days"]

_DAY_MS = 86_400_000
_PART_MS = 400 * _DAY_MS
"""Days are compiled for so much time at once: whoever asks for one asks for its neighbours soon."""
_PAD_MS = 3 * _DAY_MS  # the first and last days of a part are whole only with some time around it


def local_days(timezone: str, ts_ms: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end [UTC ms] of the local day that holds each instant. The end is the start of the next day."""
    start_ms, end_ms = np.empty_like(ts_ms), np.empty_like(ts_ms)
    part = ts_ms // _PART_MS
    for number in np.unique(part).tolist():
        rows = part == number
        starts = _starts(timezone, number)
        place = np.searchsorted(starts, ts_ms[rows], "right")
        start_ms[rows], end_ms[rows] = starts[place - 1], starts[place]
    return start_ms, end_ms


@lru_cache(maxsize=1024)
def _starts(timezone: str, part: int) -> NDArray[np.int64]:
    """Ascending starts of days; every instant of the part lies between two of them."""
    starts: list[NDArray[np.int64]] = []
    dates: list[NDArray[np.int64]] = []
    from_s, to_s = (part * _PART_MS - _PAD_MS) // 1000, ((part + 1) * _PART_MS + _PAD_MS) // 1000
    for start_s, end_s, offset_s in utc_offsets(timezone, from_s, to_s):
        local_ms, end_local_ms = (start_s + offset_s) * 1000, (end_s + offset_s) * 1000
        midnights = np.arange(-(-local_ms // _DAY_MS), -(-end_local_ms // _DAY_MS), dtype=np.int64)
        starts += [np.array([start_s * 1000]), midnights * _DAY_MS - offset_s * 1000]
        dates += [np.array([local_ms // _DAY_MS]), midnights]
    date = np.concatenate(dates)
    is_later = date[1:] > np.maximum.accumulate(date)[:-1]
    return np.concatenate(starts)[1:][is_later]  # the range's own start is no day's
