"""The stream against the obvious batch reference: any order, any batches, any crash (SEMANTICS 1)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests import naive, streams
from tests.detect.harness import differences, stream

WAYS: dict[str, dict[str, Any]] = {
    "deferred": {"defer": True},
    "from the beginning": {},
    "from snapshots": {"snapshot_chance": 0.2},
    "with crashes": {"snapshot_chance": 0.2, "crash_chance": 0.15},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", range(24))
def test_stream_equals_the_batch_reference(number: int, way: str, tmp_path: Path) -> None:
    case = streams.make_case(number, ties=number % 3 == 0, days=1.0 if number % 2 else 2.0)
    streams.write(case, tmp_path)
    config = tmp_path / "config"
    rows = case.rows if number % 4 else streams.reordered(case, number)
    expected = naive.run(config, case.rows, now_ms=case.now_ms)
    store = stream(config, streams.batches(rows, number), now_ms=case.now_ms, seed=number, **WAYS[way])
    assert differences(expected, store) == []
    assert expected.intervals or expected.events or expected.ledger


@pytest.mark.parametrize("number", range(100, 108))
def test_revision_horizon_is_decided_row_by_row(number: int, tmp_path: Path) -> None:
    case = streams.make_case(number)
    streams.write(case, tmp_path)
    config = tmp_path / "config"
    rows = streams.reordered(case, number)
    expected = naive.run(config, rows, now_ms=case.now_ms, horizon_h=6.0)
    store = stream(
        config,
        streams.batches(rows, number),
        now_ms=case.now_ms,
        horizon_ms=6 * 3_600_000,
        snapshot_chance=0.2,
        crash_chance=0.1,
        seed=number,
    )
    assert differences(expected, store) == []


@seed(3)
@settings(max_examples=25, deadline=None)
@given(case=streams.cases(days=1), order=st.integers(0, 2**16), way=st.sampled_from(sorted(WAYS)))
def test_any_order_any_batches_any_way(case: streams.Case, order: int, way: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = streams.write(case, Path(folder)) / "config"
        expected = naive.run(config, case.rows, now_ms=case.now_ms)
        rows = streams.reordered(case, order)
        store = stream(config, streams.batches(rows, order), now_ms=case.now_ms, seed=order, **WAYS[way])
        assert differences(expected, store) == []
