"""What of an old segment is still needed, and what is done about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.journal import segment_file
from monitor.journal.frames import StoredRows
from monitor.journal.segment_file import Segment

__all__ = ["Dropper"]

_KEEP_SHARE = 0.25
"""A segment of whose rows less than this is needed is written anew."""
_SMALL_FRAMES = 64
_SMALL_FRAME_ROWS = 4096
"""A segment of at least so many frames that have fewer rows each on average is written anew in large ones: a frame
costs 20 µs to read, whatever is in it, and at a low rate there are 18,000 in an hour."""


class _Known:
    """What has been found out about a segment."""

    __slots__ = ("counts", "is_rewritten", "looked")

    def __init__(self) -> None:
        self.is_rewritten = False
        self.counts: NDArray[np.uint16] | None = None
        """uint16[uids]: rows of each device, at most 65,535. Of 100,000 devices 200 kB; 34 MB for a whole week of which
        something is needed and something is not."""
        self.looked: tuple[int, int] | None = None
        """What was needed of it when its rows were last counted: no use in counting again for the same."""


class Dropper:
    """Remembers what segments hold, so that each is read once and not whenever something may be dropped."""

    def __init__(self) -> None:
        self._known: dict[Path, _Known] = {}

    def is_rewritten(self, path: Path) -> None:
        """Said of a file whose head says so."""
        self._of(path).is_rewritten = True

    def _of(self, path: Path) -> _Known:
        return self._known.setdefault(path, _Known())

    def reduce(self, segment: Segment, needed: NDArray[np.int64], *, is_oldest: bool) -> Segment | None:
        """What is left of a sealed segment: itself, a rewritten one in its place, or, of the oldest there is, None
        where nothing in it is needed and the file may be deleted.

        needed: int64[uids], the first position that is needed of each device.

        Raises JournalError as `Segment.rows`, OSError if a new file cannot be written.
        """
        known = self._of(segment.path)
        if segment.is_husk or self._is_unneeded(segment, needed, known):
            return self._without(segment, is_oldest)
        if self._may_shrink(segment, needed, known):
            total, left = _count(segment, needed)
            if not left:
                return self._without(segment, is_oldest)
            if left < _KEEP_SHARE * total:
                return self._rewrite(segment, needed, left)
        if not known.is_rewritten:
            frames = rows = 0
            for head in segment.heads():
                frames += 1
                rows += head.rows
            if frames >= _SMALL_FRAMES and rows < _SMALL_FRAME_ROWS * frames:
                _, left = _count(segment, needed)
                return self._rewrite(segment, needed, left)
            known.is_rewritten = True  # as good as that: its frames are large
        return segment

    def _without(self, segment: Segment, is_oldest: bool) -> Segment | None:
        if is_oldest:
            del self._known[segment.path]
            return None
        return segment if segment.is_husk else self._rewrite(segment, np.empty(0, np.int64), 0)

    def _rewrite(self, segment: Segment, needed: NDArray[np.int64], left: int) -> Segment:
        smaller = segment_file.rewrite(segment, _is_needed(needed), left)
        fresh = self._known[segment.path] = _Known()
        fresh.is_rewritten = True
        return smaller

    def _is_unneeded(self, segment: Segment, needed: NDArray[np.int64], known: _Known) -> bool:
        if not len(needed) or segment.end <= needed.min():
            return True
        if (needed <= segment.first).all():
            return False
        counts = self._counts(segment, known, len(needed))
        return not ((counts > 0) & (needed[: len(counts)] < segment.end)).any()

    def _may_shrink(self, segment: Segment, needed: NDArray[np.int64], known: _Known) -> bool:
        """Whether it is worth going through its rows: not where devices that need all their rows in it have enough."""
        if (needed <= segment.first).all():
            return False
        counts = self._counts(segment, known, len(needed))
        needed = needed[: len(counts)]
        whole = counts[needed <= segment.first].sum(dtype=np.int64)
        if whole >= _KEEP_SHARE * counts.sum(dtype=np.int64):
            return False
        wanted = needed[(counts > 0) & (needed < segment.end)]
        looked = (len(wanted), int(wanted.sum()))
        if looked == known.looked:
            return False
        known.looked = looked
        return True

    def _counts(self, segment: Segment, known: _Known, uids: int) -> NDArray[np.uint16]:
        if known.counts is None:
            counts = np.zeros(uids, np.int64)
            for _, rows in segment.rows(segment.first, segment.end):
                counts += np.bincount(rows.uid, minlength=uids)
            known.counts = np.minimum(counts, 65_535).astype(np.uint16)
        return known.counts


def _count(segment: Segment, needed: NDArray[np.int64]) -> tuple[int, int]:
    """How many rows there are, and how many of them are needed."""
    keep = _is_needed(needed)
    total = left = 0
    for _, rows in segment.rows(segment.first, segment.end):
        total += len(rows.uid)
        left += int(keep(rows).sum())
    return total, left


def _is_needed(needed: NDArray[np.int64]) -> Callable[[StoredRows], NDArray[np.bool_]]:
    return lambda rows: rows.position >= needed[rows.uid]
