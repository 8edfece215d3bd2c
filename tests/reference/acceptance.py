"""Section 2: which readings count."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.reference.configuration import Device
from tests.reference.rows import HOUR_MS, LedgerRow, Row

YEAR_2000_MS = 946_684_800_000
QUANTITIES = {"meter": ("register", "power_kw"), "ac": ("on", "mode", "setpoint_c", "room_c")}


@dataclass
class Accepted:
    """values[device][quantity][ts] is the value that counts; clock[building] is C."""

    values: dict[str, dict[str, dict[int, float]]]
    clock: dict[str, int]
    ledger: list[LedgerRow]
    rejected: dict[str, int]


def rejection(row: Row, devices: dict[str, Device], now_ms: int, max_future_s: float) -> str | None:
    ts_ms, device, quantity, value = row
    if device not in devices:
        return "unknown_device"
    if quantity not in QUANTITIES[devices[device].kind]:
        return "unknown_quantity"
    if not math.isfinite(value):
        return "bad_value"
    if quantity == "on" and value not in (0, 1):
        return "bad_value"
    if quantity == "mode" and value not in (0, 1, 2, 3, 4, 5):
        return "bad_value"
    if ts_ms is None or ts_ms < YEAR_2000_MS or ts_ms > now_ms + 1000 * max_future_s:
        return "bad_time"
    return None


def accept(
    rows: Iterable[Row], devices: dict[str, Device], now_ms: int, horizon_h: float | None, max_future_s: float
) -> Accepted:
    reported: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    too_late: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    rejected: dict[str, int] = defaultdict(int)
    clock: dict[str, int] = {}
    for row in rows:
        reason = rejection(row, devices, now_ms, max_future_s)
        if reason is not None:
            rejected[reason] += 1
            continue
        ts_ms, device, quantity, value = row
        assert ts_ms is not None
        building = devices[device].building
        clock_ms = clock.get(building, ts_ms)
        if horizon_h is not None and ts_ms < clock_ms - horizon_h * HOUR_MS:
            too_late[device, quantity, ts_ms].append(value)
            continue
        clock[building] = max(clock_ms, ts_ms)
        reported[device, quantity, ts_ms].append(value)

    values: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    ledger = []
    for (device, quantity, ts_ms), same in reported.items():
        counts, other = (max(same), min(same)) if quantity == "setpoint_c" else (min(same), max(same))
        values[device][quantity][ts_ms] = counts
        if counts != other:
            ledger.append(LedgerRow("conflict", devices[device].building, device, quantity, ts_ms, other))
    for (device, quantity, ts_ms), same in too_late.items():
        amount = max(same) if quantity == "setpoint_c" else min(same)
        ledger.append(LedgerRow("too_late", devices[device].building, device, quantity, ts_ms, amount))
    return Accepted(values, clock, ledger, rejected)
