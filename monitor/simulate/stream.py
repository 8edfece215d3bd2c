"""One reading as the simulator knows it, and what SEMANTICS 2 says of a set of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.readings import AC_QUANTITIES, METER_QUANTITIES, QUANTITY_BY_NAME
from monitor.registry import Registry

__all__ = ["EPS", "Reading", "above", "reject_reason", "rounded", "sorted_once"]

EPS = 1e-9
_YEAR_2000_MS = 946_684_800_000


class Reading(NamedTuple):
    """ts_ms: UTC [ms]. device, quantity: as registered and as `Quantity` names it. value: before the multiplier."""

    ts_ms: int
    device: str
    quantity: str
    value: float


def above(a: float, b: float) -> bool:
    """a > b as SEMANTICS 1 means it: by more than rounding can do."""
    return a - b > EPS * max(1.0, abs(a), abs(b))


def reject_reason(
    reading: Reading,
    registry: Registry,
    arrival_ms: int,
    *,
    max_future_s: float = 600.0,
    max_age_d: float | None = 400.0,
) -> str | None:
    """Why SEMANTICS 2 rejects a reading; None if it is accepted. max_age_d None: no limit, as in a replay."""
    row = registry.device_row.get(reading.device)
    if row is None:
        return "unknown_device"
    allowed = AC_QUANTITIES if registry.devices[row].kind == "ac" else METER_QUANTITIES
    if QUANTITY_BY_NAME.get(reading.quantity) not in allowed:
        return "unknown_quantity"
    value = reading.value
    if (
        not math.isfinite(value)
        or (reading.quantity == "on" and value not in (0.0, 1.0))
        or (reading.quantity == "mode" and value not in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0))
    ):
        return "bad_value"
    too_old = max_age_d is not None and reading.ts_ms < arrival_ms - max_age_d * 86_400_000
    if reading.ts_ms < _YEAR_2000_MS or reading.ts_ms > arrival_ms + max_future_s * 1000 or too_old:
        return "bad_time"
    return None


def sorted_once(readings: Iterable[Reading]) -> list[Reading]:
    """Every distinct reading once, sorted by time, device, quantity, value: the `truth_rows`."""
    return sorted(set(readings))


def rounded(values: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """To the nearest decimal that a device would send: 10234.57, not 10234.570000000002."""
    return np.asarray(np.round(values, decimals), np.float64)
