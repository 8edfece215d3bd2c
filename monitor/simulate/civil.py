"""A policy's calendar read one instant at a time off the local wall clock, for the simulator and its truth.

Deliberately not the compiled calendars that detection uses: a mistake in those must show as a difference.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple
from zoneinfo import ZoneInfo

import holidays

from monitor.registry import Policy, Window

__all__ = ["MINUTE_MS", "PEAK_PERIODS", "AcSpan", "CivilCalendar"]

MINUTE_MS = 60_000
PEAK_PERIODS = frozenset({"peak", "critical"})
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = dt.timedelta(days=1)


class AcSpan(NamedTuple):
    """A stretch of time in which no AC window, month or day of the policy changes."""

    start_ms: int
    allowed: bool
    cool_month: bool
    heat_month: bool


class CivilCalendar:
    """One policy in one timezone (SEMANTICS 4). Keeps what it has worked out; not for use by several threads."""

    def __init__(self, policy: Policy, timezone: str) -> None:
        self.policy = policy
        self.zone = ZoneInfo(timezone)
        self._names_by_day: dict[dt.date, frozenset[str]] = {}
        self._period_by_start: dict[int, str] = {}
        self._country = holidays.country_holidays(policy.country) if policy.country else None

    def local(self, ts_ms: int) -> dt.datetime:
        """The local wall clock at an instant, cut to the second."""
        return dt.datetime.fromtimestamp(ts_ms // 1000, self.zone)

    def day_names(self, day: dt.date) -> frozenset[str]:
        """The day's weekday, and one of workday, restday, holiday."""
        known = self._names_by_day.get(day)
        if known is None:
            known = frozenset({_WEEKDAYS[day.weekday()], self._day_class(day)})
            self._names_by_day[day] = known
        return known

    def _day_class(self, day: dt.date) -> str:
        public, country = self.policy, self._country
        holiday = day in public.extra_holidays
        weekend: set[int] = {5, 6}
        if country is not None:
            # Looking a day up makes the country's calendar fill in that year, and with it the make-up workdays.
            holiday = day in country or holiday
            weekend = set(country.weekend)
        if day in public.extra_workdays or (country is not None and day in country.weekend_workdays):
            return "workday"
        if holiday:
            return "holiday"
        return "restday" if day.weekday() in weekend else "workday"

    def holds(self, window: Window, day: dt.date, minute: int) -> bool:
        """Whether a window holds this minute of this local day, begun on it or on the day before."""
        for start_day, at_min in ((day, minute), (day - _DAY, minute + 1440)):
            if (
                window.from_min <= at_min < window.to_min
                and (window.days is None or window.days & self.day_names(start_day))
                and (window.months is None or start_day.month in window.months)
                and (window.since is None or start_day >= window.since)
                and (window.until is None or start_day < window.until)
            ):
                return True
        return False

    def period(self, ts_ms: int) -> str:
        """The period of an instant: that of the first window in the policy's list that holds it."""
        known = self._period_by_start.get(ts_ms)
        if known is None:
            local = self.local(ts_ms)
            day, minute = local.date(), local.hour * 60 + local.minute
            matching = (window.period for window in self.policy.windows if self.holds(window, day, minute))
            known = next(matching, self.policy.default_period)
            self._period_by_start[ts_ms] = known
        return known

    def is_peak(self, ts_ms: int) -> bool:
        return self.period(ts_ms) in PEAK_PERIODS

    def ac_spans(self, from_ms: int, to_ms: int) -> list[AcSpan]:
        """The spans that cover [from_ms, to_ms), found minute by minute."""
        rules = self.policy.ac
        spans: list[AcSpan] = []
        for ts_ms in range(from_ms - from_ms % MINUTE_MS, to_ms, MINUTE_MS):
            local = self.local(ts_ms)
            day, minute = local.date(), local.hour * 60 + local.minute
            state = (
                any(self.holds(window, day, minute) for window in rules.allowed),
                rules.cool_months is None or day.month in rules.cool_months,
                rules.heat_months is None or day.month in rules.heat_months,
            )
            if not spans or spans[-1][1:] != state:
                spans.append(AcSpan(ts_ms, *state))
        return spans
