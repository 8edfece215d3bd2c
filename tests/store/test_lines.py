"""Line protocol, read back by a parser written from its description."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from monitor.readings import Quantity, ReadingColumns
from monitor.results import Event, Step
from monitor.store.lines import LineEncoder, escape_tag
from monitor.store.memory import MemoryStore
from monitor.store.protocol import Applied, Moved
from tests.store.line_points import Point, pairs, parse, split
from tests.store.made import NAN, QUARTER_MS, START_MS, entry, event, intervals, registry

AC, AC_2 = 2, 4


def points(step: Step, **options: object) -> list[Point]:
    names = registry(**options)  # type: ignore[arg-type]  # handed on as they are
    body = b"".join(batch.body for batch in LineEncoder().encode(MemoryStore().apply(step, names), step, names))
    return [parse(line) for line in body.decode().split("\n")[:-1]]


def test_consumption() -> None:
    rows = replace(intervals([(0, 0, 1.1), (2, 1, 2e-7)], period=1), coverage=np.array([0.8, 1.0]))
    assert points(Step(intervals=rows), org="a/b", peak_limit_kw=70.5) == [
        (
            "consumption",
            {"building": "B-1", "item": "total", "org": "a/b", "period": "peak"},
            {"measured": "1.1", "estimated": "0", "coverage": "0.8", "demand_kw": "4.4", "limit_kw": "70.5"},
            START_MS,
        ),
        (
            "consumption",
            {"building": "B-2", "item": "total", "org": "a/b", "period": "peak"},
            {"measured": "2e-7", "estimated": "0", "coverage": "1", "demand_kw": "8e-7", "limit_kw": "70.5"},
            START_MS + QUARTER_MS,
        ),
    ]


def test_media_have_no_demand_and_no_limit_and_no_org_is_no_tag() -> None:
    ((_, tags, fields, _),) = points(Step(intervals=intervals([(1, 0, 5.0)], demand=False)), peak_limit_kw=70.0)
    assert tags == {"building": "B-1", "item": "water", "period": "normal"}
    assert list(fields) == ["measured", "estimated", "coverage"]


def test_a_sub_item_has_no_limit() -> None:
    names = [("B-1", "hvac")]
    ((_, _, fields, _),) = points(Step(intervals=intervals([(0, 0, 5.0)])), items=names, peak_limit_kw=70.0)
    assert "limit_kw" not in fields


def test_ac_readings_of_one_time_are_one_point() -> None:
    readings = ReadingColumns.of(
        [AC_2, AC, AC, AC, AC, 0],
        [Quantity.ROOM_C, Quantity.SETPOINT_C, Quantity.ON, Quantity.MODE, Quantity.ON, Quantity.REGISTER],
        [START_MS, START_MS, START_MS, START_MS, START_MS + 1, START_MS],
        [27.5, 24.0, 1, 1, 0, 99.0],
    )
    assert points(Step(readings=readings)) == [
        (
            "ac",
            {"building": "B-1", "device": "AC-B-1-0"},
            {"on": "1i", "mode": '"cool"', "setpoint_c": "24"},
            START_MS,
        ),
        ("ac", {"building": "B-1", "device": "AC-B-1-0"}, {"on": "0i"}, START_MS + 1),
        ("ac", {"building": "B-2", "device": "AC-B-2-0"}, {"room_c": "27.5"}, START_MS),
    ]


def test_of_ac_readings_that_conflict_the_smallest_counts_and_the_largest_setpoint() -> None:
    quantities = [
        Quantity.SETPOINT_C,
        Quantity.SETPOINT_C,
        Quantity.ROOM_C,
        Quantity.ROOM_C,
        Quantity.MODE,
        Quantity.MODE,
    ]
    readings = ReadingColumns.of([AC] * 6, [int(each) for each in quantities], [START_MS] * 6, [24, 26, 30, 29, 5, 2])
    conflict = entry(0, "conflict", device="AC-B-1-0", quantity="setpoint_c", amount=24.0)
    for step in (Step(readings=readings), Step(readings=readings, ledger=[conflict])):
        fields = next(point[2] for point in points(step) if point[0] == "ac")
        assert fields == {"mode": '"heat"', "setpoint_c": "26", "room_c": "29"}


def test_a_reading_that_lost_against_an_earlier_step_is_not_written() -> None:
    readings = ReadingColumns.of([AC, AC], [Quantity.ROOM_C, Quantity.ON], [START_MS, START_MS], [30, 1])
    conflict = entry(0, "conflict", device="AC-B-1-0", quantity="room_c", amount=30.0)
    fields = [point[2] for point in points(Step(readings=readings, ledger=[conflict])) if point[0] == "ac"]
    assert fields == [{"on": "1i"}]
    alone = readings.take(np.array([True, False]))
    assert [point[0] for point in points(Step(readings=alone, ledger=[conflict]))] == ["ledger"]


def test_violations() -> None:
    opened = event(0, quarters=None)
    closed = event(1, rule="ac_hours", device="AC-B-1-0", worst=None)
    first, second = points(Step(events=[opened, closed]), org="o")
    assert first == (
        "violation",
        {"building": "B-1", "device": "-", "org": "o", "rule": "peak_demand"},
        {
            "event_id": f'"{opened.event_id}"',
            "state": '"open"',
            "reason": '""',
            "duration_s": "900.0",
            "excess": "5.0",
            "limit": "100.0",
            "worst": "120.0",
        },
        START_MS,
    )
    assert second[1]["device"] == "AC-B-1-0"
    assert second[2]["end_ms"] == f"{START_MS + 2 * QUARTER_MS}i"
    assert "worst" not in second[2]


def encoded(applied: Applied) -> list[Point]:
    batches = LineEncoder().encode(applied, Step(), registry())
    return [parse(line) for batch in batches for line in batch.body.decode().split("\n")[:-1]]


def test_a_reopened_event_voids_its_end() -> None:
    opened = event(0, quarters=None)
    ((_, _, fields, _),) = encoded(Applied(events=[opened], reopened=frozenset({opened.event_id})))
    assert fields["end_ms"] == "0i"


def test_ledger_entries_added_and_removed() -> None:
    added, removed = entry(0, amount=0.1), entry(1, "reset", amount=7.0)
    assert encoded(Applied(ledger_added=[added], ledger_removed=[removed])) == [
        (
            "ledger",
            {"building": "B-1", "device": "M-B-1-total", "kind": "reset", "quantity": "register"},
            {"amount": "0", "detail": '"withdrawn"'},
            START_MS + QUARTER_MS,
        ),
        (
            "ledger",
            {"building": "B-1", "device": "M-B-1-total", "kind": "gap", "quantity": "register"},
            {"amount": "0.1", "detail": '""'},
            START_MS,
        ),
    ]


def test_where_the_period_changed_the_old_series_gets_zeros() -> None:
    electric, water = encoded(Applied(moved=[Moved(0, START_MS, "peak"), Moved(1, START_MS, "gone")]))
    assert electric[1] == {"building": "B-1", "item": "total", "period": "peak"}
    assert electric[2] == {"measured": "0", "estimated": "0", "coverage": "0", "demand_kw": "0"}
    assert water[1]["period"] == "gone"
    assert "demand_kw" not in water[2]


def test_text_in_an_event_is_escaped() -> None:
    odd = Event(*event(0)[:7], 'say "x\\y"\nz', *event(0)[8:])
    ((_, _, fields, _),) = encoded(Applied(events=[odd]))
    assert fields["reason"] == '"say \\"x\\\\y\\" z"'


@pytest.mark.parametrize("count", [1, 6, 7, 8, 20])
def test_batches_are_full_and_cut_at_lines(count: int) -> None:
    names = registry()
    step = Step(
        intervals=intervals([(0, quarter, 1.0) for quarter in range(count)]), events=[event(0)], ledger=[entry(0)]
    )
    batches = LineEncoder(batch_points=7).encode(MemoryStore().apply(step, names), step, names)
    assert [batch.body.count(b"\n") for batch in batches] == [batch.points for batch in batches]
    assert all(batch.body.endswith(b"\n") for batch in batches)
    assert sum(batch.points for batch in batches) == count + 2
    assert all(batch.points <= 7 for batch in batches)
    whole = b"".join(batch.body for batch in LineEncoder().encode(MemoryStore().apply(step, names), step, names))
    assert b"".join(batch.body for batch in batches) == whole


def test_nothing_changed_is_no_batch() -> None:
    assert LineEncoder().encode(Applied(), Step(), registry()) == []


@seed(1)
@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_every_float_reads_back_as_the_same(values: list[float]) -> None:
    step = Step(intervals=intervals([(0, quarter, value) for quarter, value in enumerate(values)], demand=False))
    found = [float(fields["measured"]) for _, _, fields, _ in points(step)]
    np.testing.assert_array_equal(found, values)


@seed(2)
@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters='"\\\n\r\t'), min_size=1))
def test_every_name_reads_back_as_the_same(name: str) -> None:
    assert pairs(split(f"k={escape_tag(name)}", ",")) == {"k": name}


def test_a_demand_that_is_unknown_is_left_out() -> None:
    rows = replace(intervals([(0, 0, 1.0), (0, 1, 1.0)]), demand_kw=np.array([NAN, 4.0]))
    assert ["demand_kw" in fields for _, _, fields, _ in points(Step(intervals=rows))] == [False, True]
