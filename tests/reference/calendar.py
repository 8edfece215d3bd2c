"""Section 4: calendars, asked instant by instant."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any
from zoneinfo import ZoneInfo

import holidays

from tests.reference.rows import MINUTE_MS

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _minute_of_day(clock: str | int) -> int:
    """YAML reads an unquoted 17:30 as 1050."""
    if isinstance(clock, int):
        return clock
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


def _date(day: str | dt.date) -> dt.date:
    return day if isinstance(day, dt.date) else dt.date.fromisoformat(day)


class Calendar:
    """A policy in a timezone."""

    def __init__(self, policy: dict[str, Any], zone: str) -> None:
        self.policy = policy
        self.interval_ms = int(policy.get("demand_interval_min") or 15) * MINUTE_MS
        self.windows: list[dict[str, Any]] = policy.get("windows") or []
        self.allowed: list[dict[str, Any]] = (policy.get("ac") or {}).get("allowed") or []
        named = policy.get("holidays") or {}
        self.extra = {_date(day) for day in named.get("extra") or []}
        self.workdays = {_date(day) for day in named.get("workdays") or []}
        self.country = holidays.country_holidays(named["country"]) if named.get("country") else None
        self.zone = ZoneInfo(zone)
        # A stream asks for the same minutes over and over.
        self.period = functools.cache(self._period)
        self.is_allowed = functools.cache(self._is_allowed)
        self.day_class = functools.cache(self._day_class)

    def local(self, ts_ms: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(ts_ms // 1000, self.zone)

    def local_date(self, ts_ms: int) -> dt.date:
        return self.local(ts_ms).date()

    def _day_class(self, day: dt.date) -> str:
        if self.country is None:
            holiday, made_up, weekend = False, False, {5, 6}
        else:
            for year in (day.year - 1, day.year + 1):
                _ = (
                    dt.date(year, 1, 1) in self.country
                )  # a look-up loads its year, and a year may name days of its neighbour
            holiday, weekend = day in self.country, self.country.weekend
            made_up = day in self.country.weekend_workdays
        if made_up or day in self.workdays:
            return "workday"
        if holiday or day in self.extra:
            return "holiday"
        return "restday" if day.weekday() in weekend else "workday"

    def _starts_on(self, window: dict[str, Any], day: dt.date) -> bool:
        days = window.get("days")
        if days and WEEKDAYS[day.weekday()] not in days and self.day_class(day) not in days:
            return False
        if window.get("months") and day.month not in window["months"]:
            return False
        if window.get("since") and day < _date(window["since"]):
            return False
        return not (window.get("until") and day >= _date(window["until"]))

    def _holds(self, window: dict[str, Any], ts_ms: int) -> bool:
        local = self.local(ts_ms)
        minute = 60 * local.hour + local.minute
        start, end = _minute_of_day(window["from"]), _minute_of_day(window["to"])
        today = local.date()
        if end > start:
            return start <= minute < end and self._starts_on(window, today)
        yesterday = today - dt.timedelta(days=1)
        return (minute >= start and self._starts_on(window, today)) or (
            minute < end and self._starts_on(window, yesterday)
        )

    def _period(self, ts_ms: int) -> str:
        for window in self.windows:
            if self._holds(window, ts_ms):
                return str(window["period"])
        return str(self.policy.get("default_period") or "normal")

    def is_peak(self, start_ms: int) -> bool:
        """Of the interval that starts then."""
        return self.period(start_ms) in ("peak", "critical")

    def occurrence(self, start_ms: int) -> tuple[int, int]:
        """Start and end of the peak occurrence that holds this peak interval."""
        day = self.local_date(start_ms)
        first = last = start_ms
        while self.is_peak(first - self.interval_ms) and self.local_date(first - self.interval_ms) == day:
            first -= self.interval_ms
        while self.is_peak(last + self.interval_ms) and self.local_date(last + self.interval_ms) == day:
            last += self.interval_ms
        return first, last + self.interval_ms

    def _is_allowed(self, minute_ms: int) -> bool:
        return any(self._holds(window, minute_ms) for window in self.allowed)
