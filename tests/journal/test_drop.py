"""What is needed stays, at its position; what is not goes."""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from monitor.errors import JournalError
from monitor.journal.frames import SEGMENT_HEAD_BYTES
from monitor.journal.segment_file import Segment
from monitor.readings import ReadingColumns
from tests.journal.made import Row, ids, open_journal, readings, rows_of, segments, stored, write

NEVER = 1 << 62


def made(path: Path, *, commits: int, rows: int, devices: int = 4, segment_max_bytes: int = 1) -> dict[int, Row]:
    rng = np.random.default_rng(31)
    batches = [readings(rng, rows, devices) for _ in range(commits)]
    with open_journal(path, ids(devices), segment_max_bytes=segment_max_bytes) as journal:
        write(journal, batches)
    return dict(enumerate(rows_of(ReadingColumns.concat(batches), ids(devices))))


def positions(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_whole_segments_go_when_nobody_needs_them(tmp_path: Path) -> None:
    expected = made(tmp_path, commits=6, rows=10)
    with open_journal(tmp_path, ids(4)) as journal:
        assert (journal.first, len(segments(tmp_path))) == (0, 6)
        assert journal.drop(positions(0, 0, 0, 0)) == 0
        assert stored(journal, ids(4)) == expected
        before = journal.size_bytes
        assert journal.drop(positions(20, 29, 25, 21)) == 2
        assert (journal.first, len(segments(tmp_path))) == (20, 4)
        assert journal.size_bytes < before
        assert stored(journal, ids(4), 20) == {place: row for place, row in expected.items() if place >= 20}
        # The one that is being written stays, and with it the position.
        assert journal.drop(positions(NEVER, NEVER, NEVER, NEVER)) == 3
        assert (journal.first, journal.end, len(segments(tmp_path))) == (50, 60, 1)
    with open_journal(tmp_path, ids(4)) as journal:
        assert (journal.first, journal.end) == (50, 60)


def test_one_needed_reading_keeps_its_segment_and_nothing_else(tmp_path: Path) -> None:
    """A device that reported once, long ago, does not hold what others have said since."""
    batches = [ReadingColumns.of([0] * 9 + [3], [0] * 10, [1] * 10, [1.0] * 10)]
    batches += [ReadingColumns.of([0, 1, 2] * 3, [0] * 9, [1] * 9, [1.0] * 9)] * 4
    with open_journal(tmp_path, ids(4), segment_max_bytes=1) as journal:
        write(journal, batches)
        assert journal.drop(positions(46, 46, 46, 0)) == 3
        assert stored(journal, ids(4), 0, 37) == {9: Row("d3", 0, 1, 1.0)}
        assert len(stored(journal, ids(4), 37)) == 9
        assert [path.stat().st_size == SEGMENT_HEAD_BYTES for path in segments(tmp_path)] == [
            False,
            True,
            True,
            True,
            False,
        ]
        assert journal.drop(positions(46, 46, 46, 0)) == 0
    with open_journal(tmp_path, ids(4)) as journal:
        assert stored(journal, ids(4), 0, 20) == {9: Row("d3", 0, 1, 1.0)}
        assert journal.drop(positions(46, 46, 46, 10)) == 1
        assert (journal.first, len(segments(tmp_path))) == (37, 1)


def test_devices_that_are_no_longer_registered_are_not_needed(tmp_path: Path) -> None:
    made(tmp_path, commits=4, rows=10)
    with open_journal(tmp_path, ["another"]) as journal:
        assert journal.drop(positions(0)) == 3
        assert (journal.first, journal.end) == (30, 40)


def test_small_frames_become_large_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(32)
    batches = [readings(rng, 3, 5) for _ in range(400)]
    expected = dict(enumerate(rows_of(ReadingColumns.concat(batches), ids(5))))
    with open_journal(tmp_path, ids(5), segment_max_bytes=130_000) as journal:
        write(journal, batches)
        old, active = segments(tmp_path)
        before = old.stat().st_size
        assert journal.drop(np.zeros(5, np.int64)) == 0
        assert old.stat().st_size < before / 10
        assert journal.size_bytes == old.stat().st_size + active.stat().st_size
        assert stored(journal, ids(5)) == expected
        rewritten = old.stat()
        assert journal.drop(np.zeros(5, np.int64)) == 0
        assert old.stat().st_ino == rewritten.st_ino
    with open_journal(tmp_path, ids(5)) as journal:
        assert stored(journal, ids(5), 100, 1150) == {n: row for n, row in expected.items() if 100 <= n < 1150}
        journal.drop(np.zeros(5, np.int64))
        assert old.stat().st_ino == rewritten.st_ino


def test_a_reading_that_is_under_way_goes_on_over_what_is_rewritten_and_deleted(tmp_path: Path) -> None:
    made(tmp_path, commits=6, rows=70_000, segment_max_bytes=1)
    with open_journal(tmp_path, ids(4)) as journal:
        chunks = journal.chunks(0)
        first = next(chunks)
        assert (first.start, first.end) == (0, 70_000)
        # Row 3 alone still needs the second and third segment; the fourth goes.
        journal.drop(positions(280_000, 280_000, 280_000, 80_000))
        rest = np.concatenate([chunk.position for chunk in chunks])
        assert rest[-1] == 419_999
        assert np.array_equal(rest[rest >= 280_000], np.arange(280_000, 420_000))


def test_a_disk_that_is_full_while_dropping_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = made(tmp_path, commits=4, rows=100)
    device = [row.device for row in expected.values()]
    with open_journal(tmp_path, ids(4)) as journal:

        def full(descriptor: int, data: object, offset: int) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(JournalError, match="No space left") as caught:
                journal.drop(positions(300, 300, 300, 90))
        assert caught.value.retryable
        needed = {place for place in expected if place >= 300 or (place >= 90 and device[place] == "d3")}
        found = stored(journal, ids(4))
        assert needed <= found.keys()
        assert found.items() <= expected.items()
        assert not list(tmp_path.glob("*.aside"))
        journal.drop(positions(300, 300, 300, 90))
        assert needed <= stored(journal, ids(4)).keys()


def test_damage_stops_dropping_before_anything_else_is_lost(tmp_path: Path) -> None:
    made(tmp_path, commits=4, rows=100)
    second = segments(tmp_path)[1]
    broken = bytearray(second.read_bytes())
    broken[-1] ^= 1
    second.write_bytes(broken)
    with open_journal(tmp_path, ids(4)) as journal:
        with pytest.raises(JournalError, match=second.name):
            journal.drop(positions(300, 300, 300, 190))
        assert second.read_bytes() == bytes(broken)


def test_needed_from_is_held_to_the_registry(tmp_path: Path) -> None:
    with open_journal(tmp_path, ids(3)) as journal, pytest.raises(ValueError, match="2 rows, the registry 3"):
        journal.drop(positions(1, 2))


def test_a_segment_is_not_read_again_for_the_same_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, commits=5, rows=100)
    reads = []
    walk = Segment._walk

    def noted(self: Segment, *arguments: object) -> object:
        reads.append(self.path)
        return walk(self, *arguments)  # type: ignore[arg-type]  # handed on as it came

    with open_journal(tmp_path, ids(4)) as journal:
        journal.drop(positions(0, 0, 0, 190))
        monkeypatch.setattr(Segment, "_walk", noted)
        journal.drop(positions(0, 0, 0, 190))
        assert reads == []


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[str, list[int]]]:
    """Commits (devices of their readings), drops (a position for each device), registries and restarts."""
    device = st.integers(0, 5)
    commit = st.tuples(st.just("commit"), st.lists(device, min_size=1, max_size=30))
    drop = st.tuples(st.just("drop"), st.lists(st.integers(0, 200), min_size=6, max_size=6))
    registry = st.tuples(st.just("registry"), st.lists(device, unique=True))
    nothing: st.SearchStrategy[list[int]] = st.just([])
    restart = st.tuples(st.just("restart"), nothing)
    return draw(st.lists(st.one_of(commit, commit, commit, drop, registry, restart), min_size=1, max_size=25))


@seed(33)
@settings(max_examples=150, deadline=None, database=None)
@given(stories(), st.integers(1, 2000))
def test_whatever_happens_what_is_needed_is_there_and_nothing_is_invented(
    story: list[tuple[str, list[int]]], segment_max_bytes: int
) -> None:
    """Against a plain list of all readings, and a plain set of those that nobody needs any more."""
    names = ids(6)
    rows: list[Row] = []
    may_be_gone: set[int] = set()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        journal = open_journal(path, names, segment_max_bytes=segment_max_bytes)
        for step, numbers in story:
            if step == "commit":
                known = [number % len(names) for number in numbers if names]
                columns = ReadingColumns.of(known, [0] * len(known), [0] * len(known), [0.5] * len(known))
                journal.append(columns)
                rows += rows_of(columns, names)
                assert journal.commit() == len(rows)
            elif step == "drop":
                needed = dict(zip(names, numbers, strict=False))
                journal.drop(np.array(list(needed.values()), np.int64))
                may_be_gone |= {place for place, row in enumerate(rows) if place < needed.get(row.device, NEVER)}
                firsts = [int(file.stem.split("-")[1]) for file in segments(path)]
                for first, end in pairwise(firsts):
                    if set(range(first, end)) <= may_be_gone and first == firsts[0]:
                        left = {place for place in range(first, end) if place >= needed.get(rows[place].device, NEVER)}
                        assert left, "an oldest segment of which nothing is needed was kept"
            elif step == "registry":
                names = [f"d{number}" for number in numbers]
                journal.set_devices(names)
            else:
                journal.close()
                journal = open_journal(path, names, segment_max_bytes=segment_max_bytes)
            found = stored(journal, names, journal.first)
            expected = {place: row for place, row in enumerate(rows) if row.device in names}
            assert found.items() <= expected.items()
            assert expected.keys() - found.keys() <= may_be_gone
        journal.close()
