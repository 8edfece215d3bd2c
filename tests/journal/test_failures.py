"""A disk that is full or fails: nothing is lost, nothing is half there, and the next try succeeds."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import JournalError
from monitor.readings import ReadingColumns
from tests.journal.made import ids, open_journal, readings, rows_of, segments, stored, write

DEVICES = ids(6)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("step", ["pwrite", "fdatasync"])
@pytest.mark.parametrize("can_truncate", [True, False])
def test_a_failed_commit_leaves_the_file_as_it_was_and_the_readings_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, step: str, can_truncate: bool
) -> None:
    rng = np.random.default_rng(11)
    given = [readings(rng, 500, 6) for _ in range(3)]
    pwrite = os.pwrite

    def fail(descriptor: int, *arguments: object) -> int:
        if step == "pwrite":
            pwrite(descriptor, b"half of a frame", journal.size_bytes)
        raise OSError(code, os.strerror(code))

    def fail_truncate(descriptor: int, size: int) -> None:
        raise OSError(code, os.strerror(code))

    with open_journal(tmp_path, DEVICES) as journal:
        write(journal, given[:1])
        (path,) = segments(tmp_path)
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            if not can_truncate:
                patch.setattr(os, "ftruncate", fail_truncate)
            for columns in given[1:]:
                journal.append(columns)
                with pytest.raises(JournalError, match=rf"{path.name}: \d+ readings cannot be written") as caught:
                    journal.commit()
                assert caught.value.retryable
                assert (journal.end, len(stored(journal, DEVICES))) == (500, 500)
            assert journal.buffered == 1000
        assert (path.read_bytes() == before) == can_truncate
        assert path.read_bytes().startswith(before)
        assert journal.commit() == 1500
        assert journal.buffered == 0
        expected = dict(enumerate(rows_of(ReadingColumns.concat(given), DEVICES)))
        assert stored(journal, DEVICES) == expected
    with open_journal(tmp_path, DEVICES) as journal:
        assert stored(journal, DEVICES) == expected


def test_a_segment_that_cannot_be_begun_is_begun_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(12)
    given = [readings(rng, 50, 6) for _ in range(2)]
    with open_journal(tmp_path, DEVICES, segment_max_bytes=100) as journal:
        write(journal, given[:1])
        journal.append(given[1])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
            with pytest.raises(JournalError, match="full"):
                journal.commit()
        assert len(segments(tmp_path)) == 1
        assert journal.commit() == 100
        assert len(segments(tmp_path)) == 2
        assert stored(journal, DEVICES) == dict(enumerate(rows_of(ReadingColumns.concat(given), DEVICES)))


def test_refuses_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = readings(np.random.default_rng(13), 10, 6)
    with open_journal(tmp_path, DEVICES, min_free_bytes=1 << 62) as journal:
        journal.append(columns)
        with pytest.raises(JournalError, match=r"disk nearly full: \d+ MB free") as caught:
            journal.commit()
        assert caught.value.retryable
        assert (journal.end, journal.buffered) == (0, 10)
        assert 0 < journal.free_bytes() < 1 << 62
        monkeypatch.setattr(type(journal), "free_bytes", lambda self: 1 << 62)
        assert journal.commit() == 10


def test_devices_that_cannot_be_written_down_leave_the_old_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_journal(tmp_path, ["a"]) as journal:
        before = (tmp_path / "devices").read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
            with pytest.raises(JournalError, match="1 new devices cannot be written: full") as caught:
                journal.set_devices(["b", "a"])
        assert caught.value.retryable
        write(journal, [ReadingColumns.of([0], [0], [1], [1.0])])
        journal.set_devices(["c", "a", "b"])
        assert [row.device for row in stored(journal, ["c", "a", "b"]).values()] == ["a"]
    assert (tmp_path / "devices").read_bytes().startswith(before)
    assert [line.split()[1] for line in (tmp_path / "devices").read_text().splitlines()] == ['"a"', '"c"', '"b"']


_LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from monitor.errors import JournalError
from tests.journal.made import ids, open_journal, readings

rng = np.random.default_rng(14)
with open_journal(Path(sys.argv[1]), ids(6)) as journal:
    failures = 0
    for number in range(40):
        if number == 20:
            resource.setrlimit(resource.RLIMIT_FSIZE, (journal.size_bytes + 1000, resource.RLIM_INFINITY))
        if number == 30:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        journal.append(readings(rng, 100, 6, first=100 * number))
        try:
            journal.commit()
        except JournalError as error:
            assert error.retryable
            failures += 1
    print(failures, journal.end, journal.buffered)
"""


def test_the_systems_own_refusal_in_the_middle_of_a_write(tmp_path: Path) -> None:
    """The system takes a part of the frame and refuses the rest, as a full disk does."""
    command = [sys.executable, "-c", _LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.split() == ["10", "4000", "0"]
    with open_journal(tmp_path, DEVICES) as journal:
        assert [row.value for row in stored(journal, DEVICES).values()] == list(range(4000))
