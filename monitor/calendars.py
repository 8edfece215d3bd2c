"""A policy in a timezone, compiled to sorted boundaries: which period an interval has, when cooling is allowed.

Pure: no clock, no file. Membership is decided on the local wall clock of an instant (SEMANTICS 4), so windows are first
laid out on local days and then carried over to UTC, one stretch of constant UTC offset after the other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import holidays
import numpy as np
from numpy.typing import NDArray

from monitor.registry import Policy, Window

__all__ = [
    "COOL_ACTIVE",
    "DAY_CLASSES",
    "HEAT_ACTIVE",
    "OUTSIDE_ALLOWED",
    "PEAK_PERIODS",
    "WEEKDAYS",
    "AcCalendar",
    "PeriodCalendar",
    "compile_ac",
    "compile_periods",
    "day_class",
    "offset_problem",
    "utc_offsets",
]

WEEKDAYS: tuple[str, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_CLASSES: tuple[str, ...] = ("workday", "restday", "holiday")
PEAK_PERIODS: frozenset[str] = frozenset({"peak", "critical"})

OUTSIDE_ALLOWED = 1
COOL_ACTIVE = 2
HEAT_ACTIVE = 4
"""Bits of `AcCalendar.flags`."""

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_PAD_MS = 2 * _DAY_MS  # a peak occurrence lies on one local date, so two days hold all of one that the range cuts
_EPOCH = dt.date(1970, 1, 1)
_SAMPLE_S = 43_200  # no zone has left an offset and come back to it within half a day
_WORKDAY, _RESTDAY, _HOLIDAY, _MAKE_UP = range(4)


class PeriodCalendar(NamedTuple):
    """Periods of demand intervals. A segment holds the intervals that start in it and ends where the next begins.

    start_ms: int64[n], ascending; the first is the start of the compiled range, the others fall on interval edges.
    period: int16[n], an index of the period_names that were given. peak: bool[n], the period is peak or critical.
    occurrence_start_ms, occurrence_end_ms: int64[n], the peak occurrence to which the segment belongs, uncut by the
    range; -1 where it is none. A change between peak and critical stays within one occurrence.
    """

    start_ms: NDArray[np.int64]
    period: NDArray[np.int16]
    peak: NDArray[np.bool_]
    occurrence_start_ms: NDArray[np.int64]
    occurrence_end_ms: NDArray[np.int64]


class AcCalendar(NamedTuple):
    """What the calendar says about air conditioning at an instant.

    start_ms: int64[n], ascending; the first is the start of the compiled range. flags: uint8[n] of OUTSIDE_ALLOWED (in
    none of the policy's allowed windows; never set when it has none), COOL_ACTIVE and HEAT_ACTIVE (by cool_months and
    heat_months; whether the policy has a limit at all is not said here).
    """

    start_ms: NDArray[np.int64]
    flags: NDArray[np.uint8]


class _LocalSegments(NamedTuple):
    """Stretches of local time, one after the other; a local midnight always begins a new one.

    local_ms: int64[n], wall clock counted as if it were UTC. value: int64[n]. day: int64[n], days since 1970-01-01.
    """

    local_ms: NDArray[np.int64]
    value: NDArray[np.int64]
    day: NDArray[np.int64]


def compile_periods(
    policy: Policy, timezone: str, from_ms: int, to_ms: int, period_names: Sequence[str]
) -> PeriodCalendar:
    """The periods of [from_ms, to_ms) (UTC ms, at least 1 ms). `period_names` must hold every period of the policy."""
    days = _local_days(from_ms, to_ms)
    index = {name: row for row, name in enumerate(period_names)}
    local = _lay_out(
        policy,
        policy.windows,
        days,
        values=[index[window.period] for window in policy.windows],
        default=index[policy.default_period],
    )
    start_ms, rows = _to_utc(local.local_ms, timezone, from_ms - _PAD_MS, to_ms + _PAD_MS)

    # An interval has the period of its start. Offsets may change off the interval's grid (St. John's did at 00:01), so
    # every boundary moves up to the next edge; what holds no edge holds no interval's start.
    interval_ms = policy.demand_interval_min * _MINUTE_MS
    start_ms = -(-start_ms // interval_ms) * interval_ms
    holds_edge = np.append(start_ms[1:] > start_ms[:-1], True)
    start_ms, rows = start_ms[holds_edge], rows[holds_edge]
    period, day = local.value[rows], local.day[rows]

    is_peak = np.array([name in PEAK_PERIODS for name in period_names], np.bool_)
    peak = is_peak[period]
    goes_on = np.zeros(len(start_ms), np.bool_)
    goes_on[1:] = peak[1:] & peak[:-1] & (day[1:] == day[:-1])
    begins = peak & ~goes_on
    # Where an occurrence ends: the first segment after its beginning that does not continue it.
    breaks = np.append(np.flatnonzero(~goes_on), len(start_ms))
    first_rows = np.flatnonzero(begins)
    end_rows = breaks[np.searchsorted(breaks, first_rows, "right")]
    ends_ms = np.append(start_ms, to_ms + _PAD_MS)[end_rows]
    occurrence = np.cumsum(begins) - 1
    occurrence_start_ms = np.full(len(start_ms), -1, np.int64)
    occurrence_end_ms = np.full(len(start_ms), -1, np.int64)
    occurrence_start_ms[peak] = start_ms[first_rows][occurrence[peak]]
    occurrence_end_ms[peak] = ends_ms[occurrence[peak]]

    differs = np.ones(len(start_ms), np.bool_)
    differs[1:] = (period[1:] != period[:-1]) | (occurrence_start_ms[1:] != occurrence_start_ms[:-1])
    kept = np.flatnonzero(differs)
    kept, start_ms = _cut(kept, start_ms[kept], from_ms, to_ms)
    return PeriodCalendar(
        start_ms,
        np.ascontiguousarray(period[kept], np.int16),
        np.ascontiguousarray(peak[kept]),
        np.ascontiguousarray(occurrence_start_ms[kept]),
        np.ascontiguousarray(occurrence_end_ms[kept]),
    )


def compile_ac(policy: Policy, timezone: str, from_ms: int, to_ms: int) -> AcCalendar:
    """What the calendar says about air conditioning in [from_ms, to_ms) (UTC ms, at least 1 ms)."""
    rules = policy.ac
    days = _local_days(from_ms, to_ms)
    local = _lay_out(
        policy, rules.allowed, days, values=[0] * len(rules.allowed), default=OUTSIDE_ALLOWED if rules.allowed else 0
    )
    month = _months(local.day)
    flags = (
        local.value
        | np.where(_in_months(rules.cool_months, month), COOL_ACTIVE, 0)
        | np.where(_in_months(rules.heat_months, month), HEAT_ACTIVE, 0)
    )
    start_ms, rows = _to_utc(local.local_ms, timezone, from_ms - _PAD_MS, to_ms + _PAD_MS)
    flags = flags[rows]
    differs = np.ones(len(flags), np.bool_)
    differs[1:] = flags[1:] != flags[:-1]
    kept = np.flatnonzero(differs)
    kept, start_ms = _cut(kept, start_ms[kept], from_ms, to_ms)
    return AcCalendar(start_ms, np.ascontiguousarray(flags[kept], np.uint8))


def day_class(policy: Policy, day: dt.date) -> str:
    """workday, restday or holiday: what a local date is under the policy (SEMANTICS 4)."""
    return DAY_CLASSES[int(_day_classes(policy, np.array([(day - _EPOCH).days], np.int64))[0])]


def offset_problem(policy: Policy, timezone: str, from_ms: int, to_ms: int) -> str | None:
    """Why the policy's demand interval does not go with the timezone somewhere in [from_ms, to_ms], or None."""
    interval_s = policy.demand_interval_min * 60
    for start_s, _, offset_s in utc_offsets(timezone, from_ms // 1000, to_ms // 1000 + 1):
        if offset_s % interval_s:
            since = dt.datetime.fromtimestamp(start_s, dt.UTC).date()
            return (
                f"the UTC offset of {timezone} is {_offset_text(offset_s)} (seen on {since}), no multiple of the "
                f"{policy.demand_interval_min} min demand interval of policy {policy.id}; "
                "give the building a policy with a shorter demand_interval_min"
            )
    return None


def utc_offsets(timezone: str, from_s: int, to_s: int) -> list[tuple[int, int, int]]:
    """The stretches of constant UTC offset in [from_s, to_s), as (start, end, offset), all in whole seconds."""
    zone = ZoneInfo(timezone)

    def offset_s(at_s: int) -> int:
        offset = dt.datetime.fromtimestamp(at_s, zone).utcoffset()
        return 0 if offset is None else offset.days * 86_400 + offset.seconds

    stretches: list[tuple[int, int, int]] = []
    start_s, low_s, current_s = from_s, from_s, offset_s(from_s)
    while low_s < to_s - 1:
        high_s = min(low_s + _SAMPLE_S, to_s - 1)
        if offset_s(high_s) == current_s:
            low_s = high_s
            continue
        while high_s - low_s > 1:
            middle_s = (low_s + high_s) // 2
            if offset_s(middle_s) == current_s:
                low_s = middle_s
            else:
                high_s = middle_s
        stretches.append((start_s, high_s, current_s))
        start_s = low_s = high_s
        current_s = offset_s(high_s)
    stretches.append((start_s, to_s, current_s))
    return stretches


def _offset_text(offset_s: int) -> str:
    hours, minutes = divmod(abs(offset_s) // 60, 60)
    seconds = abs(offset_s) % 60
    return f"{'-' if offset_s < 0 else '+'}{hours:02d}:{minutes:02d}" + (f":{seconds:02d}" if seconds else "")


def _local_days(from_ms: int, to_ms: int) -> NDArray[np.int64]:
    """Every local date that the padded range can touch in any zone, as days since 1970-01-01."""
    if to_ms <= from_ms:
        raise ValueError(f"an empty range cannot be compiled: {from_ms} to {to_ms}")
    return np.arange((from_ms - _PAD_MS) // _DAY_MS - 2, (to_ms + _PAD_MS) // _DAY_MS + 3, dtype=np.int64)


def _months(day: NDArray[np.int64]) -> NDArray[np.int64]:
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1


def _in_months(months: frozenset[int] | None, month: NDArray[np.int64]) -> NDArray[np.bool_]:
    if months is None:
        return np.ones(len(month), np.bool_)
    return np.array([number in months for number in range(13)], np.bool_)[month]


@lru_cache(maxsize=512)
def _country_year(country: str, year: int) -> bytes:
    """What the country's calendar makes of each day of a year: one code a day, from 1 January."""
    # The neighbours are loaded too: a holiday's substitute may lie on the other side of New Year.
    calendar = holidays.country_holidays(country, years=(year - 1, year, year + 1), expand=False)
    first = dt.date(year, 1, 1)
    codes = bytearray()
    for number in range((dt.date(year, 12, 31) - first).days + 1):
        day = first + dt.timedelta(days=number)
        if day in calendar.weekend_workdays:
            codes.append(_MAKE_UP)
        elif day in calendar:
            codes.append(_HOLIDAY)
        else:
            codes.append(_RESTDAY if calendar.is_weekend(day) else _WORKDAY)
    return bytes(codes)


def _day_classes(policy: Policy, days: NDArray[np.int64]) -> NDArray[np.uint8]:
    """uint8[n]: an index of DAY_CLASSES for each of the ascending, consecutive `days`."""
    if policy.country:
        first = _EPOCH + dt.timedelta(days=int(days[0]))
        last = _EPOCH + dt.timedelta(days=int(days[-1]))
        years = b"".join(_country_year(policy.country, year) for year in range(first.year, last.year + 1))
        skipped = first.timetuple().tm_yday - 1
        codes = np.frombuffer(years, np.uint8)[skipped : skipped + len(days)].copy()
    else:
        codes = np.where((days + 3) % 7 >= 5, _RESTDAY, _WORKDAY).astype(np.uint8)
    for given, code in ((policy.extra_holidays, _HOLIDAY), (policy.extra_workdays, _MAKE_UP)):
        for day in given:
            row = (day - _EPOCH).days - int(days[0])
            # A make-up workday of the country stays one, even if it is also named as an extra holiday.
            if 0 <= row < len(codes) and codes[row] != _MAKE_UP:
                codes[row] = code
    codes[codes == _MAKE_UP] = _WORKDAY
    return codes


def _starts_on(
    window: Window,
    days: NDArray[np.int64],
    month: NDArray[np.int64],
    classes: NDArray[np.uint8],
) -> NDArray[np.bool_]:
    """bool[n]: on which of the days the window starts."""
    starts = _in_months(window.months, month)
    if window.days is not None:
        weekday = np.array([name in window.days for name in WEEKDAYS], np.bool_)
        day_kind = np.array([name in window.days for name in DAY_CLASSES], np.bool_)
        starts &= weekday[(days + 3) % 7] | day_kind[classes]
    if window.since is not None:
        starts &= days >= (window.since - _EPOCH).days
    if window.until is not None:
        starts &= days < (window.until - _EPOCH).days
    return starts


def _lay_out(
    policy: Policy, windows: Sequence[Window], days: NDArray[np.int64], *, values: Sequence[int], default: int
) -> _LocalSegments:
    """The value of the first window that holds each local minute of days[1:], as segments."""
    month, classes = _months(days), _day_classes(policy, days)
    # One row a day: which windows start on it, and which started on the day before and may run into it. Decades have
    # only a few kinds of such rows, and the minutes of each kind are painted once.
    starts = np.ones((2 * len(windows) + 1, len(days) - 1), np.bool_)
    for row, window in enumerate(windows):
        on_day = _starts_on(window, days, month, classes)
        starts[2 * row], starts[2 * row + 1] = on_day[1:], on_day[:-1]
    patterns, pattern_of_day = np.unique(starts.T, axis=0, return_inverse=True)
    pattern_of_day = pattern_of_day.reshape(-1)

    minutes: list[NDArray[np.int64]] = []
    painted: list[NDArray[np.int64]] = []
    for pattern in patterns:
        day = np.full(1440, default, np.int64)
        for row in range(len(windows) - 1, -1, -1):
            window = windows[row]
            if pattern[2 * row]:
                day[window.from_min : window.to_min] = values[row]
            if pattern[2 * row + 1] and window.to_min > 1440:
                day[: window.to_min - 1440] = values[row]
        minute = np.concatenate(([0], np.flatnonzero(day[1:] != day[:-1]) + 1))
        minutes.append(minute)
        painted.append(day[minute])

    counts = np.array([len(minute) for minute in minutes], np.int64)
    firsts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    per_day = counts[pattern_of_day]
    within = np.arange(int(per_day.sum())) - np.repeat(np.cumsum(per_day) - per_day, per_day)
    rows = np.repeat(firsts[pattern_of_day], per_day) + within
    day = np.repeat(days[1:], per_day)
    return _LocalSegments(
        day * _DAY_MS + np.concatenate(minutes)[rows] * _MINUTE_MS, np.concatenate(painted)[rows], day
    )


def _to_utc(
    local_ms: NDArray[np.int64], timezone: str, from_ms: int, to_ms: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """UTC starts of the local segments in [from_ms, to_ms), and the row of `local_ms` that each comes from.

    Where the clock is put back, segments occur twice; where it is put forward, some not at all.
    """
    starts: list[NDArray[np.int64]] = []
    rows: list[NDArray[np.int64]] = []
    for start_s, end_s, offset_s in utc_offsets(timezone, from_ms // 1000, -(-to_ms // 1000)):
        start_ms, end_ms, offset_ms = start_s * 1000, end_s * 1000, offset_s * 1000
        first = int(np.searchsorted(local_ms, start_ms + offset_ms, "right")) - 1
        stop = int(np.searchsorted(local_ms, end_ms + offset_ms, "left"))
        starts.append(np.maximum(local_ms[first:stop] - offset_ms, start_ms))
        rows.append(np.arange(first, stop, dtype=np.int64))
    return np.concatenate(starts), np.concatenate(rows)


def _cut(
    rows: NDArray[np.intp], start_ms: NDArray[np.int64], from_ms: int, to_ms: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The segments that reach into [from_ms, to_ms): their rows and starts, the first start moved to from_ms."""
    first = int(np.searchsorted(start_ms, from_ms, "right")) - 1
    stop = int(np.searchsorted(start_ms, to_ms, "left"))
    kept_ms = start_ms[first:stop].copy()
    kept_ms[0] = from_ms
    return rows[first:stop], kept_ms
