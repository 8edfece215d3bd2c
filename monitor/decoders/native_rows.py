"""The arrays between the native format's scanner and its decoder."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DeviceTable", "Rows", "empty_rows", "first_rows", "joined_rows"]


class DeviceTable(NamedTuple):
    """Device ids as bytes under open addressing. `slots`: int32[power of two], row or -1. `ids`: uint8[bytes], all
    ids in a row. `start`: int64[devices + 1]. `gateway`: int32[devices], -1 where any gateway may report it."""

    slots: NDArray[np.int32]
    ids: NDArray[np.uint8]
    start: NDArray[np.int64]
    gateway: NDArray[np.int32]


class Rows(NamedTuple):
    """Readings as they stand in the payloads, not yet judged. All arrays have the same length.

    device: a row, or UNKNOWN or FOREIGN. ts_ms may be BAD_TIME. patch: the value is still to be read from its span.
    Spans are offsets in the joined payloads; device_from is -1 where the topic names the device.
    """

    message: NDArray[np.int32]
    device: NDArray[np.int32]
    quantity: NDArray[np.int8]
    ts_ms: NDArray[np.int64]
    value: NDArray[np.float64]
    patch: NDArray[np.bool_]
    value_from: NDArray[np.int32]
    value_to: NDArray[np.int32]
    device_from: NDArray[np.int32]
    device_to: NDArray[np.int32]


def empty_rows(count: int) -> Rows:
    return Rows(
        np.empty(count, np.int32),
        np.empty(count, np.int32),
        np.empty(count, np.int8),
        np.empty(count, np.int64),
        np.empty(count, np.float64),
        np.empty(count, np.bool_),
        np.empty(count, np.int32),
        np.empty(count, np.int32),
        np.empty(count, np.int32),
        np.empty(count, np.int32),
    )


def first_rows(rows: Rows, count: int) -> Rows:
    """Views of the first rows."""
    return Rows(
        rows.message[:count],
        rows.device[:count],
        rows.quantity[:count],
        rows.ts_ms[:count],
        rows.value[:count],
        rows.patch[:count],
        rows.value_from[:count],
        rows.value_to[:count],
        rows.device_from[:count],
        rows.device_to[:count],
    )


def joined_rows(rows: Rows, more: Rows) -> Rows:
    return Rows(
        np.concatenate((rows.message, more.message)),
        np.concatenate((rows.device, more.device)),
        np.concatenate((rows.quantity, more.quantity)),
        np.concatenate((rows.ts_ms, more.ts_ms)),
        np.concatenate((rows.value, more.value)),
        np.concatenate((rows.patch, more.patch)),
        np.concatenate((rows.value_from, more.value_from)),
        np.concatenate((rows.value_to, more.value_to)),
        np.concatenate((rows.device_from, more.device_from)),
        np.concatenate((rows.device_to, more.device_to)),
    )
