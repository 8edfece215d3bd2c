"""Section 5: the rules of a building, on the due intervals of item `total`."""

from __future__ import annotations

from collections import defaultdict

from tests.reference.calendar import Calendar
from tests.reference.comparing import gt, lt
from tests.reference.configuration import default_to
from tests.reference.consumption import ItemUse
from tests.reference.events import make_event
from tests.reference.rows import HOUR_MS, EventRow, IntervalRow


def peak_demand(use: ItemUse, calendar: Calendar) -> list[EventRow]:
    building, limit = use.building, use.building.peak_limit_kw
    if limit is None:
        return []
    policy = building.policy.get("peak_demand") or {}
    tolerance, clear_ratio, min_coverage = (
        default_to(policy.get(name), default)
        for name, default in (("tolerance", 0.0), ("clear_ratio", 1.0), ("min_coverage", 0.8))
    )
    hours = building.interval_ms / HOUR_MS
    events: list[EventRow] = []
    active: list[IntervalRow] = []

    def finish(end_ms: int | None, reason: str) -> None:
        demands = [row.demand_kw for row in active if row.demand_kw is not None]
        excess = sum((max(0.0, demand_kw - limit) * hours for demand_kw in demands), 0.0)
        duration_ms = sum(building.interval_ms for demand_kw in demands if gt(demand_kw, limit))
        start_ms, worst = active[0].start_ms, max(demands)
        key = ("peak_demand", building, "", start_ms, end_ms, reason)
        events.append(make_event(*key, limit, worst, excess, duration_ms))
        active.clear()

    for row in use.rows:
        demand_kw = row.demand_kw
        assert demand_kw is not None
        is_peak = calendar.is_peak(row.start_ms)
        if active:
            if is_peak and gt(demand_kw, limit * clear_ratio):
                active.append(row)
            elif not is_peak:
                finish(row.start_ms, "scope")
            else:
                finish(row.start_ms, "no_data" if lt(row.coverage, min_coverage) else "corrected")
        elif is_peak and gt(demand_kw, limit * (1 + tolerance)):
            active.append(row)
    if active:
        next_ms = active[-1].start_ms + building.interval_ms
        if calendar.is_peak(next_ms):
            finish(None, "")
        else:
            finish(next_ms, "scope")
    return events


def peak_budget(use: ItemUse, calendar: Calendar) -> list[EventRow]:
    building, budget = use.building, use.building.peak_budget_kwh
    if budget is None:
        return []
    occurrences: dict[tuple[int, int], list[IntervalRow]] = defaultdict(list)
    for row in use.rows:
        if calendar.is_peak(row.start_ms):
            occurrences[calendar.occurrence(row.start_ms)].append(row)
    events = []
    for (from_ms, to_ms), rows in occurrences.items():
        inside = [
            segment
            for segment in use.segments
            if segment.estimated and segment.counts_for_budget and from_ms <= segment.t0 and segment.t1 <= to_ms
        ]
        total, start_ms = 0.0, None
        for row in rows:
            total += row.measured
            total += sum(segment.share(row.start_ms, row.start_ms + building.interval_ms) for segment in inside)
            if start_ms is None and gt(total, budget):
                start_ms = row.start_ms
        if start_ms is None:
            continue
        due_end_ms = rows[-1].start_ms + building.interval_ms
        end_ms, reason = (to_ms, "scope") if due_end_ms == to_ms else (None, "")
        key = ("peak_budget", building, "", start_ms, end_ms, reason)
        events.append(make_event(*key, budget, total, total - budget, due_end_ms - start_ms))
    return events
