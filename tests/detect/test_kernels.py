"""The kernels as plain Python give what they give compiled, to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from monitor.cli import main
from monitor.detect.kernels.common import greater, last_at_or_before, mix
from monitor.detect.kernels.sorting import sort_by_device
from tests.vectors import Vector, list_vectors


@pytest.mark.parametrize("vector", list_vectors()[::3], ids=lambda vector: vector.name)
def test_without_the_compiler_the_same_bytes(vector: Vector, tmp_path: Path) -> None:
    config, source = str(vector.config), str(vector.input)
    arguments = ["replay", "--config", config, "--input", source, "--no-horizon", "--batch", "400", "--out"]
    subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "monitor", *arguments, str(tmp_path / "plain")],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        check=True,
        capture_output=True,
    )
    assert main([*arguments, str(tmp_path / "compiled")]) == 0
    for name in ("intervals.csv", "events.csv", "ledger.csv"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "compiled" / name).read_bytes()


@seed(1)
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), st.integers(1, 7))
def test_sorting_is_by_device_then_time_and_keeps_the_order_of_arrival(n: int, devices: int) -> None:
    draw = np.random.default_rng(n * 100 + devices)
    device = draw.integers(0, devices, n).astype(np.int32)
    ts_ms = draw.integers(0, 10, n).astype(np.int64)
    quantity = draw.integers(0, 6, n).astype(np.int8)
    value = np.arange(n, dtype=np.float64)
    offsets = np.zeros(devices + 1, np.int64)
    out = np.empty(n, np.int8), np.empty(n, np.int64), np.empty(n, np.float64)
    sort_by_device(device, quantity, ts_ms, value, offsets, *out)
    order = np.lexsort((np.arange(n), ts_ms, device))
    assert out[2].tolist() == value[order].tolist()
    assert out[1].tolist() == ts_ms[order].tolist()
    assert offsets.tolist() == [int((device < d).sum()) for d in range(devices + 1)]


@seed(2)
@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(np.int64, st.integers(1, 20), elements=st.integers(-50, 50), unique=True),
    st.integers(-60, 60),
)
def test_search_finds_the_segment(starts: np.ndarray[tuple[int], np.dtype[np.int64]], ts: int) -> None:
    starts.sort()
    found = last_at_or_before(starts, 0, len(starts), ts)
    assert found == max([0, *np.flatnonzero(starts <= ts).tolist()])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(1.0, 1.0, False), (1.0 + 1e-10, 1.0, False), (1.0 + 3e-9, 1.0, True), (2e9, 2e9 - 1.0, False), (5e-9, 0.0, True)],
)
def test_rounding_decides_nothing(a: float, b: float, expected: bool) -> None:
    assert greater(a, b) is expected
    assert not greater(b, a)


def test_hash_is_the_same_compiled_and_plain() -> None:
    plain = getattr(mix, "py_func")  # noqa: B009  # numba's attribute
    for value in (0, 1, -1, 1 << 62, -(1 << 62), 123456789):
        assert mix(7, value) == plain(7, value)
        assert mix(7, value) != mix(8, value)
