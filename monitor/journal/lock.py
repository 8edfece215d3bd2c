"""One monitor for one state directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from monitor.errors import JournalError

__all__ = ["DirectoryLock"]

_NAME = "lock"


class DirectoryLock:
    """Held until `close`, or until the process ends in whatever way: a lock of the system, not the file's presence."""

    def __init__(self, directory: Path) -> None:
        """Creates the directory where it is missing.

        Raises JournalError: at once and not retryable if somebody else holds it, or if it cannot be written there.
        """
        path = directory / _NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise JournalError(f"{path}: cannot be opened: {error.strerror}; check the directory's owner") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            if isinstance(error, BlockingIOError):
                raise JournalError(
                    f"{directory}: in use by another monitor (process {holder or 'unknown'}); "
                    "stop that one, or give this one a state_dir of its own"
                ) from None
            raise JournalError(f"{path}: cannot be locked: {error.strerror}") from error
        # The number is only for the message above; a lock whose holder cannot be named is a lock all the same.
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
