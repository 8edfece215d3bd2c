"""Small registries and steps for the tests of the stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from monitor.registry import Building, Device, Item, Policy, Registry
from monitor.results import Event, IntervalColumns, LedgerEntry, event_id

QUARTER_MS = 900_000
START_MS = 1_782_637_200_000
NAN = float("nan")


def registry(
    items: Sequence[tuple[str, str]] = (("B-1", "total"), ("B-1", "water"), ("B-2", "total")),
    *,
    periods: Sequence[str] = ("normal", "peak"),
    org: str = "",
    peak_limit_kw: float | None = None,
    ac_units: int = 1,
) -> Registry:
    """Buildings in the order in which they appear; each item has one meter, each building `ac_units` ac devices."""
    names = list(dict.fromkeys(building for building, _ in items))
    buildings = tuple(
        Building(id=name, timezone="UTC", policy="p", org=org, peak_limit_kw=peak_limit_kw) for name in names
    )
    devices: list[Device] = []
    made: list[Item] = []
    device_start = [0]
    item_start = [0]
    for row, name in enumerate(names):
        for item in (item for building, item in items if building == name):
            made.append(Item(building=row, name=item, meters=(len(devices),)))
            devices.append(Device(id=f"M-{name}-{item}", building=name, kind="meter", item=item))
        devices.extend(Device(id=f"AC-{name}-{unit}", building=name, kind="ac", item="") for unit in range(ac_units))
        device_start.append(len(devices))
        item_start.append(len(made))
    return Registry(
        buildings=buildings,
        devices=tuple(devices),
        policies={"p": Policy(id="p")},
        items=tuple(made),
        device_row={device.id: row for row, device in enumerate(devices)},
        building_row={name: row for row, name in enumerate(names)},
        device_building=np.array([names.index(device.building) for device in devices], np.int32),
        device_start=np.array(device_start, np.int32),
        item_start=np.array(item_start, np.int32),
        period_names=tuple(periods),
    )


def intervals(
    rows: Iterable[tuple[int, int, float]], *, period: int = 0, revised: bool = False, demand: bool = True
) -> IntervalColumns:
    """Rows of (item, number of the quarter of an hour after START_MS, measured)."""
    item, quarter, measured = (list(column) for column in zip(*rows, strict=True))
    count = len(item)
    return IntervalColumns(
        item=np.array(item, np.int32),
        start_ms=START_MS + np.array(quarter, np.int64) * QUARTER_MS,
        period=np.full(count, period, np.int16),
        measured=np.array(measured, np.float64),
        estimated=np.zeros(count),
        coverage=np.ones(count),
        demand_kw=np.array(measured, np.float64) * 4 if demand else np.full(count, NAN),
        revised=np.full(count, revised),
    )


def event(
    quarter: int,
    *,
    rule: str = "peak_demand",
    building: str = "B-1",
    device: str = "",
    quarters: int | None = 1,
    worst: float | None = 120.0,
) -> Event:
    """An event that starts at that quarter of an hour; `quarters=None`: still open."""
    start_ms = START_MS + quarter * QUARTER_MS
    return Event(
        event_id=event_id(rule, building, device, start_ms),
        rule=rule,
        building=building,
        device=device,
        start_ms=start_ms,
        end_ms=None if quarters is None else start_ms + quarters * QUARTER_MS,
        state="open" if quarters is None else "closed",
        reason="" if quarters is None else "corrected",
        limit=100.0,
        worst=worst,
        excess=5.0,
        duration_ms=QUARTER_MS,
        policy="p",
    )


def entry(
    quarter: int, kind: str = "gap", *, device: str = "M-B-1-total", quantity: str = "register", amount: float = 1.5
) -> LedgerEntry:
    return LedgerEntry(kind, "B-1", device, quantity, START_MS + quarter * QUARTER_MS, amount)
