"""Compiled calendars against an evaluation of every interval and every minute by itself."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from monitor import calendars
from monitor.calendars import COOL_ACTIVE, HEAT_ACTIVE, OUTSIDE_ALLOWED
from monitor.registry import AcRules, Policy, Window

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NAMES = ("offpeak", "normal", "critical", "peak", "deep")


def utc_ms(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 1000


def local_of(zone: ZoneInfo, at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms // 1000, zone)


def naive_day_class(policy: Policy, day: dt.date) -> str:
    if day in policy.extra_workdays:
        return "workday"
    if not policy.country:
        if day in policy.extra_holidays:
            return "holiday"
        return "restday" if day.weekday() >= 5 else "workday"
    country = holidays.country_holidays(policy.country, years=day.year)
    if day in country.weekend_workdays:
        return "workday"
    if day in country or day in policy.extra_holidays:
        return "holiday"
    return "restday" if day.weekday() in country.weekend else "workday"


def naive_holds(policy: Policy, window: Window, local: dt.datetime, classes: dict[dt.date, str]) -> bool:
    minute = local.hour * 60 + local.minute
    for day, position in ((local.date(), minute), (local.date() - dt.timedelta(days=1), minute + 1440)):
        if not window.from_min <= position < window.to_min:
            continue
        if day not in classes:
            classes[day] = naive_day_class(policy, day)
        if window.days is not None and not {calendars.WEEKDAYS[day.weekday()], classes[day]} & window.days:
            continue
        if window.months is not None and day.month not in window.months:
            continue
        if window.since is not None and day < window.since:
            continue
        if window.until is not None and day >= window.until:
            continue
        return True
    return False


def naive_period(policy: Policy, local: dt.datetime, classes: dict[dt.date, str]) -> str:
    for window in policy.windows:
        if naive_holds(policy, window, local, classes):
            return window.period
    return policy.default_period


def check_periods(policy: Policy, timezone: str, from_ms: int, to_ms: int) -> calendars.PeriodCalendar:
    """Every interval of the range and of two days around it, one at a time; from_ms and to_ms on interval edges."""
    zone, step_ms = ZoneInfo(timezone), policy.demand_interval_min * 60_000
    classes: dict[dt.date, str] = {}
    expected: dict[int, tuple[str, int, int]] = {}
    run: list[int] = []
    run_date: dt.date | None = None
    periods: dict[int, str] = {}

    def close() -> None:
        for start_ms in run:
            expected[start_ms] = (periods[start_ms], run[0], run[-1] + step_ms)
        run.clear()

    for start_ms in range(from_ms - 2 * DAY_MS, to_ms + 2 * DAY_MS, step_ms):
        local = local_of(zone, start_ms)
        periods[start_ms] = naive_period(policy, local, classes)
        if periods[start_ms] not in ("peak", "critical"):
            close()
            expected[start_ms] = (periods[start_ms], -1, -1)
            continue
        if run and run_date != local.date():
            close()
        run.append(start_ms)
        run_date = local.date()
    close()

    compiled = calendars.compile_periods(policy, timezone, from_ms, to_ms, NAMES)
    assert compiled.start_ms[0] == from_ms
    assert np.all(np.diff(compiled.start_ms) > 0)
    assert compiled.start_ms[-1] < to_ms
    starts = np.arange(from_ms, to_ms, step_ms)
    rows = np.searchsorted(compiled.start_ms, starts, "right") - 1
    found = {
        int(start_ms): (
            NAMES[compiled.period[row]],
            int(compiled.occurrence_start_ms[row]),
            int(compiled.occurrence_end_ms[row]),
        )
        for start_ms, row in zip(starts, rows, strict=True)
    }
    assert found == {start_ms: expected[start_ms] for start_ms in found}
    assert [bool(peak) for peak in compiled.peak] == [NAMES[row] in ("peak", "critical") for row in compiled.period]
    return compiled


def check_ac(policy: Policy, timezone: str, from_ms: int, to_ms: int) -> None:
    zone, rules = ZoneInfo(timezone), policy.ac
    classes: dict[dt.date, str] = {}
    compiled = calendars.compile_ac(policy, timezone, from_ms, to_ms)
    assert compiled.start_ms[0] == from_ms
    assert np.all(np.diff(compiled.start_ms) > 0)
    minutes = np.arange(from_ms, to_ms, 60_000)
    flags = compiled.flags[np.searchsorted(compiled.start_ms, minutes, "right") - 1]
    for at_ms, found in zip(minutes.tolist(), flags.tolist(), strict=True):
        local = local_of(zone, at_ms)
        expected = 0
        if rules.allowed and not any(naive_holds(policy, window, local, classes) for window in rules.allowed):
            expected |= OUTSIDE_ALLOWED
        if rules.cool_months is None or local.month in rules.cool_months:
            expected |= COOL_ACTIVE
        if rules.heat_months is None or local.month in rules.heat_months:
            expected |= HEAT_ACTIVE
        assert found == expected, (timezone, local)


EVENING = Policy(
    id="evening",
    windows=(
        Window("critical", 22 * 60, 23 * 60, days=frozenset({"workday", "restday"})),
        Window("peak", 17 * 60 + 30, 24 * 60 + 90),
        Window("peak", 30, 3 * 60, days=frozenset({"sat", "sun", "holiday"})),
        Window("deep", 4 * 60, 4 * 60 + 1440, days=frozenset({"mon"})),
    ),
    country="US",
    ac=AcRules(
        allowed=(
            Window("", 7 * 60 + 31, 17 * 60 + 29, days=frozenset({"workday"})),
            Window("", 22 * 60 + 13, 27 * 60 + 7, days=frozenset({"holiday", "sun"})),
        ),
        cool_months=frozenset({4, 5, 6, 7, 8, 9, 10}),
        heat_months=frozenset({11, 12, 1, 2, 3}),
    ),
)

CHANGES = [
    # 23 and 25 hours, half an hour, no change, at midnight both ways, a date that never was, offsets off the hour
    ("America/New_York", "2026-03-08", 15),
    ("America/New_York", "2026-11-01", 15),
    ("Europe/Berlin", "2026-10-25", 30),
    ("Australia/Lord_Howe", "2026-04-05", 30),
    ("Australia/Lord_Howe", "2026-10-04", 15),
    ("Asia/Kathmandu", "2026-03-29", 15),
    ("Asia/Ho_Chi_Minh", "2026-04-22", 15),
    ("Asia/Shanghai", "2026-02-28", 60),
    ("Asia/Beirut", "2026-03-29", 15),
    ("Africa/Cairo", "2026-04-24", 15),
    ("Africa/Cairo", "2026-10-30", 15),
    ("America/Havana", "2026-11-01", 15),
    ("America/Santiago", "2026-09-06", 15),
    ("Africa/Casablanca", "2026-02-15", 15),
    ("Pacific/Apia", "2011-12-30", 15),
    ("America/St_Johns", "2010-03-14", 15),
    ("America/St_Johns", "2010-11-07", 15),
    ("Pacific/Chatham", "2026-04-05", 5),
    ("Asia/Pyongyang", "2018-05-05", 15),
]


@pytest.mark.parametrize(("timezone", "day", "interval_min"), CHANGES)
def test_around_a_change_of_the_clock(timezone: str, day: str, interval_min: int) -> None:
    middle_ms = utc_ms(day)
    policy = Policy(
        id="evening", windows=EVENING.windows, country="US", ac=EVENING.ac, demand_interval_min=interval_min
    )
    check_periods(policy, timezone, middle_ms - 2 * DAY_MS, middle_ms + 2 * DAY_MS)
    check_ac(policy, timezone, middle_ms - DAY_MS, middle_ms + DAY_MS)


WINDOWS = st.builds(
    lambda period, start, length, days, months, since, until: Window(
        period,
        start * 15,
        (start + length) * 15,
        days=days,
        months=months,
        since=since,
        until=until,
    ),
    st.sampled_from(("peak", "critical", "offpeak", "deep")),
    st.integers(0, 95),
    st.integers(1, 96),
    st.none() | st.frozensets(st.sampled_from(calendars.WEEKDAYS + calendars.DAY_CLASSES)),
    st.none() | st.frozensets(st.integers(1, 12)),
    st.none() | st.dates(dt.date(2026, 10, 20), dt.date(2026, 11, 5)),
    st.none() | st.dates(dt.date(2026, 10, 20), dt.date(2026, 11, 5)),
)
SPECIAL_DAYS = st.frozensets(st.dates(dt.date(2026, 10, 20), dt.date(2026, 11, 5)), max_size=4)


@seed(20260628)
@settings(max_examples=40, deadline=None, database=None)
@given(
    windows=st.lists(WINDOWS, max_size=5),
    country=st.sampled_from(("", "CN", "VN", "DE")),
    holiday=SPECIAL_DAYS,
    workday=SPECIAL_DAYS,
    timezone=st.sampled_from(
        ("America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo", "Asia/Ho_Chi_Minh")
    ),
    start=st.integers(0, 96 * 10),
    hours=st.integers(1, 60),
)
def test_random_windows(
    windows: list[Window],
    country: str,
    holiday: frozenset[dt.date],
    workday: frozenset[dt.date],
    timezone: str,
    start: int,
    hours: int,
) -> None:
    policy = Policy(
        id="random",
        windows=tuple(windows),
        country=country,
        extra_holidays=holiday,
        extra_workdays=workday,
        ac=AcRules(allowed=tuple(windows), cool_months=frozenset({10}), heat_months=frozenset()),
    )
    from_ms = utc_ms("2026-10-22") + start * 900_000
    check_periods(policy, timezone, from_ms, from_ms + hours * HOUR_MS)
    check_ac(policy, timezone, from_ms, from_ms + min(hours, 12) * HOUR_MS)


def test_an_occurrence_is_not_cut_by_the_range_and_lives_through_peak_and_critical() -> None:
    from_ms = utc_ms("2026-06-15T12:00")  # 19:00 in Ho Chi Minh City, within 17:30 to 24:00
    compiled = check_periods(EVENING, "Asia/Ho_Chi_Minh", from_ms, from_ms + 5 * HOUR_MS)
    assert [NAMES[row] for row in compiled.period] == ["peak", "critical", "peak"]
    assert set(compiled.occurrence_start_ms.tolist()) == {utc_ms("2026-06-15T10:30")}
    assert set(compiled.occurrence_end_ms.tolist()) == {utc_ms("2026-06-15T17:00")}


def test_midnight_parts_an_occurrence() -> None:
    policy = Policy(id="night", windows=(Window("peak", 22 * 60, 26 * 60),))
    compiled = check_periods(policy, "UTC", utc_ms("2026-06-15T21:00"), utc_ms("2026-06-16T03:00"))
    assert compiled.start_ms.tolist() == [
        utc_ms(text) for text in ("2026-06-15T21:00", "2026-06-15T22:00", "2026-06-16T00:00", "2026-06-16T02:00")
    ]


def test_a_range_compiled_in_parts_is_the_range_compiled_whole() -> None:
    from_ms, to_ms = utc_ms("2026-10-20"), utc_ms("2026-11-10")
    whole = calendars.compile_periods(EVENING, "America/New_York", from_ms, to_ms, NAMES)
    for start_ms in range(from_ms, to_ms, 7 * HOUR_MS):
        part = calendars.compile_periods(EVENING, "America/New_York", start_ms, start_ms + 900_000, NAMES)
        row = int(np.searchsorted(whole.start_ms, start_ms, "right")) - 1
        assert [column[0] for column in part[1:]] == [column[row] for column in whole[1:]]


def test_no_windows() -> None:
    compiled = calendars.compile_periods(Policy(id="plain"), "Asia/Shanghai", 5, 10 * DAY_MS, NAMES)
    assert compiled.start_ms.tolist() == [5]
    assert compiled.period.tolist() == [NAMES.index("normal")]
    assert compiled.occurrence_start_ms.tolist() == [-1]
    ac = calendars.compile_ac(Policy(id="plain"), "Asia/Shanghai", 5, 10 * DAY_MS)
    assert ac.flags.tolist() == [COOL_ACTIVE | HEAT_ACTIVE]


def test_dtypes_are_those_the_kernels_are_compiled_for() -> None:
    periods = calendars.compile_periods(EVENING, "Asia/Shanghai", 0, 10 * DAY_MS, NAMES)
    assert [column.dtype.name for column in periods] == ["int64", "int16", "bool", "int64", "int64"]
    ac = calendars.compile_ac(EVENING, "Asia/Shanghai", 0, 10 * DAY_MS)
    assert [column.dtype.name for column in ac] == ["int64", "uint8"]
    assert all(column.flags.c_contiguous for column in (*periods, *ac))


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="empty range"):
        calendars.compile_periods(EVENING, "Asia/Shanghai", 10, 10, NAMES)


@pytest.mark.parametrize(
    ("country", "day", "expected"),
    [
        ("CN", "2026-02-14", "workday"),  # Saturday worked for 20 February
        ("CN", "2026-02-17", "holiday"),
        ("CN", "2026-02-21", "restday"),
        ("CN", "2006-12-30", "workday"),  # named only in the calendar of the year after
        ("VN", "2026-08-22", "workday"),
        ("VN", "2026-11-24", "holiday"),
        ("IL", "2026-06-19", "restday"),  # Friday
        ("IL", "2026-06-21", "workday"),  # Sunday
        ("", "2026-01-01", "workday"),
        ("", "2026-06-20", "restday"),
        ("CN", "2026-06-16", "holiday"),  # extra
        ("CN", "2026-06-17", "workday"),  # extra holiday and extra workday
    ],
)
def test_day_class(country: str, day: str, expected: str) -> None:
    policy = Policy(
        id="days",
        country=country,
        extra_holidays=frozenset({dt.date(2026, 6, 16), dt.date(2026, 6, 17), dt.date(2026, 2, 14)}),
        extra_workdays=frozenset({dt.date(2026, 6, 17)}),
    )
    assert calendars.day_class(policy, dt.date.fromisoformat(day)) == expected


@pytest.mark.parametrize(
    ("timezone", "interval_min", "day", "expected"),
    [
        ("Asia/Kathmandu", 15, "2026-06-15", None),
        ("Asia/Kathmandu", 30, "2026-06-15", "+05:45"),
        ("Australia/Lord_Howe", 30, "2026-06-15", None),
        ("Australia/Lord_Howe", 60, "2026-06-15", "+10:30"),
        ("America/St_Johns", 60, "2026-06-15", "-02:30"),
        ("Asia/Ho_Chi_Minh", 60, "2026-06-15", None),
    ],
)
def test_offset_problem(timezone: str, interval_min: int, day: str, expected: str | None) -> None:
    policy = Policy(id="hourly", demand_interval_min=interval_min)
    at_ms = utc_ms(day)
    found = calendars.offset_problem(policy, timezone, at_ms - DAY_MS, at_ms + DAY_MS)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert expected in found
        assert timezone in found


def test_offset_problem_looks_at_the_whole_range() -> None:
    policy = Policy(id="hourly", demand_interval_min=60)
    winter_ms, summer_ms = utc_ms("2026-12-15"), utc_ms("2026-06-15")
    assert calendars.offset_problem(policy, "Australia/Lord_Howe", winter_ms, winter_ms) is None
    assert calendars.offset_problem(policy, "Australia/Lord_Howe", summer_ms, winter_ms) is not None


def test_offsets_of_a_year() -> None:
    from_s, to_s = utc_ms("2026-01-01") // 1000, utc_ms("2027-01-01") // 1000
    assert calendars.utc_offsets("America/New_York", from_s, to_s) == [
        (from_s, utc_ms("2026-03-08T07:00") // 1000, -5 * 3600),
        (utc_ms("2026-03-08T07:00") // 1000, utc_ms("2026-11-01T06:00") // 1000, -4 * 3600),
        (utc_ms("2026-11-01T06:00") // 1000, to_s, -5 * 3600),
    ]
