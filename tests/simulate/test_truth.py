from __future__ import annotations

import time
from pathlib import Path

import pytest

from monitor.config.registry_files import load_registry
from monitor.registry import Registry
from monitor.simulate.stream import Reading, reject_reason
from monitor.simulate.truth import Truth, evaluate
from tests import naive, streams, vectors
from tests.naive import EventRow, IntervalRow, LedgerRow, NaiveResult, RejectedRow, Row
from tests.simulate.towns import ALL_FAULTS, town
from tests.vectors import Vector


def _result(truth: Truth, rejected: list[RejectedRow]) -> NaiveResult:
    events = [
        EventRow(
            *(event.event_id, event.rule, event.building, event.device, event.start_ms, event.end_ms, event.state),
            *(event.reason, event.limit, event.worst, event.excess, event.duration_ms / 1000, event.policy),
        )
        for event in truth.events
    ]
    intervals = [IntervalRow(*row) for row in truth.intervals]
    return NaiveResult(intervals, events, [LedgerRow(*entry) for entry in truth.ledger], rejected)


def _accepted(rows: list[Row], registry: Registry, now_ms: int) -> tuple[list[Reading], list[RejectedRow]]:
    accepted: list[Reading] = []
    rejected: dict[str, int] = {}
    for ts_ms, device, quantity, value in rows:
        reading = Reading(0 if ts_ms is None else ts_ms, device, quantity, value)
        reason = reject_reason(reading, registry, now_ms, max_age_d=None)
        if reason is None:
            accepted.append(reading)
        else:
            rejected[reason] = rejected.get(reason, 0) + 1
    return accepted, [RejectedRow(*entry) for entry in rejected.items()]


@pytest.mark.parametrize("vector", vectors.list_vectors(), ids=str)
def test_vectors(vector: Vector) -> None:
    now_ms = int(time.time() * 1000)
    registry, _ = load_registry(vector.config, now_ms=now_ms)
    accepted, rejected = _accepted(vectors.read_input(vector.input), registry, now_ms)
    found = _result(evaluate(registry, accepted), rejected)
    assert vectors.differences(found, vectors.read_results(vector.expected), with_event_id=False) == []


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_reference_which_was_written_apart(seed: int, tmp_path: Path) -> None:
    case = streams.make_case(seed, ties=seed % 2 == 0)
    folder = streams.write(case, tmp_path)
    expected = naive.run(folder / "config", case.rows, now_ms=case.now_ms)
    registry, _ = load_registry(folder / "config", now_ms=case.now_ms)
    accepted, rejected = _accepted(case.rows, registry, case.now_ms)
    assert vectors.differences(_result(evaluate(registry, accepted), rejected), expected) == []


def test_order_and_repetition_change_nothing() -> None:
    scenario = town(buildings=2, faults=ALL_FAULTS)
    readings = list(scenario.readings())
    assert evaluate(scenario.registry, [*reversed(readings), *readings[::3]]) == scenario.truth()
