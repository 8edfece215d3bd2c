"""The stream against the obvious batch reference: any order, any batches, any crash (SEMANTICS 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import naive, streams
from tests.detect.harness import differences, stream

WAYS: dict[str, dict[str, Any]] = {
    "deferred": {"defer": True},
    "from the beginning": {},
    "from snapshots": {"snapshot_chance": 0.2},
    "with crashes": {"snapshot_chance": 0.2, "crash_chance": 0.15},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(24))
def test_stream_equals_the_batch_reference(seed: int, way: str, tmp_path: Path) -> None:
    case = streams.make_case(seed, ties=seed % 3 == 0, days=1.0 if seed % 2 else 2.0)
    streams.write(case, tmp_path)
    config = tmp_path / "config"
    rows = case.rows if seed % 4 else streams.reordered(case, seed)
    expected = naive.run(config, case.rows, now_ms=case.now_ms)
    store = stream(config, streams.batches(rows, seed), now_ms=case.now_ms, seed=seed, **WAYS[way])
    assert differences(expected, store) == []
    assert expected.intervals or expected.events or expected.ledger


@pytest.mark.parametrize("seed", range(100, 108))
def test_revision_horizon_is_decided_row_by_row(seed: int, tmp_path: Path) -> None:
    case = streams.make_case(seed)
    streams.write(case, tmp_path)
    config = tmp_path / "config"
    rows = streams.reordered(case, seed)
    expected = naive.run(config, rows, now_ms=case.now_ms, horizon_h=6.0)
    store = stream(
        config,
        streams.batches(rows, seed),
        now_ms=case.now_ms,
        horizon_ms=6 * 3_600_000,
        snapshot_chance=0.2,
        crash_chance=0.1,
        seed=seed,
    )
    assert differences(expected, store) == []
