"""CRC-16/ARC, which ends a P1 telegram: polynomial 0xA001 (reflected), start 0 (DSMR 5.0.2 P1 companion standard, 5.2).

A telegram has some 800 bytes and comes every second; byte by byte in Python it takes longer than all the rest of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["crc16", "warm_up"]

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
"""As in `monitor.decoders.native_scan`."""
_BITS = 8
_POLYNOMIAL = 0xA001


def _table() -> NDArray[np.uint16]:
    """The remainder of each byte."""
    rows = np.arange(256, dtype=np.uint16)
    for _ in range(_BITS):
        rows = np.where(rows & 1, (rows >> 1) ^ _POLYNOMIAL, rows >> 1).astype(np.uint16)
    return rows


_TABLE = _table()


def _kernel(function: Callable[P, R]) -> Callable[P, R]:
    compiled: Callable[P, R] = numba.njit(**_OPTIONS)(function)
    return compiled


@_kernel
def _crc16(data: NDArray[np.uint8], table: NDArray[np.uint16]) -> np.int64:
    crc = np.int64(0)
    for byte in data:
        crc = (crc >> 8) ^ np.int64(table[(crc ^ np.int64(byte)) & 0xFF])
    return crc


def crc16(data: bytes) -> int:
    """0 to 65535. The first call compiles, or loads what was compiled before; see `warm_up`."""
    return int(_crc16(np.frombuffer(data, np.uint8), _TABLE))


def warm_up() -> None:
    """Compile now and not with the first telegram."""
    crc16(b"/!")
