"""One segment file: its name, reading it, recovering it, writing it anew with fewer rows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from monitor.errors import JournalError
from monitor.journal.atomic import write_atomic
from monitor.journal.frames import (
    FRAME_HEAD_BYTES,
    MAGIC,
    SEGMENT_HEAD_BYTES,
    FrameError,
    FrameHead,
    SegmentHead,
    StoredRows,
    check_frame,
    decode_frame,
    encode_frame,
)

__all__ = ["Recovered", "Segment", "broken", "create", "read_head", "recover", "rewrite", "segment_paths"]

_NAME = re.compile(r"journal-([0-9]{20})\.seg")
_FRAME_ROWS = 65_536
"""Rows of a frame in a rewritten segment: few enough for a processor's cache, many enough to be read at full speed."""
_READ_AHEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a file that is on the disk and does not change any more, except that the file may be replaced by a
    rewritten one with the same rows or fewer."""

    path: Path
    first: int
    end: int
    """Positions first to end are this segment's, whether their rows are still there or not."""
    size: int
    """Bytes."""

    @property
    def is_husk(self) -> bool:
        """Nothing is left of it but its head, which holds its place between segments of which more is left."""
        return self.size <= SEGMENT_HEAD_BYTES

    def heads(self) -> Iterator[FrameHead]:
        """The frames' heads alone. Raises JournalError; FileNotFoundError if the file is gone."""
        for head, _, _ in self._walk(lambda head: False):
            yield head

    def rows(self, start: int, stop: int) -> Iterator[tuple[FrameHead, StoredRows]]:
        """Rows at positions start to stop, frame by frame, in order, each as `decode_frame` gives them.

        Raises JournalError naming file and offset where the file is not what was written; FileNotFoundError if the
        file is gone.
        """
        for head, offset, body in self._walk(lambda head: head.end > start and head.first < stop):
            if not body:
                continue
            try:
                rows = decode_frame(head, body)
            except FrameError as error:
                raise broken(self.path, offset, str(error)) from error
            if head.first < start or head.end > stop:
                cut = slice(*np.searchsorted(rows.position, (start, stop)).tolist())
                rows = rows.take(cut)
            yield head, rows

    def _walk(self, is_wanted: Callable[[FrameHead], bool]) -> Iterator[tuple[FrameHead, int, bytes]]:
        """Heads, their offsets, and the bodies of those that are wanted, which are checked; others come empty."""
        offset = 0
        try:
            with self.path.open("rb", buffering=_READ_AHEAD_BYTES) as file:
                about = SegmentHead.parse(file.read(SEGMENT_HEAD_BYTES))
                # A rewritten file that took the place of this one in the meantime has a size of its own.
                size = self.size if about.end < 0 else file.seek(0, os.SEEK_END)
                offset = file.seek(SEGMENT_HEAD_BYTES)
                position, count = self.first, 0
                while offset < size:
                    raw = file.read(FRAME_HEAD_BYTES)
                    head = FrameHead.parse(raw)
                    _expect(
                        head.first >= position if about.is_rewritten else head.first == position,
                        f"the frame begins at position {head.first}, the one before it ended at {position}",
                    )
                    body = b""
                    if is_wanted(head):
                        body = file.read(head.length)
                        check_frame(head, raw, body)
                    else:
                        file.seek(head.length, os.SEEK_CUR)
                    yield head, offset, body
                    position = head.end
                    count += head.rows
                    offset += FRAME_HEAD_BYTES + head.length
                _expect(
                    offset == size and (count == about.rows if about.is_rewritten else position == self.end),
                    f"the file ends with {count} rows at position {position}: frames are missing",
                )
        except FrameError as error:
            raise broken(self.path, offset, str(error)) from error
        except FileNotFoundError:
            raise
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be read at byte {offset}: {error.strerror}") from error


def _expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise FrameError(otherwise)


def broken(path: Path, offset: int, found: str) -> JournalError:
    return JournalError(
        f"{path}: at byte {offset}: {found}; restore this file from a backup; without one move the folders journal "
        "and checkpoints away together: results stay, the readings in them are lost to revisions"
    )


def segment_paths(directory: Path) -> list[tuple[int, Path]]:
    """First positions and files, ascending."""
    found = []
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is not None:
            found.append((int(match[1]), path))
    return sorted(found)


def create(directory: Path, first: int) -> Path:
    """A new, empty segment. Raises OSError."""
    path = directory / f"journal-{first:020d}.seg"
    write_atomic(path, [SegmentHead(first).pack()])
    return path


def read_head(path: Path, first: int) -> SegmentHead:
    """Raises JournalError."""
    try:
        with path.open("rb") as file:
            head = SegmentHead.parse(file.read(SEGMENT_HEAD_BYTES))
        _expect(head.first == first, f"begins at position {head.first}, not where its name says")
    except FrameError as error:
        raise broken(path, 0, str(error)) from error
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}") from error
    return head


@dataclass(frozen=True, slots=True)
class Recovered:
    """What stands in the segment that was being written when the monitor ended."""

    end: int
    size: int
    """Bytes up to the end of the last whole frame."""
    torn_bytes: int
    """Bytes after that, which belong to no whole frame."""
    frames: int
    received_ms: int | None
    """When its first frame was committed; None: it has none."""


def recover(path: Path, first: int) -> Recovered:
    """Check every frame. What does not end in a whole frame was never committed, and is for the caller to cut.

    Raises JournalError if a whole frame follows after a broken one: that is no torn tail, but damage to what was
    committed.
    """
    with path.open("rb", buffering=_READ_AHEAD_BYTES) as file:
        size = file.seek(0, os.SEEK_END)
        offset, end, frames, received_ms = file.seek(SEGMENT_HEAD_BYTES), first, 0, None
        while offset < size:
            try:
                head = _whole_frame(file, offset)
            except FrameError as error:
                follows = _frame_after(file, offset)
                if follows is not None:
                    raise broken(path, offset, f"{error}, and a whole frame follows at byte {follows}") from error
                break
            if head.first != end:
                raise broken(path, offset, f"the frame begins at position {head.first}, expected {end}")
            received_ms = head.received_ms if received_ms is None else received_ms
            end = head.end
            frames += 1
            offset += FRAME_HEAD_BYTES + head.length
    return Recovered(end, offset, size - offset, frames, received_ms)


def _whole_frame(file: BinaryIO, offset: int) -> FrameHead:
    file.seek(offset)
    raw = file.read(FRAME_HEAD_BYTES)
    head = FrameHead.parse(raw)
    check_frame(head, raw, file.read(head.length))
    return head


def _frame_after(file: BinaryIO, offset: int) -> int | None:
    """The offset of the first whole frame after this one."""
    file.seek(offset)
    rest = file.read()
    found = rest.find(MAGIC, 1)
    while found >= 0:
        try:
            _whole_frame(file, offset + found)
        except FrameError:
            found = rest.find(MAGIC, found + 1)
        else:
            return offset + found
    return None


def rewrite(segment: Segment, keep: Callable[[StoredRows], NDArray[np.bool_]], rows: int) -> Segment:
    """Put a file in the place of this one that holds only the rows that `keep` selects, at their positions, in few
    large frames. `rows`: how many those are.

    Raises JournalError as `Segment.rows`, OSError if it cannot be written.
    """

    def parts() -> Iterator[bytes]:
        yield SegmentHead(segment.first, segment.end, rows).pack()
        if not rows:
            return
        waiting: list[StoredRows] = []
        count, received_ms = 0, 0
        for head, stored in segment.rows(segment.first, segment.end):
            kept = stored.take(keep(stored))
            if not len(kept.uid):
                continue
            received_ms = received_ms if waiting else head.received_ms
            waiting.append(kept)
            count += len(kept.uid)
            if count >= _FRAME_ROWS:
                yield _join(waiting, received_ms)
                waiting, count = [], 0
        if waiting:
            yield _join(waiting, received_ms)

    size = write_atomic(segment.path, parts())
    return Segment(segment.path, segment.first, segment.end, size)


def _join(parts: list[StoredRows], received_ms: int) -> bytes:
    rows = StoredRows.concat(parts)
    return encode_frame(rows, end=int(rows.position[-1]) + 1, received_ms=received_ms)
