"""Checkpoints come back as they were written or not at all, and the ladder keeps the right ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from monitor.errors import JournalError
from monitor.journal.checkpoint import CheckpointLadder, open_checkpoint, write_checkpoint
from tests.journal.made import START_MS

MINUTE_MS = 60_000
KEEP_MS = 198 * 60 * MINUTE_MS


def arrays() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(41)
    return {
        "floats": rng.random((7, 4)),
        "nan": np.array([np.nan, np.inf, -0.0]),
        "ints": rng.integers(-(1 << 62), 1 << 62, 33),
        "flags": rng.random((3, 5)) < 0.5,
        "bytes": rng.integers(-128, 128, 101, np.int8),
        "empty": np.empty((0, 3), np.int32),
        "every other": np.arange(20)[::2],
        "columns first": np.asfortranarray(rng.random((3, 4))),
    }


def assert_same(found: Mapping[str, NDArray[Any]], given: Mapping[str, NDArray[Any]]) -> None:
    for name, array in given.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_comes_back_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "c.mmc"
    meta = {"identity": {"buildings": ["Tòa nhà", "楼"]}, "position": 1 << 60, "none": None}
    write_checkpoint(path, arrays(), meta)
    checkpoint = open_checkpoint(path)
    checkpoint.verify()
    assert checkpoint.meta == meta
    assert_same({name: checkpoint.array(name) for name in arrays()}, arrays())
    for name in arrays():
        array = checkpoint.array(name)
        assert array.flags.aligned
        assert array.size == 0 or (array.ctypes.data % 64 == 0 and not array.flags.writeable)


def test_one_without_arrays(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c.mmc", {}, {})
    checkpoint = open_checkpoint(tmp_path / "c.mmc")
    checkpoint.verify()
    with pytest.raises(JournalError, match="no array x"):
        checkpoint.array("x")


def test_stays_readable_as_it_is_when_its_file_is_replaced_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / "c.mmc"
    write_checkpoint(path, arrays(), {"which": "first"})
    first = open_checkpoint(path)
    write_checkpoint(path, {name: np.zeros(1000) for name in arrays()}, {"which": "a longer header than the first"})
    first.verify()
    assert_same({name: first.array(name) for name in arrays()}, arrays())
    second = open_checkpoint(path)
    path.unlink()
    assert second.array("ints").shape == (1000,)
    second.verify()


def test_any_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c.mmc"
    write_checkpoint(path, {"a": np.arange(8), "b": np.ones(8)}, {"x": 1})
    whole = path.read_bytes()
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 0x04
        path.write_bytes(broken)
        if read_or_error(path) is None:
            continue
        padding = whole.rstrip(b"\0")
        header = whole.index(b"\0" * 8 + b"\x01\0")  # the zeros before the array's first numbers
        assert place >= len(padding) or whole[place] == 0
        assert place < header + 64 or place >= len(padding)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert read_or_error(path) is None


def read_or_error(path: Path) -> dict[str, Any] | None:
    try:
        checkpoint = open_checkpoint(path)
        checkpoint.verify()
    except JournalError as error:
        assert path.name in str(error)
        return None
    assert checkpoint.array("a").tolist() == list(range(8))
    assert checkpoint.array("b").tolist() == [1.0] * 8
    return checkpoint.meta


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ladder = CheckpointLadder(tmp_path, keep_ms=KEEP_MS)
    ladder.write(1, arrays(), {}, START_MS)

    def full(descriptor: int, data: object, offset: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(JournalError, match="No space left") as caught:
            ladder.write(2, arrays(), {}, START_MS)
        assert caught.value.retryable
        with pytest.raises(JournalError, match="No space left"):
            ladder.replace(ladder.oldest(), {}, {})
    assert len(list(tmp_path.iterdir())) == 1
    (rung,) = ladder.rungs()
    assert_same({name: rung.array(name) for name in arrays()}, arrays())


def positions(ladder: CheckpointLadder) -> list[int]:
    return [rung.meta["position"] for rung in ladder.rungs()]


def add(ladder: CheckpointLadder, position: int, now_ms: int) -> None:
    ladder.write(position, {"a": np.array([position])}, {"position": position}, now_ms)


def test_rungs_from_newest_to_oldest(tmp_path: Path) -> None:
    ladder = CheckpointLadder(tmp_path / "new" / "directory", keep_ms=KEEP_MS)
    assert ladder.newest() is None
    with pytest.raises(JournalError, match="no checkpoint"):
        ladder.oldest()
    for position, minute in ((9, 0), (10, 1), (1000, 2), (1000, 3)):
        add(ladder, position, START_MS + minute * MINUTE_MS)
    assert positions(ladder) == [1000, 1000, 10, 9]
    assert [rung.written_ms - START_MS for rung in ladder.rungs()] == [3 * MINUTE_MS, 2 * MINUTE_MS, MINUTE_MS, 0]
    oldest = ladder.oldest()
    assert oldest.meta["position"] == 9
    newest = ladder.newest()
    assert newest is not None
    assert newest.written_ms == START_MS + 3 * MINUTE_MS == ladder.newest_written_ms
    ladder.delete(list(ladder.rungs())[2])
    assert positions(ladder) == [1000, 1000, 9]
    ladder.replace(oldest, {"a": np.array([7])}, {"position": 7})
    assert positions(ladder) == [1000, 1000, 7]


def test_damaged_ones_are_said_and_passed_over(tmp_path: Path) -> None:
    ladder = CheckpointLadder(tmp_path, keep_ms=KEEP_MS)
    for position in range(5):
        add(ladder, position, START_MS + position)
    paths = sorted(tmp_path.iterdir())
    for number, place in ((4, -64), (3, 30), (0, 2)):
        broken = bytearray(paths[number].read_bytes())
        broken[place] ^= 1
        paths[number].write_bytes(broken)
    with capture_logs() as logs:
        newest = ladder.newest()
        assert newest is not None
        assert newest.meta["position"] == 2
        assert ladder.oldest().meta["position"] == 1
        assert positions(ladder) == [2, 1]
    assert len(logs) == 3
    assert all(entry["log_level"] == "error" for entry in logs)
    assert all(path.name in str(logs) for path in (paths[4], paths[3], paths[0]))


def test_leftovers_of_a_killed_write_go(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-1-2.mmc.aside").write_bytes(b"half")
    ladder = CheckpointLadder(tmp_path, keep_ms=KEEP_MS)
    assert list(ladder.rungs()) == []
    assert list(tmp_path.iterdir()) == []


def test_nine_days_of_a_ladder(tmp_path: Path) -> None:
    """One checkpoint every 20 minutes: what is kept at each moment."""
    ladder = CheckpointLadder(tmp_path, keep_ms=KEEP_MS)
    for minute in range(0, 9 * 24 * 60, 20):
        now_ms = START_MS + minute * MINUTE_MS
        add(ladder, minute, now_ms)
        for rung in ladder.superfluous(now_ms):
            ladder.delete(rung)
        ages = [(now_ms - rung.written_ms) // MINUTE_MS for rung in ladder.rungs()]
        # the newest two, the oldest, few between them, and no step back in time too wide
        assert ages[:2] == [0, 20][: len(ages)]
        assert len(ages) <= 14
        assert ages[-1] >= min(minute, KEEP_MS // MINUTE_MS)
        steps = pairwise(age for age in ages[1:] if age <= KEEP_MS // MINUTE_MS)
        assert all(older <= 5 * younger for younger, older in steps)
