"""The reference itself: against the vectors, and against figures worked out by hand, section by section (section 5 in
test_naive_rules.py)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.naive import NaiveResult, Row, run
from tests.small_site import NOW_MS, Site, ms, series
from tests.vectors import Vector, differences, list_vectors, read_input, read_results


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def ledger_of(result: NaiveResult) -> list[tuple[str, int, Any]]:
    return [(row.kind, row.ts_ms, pytest.approx(row.amount)) for row in result.ledger]


def use_of(result: NaiveResult) -> list[Any]:
    return [pytest.approx((row.measured, row.estimated, row.coverage)) for row in result.intervals]


@pytest.mark.parametrize("vector", list_vectors(), ids=str)
def test_vectors(vector: Vector) -> None:
    expected = read_results(vector.expected)
    assert len(expected.intervals) > 200
    found = run(vector.config, read_input(vector.input), now_ms=NOW_MS)
    assert differences(found, expected, with_event_id=False) == []


# 2. Things


def test_the_first_reason_counts(site: Site) -> None:
    meter, unit = site.meter(), site.ac()
    rows: list[Row] = [
        (None, "ghost", "volts", math.nan),
        (None, meter, "on", math.nan),
        (ms("00:00"), unit, "power_kw", 1.0),
        (None, meter, "register", math.inf),
        (ms("00:00"), unit, "on", 0.5),
        (ms("00:00"), unit, "mode", 6.0),
        (None, meter, "register", 1.0),
        (ms("1999-12-31T23:59:59.999Z"), meter, "register", 1.0),
        (NOW_MS + 600_001, meter, "register", 1.0),
    ]
    assert {row.reason: row.rows for row in site.run(rows).rejected} == {
        "unknown_device": 1,
        "unknown_quantity": 2,
        "bad_value": 3,
        "bad_time": 3,
    }
    good: list[Row] = [(ms("2000-01-01T00:00:00Z"), meter, "register", 1.0), (NOW_MS + 600_000, unit, "mode", 5.0)]
    for row in good:
        assert site.run([row]).rejected == []


def test_smallest_counts_and_the_largest_setpoint(site: Site) -> None:
    meter, unit = site.meter(multiplier=10), site.ac()
    rows = series(meter, "register", ("00:00", 1.0), ("00:15", 5.0), ("00:15", 3.0), ("00:15", 3.0), ("00:15", 4.0))
    rows += series(
        unit, "setpoint_c", ("00:00", 24.0), ("00:00", 26.0), ("00:00", 26.0), ("00:05", 24.0), ("00:05", 24.0)
    )
    result = site.run(rows)
    assert use_of(result) == [(20.0, 0.0, 1.0)]
    assert ledger_of(result) == [("conflict", ms("00:00"), 24.0), ("conflict", ms("00:15"), 5.0)]


def test_the_horizon_judges_in_order_of_arrival(site: Site) -> None:
    meter = site.meter()
    early = series(meter, "register", ("01:00", 1.0), ("01:00", 2.0), ("02:00", 3.0))
    rows = series(meter, "register", ("03:00", 4.0)) + early
    assert ledger_of(site.run(rows, horizon_h=1)) == [("too_late", ms("01:00"), 1.0)]
    assert site.run(rows, horizon_h=1).intervals[0].start_ms == ms("02:00")
    assert "too_late" not in {row.kind for row in site.run(early + rows[:1], horizon_h=1).ledger}


# 3. From readings to consumption


@pytest.mark.parametrize(
    ("cells", "values", "amounts", "ledger"),
    [
        ({}, [100, 110, 125], [10, 15], []),
        ({}, [100, 99.9, 100.3], [0, 0.3], []),
        ({"jitter": 0, "max_rate": 400}, [100, 99.9, 100.3], [0.15, 0.15], [("outlier", 1, -0.1)]),
        (
            {"register_max": 1000, "max_rate": 400},
            [990, 20, 30],
            [30, 10],
            [("rollover", 1, 30.0)],
        ),
        ({"register_max": 1000}, [990, 20, 30, 40, 50], [0, 10, 10, 10], [("reset", 1, 0.0)]),
        ({"max_rate": 400}, [100, 900, 120], [10, 10], [("outlier", 1, 800.0)]),
        ({"max_rate": 400}, [100, 900, 0, 130], [10, 10, 10], [("outlier", 1, 800.0), ("outlier", 2, -100.0)]),
        ({"max_rate": 400}, [100, 900, 910, 920, 930], [0, 10, 10, 10], [("spike", 1, 800.0)]),
        ({"max_rate": 400}, [100, 5, 15, 25, 35], [5, 10, 10, 10], [("reset", 1, 5.0)]),
        ({"max_rate": 400}, [100, -5, 5, 15, 25], [0, 10, 10, 10], [("reset", 1, 0.0)]),
        ({"max_rate": 400}, [100, 110, 5, 15, 25], [10, 0, 0, 0], []),
        ({"max_rate": 400}, [100, 900, 99.95], [0, 0], []),
        # The third reading meets the words of both "jitters" and "rolls over" (99.95 in half an hour): the latter makes
        # the second an outlier, then it is taken as the first of the cases that hold.
        ({"register_max": 100, "max_rate": 220}, [21.9, 0, 21.85], [0, 0], [("outlier", 1, -21.9)]),
    ],
)
def test_register(
    site: Site,
    cells: dict[str, Any],
    values: list[float],
    amounts: list[float],
    ledger: list[tuple[str, int, float]],
) -> None:
    """One reading every 15 minutes, so that each segment is one interval; a segment of two halves itself."""
    meter = site.meter(**cells)
    edge_ms = 900_000
    result = site.run([(ms("00:00") + n * edge_ms, meter, "register", float(v)) for n, v in enumerate(values)])
    assert [row.measured + row.estimated for row in result.intervals] == pytest.approx(amounts)
    assert ledger_of(result) == sorted((kind, ms("00:00") + n * edge_ms, amount) for kind, n, amount in ledger)


def test_a_reset_is_estimated_and_no_gap(site: Site) -> None:
    meter = site.meter(max_rate=400, max_gap_s=60)
    rows = series(meter, "register", ("00:00", 100), ("00:15", 8), ("00:30", 16), ("00:45", 24), ("01:00", 32))
    result = site.run(rows)
    assert use_of(result) == [(0.0, 8.0, 0.0)] * 4
    assert [row.kind for row in result.ledger] == ["gap", "gap", "gap", "reset"]


def test_power(site: Site) -> None:
    meter = site.meter(source="power", multiplier=2, max_rate=100)
    rows = series(meter, "power_kw", ("00:00", 10), ("00:15", 30), ("00:20", 51), ("00:30", -5), ("00:45", 50))
    result = site.run(rows)
    # (20 + 60) / 2 / 4, (60 + 0) / 2 / 4, (0 + 100) / 2 / 4 [kWh]
    assert use_of(result) == [(10.0, 0.0, 1.0), (7.5, 0.0, 1.0), (12.5, 0.0, 1.0)]
    assert [row.demand_kw for row in result.intervals] == pytest.approx([40.0, 30.0, 50.0])
    assert ledger_of(result) == [("outlier", ms("00:20"), 102.0)]


def test_gap_and_spread_over_the_edge_of_a_peak(site: Site) -> None:
    site.policy["windows"] = [{"period": "peak", "from": "01:00", "to": "02:00"}]
    meter = site.meter(max_gap_s=3600)
    rows = series(meter, "register", ("00:00", 0), ("00:22:30", 3), ("00:50", 4), ("01:12:30", 7), ("01:36", 9))
    result = site.run([*rows, *series(meter, "register", ("03:00", 93))])
    estimated = [round(row.estimated, 9) for row in result.intervals]
    # 22.5 min is not longer than one and a half intervals, so 01:00 inside it does no harm; 84 min is a gap.
    assert estimated[:6] == [0, 0, 0, 0, 0, 0]
    assert estimated[6:] == pytest.approx([9, 15, 15, 15, 15, 15])
    assert ledger_of(result) == [("gap", ms("03:00"), 84.0)]
    longer = site.run(series(meter, "register", ("00:45", 0), ("01:07:31", 3)))
    assert longer.intervals[0].estimated > 0
    assert longer.ledger == []


def test_due_by_every_meter_or_by_grace(site: Site) -> None:
    site.policy["grace_s"] = 600
    meter, silent = site.meter(), site.meter()
    rows = series(meter, "register", ("00:07:30", 0), ("00:24:59.999", 10))
    assert site.run(rows).intervals == []
    first = site.run([*rows, *series(meter, "power_kw", ("00:25", 1))]).intervals
    assert [row.start_ms for row in first] == [ms("00:00")]
    assert first[0].coverage == pytest.approx(0.25)
    both = site.run([*rows, *series(silent, "register", ("00:15", 0))]).intervals
    assert len(both) == 1


def test_media_have_no_demand_and_no_default_rate(site: Site) -> None:
    site.building["contract_kw"] = 1
    water, total = site.meter(item="water"), site.meter()
    rows = [row for meter in (water, total) for row in series(meter, "register", ("00:00", 0), ("00:15", 100))]
    result = site.run(rows)
    assert [(row.item, row.measured, row.demand_kw) for row in result.intervals] == [
        ("total", 0.0, 0.0),
        ("water", 100.0, None),
    ]


# 4. Calendars


def periods(site: Site, *times: str) -> list[str]:
    """Of the intervals that start then."""
    meter = site.meter(item=f"item{len(site.devices)}")
    days = [ms(time) for time in times]
    span = range(min(days), max(days) + 900_001, 86_400_000)
    result = site.run([(ts_ms, meter, "register", 0.0) for ts_ms in (*span, max(days) + 900_000)])
    found = {row.start_ms: row.period for row in result.intervals}
    return [found[day] for day in days]


def test_windows(site: Site) -> None:
    site.policy["default_period"] = "flat"
    site.policy["windows"] = [
        {"period": "peak", "days": ["mon"], "from": 1050, "to": "24:00"},
        {"period": "deep", "days": ["sun"], "from": "22:00", "to": "02:00"},
        {
            "period": "offpeak",
            "from": "17:00",
            "to": "18:00",
            "months": [6],
            "since": "2025-06-02",
            "until": "2025-06-03",
        },
    ]
    assert periods(site, "01:45", "02:00", "17:00", "17:30", "23:45") == ["deep", "flat", "offpeak", "peak", "peak"]
    assert periods(site, "2025-06-01T17:00:00Z", "2025-06-03T17:00:00Z", "2025-06-03T00:00:00Z") == ["flat"] * 3


def test_a_window_from_a_time_to_itself_is_a_day(site: Site) -> None:
    site.policy["windows"] = [{"period": "peak", "days": ["mon"], "from": "06:00", "to": "06:00"}]
    next_day = [f"2025-06-03T{time}:00Z" for time in ("05:45", "06:00")]
    assert periods(site, "05:45", "06:00", *next_day) == ["normal", "peak", "peak", "normal"]


def test_classes_of_days(site: Site) -> None:
    site.building["timezone"] = "Asia/Shanghai"
    site.policy["windows"] = [
        {"period": name, "days": [name], "from": "12:00", "to": "13:00"} for name in ("workday", "restday", "holiday")
    ]
    site.policy["holidays"] = {"country": "CN", "extra": ["2025-09-25", "2025-09-26"], "workdays": ["2025-09-26"]}
    # Thursday made a holiday, Friday likewise and a workday too, Saturday, a Sunday that China worked, National Day.
    days = ("25", "26", "27", "28")
    times = [f"2025-09-{day}T04:00:00Z" for day in days]
    assert periods(site, *times, "2025-10-01T04:00:00Z") == ["holiday", "workday", "restday", "workday", "holiday"]


def test_days_of_23_and_25_hours(site: Site) -> None:
    site.building["timezone"] = "America/New_York"
    site.policy["windows"] = [{"period": "peak", "from": "01:00", "to": "03:00"}]
    spring = [f"2025-03-09T{hour}:00Z" for hour in ("05:45", "06:00", "06:45", "07:00")]
    assert periods(site, *spring) == ["normal", "peak", "peak", "normal"]
    autumn = [f"2025-11-02T{hour}:00Z" for hour in ("04:45", "05:00", "06:30", "07:45", "08:00")]
    assert periods(site, *autumn) == ["normal", "peak", "peak", "peak", "normal"]
