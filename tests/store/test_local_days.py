"""Days of 23, 24 and 25 hours, and stranger ones, against the clock on the wall asked minute by minute."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from monitor.store.local_days import local_days

HOUR_MS = 3_600_000
ZONES_AND_DATES = [
    ("Asia/Ho_Chi_Minh", "2026-06-28", 24),
    ("Asia/Kathmandu", "2026-06-28", 24),
    ("Europe/Berlin", "2026-03-29", 23),
    ("Europe/Berlin", "2026-10-25", 25),
    ("America/New_York", "2026-11-01", 25),
    ("Australia/Lord_Howe", "2026-10-04", 23.5),
    ("America/Sao_Paulo", "2018-11-04", 23),  # put forward at midnight: the day begins at 1:00
    ("America/Sao_Paulo", "2018-02-17", 25),  # put back at midnight: 23:00 comes twice
    ("America/Havana", "2026-11-01", 25),  # put back at 1:00: midnight comes twice
    ("America/St_Johns", "2009-11-01", 25),  # put back at 0:01: the day before comes again and is not taken up again
    ("Pacific/Apia", "2011-12-29", 24),  # the day after next follows
]


def date(zone: ZoneInfo, ts_ms: int) -> dt.date:
    return dt.datetime.fromtimestamp(ts_ms // 1000, zone).date()


@pytest.mark.parametrize(("name", "day", "hours"), ZONES_AND_DATES)
def test_days_begin_when_the_wall_clock_first_shows_their_date(name: str, day: str, hours: float) -> None:
    zone = ZoneInfo(name)
    wanted = dt.date.fromisoformat(day)
    noon = dt.datetime.combine(wanted, dt.time(12), zone)
    first_ms = round(noon.timestamp()) * 1000 - 30 * HOUR_MS
    minutes = range(first_ms, first_ms + 60 * HOUR_MS, 60_000)
    start_ms = next(ts_ms for ts_ms in minutes if date(zone, ts_ms) >= wanted)
    end_ms = next(ts_ms for ts_ms in minutes if date(zone, ts_ms) > wanted)
    assert end_ms - start_ms == hours * HOUR_MS
    inside = np.arange(start_ms, end_ms, 300_000)
    starts, ends = local_days(name, inside)
    assert set(starts.tolist()) == {start_ms}
    assert set(ends.tolist()) == {end_ms}
    around = np.array([start_ms - 1, end_ms])
    starts, ends = local_days(name, around)
    assert ends[0] == start_ms
    assert starts[1] == end_ms


@pytest.mark.parametrize("name", ["UTC", "Asia/Shanghai", "America/Santiago", "Pacific/Apia", "Africa/Cairo"])
def test_days_part_decades_without_gaps(name: str) -> None:
    """Across the parts in which they are compiled."""
    zone = ZoneInfo(name)
    hours = np.arange(946_684_800_000, 2_000_000_000_000, 12 * HOUR_MS)
    starts, ends = local_days(name, hours)
    assert (starts <= hours).all()
    assert (hours < ends).all()
    days = np.unique(starts)
    np.testing.assert_array_equal(days[1:], np.unique(ends)[:-1])
    dates = [date(zone, start_ms) for start_ms in days.tolist()]
    assert dates == sorted(set(dates))
    assert all(date(zone, start_ms - 1000) < each for start_ms, each in zip(days.tolist(), dates, strict=True))
