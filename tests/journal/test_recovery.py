"""What a crash, a bad disk or a careless hand leaves: a torn tail is cut and said, all else is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from monitor.errors import JournalError
from monitor.journal.frames import FRAME_HEAD_BYTES, SEGMENT_HEAD_BYTES
from monitor.readings import ReadingColumns
from tests.journal.made import Row, ids, open_journal, readings, rows_of, segments, stored, write

DEVICES = ids(4)


def made(path: Path, *, commits: int = 3, segment_max_bytes: int = 1 << 30) -> list[Row]:
    """A closed journal of commits of 5 readings each."""
    rng = np.random.default_rng(7)
    given = [readings(rng, 5, 4) for _ in range(commits)]
    with open_journal(path, DEVICES, segment_max_bytes=segment_max_bytes) as journal:
        write(journal, given)
    return rows_of(ReadingColumns.concat(given), DEVICES)


def frame_ends(path: Path) -> list[int]:
    """Offsets after each frame of a file of equal frames."""
    size = (path.stat().st_size - SEGMENT_HEAD_BYTES) // 3
    return [SEGMENT_HEAD_BYTES + size * number for number in range(4)]


def test_a_torn_tail_is_cut_and_said(tmp_path: Path) -> None:
    expected = made(tmp_path)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    ends = frame_ends(path)
    assert ends[-1] == len(whole)
    near = {end + step for end in ends for step in range(-9, 60)}  # frames' heads and last bytes; of the rest, some
    for size in sorted(near | set(range(SEGMENT_HEAD_BYTES, len(whole), 13))):
        if not SEGMENT_HEAD_BYTES <= size < len(whole):
            continue
        path.write_bytes(whole[:size])
        frames = sum(end <= size for end in ends) - 1
        with capture_logs() as logs, open_journal(tmp_path, DEVICES) as journal:
            assert journal.end == 5 * frames
            assert stored(journal, DEVICES) == dict(enumerate(expected[: 5 * frames]))
        assert path.stat().st_size == ends[frames]
        torn = size - ends[frames]
        assert [entry["log_level"] for entry in logs] == (["warning"] if torn else [])
        assert not torn or (logs[0]["file"], logs[0]["offset"], logs[0]["bytes"]) == (str(path), ends[frames], torn)


def test_goes_on_after_a_cut(tmp_path: Path) -> None:
    expected = made(tmp_path)
    (path,) = segments(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    more = readings(np.random.default_rng(8), 5, 4)
    with open_journal(tmp_path, DEVICES) as journal:
        write(journal, [more])
        assert stored(journal, DEVICES) == dict(enumerate(expected[:10] + rows_of(more, DEVICES)))


@pytest.mark.parametrize("tail", [bytes(5), bytes(4096), b"MMfr" + bytes(500), b"MMfr" * 100, b"x" * 33])
def test_anything_after_the_last_frame_is_a_torn_tail(tmp_path: Path, tail: bytes) -> None:
    made(tmp_path)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    with open_journal(tmp_path, DEVICES) as journal:
        assert journal.end == 15
    assert path.read_bytes() == whole


def test_damage_before_the_last_frame_is_an_error_with_file_and_offset(tmp_path: Path) -> None:
    made(tmp_path)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    ends = frame_ends(path)
    for place in range(SEGMENT_HEAD_BYTES, ends[2], 3):
        broken = bytearray(whole)
        broken[place] ^= 0x10
        path.write_bytes(broken)
        frame = max(end for end in ends if end <= place)
        with pytest.raises(JournalError, match=rf"{path.name}: at byte {frame}: .*a whole frame follows") as caught:
            open_journal(tmp_path, DEVICES)
        assert not caught.value.retryable
        assert path.read_bytes() == bytes(broken)


def test_damage_in_an_older_segment_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    expected = made(tmp_path, segment_max_bytes=100)
    first, second, third = segments(tmp_path)
    whole = second.read_bytes()
    for place in range(0, len(whole), 3):
        broken = bytearray(whole)
        broken[place] ^= 0x10
        second.write_bytes(broken)
        with pytest.raises(JournalError, match=rf"{second.name}: at byte \d+: "):
            read(tmp_path)
    for size in range(0, len(whole), 3):
        second.write_bytes(whole[:size])
        with pytest.raises(JournalError, match=second.name):
            read(tmp_path)
    second.write_bytes(whole)
    assert read(tmp_path) == dict(enumerate(expected))
    assert first.exists()
    assert third.exists()


def read(path: Path) -> dict[int, Row]:
    with open_journal(path, DEVICES) as journal:
        return stored(journal, DEVICES)


def test_a_damaged_frame_is_not_in_the_way_of_others(tmp_path: Path) -> None:
    expected = made(tmp_path, segment_max_bytes=100)
    second = segments(tmp_path)[1]
    broken = bytearray(second.read_bytes())
    broken[-1] ^= 1
    broken[SEGMENT_HEAD_BYTES + FRAME_HEAD_BYTES + 9] ^= 1
    second.write_bytes(broken)
    with open_journal(tmp_path, DEVICES) as journal:
        assert stored(journal, DEVICES, 10) == dict(list(enumerate(expected))[10:])
        assert stored(journal, DEVICES, 0, 5) == dict(list(enumerate(expected))[:5])


def test_a_missing_file_in_the_middle_is_an_error(tmp_path: Path) -> None:
    made(tmp_path, segment_max_bytes=100)
    first, second, _ = segments(tmp_path)
    second.unlink()
    with open_journal(tmp_path, DEVICES) as journal, pytest.raises(JournalError, match=rf"{first.name}.*missing"):
        stored(journal, DEVICES)


def test_a_file_that_goes_away_under_the_monitor_is_an_error(tmp_path: Path) -> None:
    made(tmp_path, segment_max_bytes=100)
    with open_journal(tmp_path, DEVICES) as journal:
        second = segments(tmp_path)[1]
        second.unlink()
        with pytest.raises(JournalError, match=rf"{second.name}: the file was deleted"):
            stored(journal, DEVICES)


def test_a_file_of_another_name_is_an_error(tmp_path: Path) -> None:
    made(tmp_path)
    (path,) = segments(tmp_path)
    path.rename(tmp_path / "journal-00000000000000000007.seg")
    with pytest.raises(JournalError, match="begins at position 0, not where its name says"):
        open_journal(tmp_path, DEVICES)


def test_a_devices_line_torn_at_any_byte_is_cut_and_given_again(tmp_path: Path) -> None:
    names = ["a", "Tòa nhà 1", "line\nbreak", '"quoted"', ""]
    with open_journal(tmp_path, names) as journal:
        write(journal, [ReadingColumns.of([0, 1, 2, 3, 4], [0] * 5, [1] * 5, [1.0] * 5)])
        expected = stored(journal, names)
    path = tmp_path / "devices"
    whole = path.read_bytes()
    assert len(whole.splitlines()) == 5
    last = whole.rindex(b"\n", 0, -1) + 1
    for size in range(last, len(whole)):
        path.write_bytes(whole[:size])
        with capture_logs() as logs, open_journal(tmp_path, names) as journal:
            assert stored(journal, names) == expected
        assert [entry["log_level"] for entry in logs] == (["warning"] if size > last else [])
        assert path.read_bytes() == whole


def test_damage_in_the_devices_file_is_an_error_with_file_and_line(tmp_path: Path) -> None:
    with open_journal(tmp_path, ["aa", "bb", "cc"]):
        pass
    path = tmp_path / "devices"
    lines = path.read_bytes().splitlines(keepends=True)
    for broken in (
        [lines[0], lines[1].replace(b"b", b"d"), lines[2]],
        [lines[0], lines[2]],
        [lines[0], b"\n", lines[2]],
        [lines[0], b"00000000 zz\n", lines[2]],
    ):
        path.write_bytes(b"".join(broken))
        with pytest.raises(JournalError, match=r"devices:2: broken"):
            open_journal(tmp_path, ["aa", "bb", "cc"])


def test_a_devices_file_that_is_too_short_for_the_readings_is_an_error(tmp_path: Path) -> None:
    with open_journal(tmp_path, ["a", "b"]) as journal:
        write(journal, [ReadingColumns.of([1], [0], [1], [1.0])])
    path = tmp_path / "devices"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with open_journal(tmp_path, ["a"]) as journal, pytest.raises(JournalError, match=r"number 1 .*`devices`"):
        stored(journal, ["a"])
