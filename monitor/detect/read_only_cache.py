"""Compiled kernels from a folder that nobody may write: a container image that was warmed when it was built.

Numba's own locators pass over a folder in which they cannot write a file, and compile.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from numba.core.caching import UserProvidedCacheLocator

__all__ = ["ReadOnlyCacheLocator"]


class ReadOnlyCacheLocator(UserProvidedCacheLocator):
    """Named by NUMBA_CACHE_LOCATOR_CLASSES, which Numba reads whoever of us compiles first."""

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Self | None:
        locator = cls(py_func, py_file)
        return locator if Path(locator.get_cache_path()).is_dir() else None  # type: ignore[no-untyped-call]  # Numba's

    def ensure_cache_path(self) -> None:
        """Asked before something is written, and so only where nothing in the folder fitted."""
        raise PermissionError(
            errno.EROFS,
            "no compiled kernel fits and none can be written (another processor, Python or Numba than the folder was "
            "made for): leave NUMBA_CPU_NAME as it was, or let NUMBA_CACHE_DIR name a folder that can be written",
            self.get_cache_path(),  # type: ignore[no-untyped-call]  # Numba's
        )
