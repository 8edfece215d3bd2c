"""The one way in which a whole file is written: after a crash there is the old file or the new one, not half of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

__all__ = ["Part", "fsync_directory", "remove_leftovers", "write_all", "write_atomic"]

Part: TypeAlias = bytes | bytearray | memoryview
"""A memoryview is one of bytes."""

_ASIDE = ".aside"


def write_atomic(path: Path, parts: Iterable[Part], *, mode: int = 0o640) -> int:
    """Replace the file by these parts, one after the other. Returns its size [bytes]. mode: its permissions, less the
    umask.

    Raises OSError; then the old file stands as it was, and nothing is left beside it.
    """
    aside = path.with_name(path.name + _ASIDE)
    try:
        # 1. Write aside. A leftover of an interrupted attempt is overwritten.
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            size = 0
            for part in parts:
                size += write_all(descriptor, part, size)
            # 2. The contents reach the disk before the name does: otherwise a power cut leaves an empty file.
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # 3. The name changes from the old contents to the new in one moment.
        aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    # 4. The name reaches the disk.
    fsync_directory(path.parent)
    return size


def write_all(descriptor: int, part: Part, offset: int) -> int:
    """Write all of it at that offset, however little the system takes at once. Returns its length [bytes]."""
    view = memoryview(part)
    done = 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], offset + done)
    return done


def fsync_directory(path: Path) -> None:
    """New, renamed and deleted names in it are safe after this. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(directory: Path) -> None:
    """Delete what attempts that were killed have left. Only while nobody writes there. Raises OSError."""
    for aside in directory.glob("*" + _ASIDE):
        aside.unlink()
