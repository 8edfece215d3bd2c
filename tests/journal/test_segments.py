"""What is appended comes back: in order, at its position, under today's rows."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import JournalError
from monitor.journal.lock import DirectoryLock
from monitor.journal.segments import Journal
from monitor.readings import ReadingColumns
from tests.journal.made import START_MS, Clock, Row, ids, open_journal, readings, rows_of, segments, stored, write


def test_comes_back_as_it_was_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    given = [readings(rng, count, 50) for count in (1, 255, 256, 3000, 70_000, 2)]
    with open_journal(tmp_path, ids(50)) as journal:
        write(journal, given)
        expected = rows_of(ReadingColumns.concat(given), ids(50))
        assert journal.end == len(expected)
        assert stored(journal, ids(50)) == dict(enumerate(expected))
    with open_journal(tmp_path, ids(50)) as journal:
        assert journal.end == len(expected)
        assert stored(journal, ids(50)) == dict(enumerate(expected))


def test_every_float_comes_back_to_the_bit(tmp_path: Path) -> None:
    value = np.array([0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, -1e-300])
    with open_journal(tmp_path, ids(1)) as journal:
        write(journal, [ReadingColumns.of([0] * 6, [0] * 6, np.arange(6), value)])
        ((_, columns),) = journal.read(0)
    assert columns.value.tobytes() == value.tobytes()


def test_only_what_is_committed_is_seen(tmp_path: Path) -> None:
    with open_journal(tmp_path, ids(3)) as journal:
        journal.append(ReadingColumns.of([0, 1], [0, 0], [1, 2], [1.0, 2.0]))
        journal.append(ReadingColumns.empty())
        assert (journal.end, journal.buffered, stored(journal, ids(3))) == (0, 2, {})
        assert journal.commit() == 2
        assert journal.commit() == 2
        assert (journal.end, journal.buffered, len(stored(journal, ids(3)))) == (2, 0, 2)
    with open_journal(tmp_path, ids(3)) as journal:
        journal.append(ReadingColumns.of([0], [0], [1], [1.0]))
    with open_journal(tmp_path, ids(3)) as journal:
        assert journal.end == 2


def test_any_stretch_can_be_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    given = [readings(rng, 10, 5) for _ in range(6)]
    expected = rows_of(ReadingColumns.concat(given), ids(5))
    with open_journal(tmp_path, ids(5), segment_max_bytes=1000) as journal:
        write(journal, given)
        assert len(segments(tmp_path)) > 2
        for start in range(61):
            for stop in (start, start + 1, start + 13, 60, 99, None):
                found = stored(journal, ids(5), start, stop)
                assert found == dict(list(enumerate(expected))[start:stop])


def test_only_the_devices_asked_for(tmp_path: Path) -> None:
    columns = readings(np.random.default_rng(3), 5000, 40)
    wanted = np.arange(40) % 7 == 3
    with open_journal(tmp_path, ids(40)) as journal:
        write(journal, [columns])
        found = [row for _, part in journal.read(0, devices=wanted) for row in rows_of(part, ids(40))]
        assert found == rows_of(columns.take(wanted[columns.device]), ids(40))
        assert list(journal.read(0, devices=np.zeros(40, np.bool_))) == []
        journal.set_devices([])
        assert list(journal.read(0, devices=np.zeros(0, np.bool_))) == []


def test_rows_are_those_of_the_registry_in_force(tmp_path: Path) -> None:
    with open_journal(tmp_path, ["a", "b", "c"]) as journal:
        write(journal, [ReadingColumns.of([0, 1, 2], [0, 0, 0], [1, 2, 3], [1.0, 2.0, 3.0])])
        journal.set_devices(["c", "new", "a"])
        write(journal, [ReadingColumns.of([0, 1, 2], [0, 0, 0], [4, 5, 6], [4.0, 5.0, 6.0])])
        after = {0: Row("a", 0, 1, 1.0), 2: Row("c", 0, 3, 3.0), 3: Row("c", 0, 4, 4.0), 4: Row("new", 0, 5, 5.0)}
        after[5] = Row("a", 0, 6, 6.0)
        assert stored(journal, ["c", "new", "a"]) == after
    with open_journal(tmp_path, ["b", "a"]) as journal:
        assert stored(journal, ["b", "a"]) == {
            0: Row("a", 0, 1, 1.0),
            1: Row("b", 0, 2, 2.0),
            5: Row("a", 0, 6, 6.0),
        }


def test_a_reading_that_began_before_a_reload_keeps_its_rows(tmp_path: Path) -> None:
    with open_journal(tmp_path, ["a", "b"]) as journal:
        write(journal, [ReadingColumns.of([0, 1], [0, 0], [1, 2], [1.0, 2.0])])
        reading = journal.read(0)
        journal.set_devices(["b"])
        ((_, columns),) = reading
        assert columns.device.tolist() == [0, 1]


def test_what_is_buffered_outlives_a_reload(tmp_path: Path) -> None:
    with open_journal(tmp_path, ["a", "b"]) as journal:
        journal.append(ReadingColumns.of([1], [0], [1], [1.0]))
        journal.set_devices(["b", "a"])
        journal.commit()
        assert stored(journal, ["b", "a"]) == {0: Row("b", 0, 1, 1.0)}


def test_rows_of_no_device_are_refused(tmp_path: Path) -> None:
    with open_journal(tmp_path, ids(2)) as journal:
        for row in (-1, 2):
            with pytest.raises(ValueError, match=r"not in 0\.\.1"):
                journal.append(ReadingColumns.of([row], [0], [1], [1.0]))


def test_segments_follow_each_other_by_size_and_by_age(tmp_path: Path) -> None:
    clock = Clock()
    columns = readings(np.random.default_rng(4), 100, 5)
    with open_journal(tmp_path, ids(5), segment_max_bytes=10_000, now=clock) as journal:
        write(journal, [columns] * 20)
        by_size = len(segments(tmp_path))
        assert 2 < by_size < 20
        assert sum(path.stat().st_size for path in segments(tmp_path)) == journal.size_bytes
        clock.ms += 3_599_999
        write(journal, [columns])
        assert len(segments(tmp_path)) - by_size <= 1
        before = len(segments(tmp_path))
        clock.ms += 3_600_000
        write(journal, [columns])
        assert len(segments(tmp_path)) == before + 1
    clock.ms += 3_600_000
    with open_journal(tmp_path, ids(5), segment_max_bytes=10_000, now=clock) as journal:
        write(journal, [columns])
        assert len(segments(tmp_path)) == before + 2
        assert len(stored(journal, ids(5))) == journal.end == 2300


def test_a_journal_may_begin_anywhere(tmp_path: Path) -> None:
    def open_at(position: int) -> Journal:
        return Journal.open(tmp_path, device_ids=["a"], segment_max_bytes=1000, now=Clock(), first_position=position)

    with open_at(1000) as journal:
        assert (journal.first, journal.end) == (1000, 1000)
        write(journal, [ReadingColumns.of([0], [0], [1], [1.0])])
        assert stored(journal, ["a"], 1000) == {1000: Row("a", 0, 1, 1.0)}
    with open_at(5) as journal:
        assert (journal.first, journal.end) == (1000, 1001)


def test_is_read_while_it_is_written(tmp_path: Path) -> None:
    """A reader sees whole commits, each a beginning of the next, whatever the writer is doing."""
    rng = np.random.default_rng(5)
    given = [readings(rng, 200, 9, first=200 * number) for number in range(150)]
    ends: list[int] = []
    errors: list[BaseException] = []
    with open_journal(tmp_path, ids(9), segment_max_bytes=20_000) as journal:
        done = threading.Event()

        def read() -> None:
            try:
                while not done.is_set():
                    values = [value for _, part in journal.read(0) for value in part.value.tolist()]
                    assert values == list(range(len(values)))
                    ends.append(len(values))
            except BaseException as error:  # noqa: BLE001  # handed to the test's thread, which raises it
                errors.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        write(journal, given)
        done.set()
        reader.join()
        assert not errors
        assert all(end % 200 == 0 for end in ends)
        assert all(before <= after for before, after in pairwise(ends))
        assert len(stored(journal, ids(9))) == 30_000


def test_two_monitors_cannot_share_a_directory(tmp_path: Path) -> None:
    with open_journal(tmp_path, ids(1)):
        with pytest.raises(JournalError, match=r"in use by another monitor \(process \d+\).*state_dir") as caught:
            open_journal(tmp_path, ids(1))
        assert not caught.value.retryable
    with open_journal(tmp_path, ids(1)), DirectoryLock(tmp_path / "elsewhere"):
        pass


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match="file"):
        open_journal(tmp_path / "file" / "journal", ids(1))


def test_an_error_while_opening_lets_go_of_the_lock(tmp_path: Path) -> None:
    with open_journal(tmp_path, ids(1)) as journal:
        write(journal, [ReadingColumns.of([0], [0], [START_MS], [1.0])])
    (path,) = segments(tmp_path)
    content = path.read_bytes()
    path.write_bytes(b"something else altogether that is longer than a head")
    for _ in range(2):
        with pytest.raises(JournalError, match="no journal segment of this version"):
            open_journal(tmp_path, ids(1))
    path.write_bytes(content)
    with open_journal(tmp_path, ids(1)) as journal:
        assert journal.end == 1
