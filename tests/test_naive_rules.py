"""The reference's rules (section 5) against figures worked out by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.naive import EventRow, NaiveResult, Row
from tests.small_site import Site, ms, outcome, series

EDGE_MS = 900_000


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.policy["windows"] = [{"period": "peak", "from": "08:00", "to": "10:00"}]
    return site


def demands(site: Site, start: str, *demands_kw: float) -> NaiveResult:
    """A register read on every edge."""
    meter = site.meter()
    rows: list[Row] = [(ms(start), meter, "register", 0.0)]
    for n, demand_kw in enumerate(demands_kw, 1):
        rows.append((ms(start) + n * EDGE_MS, meter, "register", rows[-1][3] + demand_kw / 4))
    return site.run(rows)


def figures(event: EventRow) -> tuple[float, ...]:
    worst = 0.0 if event.worst is None else event.worst
    return tuple(round(figure, 9) for figure in (worst, event.excess, event.duration_s))


# peak_demand


def test_demand_over_the_limit_starts_and_clears(site: Site) -> None:
    site.building["peak_limit_kw"] = 40
    site.policy["peak_demand"] = {"tolerance": 0.1, "clear_ratio": 0.9}
    result = demands(site, "08:00", 44, 45, 40, 37, 36, 60)
    corrected, again = result.events
    assert outcome(corrected) == (ms("08:15"), ms("09:00"), "closed", "corrected")
    assert figures(corrected) == (45, 1.25, 900)
    assert outcome(again) == (ms("09:15"), None, "open", "")
    text = "\x1f".join(("peak_demand", "b", "", str(ms("08:15"))))
    assert corrected.event_id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_demand_ends_with_the_peak_at_once(site: Site) -> None:
    site.building["peak_limit_kw"] = 40
    result = demands(site, "09:30", 41, 42)
    assert [outcome(event) for event in result.events] == [(ms("09:30"), ms("10:00"), "closed", "scope")]
    longer = Site(site.folder)
    longer.building, longer.policy = site.building, site.policy
    assert demands(longer, "09:30", 41, 42, 50).events == result.events


def test_a_limit_met_exactly_is_no_violation(site: Site) -> None:
    site.building["peak_limit_kw"] = 0.3
    assert demands(site, "08:00", 0.1 + 0.2, 0.3, 0.3 * (1 + 1e-12)).events == []


def test_demand_that_nobody_saw(site: Site) -> None:
    site.building["peak_limit_kw"] = 40
    meter = site.meter(max_gap_s=600)
    rows = series(meter, "register", ("08:00", 0), ("08:05", 12), ("08:20", 13), ("08:30", 13), ("08:45", 23))
    result = site.run(rows)
    # 12 kWh in five minutes are 48 kW of the interval at least; of the next one a third is known.
    assert [outcome(event) for event in result.events] == [(ms("08:00"), ms("08:15"), "closed", "no_data")]


# peak_budget


def test_budget_of_an_occurrence(site: Site) -> None:
    site.building["peak_budget_kwh"] = 20
    full = demands(site, "07:45", 100, 40, 40, 8, 4, 4, 0, 0, 0, 100)
    (event,) = full.events
    assert outcome(event) == (ms("08:30"), ms("10:00"), "closed", "scope")
    assert (event.limit, *figures(event)) == (20.0, 24.0, 4.0, 5400.0)
    part = Site(site.folder)
    part.building, part.policy = site.building, site.policy
    (event,) = demands(part, "07:45", 100, 40, 40, 8).events
    assert outcome(event) == (ms("08:30"), None, "open", "")
    assert figures(event) == (22, 2, 900)


def test_an_occurrence_ends_at_local_midnight(site: Site) -> None:
    site.building["peak_budget_kwh"] = 10
    site.policy["windows"] = [{"period": "peak", "from": "23:30", "to": "00:30"}]
    (event,) = demands(site, "23:30", 8, 40, 36, 3).events
    assert outcome(event) == (ms("23:45"), ms("2025-06-03T00:00:00Z"), "closed", "scope")
    assert figures(event) == (12, 2, 900)


def test_the_budget_knows_gaps_inside_the_occurrence_only(site: Site) -> None:
    site.building["peak_budget_kwh"] = 10
    meter = site.meter(max_gap_s=1800, source="power")
    inside = series(meter, "power_kw", ("08:00", 12), ("09:00", 12), ("09:15", 12), ("10:15", 12))
    (event,) = site.run(inside).events
    assert figures(event) == (15, 5, 4500)
    assert outcome(event) == (ms("08:45"), ms("10:00"), "closed", "scope")


# Air conditioning


def cooling(site: Site, *reports: tuple[str, float], clock: str) -> NaiveResult:
    """Set-points of a unit that cools; C is moved on by a meter."""
    unit = site.ac(max_gap_s=1800)
    rows = series(unit, "setpoint_c", *reports)
    rows += [(ts_ms, unit, "mode", 1.0) for ts_ms, *_ in rows]
    return site.run([*rows, *series(site.meter(), "register", (clock, 0))])


def test_short_pauses_belong_to_one_event(site: Site) -> None:
    site.policy["ac"] = {"cool_min_c": 26, "tolerance_c": 0.5, "min_duration_s": 600, "clear_duration_s": 300}
    reports = (("10:00", 24.0), ("10:05", 25.5), ("10:09:59", 25.0), ("10:15", 26.0), ("10:20", 20.0), ("10:29", 26.0))
    (event,) = cooling(site, *reports, clock="10:40").events
    assert outcome(event) == (ms("10:00"), ms("10:15"), "closed", "corrected")
    # 300 s at 2 °C and 301 s at 1 °C under; the third run stands 300 s apart and lasts 540 s.
    assert figures(event) == (24.0, round(901 / 3600, 9), 601.0)


@pytest.mark.parametrize(("clock", "is_open"), [("10:19:59.999", True), ("10:20", False)])
def test_open_until_the_off_delay_has_passed(site: Site, clock: str, is_open: bool) -> None:
    site.policy["ac"] = {"cool_min_c": 26}
    (event,) = cooling(site, ("10:00", 20.0), ("10:15", 26.0), clock=clock).events
    assert event.end_ms == (None if is_open else ms("10:15"))
    assert event.duration_s == 900


@pytest.mark.parametrize(
    ("clock", "end", "reason"), [("10:30", None, ""), ("10:34:59", None, ""), ("10:35", "10:30", "no_data")]
)
def test_a_hold_runs_out(site: Site, clock: str, end: str | None, reason: str) -> None:
    site.policy["ac"] = {"cool_min_c": 26}
    (event,) = cooling(site, ("10:00", 20.0), clock=clock).events
    assert (event.end_ms, event.reason) == (ms(end) if end else None, reason)
    assert event.duration_s == 1800


def test_what_ran_out_is_forgotten(site: Site) -> None:
    site.policy["ac"] = {"cool_min_c": 26, "min_duration_s": 0}
    unit = site.ac(max_gap_s=600)
    rows = series(unit, "mode", ("10:00", 1), ("10:10", 1), ("10:20:00.001", 1))
    rows += series(unit, "setpoint_c", ("10:00", 20)) + series(unit, "room_c", ("10:25", 30), ("10:40", 30))
    (event,) = site.run(rows).events
    # A report exactly when the hold would end keeps it; one a millisecond later finds nothing.
    assert outcome(event) == (ms("10:00"), ms("10:20"), "closed", "no_data")


@pytest.mark.parametrize(
    ("state", "is_broken"),
    [
        ({"mode": 5, "setpoint_c": 25}, True),
        ({"mode": 2, "setpoint_c": 25}, True),
        ({"mode": 1, "setpoint_c": 25}, False),
        ({"mode": 2, "setpoint_c": 20}, False),
        ({"mode": 2, "on": 0, "setpoint_c": 25}, False),
        ({"on": 1, "setpoint_c": 25}, False),
        ({"mode": 2, "on": 1}, False),
    ],
)
def test_heating(site: Site, state: dict[str, float], is_broken: bool) -> None:
    site.policy["ac"] = {"heat_max_c": 20, "auto_counts": "heat"}
    unit = site.ac()
    rows = [row for quantity, value in state.items() for row in series(unit, quantity, ("10:00", value))]
    events = site.run([*rows, *series(site.meter(), "register", ("10:12", 0))]).events
    assert [(event.rule, event.worst, event.excess) for event in events] == (
        [("ac_heat_setpoint", 25.0, 1.0)] if is_broken else []
    )


def test_hours(site: Site) -> None:
    site.policy["ac"] = {"allowed": [{"days": ["workday"], "from": "08:01", "to": "18:00"}]}
    unit, exempt = site.ac(max_gap_s=7200), site.ac(max_gap_s=7200, exempt="ac_hours")
    times = ("07:30", "08:30", "17:55", "18:05")
    rows = [row for device in (unit, exempt) for row in series(device, "on", *((time, 1.0) for time in times))]
    before, after = site.run([*rows, *series(unit, "on", ("18:20", 0), ("18:30", 0))]).events
    assert (before.device, *outcome(before)) == (unit, ms("07:30"), ms("08:01"), "closed", "scope")
    assert (before.limit, before.worst, before.duration_s) == (None, None, 1860.0)
    assert before.excess == pytest.approx(31 / 60)
    assert outcome(after) == (ms("18:00"), ms("18:20"), "closed", "corrected")


def test_months_are_those_of_the_local_date(site: Site) -> None:
    site.building["timezone"] = "Asia/Ho_Chi_Minh"
    site.policy["ac"] = {"cool_min_c": 26, "cool_months": [6]}
    unit = site.ac(max_gap_s=7200)
    start, end = "2025-05-31T16:30:00Z", "2025-05-31T17:30:00Z"
    rows = [
        row for quantity, value in (("mode", 1), ("setpoint_c", 20)) for row in series(unit, quantity, (start, value))
    ]
    (event,) = site.run([*rows, *series(unit, "on", (end, 0.0))]).events
    assert event.start_ms == ms("2025-05-31T17:00:00Z")
