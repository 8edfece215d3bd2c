"""The obvious reference: one slow batch program, written from the text of the semantics alone.

It imports nothing of `monitor`, keeps every reading in a dict and asks the calendar minute by minute. Its parts stand
in tests/reference/, a file for each section of the semantics; this is section 6.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.reference.ac_rules import ac_events
from tests.reference.acceptance import accept
from tests.reference.calendar import Calendar
from tests.reference.comparing import gt
from tests.reference.configuration import Device, load_config
from tests.reference.consumption import item_use
from tests.reference.peak_rules import peak_budget, peak_demand
from tests.reference.rows import HOUR_MS, MINUTE_MS, EventRow, IntervalRow, LedgerRow, NaiveResult, RejectedRow, Row

__all__ = [
    "HOUR_MS",
    "MINUTE_MS",
    "EventRow",
    "IntervalRow",
    "LedgerRow",
    "NaiveResult",
    "RejectedRow",
    "Row",
    "gt",
    "run",
]


def run(
    config_dir: Path,
    rows: Iterable[Row],
    *,
    now_ms: int,
    horizon_h: float | None = None,
    max_future_s: float = 600.0,
) -> NaiveResult:
    """All results of `rows` (in order of arrival) at once. `horizon_h` None: no revision horizon. now_ms: when the
    replay began."""
    buildings, devices = load_config(config_dir)
    accepted = accept(rows, devices, now_ms, horizon_h, max_future_s)
    intervals: list[IntervalRow] = []
    events: list[EventRow] = []
    for building in buildings.values():
        calendar = Calendar(building.policy, building.zone)
        own = [device for device in devices.values() if device.building == building.id]
        meters_of: dict[str, list[Device]] = defaultdict(list)
        for device in own:
            if device.kind == "meter":
                meters_of[device.item].append(device)
            else:
                events += ac_events(device, building, accepted, calendar)
        for item, meters in meters_of.items():
            use = item_use(building, item, meters, accepted, calendar)
            intervals += use.rows
            if item == "total":
                events += peak_demand(use, calendar) + peak_budget(use, calendar)
    return NaiveResult(
        intervals=sorted(intervals, key=lambda row: row[:3]),
        events=sorted(events, key=lambda row: row[1:5]),
        ledger=sorted(accepted.ledger, key=lambda row: row[:5]),
        rejected=sorted(RejectedRow(reason, count) for reason, count in accepted.rejected.items()),
    )
