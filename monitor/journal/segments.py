"""The journal: every accepted reading in order of arrival, safe on the disk before it is acknowledged.

A reading's position is its number over the life of the journal. Readings are kept in segment files; whole segments,
and rows of segments that hold little that is still needed, are dropped when nobody needs them any more.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import structlog
from numpy.typing import NDArray

from monitor.errors import JournalError
from monitor.journal import segment_file
from monitor.journal.atomic import fsync_directory, remove_leftovers, write_all
from monitor.journal.devices import DeviceNumbers
from monitor.journal.dropping import Dropper
from monitor.journal.frames import SEGMENT_HEAD_BYTES, StoredRows, encode_frame
from monitor.journal.lock import DirectoryLock
from monitor.journal.segment_file import Segment
from monitor.readings import ReadingColumns

__all__ = ["Journal", "JournalChunk"]

_CHUNK_ROWS = 65_536
"""Small frames are joined up to this many rows when read, so that a reader's cost for each chunk stays small."""
_SEGMENT_MAX_AGE_MS = 3_600_000
"""A segment goes as a whole once its last row is old enough: at a low rate size alone would hold it for weeks."""
_NOT_NEEDED = 1 << 62
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JournalChunk:
    """Readings as they were appended, of the devices asked for."""

    start: int
    end: int
    """Positions start to end were looked at; the next chunk begins here."""
    position: NDArray[np.int64]
    """int64[n]: each row's position, ascending."""
    columns: ReadingColumns
    """n rows, fresh arrays; `device` are rows of the registry that was current when the reading began."""


class Journal:
    """One writer (`append`, `commit`, `set_devices`) and readers in other threads; `drop` in any one thread."""

    def __init__(
        self,
        path: Path,
        lock: DirectoryLock,
        numbers: DeviceNumbers,
        *,
        segment_max_bytes: int,
        min_free_bytes: int,
        now: Callable[[], int],
    ) -> None:
        """Use `open`."""
        self._path = path
        self._directory_lock = lock
        self._numbers = numbers
        self._segment_max_bytes = segment_max_bytes
        self._min_free_bytes = min_free_bytes
        self._now = now
        self._dropper = Dropper()
        self._lock = threading.Lock()  # held for moments, never during input or output
        self._writing = threading.Lock()
        self._buffered: list[StoredRows] = []
        self._buffered_rows = 0
        self._uid_of_row: NDArray[np.int32] = np.empty(0, np.int32)
        self._row_of_uid: NDArray[np.int32] = np.empty(0, np.int32)
        self._sealed: list[Segment] = []
        self._active = Segment(path, 0, 0, 0)
        self._active_since_ms: int | None = None
        self._descriptor = -1
        self._is_dirty = False
        """A failed write may have left bytes after the last good frame."""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        device_ids: Sequence[str],
        segment_max_bytes: int,
        now: Callable[[], int],
        min_free_bytes: int = 0,
        first_position: int = 0,
    ) -> Journal:
        """Open or create the journal in the directory `path`, which it locks, and recover it after a crash.

        device_ids: the id of each registry row. segment_max_bytes: a segment that has reached it is followed by the
        next. now: UTC ms. min_free_bytes: with less free disk `commit` refuses. first_position: where a journal that
        is still empty begins.

        Raises JournalError, not retryable: another monitor uses the directory; a file cannot be read; what was
        committed is damaged (file and offset are named).
        """
        lock = DirectoryLock(path)
        try:
            numbers = DeviceNumbers(path / "devices")
            journal = cls(
                path,
                lock,
                numbers,
                segment_max_bytes=segment_max_bytes,
                min_free_bytes=min_free_bytes,
                now=now,
            )
            try:
                journal._recover(first_position)
                journal.set_devices(device_ids)
            except BaseException:
                journal.close()
                raise
        except OSError as error:
            lock.close()
            raise JournalError(f"{path}: cannot be opened: {error}") from error
        except BaseException:
            lock.close()
            raise
        return journal

    def _recover(self, first_position: int) -> None:
        # 1. What interrupted rewrites left.
        remove_leftovers(self._path)
        found = segment_file.segment_paths(self._path)
        # 2. All but the last are complete, and where one ends the next begins (reading holds the others to that).
        for (first, path), (end, _) in itertools.pairwise(found):
            head = segment_file.read_head(path, first)
            if head.is_rewritten:
                if head.end != end:
                    raise JournalError(
                        f"{self._path}: the file that begins at position {head.end} is missing; restore it from a "
                        "backup"
                    )
                self._dropper.is_rewritten(path)
            self._sealed.append(Segment(path, first, end, path.stat().st_size))
        # 3. The last one may end in a frame that was not written to its end: it was never committed.
        first, path = found[-1] if found else (first_position, segment_file.create(self._path, first_position))
        if segment_file.read_head(path, first).is_rewritten:
            raise JournalError(f"{self._path}: the file that follows {path.name} is missing; restore it from a backup")
        state = segment_file.recover(path, first)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if state.torn_bytes:
            os.ftruncate(self._descriptor, state.size)
            os.fsync(self._descriptor)
            _log.warning(
                "the journal ended in the middle of a frame that was never committed: cut off",
                file=str(path),
                offset=state.size,
                bytes=state.torn_bytes,
            )
        self._active = Segment(path, first, state.end, state.size)
        self._active_since_ms = state.received_ms

    # -- for metrics and the like -----------------------------------------------------------------------------------

    @property
    def end(self) -> int:
        """The position after the last committed reading."""
        return self._active.end

    @property
    def first(self) -> int:
        """Readings before this position are gone, all of them."""
        with self._lock:
            return self._sealed[0].first if self._sealed else self._active.first

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return sum(segment.size for segment in self._sealed) + self._active.size

    @property
    def buffered(self) -> int:
        """Readings that were appended and not yet committed."""
        return self._buffered_rows

    @property
    def min_free_bytes(self) -> int:
        """With less free disk `commit` refuses."""
        return self._min_free_bytes

    def free_bytes(self) -> int:
        """Free disk for this process. Raises JournalError (retryable)."""
        try:
            disk = os.statvfs(self._path)
        except OSError as error:
            raise JournalError(f"{self._path}: cannot be looked at: {error.strerror}", retryable=True) from error
        return disk.f_bavail * disk.f_frsize

    # -- writing ----------------------------------------------------------------------------------------------------

    def set_devices(self, device_ids: Sequence[str]) -> None:
        """From now on `append` and the readings that begin later use the rows of this registry.

        Raises JournalError (retryable) if new devices cannot be written down; then the old registry's rows stay.
        """
        uid_of_row = self._numbers.numbers(device_ids)
        row_of_uid = np.full(len(self._numbers), -1, np.int32)
        row_of_uid[uid_of_row] = np.arange(len(uid_of_row), dtype=np.int32)
        with self._lock:
            self._uid_of_row = uid_of_row
            self._row_of_uid = row_of_uid

    def append(self, columns: ReadingColumns) -> None:
        """Take readings in, in order of arrival. They are safe after the next `commit` that returns."""
        if not len(columns):
            return
        with self._lock:
            if columns.device.min() < 0 or columns.device.max() >= len(self._uid_of_row):
                raise ValueError(f"a device row is not in 0..{len(self._uid_of_row) - 1}: another registry's readings?")
            uid = self._uid_of_row[columns.device]
            nowhere = np.empty(0, np.int64)
            self._buffered.append(StoredRows(nowhere, uid, columns.quantity, columns.ts_ms, columns.value))
            self._buffered_rows += len(columns)

    def commit(self) -> int:
        """Write all that was appended as one frame, and return when it is on the disk: the position after it.

        Raises JournalError (retryable): the disk is full or fails. Then the journal is as it was, and what was
        appended waits for the next call.
        """
        with self._writing:
            # 1. What there is. More may be appended meanwhile; it belongs to the next commit.
            with self._lock:
                batches = list(self._buffered)
            if not batches:
                return self._active.end
            # 2. Refuse while there is room left for others to react.
            free_bytes = self.free_bytes()
            if free_bytes < self._min_free_bytes:
                raise JournalError(
                    f"{self._path}: disk nearly full: {free_bytes >> 20} MB free, {self._min_free_bytes >> 20} MB are "
                    "to stay free (journal.min_free_mb); make room, the readings wait",
                    retryable=True,
                )
            # 3. Write behind the last good frame, in a new segment if this one is full or old.
            now_ms = self._now()
            try:
                self._clear_tail()
                self._roll(now_ms)
                frame, count = self._frame(batches, now_ms)
                self._is_dirty = True
                size = self._active.size + write_all(self._descriptor, frame, self._active.size)
                os.fdatasync(self._descriptor)
                self._is_dirty = False
            except OSError as error:
                # 4. Failed: the file ends with its last good frame again. If even that fails, the next attempt clears
                # it, or the recovery of the next start does. After a failed fsync the pages count as clean; they are
                # written again by the next attempt, which makes them dirty again.
                with contextlib.suppress(OSError):
                    self._clear_tail()
                raise JournalError(
                    f"{self._active.path}: {self._buffered_rows} readings cannot be written: {error.strerror}; they "
                    "wait and nothing is acknowledged",
                    retryable=True,
                ) from error
            # 5. Only now anybody sees them.
            with self._lock:
                active = self._active
                self._active = Segment(active.path, active.first, active.end + count, size)
                del self._buffered[: len(batches)]
                self._buffered_rows -= count
            if self._active_since_ms is None:
                self._active_since_ms = now_ms
            return self._active.end

    def _frame(self, batches: Sequence[StoredRows], now_ms: int) -> tuple[bytes, int]:
        rows = StoredRows.concat(batches)
        end = self._active.end + len(rows.uid)
        rows = rows._replace(position=np.arange(self._active.end, end, dtype=np.int64))
        return encode_frame(rows, end=end, received_ms=now_ms), len(rows.uid)

    def _clear_tail(self) -> None:
        if self._is_dirty:
            os.ftruncate(self._descriptor, self._active.size)
            self._is_dirty = False

    def _roll(self, now_ms: int) -> None:
        """Begin the next segment if it is time."""
        active, since_ms = self._active, self._active_since_ms
        is_old = since_ms is not None and now_ms - since_ms >= _SEGMENT_MAX_AGE_MS
        if active.size <= SEGMENT_HEAD_BYTES or (active.size < self._segment_max_bytes and not is_old):
            return
        path = segment_file.create(self._path, active.end)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._active_since_ms = None
        with self._lock:
            self._sealed.append(Segment(active.path, active.first, active.end, active.size))
            self._active = Segment(path, active.end, active.end, SEGMENT_HEAD_BYTES)

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(
        self, start: int, stop: int | None = None, *, devices: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[int, ReadingColumns]]:
        """`chunks`, as the position from which on each was read, and its readings."""
        return ((chunk.start, chunk.columns) for chunk in self.chunks(start, stop, devices=devices))

    def chunks(
        self, start: int, stop: int | None = None, *, devices: NDArray[np.bool_] | None = None
    ) -> Iterator[JournalChunk]:
        """Committed readings at positions start to stop (None: all that are committed now), in order of arrival, of
        the devices whose registry rows `devices` selects (bool[devices]; None: all). Readings of devices that are no
        longer registered are left out.

        Raises JournalError while iterating, naming file and offset, where a file is not what was written.
        """
        with self._lock:
            segments = [*self._sealed, self._active]
            row_of_uid = self._row_of_uid
        stop = segments[-1].end if stop is None else min(stop, segments[-1].end)
        if devices is not None:
            # Without devices there is not even a row -1: so it is where the first ones were entered while nothing ran.
            is_wanted = (row_of_uid >= 0) & devices[row_of_uid] if len(devices) else np.False_
            row_of_uid = np.where(is_wanted, row_of_uid, np.int32(-1))
        wanted = [segment for segment in segments if segment.first < stop and segment.end > start]
        return self._chunks(wanted, start, stop, row_of_uid)

    def _chunks(
        self, segments: Sequence[Segment], start: int, stop: int, row_of_uid: NDArray[np.int32]
    ) -> Iterator[JournalChunk]:
        waiting: list[StoredRows] = []
        count = 0
        for segment in segments:
            try:
                for head, stored in segment.rows(start, stop):
                    rows = _select(segment, stored, row_of_uid)
                    if len(rows.uid):
                        waiting.append(rows)
                        count += len(rows.uid)
                    if count >= _CHUNK_ROWS:
                        end = min(head.end, stop)
                        yield _chunk(waiting, start, end)
                        waiting, count, start = [], 0, end
            except FileNotFoundError as error:
                with self._lock:
                    is_lost = segment in self._sealed or segment.path == self._active.path
                if is_lost:
                    raise JournalError(f"{segment.path}: the file was deleted under the running monitor") from error
                # Dropped since this reading began: nobody needed its rows.
        if waiting:
            yield _chunk(waiting, start, stop)

    # -- dropping ---------------------------------------------------------------------------------------------------

    def drop(self, needed_from: NDArray[np.int64]) -> int:
        """Free what nobody needs: readings before the position that their device still needs (int64[devices], by
        registry row), and those of devices that are no longer registered. Positions stay what they are.

        Segments without a needed row are deleted; how many is returned. One between others of which more is needed
        leaves a file of 40 bytes, so that a missing file can be told from a deleted one. Old segments that are mostly
        not needed, or that were written in many small frames, are written anew with the needed rows.

        Raises JournalError: a segment is damaged; or (retryable) the disk fails, what has been freed by then is free.
        """
        with self._lock:
            sealed = list(self._sealed)
            row_of_uid = self._row_of_uid
        if len(needed_from) != int((row_of_uid >= 0).sum()):
            raise ValueError(f"needed_from has {len(needed_from)} rows, the registry {int((row_of_uid >= 0).sum())}")
        needed = np.full(len(row_of_uid), _NOT_NEEDED, np.int64)
        needed[row_of_uid >= 0] = needed_from[row_of_uid[row_of_uid >= 0]]
        freed = 0
        is_oldest = True
        try:
            for segment in sealed:
                left = self._dropper.reduce(segment, needed, is_oldest=is_oldest)
                is_oldest = is_oldest and left is None
                if left is segment:
                    continue
                freed += not segment.is_husk and (left is None or left.is_husk)
                with self._lock:
                    place = self._sealed.index(segment)
                    self._sealed[place : place + 1] = [] if left is None else [left]
                if left is None:
                    segment.path.unlink(missing_ok=True)
            fsync_directory(self._path)
        except OSError as error:
            raise JournalError(f"{self._path}: segments cannot be freed: {error}", retryable=True) from error
        return freed

    def close(self) -> None:
        """Release files and lock. What was appended and not committed is gone."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._numbers.close()
        self._directory_lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _select(segment: Segment, stored: StoredRows, row_of_uid: NDArray[np.int32]) -> StoredRows:
    """The rows of wanted devices, `uid` turned into registry rows."""
    if len(stored.uid) and not 0 <= stored.uid.min() <= stored.uid.max() < len(row_of_uid):
        raise segment_file.broken(segment.path, 0, f"device number {stored.uid.max()} is not in the file `devices`")
    row = row_of_uid[stored.uid]
    keep = np.flatnonzero(row >= 0)
    if len(keep) == len(row):
        return stored._replace(uid=row)
    return stored.take(keep)._replace(uid=row[keep])


def _chunk(parts: Sequence[StoredRows], start: int, end: int) -> JournalChunk:
    # Copied even if it is one: the arrays are writeable and aligned, and the kernels need no second version for them.
    rows = StoredRows.concat(parts)
    return JournalChunk(start, end, rows.position, ReadingColumns(rows.uid, rows.quantity, rows.ts_ms, rows.value))
