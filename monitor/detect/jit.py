"""The one way in which functions of this room are compiled."""

from __future__ import annotations

from collections.abc import Callable
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


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a pure function over arrays; `.py_func` is the plain function."""
    compiled: Callable[P, R] = numba.njit(**_OPTIONS)(function)
    return compiled
