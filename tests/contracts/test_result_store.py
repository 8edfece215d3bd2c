"""One suite for every ResultStore."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.results import EventScope, IntervalColumns, LedgerScope, Step
from monitor.store.memory import MemoryStore, take_intervals
from monitor.store.protocol import Interval, Moved, ResultStore
from monitor.store.sqlite import SqliteStore
from tests.store.made import QUARTER_MS, START_MS, entry, event, intervals, registry

STORES: dict[str, Callable[[Path], ResultStore]] = {
    "memory": lambda _folder: MemoryStore(),
    "sqlite": lambda folder: SqliteStore(folder / "monitor.sqlite", sinks=["influx"]),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResultStore]:
    made = STORES[request.param](tmp_path)
    yield made
    made.close()


def starts(quarter: int) -> int:
    return START_MS + quarter * QUARTER_MS


def contents(store: ResultStore) -> tuple[list[object], list[object], list[object]]:
    return list(store.intervals()), list(store.events()), list(store.ledger())


def test_intervals_come_back_sorted_and_whole(store: ResultStore) -> None:
    names = registry()
    water = intervals([(1, 0, 0.1)], demand=False)
    store.apply(Step(intervals=water), names)
    applied = store.apply(Step(intervals=intervals([(2, 1, 7.0), (0, 1, 2.5), (0, 0, 1.0)], period=1)), names)
    assert len(applied.intervals) == 3
    assert applied.revised_intervals == 0
    assert list(store.intervals()) == [
        Interval("B-1", "total", starts(0), "peak", 1.0, 0.0, 1.0, 4.0),
        Interval("B-1", "total", starts(1), "peak", 2.5, 0.0, 1.0, 10.0),
        Interval("B-1", "water", starts(0), "normal", 0.1, 0.0, 1.0, None),
        Interval("B-2", "total", starts(1), "peak", 7.0, 0.0, 1.0, 28.0),
    ]


def test_the_same_step_again_leaves_the_same_contents(store: ResultStore) -> None:
    step = Step(
        intervals=intervals([(0, 0, 1.0), (0, 1, 2.0)]),
        events=[event(0), event(4, quarters=None)],
        ledger=[entry(0), entry(1, "reset")],
        event_scopes=[EventScope("peak_demand", "B-1", "", 0)],
        ledger_scopes=[LedgerScope("M-B-1-total", ("gap", "reset"), None, 0)],
    )
    store.apply(step, registry())
    before = contents(store)
    again = store.apply(step, registry())
    assert contents(store) == before
    assert [len(part) for part in before] == [2, 2, 2]
    assert not again.events
    assert not again.new_events
    assert not again.ledger_added
    assert not again.ledger_removed
    assert again.revised_intervals == again.withdrawn_events == 0


def test_only_revised_rows_that_differ_are_reported(store: ResultStore) -> None:
    names = registry()
    store.apply(Step(intervals=intervals([(0, 0, 1.0), (0, 1, 2.0), (2, 0, 3.0)])), names)
    store.apply(Step(intervals=intervals([(1, 0, 9.0)], demand=False)), names)
    given = intervals([(2, 0, 3.0), (0, 1, 2.25), (0, 5, 4.0)], revised=True)
    applied = store.apply(Step(intervals=given), names)
    assert applied.intervals.start_ms.tolist() == [starts(1), starts(5)]
    assert applied.intervals.measured.tolist() == [2.25, 4.0]
    assert applied.revised_intervals == 1
    unchanged = store.apply(Step(intervals=intervals([(1, 0, 9.0)], demand=False, revised=True)), names)
    assert len(unchanged.intervals) == 0
    assert [(row.item, row.start_ms, row.measured) for row in store.intervals()] == [
        ("total", starts(0), 1.0),
        ("total", starts(1), 2.25),
        ("total", starts(5), 4.0),
        ("water", starts(0), 9.0),
        ("total", starts(0), 3.0),
    ]


def test_each_column_of_an_interval_can_differ(store: ResultStore) -> None:
    names = registry()
    base = intervals([(0, 0, 1.0)], revised=True)
    store.apply(Step(intervals=base), names)
    for name in ("measured", "estimated", "coverage", "demand_kw"):
        base = replace(base, **{name: getattr(base, name) + 0.125})
        assert store.apply(Step(intervals=base), names).revised_intervals == 1, name
        assert store.apply(Step(intervals=base), names).revised_intervals == 0, name
    row = next(store.intervals())
    assert row == Interval("B-1", "total", starts(0), "normal", 1.125, 0.125, 1.125, 4.125)


def test_new_and_revised_rows_of_one_step(store: ResultStore) -> None:
    names = registry()
    store.apply(Step(intervals=intervals([(0, 0, 1.0)])), names)
    mixed = intervals([(0, 0, 1.5), (0, 1, 2.0)])
    mixed = replace(mixed, revised=np.array([True, False]))
    applied = store.apply(Step(intervals=mixed), names)
    assert applied.intervals.measured.tolist() == [1.5, 2.0]
    assert applied.revised_intervals == 1
    assert [row.measured for row in store.intervals()] == [1.5, 2.0]


def test_rows_are_known_by_name_when_the_registry_changes(store: ResultStore) -> None:
    store.apply(Step(intervals=intervals([(0, 0, 1.0), (2, 0, 3.0)], period=1)), registry())
    other = registry([("B-2", "total"), ("B-1", "total")], periods=["peak", "critical"])
    given = intervals([(0, 0, 3.0), (1, 0, 1.0)], period=0, revised=True)
    assert len(store.apply(Step(intervals=given), other).intervals) == 0
    applied = store.apply(Step(intervals=take_intervals(replace(given, period=given.period + 1), slice(1, 2))), other)
    assert applied.moved == [Moved(1, starts(0), "peak")]
    assert applied.revised_intervals == 1
    assert [(row.building, row.period) for row in store.intervals()] == [("B-1", "critical"), ("B-2", "peak")]


def test_random_revisions_leave_what_was_written_last(store: ResultStore) -> None:
    chance = random.Random(7)
    names = registry()
    expected: dict[tuple[int, int], float] = {}
    revised_intervals = 0
    for _ in range(60):
        keys = chance.sample([(item, quarter) for item in (0, 2) for quarter in range(50)], chance.randint(1, 20))
        rows = [(item, quarter, float(chance.randint(0, 3))) for item, quarter in keys]
        changed = [row for row in rows if expected.get(row[:2]) != row[2]]
        revised_intervals += sum(row[:2] in expected for row in changed)
        expected.update({(item, quarter): value for item, quarter, value in rows})
        applied = store.apply(Step(intervals=intervals(rows, revised=True)), names)
        revised_intervals -= applied.revised_intervals
        assert applied.intervals.measured.tolist() == [value for _, _, value in changed]
    assert revised_intervals == 0
    found = [(0 if row.building == "B-1" else 2, row.start_ms, row.measured) for row in store.intervals()]
    assert found == [(item, starts(quarter), value) for (item, quarter), value in sorted(expected.items())]


def test_an_empty_step_changes_nothing(store: ResultStore) -> None:
    applied = store.apply(Step(), registry())
    assert len(applied.intervals) == 0
    assert contents(store) == ([], [], [])
    assert isinstance(applied.intervals, IntervalColumns)


def test_events_open_close_and_reopen(store: ResultStore) -> None:
    names = registry()
    opened = event(0, quarters=None)
    closed = event(0, quarters=2)
    assert list(store.apply(Step(events=[opened]), names).new_events) == [opened]
    applied = store.apply(Step(events=[closed]), names)
    assert (list(applied.events), list(applied.new_events), applied.reopened) == ([closed], [], frozenset())
    applied = store.apply(Step(events=[opened]), names)
    assert applied.reopened == {opened.event_id}
    assert list(store.events()) == [opened]


def test_what_a_scope_covers_and_the_step_does_not_hold_is_withdrawn(store: ResultStore) -> None:
    names = registry()
    kept, undone, earlier = event(8), event(4), event(3)
    other_rule = event(4, rule="peak_budget")
    other_building = event(4, building="B-2")
    other_device = event(4, rule="ac_hours", device="AC-B-1-0", worst=None)
    everything = [kept, undone, earlier, other_rule, other_building, other_device]
    store.apply(Step(events=everything), names)
    scope = EventScope("peak_demand", "B-1", "", starts(4))
    applied = store.apply(Step(events=[kept], event_scopes=[scope]), names)
    gone = undone._replace(state="withdrawn")
    assert list(applied.events) == [gone]
    assert applied.withdrawn_events == 1
    assert set(store.events()) == {kept, gone, earlier, other_rule, other_building, other_device}
    assert store.apply(Step(events=[kept], event_scopes=[scope]), names).withdrawn_events == 0
    back = store.apply(Step(events=[kept, undone], event_scopes=[scope]), names)
    assert list(back.events) == [undone]
    assert not back.new_events
    assert set(store.events()) == set(everything)


def test_a_step_can_withdraw_by_itself(store: ResultStore) -> None:
    names = registry()
    store.apply(Step(events=[event(0)]), names)
    gone = event(0)._replace(state="withdrawn")
    never = event(1)._replace(state="withdrawn")
    applied = store.apply(Step(events=[gone, never]), names)
    assert list(applied.events) == [gone]
    assert applied.withdrawn_events == 1
    assert list(store.events()) == [gone]


def test_events_are_sorted(store: ResultStore) -> None:
    made = [event(2), event(1), event(0, building="B-2"), event(3, rule="ac_hours", device="x"), event(1, device="x")]
    store.apply(Step(events=made), registry())
    assert list(store.events()) == [made[3], made[1], made[0], made[4], made[2]]


def test_events_since(store: ResultStore) -> None:
    names = registry()
    still_open, old, new, foreign = event(0, quarters=None), event(1), event(9), event(9, building="B-2")
    gone = event(10)
    store.apply(Step(events=[still_open, old, new, foreign, gone]), names)
    store.apply(Step(events=[gone._replace(state="withdrawn")]), names)
    assert store.events_since({"B-1": starts(9), "B-9": 0}) == [still_open, new]
    assert store.events_since({"B-1": starts(1), "B-2": starts(10)}) == [still_open, old, new]
    assert store.events_since({}) == []


def test_ledger_scopes_remove_what_is_not_held(store: ResultStore) -> None:
    names = registry()
    at_the_border, undone, kept = entry(4), entry(5), entry(6)
    other_kind = entry(5, "too_late")
    other_quantity = entry(5, quantity="power_kw")
    other_device = entry(5, device="M-B-2-total")
    everything = [at_the_border, undone, kept, other_kind, other_quantity, other_device]
    store.apply(Step(ledger=everything), names)
    applied = store.apply(
        Step(ledger=[kept], ledger_scopes=[LedgerScope("M-B-1-total", ("gap", "reset"), "register", starts(4))]), names
    )
    assert list(applied.ledger_removed) == [undone]
    assert not applied.ledger_added
    applied = store.apply(
        Step(ledger=[kept], ledger_scopes=[LedgerScope("M-B-1-total", ("gap", "reset"), None, starts(4))]), names
    )
    assert list(applied.ledger_removed) == [other_quantity]
    assert set(store.ledger()) == {at_the_border, kept, other_kind, other_device}
    back = store.apply(Step(ledger=[undone]), names)
    assert list(back.ledger_added) == [undone]


def test_a_ledger_entry_can_change_its_amount(store: ResultStore) -> None:
    names = registry()
    store.apply(Step(ledger=[entry(0, amount=1.0)]), names)
    changed = entry(0, amount=2.0)
    assert list(store.apply(Step(ledger=[changed]), names).ledger_added) == [changed]
    assert list(store.ledger()) == [changed]


def test_the_ledger_is_sorted(store: ResultStore) -> None:
    made = [entry(1), entry(0), entry(0, "conflict"), entry(0, device="A"), entry(0, quantity="power_kw")]
    store.apply(Step(ledger=made), registry())
    assert list(store.ledger()) == sorted(made, key=lambda each: (each.kind, each.device, each.quantity, each.ts_ms))


def test_names_are_kept_as_they_are(store: ResultStore) -> None:
    name = 'Sở Xây dựng, "A"=1\\ '
    names = registry([(name, "chiếu sáng")], periods=["cao điểm"])
    store.apply(Step(intervals=intervals([(0, 0, 1.0)]), events=[event(0, building=name)]), names)
    row = next(store.intervals())
    assert row[:4] == (name, "chiếu sáng", starts(0), "cao điểm")
    assert next(store.events()).building == name
