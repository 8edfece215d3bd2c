"""The reference itself: against the vectors, and against figures worked out by hand, section by section."""

from __future__ import annotations

import pytest

from tests.naive import run
from tests.vectors import Vector, differences, list_vectors, parse_ts_ms, read_input, read_results

NOW_MS = parse_ts_ms("2027-01-01T00:00:00Z") or 0


@pytest.mark.parametrize("vector", list_vectors(), ids=str)
def test_vectors(vector: Vector) -> None:
    expected = read_results(vector.expected)
    assert len(expected.intervals) > 200
    found = run(vector.config, read_input(vector.input), now_ms=NOW_MS)
    assert differences(found, expected, with_event_id=False) == []
