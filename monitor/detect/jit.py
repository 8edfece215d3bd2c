"""The one way in which functions of this room are compiled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,  # compute leaves the event loop alone
    "fastmath": False,  # it would break NaN, which means "not given" here
    "error_model": "numpy",
}


def cache_directory(package: Path, environment: dict[str, str]) -> Path:
    """Where compiled kernels are kept: beside the sources if that can be written, else in the user's cache.

    One directory for each state of the sources that kernels are made of: Numba looks only whether the file of the
    outermost function has changed, and would go on with what it compiled of an old version of a function called there.
    """
    digest = hashlib.sha256()
    for source in sorted(
        [*package.glob("kernels/*.py"), *(package / name for name in ("jit.py", "params.py", "state.py"))]
    ):
        digest.update(source.read_bytes())
    name = f"kernels-{digest.hexdigest()[:16]}"
    beside = package / "__pycache__"
    if os.access(beside if beside.exists() else package, os.W_OK):
        return beside / name
    base = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/tmp")) / ".cache")  # noqa: S108  # a cache
    return Path(base) / "meter-monitor" / name


if not os.environ.get("NUMBA_CACHE_DIR"):
    # Numba reads this when a function is decorated, so it must stand before the first kernel.
    numba.config.CACHE_DIR = str(  # type: ignore[attr-defined]  # numba fills its config at run time
        cache_directory(Path(__file__).parent, dict(os.environ))
    )


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a pure function over arrays; `.py_func` is the plain function."""
    compiled: Callable[P, R] = numba.njit(**_OPTIONS)(function)
    return compiled
