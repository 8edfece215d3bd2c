"""Times as gateways write them: magnitudes, ISO 8601, and local times without a zone."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, LocalClock, epoch_ms, iso_ms, parse_iso, to_ms
from monitor.decoders.values import Found

T = 1_782_638_100_000
"""2026-06-28T09:15:00Z."""
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("number", "ms"),
    [
        (1_782_638_100, T), (1_782_638_100.0, T), (1_782_638_100.25, T + 250), (1_782_638_100.0807, T + 80),
        (T, T), (T + 0.75, T), (float(T), T), (T * 1000, T), (T * 1000 + 999, T), (T * 1_000_000, T),
        (T * 1_000_000 + 999_999, T), (float(T * 1_000_000), T), (0, 0), (-1, -1000), (946_684_800, 946_684_800_000),
    ],
)  # fmt: skip
def test_an_epoch_time_is_told_by_its_size(number: float, ms: int) -> None:
    found = epoch_ms(number)
    assert found == ms
    assert isinstance(found, int)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(946_684_800_000, 3_999_999_999_999))
def test_all_magnitudes_agree(ms: int) -> None:
    assert epoch_ms(ms) == ms
    assert epoch_ms(ms * 1000 + 999) == ms
    assert epoch_ms(ms * 1_000_000 + 1) == ms
    assert epoch_ms(ms // 1000) == ms // 1000 * 1000
    assert epoch_ms(ms / 1000) == ms  # with its decimals cut off it would often be one less


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e300, -1e300, 4e18, 10**30, True, False])
def test_what_is_no_time_since_1970(number: float) -> None:
    with pytest.raises(BadTimeError) as caught:
        epoch_ms(number)
    assert caught.value.reason == "bad_time"


def test_no_number_is_too_long_to_be_refused() -> None:
    with pytest.raises(BadTimeError):
        epoch_ms(10**6000)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-06-28T09:15:00Z", T), ("2026-06-28T09:15:00z", T), ("2026-06-28 09:15:00+00:00", T),
        ("2026-06-28T16:15:00+07:00", T), ("2026-06-28T16:15:00+0700", T), ("2026-06-28T16:15+07", T),
        ("20260628T091500Z", T), ("2026-06-28T09:15:00.1Z", T + 100), ("2026-06-28T09:15:00.123Z", T + 123),
        ("2026-06-28T09:15:00.1239Z", T + 123), ("2026-06-28T09:15:00.123999Z", T + 123),
        ("2026-06-28T09:15:00.123456789Z", T + 123), ("2026-06-28T09:15:00.999999999+00:00", T + 999),
        ("2026-06-28T09:15:00,5Z", T + 500), ("1969-12-31T23:59:59.9999Z", -1),
    ],
)  # fmt: skip
def test_iso_with_a_zone(text: str, ms: int) -> None:
    assert iso_ms(text) == ms


@pytest.mark.parametrize("text", ["2026-06-28T09:15:00", "2026-06-28", "2026-06-28 09:15:00.5"])
def test_iso_without_a_zone(text: str) -> None:
    assert parse_iso(text).tzinfo is None
    with pytest.raises(BadTimeError) as caught:
        iso_ms(text)
    assert caught.value.reason == "no_timezone"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "z",
        "now",
        "2026-13-01T00:00:00Z",
        "2026-06-28T25:00:00Z",
        "28.06.2026 09:15",
        "1782638100",
        "2026-06-28T09:15:60Z",
        "\ud800",
        None,
        5,
        b"2026-06-28T09:15:00Z",
        [],
    ],
)
def test_what_is_no_iso(text: Any) -> None:
    with pytest.raises(BadTimeError) as caught:
        iso_ms(text)
    assert caught.value.reason == "bad_time"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_the_ends_of_the_calendar_are_times(text: str) -> None:
    assert isinstance(iso_ms(text), int)


class Readings:
    """Readings of one device by their wall clock, each in a message that arrives at once unless told otherwise."""

    def __init__(self, zone: str | None, state: SourceState | None = None) -> None:
        self.state = SourceState() if state is None else state
        self.found = Found(self.state)
        self.clock = LocalClock(ZoneInfo(zone) if zone else None, self.state)

    def at(self, wall: str, received: str = "2100-01-01T00:00:00Z", key: str = "m") -> str:
        self.found.clear()
        ms = self.clock.ms(dt.datetime.fromisoformat(wall), key, iso_ms(received), self.found)
        return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%m-%dT%H:%M:%S")

    @property
    def flags(self) -> list[str]:
        return self.found.flagged


@pytest.mark.parametrize(
    ("zone", "wall", "utc"),
    [
        ("Asia/Ho_Chi_Minh", "2026-06-28T16:15:00", "06-28T09:15:00"),
        ("Asia/Ho_Chi_Minh", "2026-01-01T00:00:00", "12-31T17:00:00"),
        ("Europe/Paris", "2026-06-28T16:15:00", "06-28T14:15:00"),
        ("Europe/Paris", "2026-12-28T16:15:00", "12-28T15:15:00"),
        ("Europe/Paris", "2026-10-25T01:59:59", "10-24T23:59:59"),
        ("Europe/Paris", "2026-10-25T03:00:00", "10-25T02:00:00"),
        ("Europe/Paris", "2026-03-29T01:59:59", "03-29T00:59:59"),
        ("Europe/Paris", "2026-03-29T03:00:00", "03-29T01:00:00"),
        ("Australia/Lord_Howe", "2026-06-28T16:15:00", "06-28T05:45:00"),
        ("Australia/Lord_Howe", "2026-12-28T16:15:00", "12-28T05:15:00"),
        ("Asia/Kathmandu", "2026-06-28T15:00:00", "06-28T09:15:00"),
    ],
)
def test_a_local_time_that_comes_once(zone: str, wall: str, utc: str) -> None:
    readings = Readings(zone)
    assert readings.at(wall) == utc
    assert readings.flags == []
    assert len(readings.state) == 0


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(
        ["Asia/Ho_Chi_Minh", "Europe/Paris", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca"]
    ),
    st.integers(0, 2_000_000_000),
)
def test_every_time_that_comes_once_is_told(zone: str, epoch_s: int) -> None:
    moment = dt.datetime.fromtimestamp(epoch_s, ZoneInfo(zone))
    naive = moment.replace(tzinfo=None, fold=0)
    readings = Readings(zone)
    ms = readings.clock.ms(naive, "m", epoch_s * 1000, readings.found)
    if readings.flags == ["ambiguous_time"]:
        assert ms in (epoch_s * 1000, epoch_s * 1000 - HOUR, epoch_s * 1000 - HOUR // 2)
    else:
        assert ms == epoch_s * 1000


def test_no_zone_is_no_guess_but_a_zone_in_the_time_will_do() -> None:
    readings = Readings(None)
    with pytest.raises(BadTimeError) as caught:
        readings.at("2026-06-28T16:15:00")
    assert caught.value.reason == "no_timezone"
    assert readings.at("2026-06-28T16:15:00+07:00") == "06-28T09:15:00"


PASSES = {
    "Europe/Paris": (
        ["2026-10-25T02:00:00", "2026-10-25T02:30:00", "2026-10-25T02:59:59"],
        ["10-25T00:00:00", "10-25T00:30:00", "10-25T00:59:59", "10-25T01:00:00", "10-25T01:30:00", "10-25T01:59:59"],
    ),
    "Australia/Lord_Howe": (  # half an hour only
        ["2026-04-05T01:30:00", "2026-04-05T01:45:00", "2026-04-05T01:59:59"],
        ["04-04T14:30:00", "04-04T14:45:00", "04-04T14:59:59", "04-04T15:00:00", "04-04T15:15:00", "04-04T15:29:59"],
    ),
}


@pytest.mark.parametrize("zone", PASSES)
@pytest.mark.parametrize("restart_at", [None, 1, 3, 4])
def test_both_passes_of_the_autumn_hour_by_their_order(zone: str, restart_at: int | None) -> None:
    walls, expected = PASSES[zone]
    readings = Readings(zone)
    told = []
    for number, wall in enumerate(walls * 2):
        if number == restart_at:
            stored = {key: each for key, each in readings.state.changes().items() if each is not None}
            readings = Readings(zone, SourceState(stored))
        told.append(readings.at(wall))
        assert readings.flags == ["ambiguous_time"]
    assert told == expected


def test_a_reading_that_comes_once_more_is_of_the_first_pass_while_that_lasts() -> None:
    readings = Readings("Europe/Paris")
    readings.at("2026-10-25T02:00:00", "2026-10-25T00:00:01Z")
    readings.at("2026-10-25T02:15:00", "2026-10-25T00:15:01Z")
    assert readings.at("2026-10-25T02:00:00", "2026-10-25T00:15:02Z") == "10-25T00:00:00"
    assert readings.at("2026-10-25T02:15:00", "2026-10-25T00:15:03Z") == "10-25T00:15:00"


def test_a_buffer_that_is_sent_late_holds_both_passes_in_their_order() -> None:
    readings = Readings("Europe/Paris")
    walls = [f"2026-10-25T02:{minute:02}:00" for minute in range(0, 60, 10)]
    told = [readings.at(wall, "2026-10-26T09:00:00Z") for wall in walls * 2]
    assert told == [f"10-25T0{hour}:{minute:02}:00" for hour in (0, 1) for minute in range(0, 60, 10)]
    assert readings.at("2026-10-25T03:00:00", "2026-10-26T09:00:00Z") == "10-25T02:00:00"


def test_devices_do_not_wait_for_each_other() -> None:
    readings = Readings("Europe/Paris")
    assert readings.at("2026-10-25T02:50:00", key="a") == "10-25T00:50:00"
    assert readings.at("2026-10-25T02:10:00", key="b") == "10-25T00:10:00"
    assert readings.at("2026-10-25T02:10:00", key="a") == "10-25T01:10:00"


def test_last_years_autumn_says_nothing_of_this_years() -> None:
    readings = Readings("Europe/Paris")
    for year in (2025, 2026):
        day = {2025: "2025-10-26", 2026: "2026-10-25"}[year]
        told = [readings.at(f"{day}T{time}:00") for time in ("02:10", "02:50", "02:10", "02:50")]
        assert [each[6:11] for each in told] == ["00:10", "00:50", "01:10", "01:50"]


@pytest.mark.parametrize(
    ("zone", "wall", "utc"),
    [
        ("Europe/Paris", "2026-03-29T02:30:00", "03-29T01:30:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:10:00", "10-03T15:40:00"),
    ],
)
def test_the_hour_that_spring_leaves_out_is_winters(zone: str, wall: str, utc: str) -> None:
    readings = Readings(zone)
    assert readings.at(wall) == utc
    assert readings.flags == ["nonexistent_time"]


@pytest.mark.parametrize("zone", ["Asia/Ho_Chi_Minh", "Europe/Paris", "Australia/Lord_Howe"])
def test_the_ends_of_the_calendar_by_the_wall_clock(zone: str) -> None:
    readings = Readings(zone)
    for naive in (dt.datetime.min, dt.datetime.max):
        assert isinstance(readings.clock.ms(naive, "m", T, readings.found), int)


def test_what_the_clock_keeps_of_offsets_is_bounded() -> None:
    readings = Readings("Europe/Paris")
    day = dt.datetime(2020, 1, 1)
    for number in range(5000):
        readings.clock.ms(day + dt.timedelta(hours=7 * number), "m", T, readings.found)
        readings.found.clear()
    assert len(readings.clock._offsets) <= 1001
    assert len(readings.state) <= 1


def test_to_ms_cuts_parts_of_a_millisecond_off() -> None:
    assert to_ms(dt.datetime(2026, 6, 28, 9, 15, 0, 1999, dt.UTC)) == T + 1
