"""The generators: repeatable, readable back, and rich enough that every outcome occurs."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.naive import HOUR_MS, NaiveResult, run
from tests.streams import Case, batches, cases, make_case, reordered, write
from tests.vectors import differences, read_input

SEEDS = range(24)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[NaiveResult]:
    found = []
    for seed in SEEDS:
        for ties in (False, True):
            case = make_case(seed, ties=ties)
            folder = write(case, tmp_path_factory.mktemp("case"))
            found.append(run(folder / "config", case.rows, now_ms=case.now_ms))
    return found


def test_same_seed_same_case() -> None:
    assert repr(make_case(3)) == repr(make_case(3))
    assert repr(make_case(3)) != repr(make_case(4))


def test_written_rows_read_back(tmp_path: Path) -> None:
    case = make_case(1)
    write(case, tmp_path)
    assert repr(read_input(tmp_path / "input.csv")) == repr(case.rows)


def test_every_outcome_occurs(results: list[NaiveResult]) -> None:
    events = {(event.rule, event.state, event.reason) for result in results for event in result.events}
    ac_rules = ("ac_cool_setpoint", "ac_heat_setpoint", "ac_hours")
    for rule in (*ac_rules, "peak_demand"):
        for outcome in (("open", ""), ("closed", "corrected"), ("closed", "no_data")):
            assert (rule, *outcome) in events
    for rule in ("ac_hours", "peak_demand", "peak_budget"):
        assert (rule, "closed", "scope") in events
    kinds = {entry.kind for result in results for entry in result.ledger}
    assert kinds == {"conflict", "gap", "rollover", "outlier", "reset", "spike"}
    reasons = Counter(row.reason for result in results for row in result.rejected)
    assert set(reasons) == {"unknown_device", "unknown_quantity", "bad_value", "bad_time"}
    intervals = [row for result in results for row in result.intervals]
    assert {row.period for row in intervals} >= {"peak", "critical", "offpeak", "normal"}
    assert any(row.estimated > 0 for row in intervals)
    assert any(row.demand_kw is None for row in intervals)
    assert any(0 < row.coverage < 1 for row in intervals)


@settings(max_examples=12, derandomize=True, deadline=None)  # a case takes longer than the usual 200 ms
@given(case=cases(days=1), seed=st.integers(0, 2**32 - 1))
def test_order_of_arrival_changes_nothing_without_a_horizon(case: Case, seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        config = write(case, Path(name)) / "config"
        whole = run(config, case.rows, now_ms=case.now_ms)
        other = run(config, reordered(case, seed), now_ms=case.now_ms)
    assert differences(other, whole) == []


def _late_entries(case: Case, folder: Path, horizon_h: float) -> int:
    result = run(folder / "config", case.rows, now_ms=case.now_ms, horizon_h=horizon_h)
    return sum(entry.kind == "too_late" for entry in result.ledger)


def test_a_short_horizon_leaves_readings_out(tmp_path: Path) -> None:
    late = {0.5: 0, 24.0: 0}
    for seed in range(6):
        case = make_case(seed)
        folder = write(case, tmp_path / str(seed))
        for horizon_h in late:
            late[horizon_h] += _late_entries(case, folder, horizon_h)
    assert late[0.5] > late[24.0] > 0


def test_batches_are_the_rows_in_order() -> None:
    rows = make_case(2).rows
    pieces = list(batches(rows, 5, largest=50))
    assert [repr(row) for piece in pieces for row in piece] == [repr(row) for row in rows]
    assert {len(piece) for piece in pieces} >= {1}
    assert max(len(piece) for piece in pieces) <= 50


def test_rows_are_not_in_the_future_of_a_replay() -> None:
    case = make_case(7, bad_rows=False)
    assert all(row[0] is not None and row[0] <= case.now_ms - HOUR_MS for row in case.rows)
