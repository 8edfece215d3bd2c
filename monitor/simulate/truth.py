"""The truth: what SEMANTICS 3 and 5 demand of a set of readings, worked out in one batch and in the plainest way.

It shares no code with detection, which it is there to judge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.registry import Building, Item, Policy, Registry
from monitor.results import Event, LedgerEntry, event_id
from monitor.simulate.civil import CivilCalendar
from monitor.simulate.stream import Reading, above
from monitor.simulate.truth_ac import ac_events
from monitor.simulate.truth_segments import HOUR_MS, Segments, power_segments, register_segments

__all__ = ["IntervalRow", "Truth", "evaluate"]


class IntervalRow(NamedTuple):
    """One due interval. measured, estimated in the item's unit; coverage 0..1; demand_kw None for a medium."""

    building: str
    item: str
    start_ms: int
    period: str
    measured: float
    estimated: float
    coverage: float
    demand_kw: float | None


@dataclass(frozen=True, slots=True)
class Truth:
    """Sorted: intervals by (building, item, start), events by (rule, building, device, start), ledger by its key."""

    intervals: list[IntervalRow] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)


_Values = dict[tuple[str, str], dict[int, float]]


def _resolve(registry: Registry, readings: Iterable[Reading], out: Truth) -> _Values:
    """Of readings with one (device, quantity, ts) the one that counts; the ledger has their conflicts."""
    values: defaultdict[tuple[str, str], dict[int, tuple[float, float]]] = defaultdict(dict)
    for ts_ms, device, quantity, value in readings:
        low, high = values[device, quantity].get(ts_ms, (value, value))
        values[device, quantity][ts_ms] = (min(low, value), max(high, value))
    resolved: _Values = {}
    for (device, quantity), by_ts in values.items():
        counts = 1 if quantity == "setpoint_c" else 0
        resolved[device, quantity] = {ts_ms: by_ts[ts_ms][counts] for ts_ms in sorted(by_ts)}
        building = registry.buildings[registry.device_building[registry.device_row[device]]].id
        out.ledger.extend(
            LedgerEntry("conflict", building, device, quantity, ts_ms, extremes[1 - counts])
            for ts_ms, extremes in by_ts.items()
            if extremes[0] != extremes[1]
        )
    return resolved


class _Slot:
    """What one interval has gathered."""

    __slots__ = ("budget", "covered_ms", "estimated", "measured")

    def __init__(self) -> None:
        self.measured = 0.0
        self.estimated = 0.0
        self.covered_ms = 0
        self.budget = 0.0
        """Measured, and of the estimated what counts towards a budget."""


class _ItemDay(NamedTuple):
    """The due intervals of one item, in order, with what counts towards a budget in each."""

    rows: list[IntervalRow]
    budget: list[float]


def _occurrence(calendar: CivilCalendar, start_ms: int, interval_ms: int) -> tuple[int, int]:
    """[start, end) of the peak occurrence that holds a peak interval."""
    day = calendar.local(start_ms).date()

    def belongs(edge_ms: int) -> bool:
        return calendar.is_peak(edge_ms) and calendar.local(edge_ms).date() == day

    first, end = start_ms, start_ms + interval_ms
    while belongs(first - interval_ms):
        first -= interval_ms
    while belongs(end):
        end += interval_ms
    return first, end


def _item_rows(
    registry: Registry,
    building: Building,
    item: Item,
    policy: Policy,
    calendar: CivilCalendar,
    values: _Values,
    clock_ms: int,
    out: Truth,
) -> _ItemDay:
    interval_ms = policy.demand_interval_min * 60_000
    slots: defaultdict[int, _Slot] = defaultdict(_Slot)
    earliest_ms: int | None = None
    latest_of_all_ms = clock_ms
    for row in item.meters:
        device = registry.devices[row]
        quantity = "register" if device.source == "register" else "power_kw"
        by_ts = values.get((device.id, quantity), {})
        samples = [(ts_ms, value * device.multiplier) for ts_ms, value in by_ts.items()]
        if samples:
            earliest_ms = samples[0][0] if earliest_ms is None else min(earliest_ms, samples[0][0])
        latest_of_all_ms = min(latest_of_all_ms, samples[-1][0] if samples else -HOUR_MS)
        cut = register_segments if device.source == "register" else power_segments
        found: Segments = cut(device, samples, interval_ms, calendar.is_peak)
        out.ledger.extend(
            LedgerEntry(kind, building.id, device.id, quantity, ts_ms, amount) for kind, ts_ms, amount in found.ledger
        )
        for segment in found.segments:
            for start_ms in range(segment.start_ms - segment.start_ms % interval_ms, segment.end_ms, interval_ms):
                overlap_ms = min(segment.end_ms, start_ms + interval_ms) - max(segment.start_ms, start_ms)
                part = segment.amount * overlap_ms / (segment.end_ms - segment.start_ms)
                slot = slots[start_ms]
                if not segment.estimated:
                    slot.measured += part
                    slot.covered_ms += overlap_ms
                    slot.budget += part
                    continue
                slot.estimated += part
                if not segment.reset and calendar.is_peak(start_ms):
                    first, end = _occurrence(calendar, start_ms, interval_ms)
                    if first <= segment.start_ms and segment.end_ms <= end:
                        slot.budget += part
    result = _ItemDay([], [])
    if earliest_ms is None:
        return result
    due_until_ms = min(clock_ms, max(latest_of_all_ms, clock_ms - round(policy.grace_s * 1000)))
    start_ms = earliest_ms - earliest_ms % interval_ms
    while start_ms + interval_ms <= due_until_ms:
        slot = slots[start_ms]
        result.rows.append(
            IntervalRow(
                building.id,
                item.name,
                start_ms,
                calendar.period(start_ms),
                slot.measured,
                slot.estimated,
                slot.covered_ms / (len(item.meters) * interval_ms),
                slot.measured / (interval_ms / HOUR_MS) if item.is_electricity else None,
            )
        )
        result.budget.append(slot.budget)
        start_ms += interval_ms
    return result


def _demand_event(building: Building, policy: Policy, rows: Sequence[IntervalRow], reason: str) -> Event:
    limit = building.peak_limit_kw or 0.0
    hours = policy.demand_interval_min / 60
    demands = [row.demand_kw or 0.0 for row in rows]
    start_ms = rows[0].start_ms
    over = sum(1 for demand_kw in demands if above(demand_kw, limit))
    return Event(
        event_id("peak_demand", building.id, "", start_ms),
        "peak_demand",
        building.id,
        "",
        start_ms,
        rows[-1].start_ms + policy.demand_interval_min * 60_000 if reason else None,
        "closed" if reason else "open",
        reason,
        limit,
        max(demands),
        sum(max(0.0, demand_kw - limit) * hours for demand_kw in demands),
        over * policy.demand_interval_min * 60_000,
        policy.id,
    )


def _peak_demand(
    building: Building, policy: Policy, calendar: CivilCalendar, rows: Sequence[IntervalRow]
) -> list[Event]:
    limit = building.peak_limit_kw
    if limit is None:
        return []
    interval_ms = policy.demand_interval_min * 60_000
    events: list[Event] = []
    active: list[IntervalRow] = []
    for row in rows:
        peak = calendar.is_peak(row.start_ms)
        ratio = policy.clear_ratio if active else 1 + policy.tolerance
        if peak and above(row.demand_kw or 0.0, limit * ratio):
            active.append(row)
            if not calendar.is_peak(row.start_ms + interval_ms):
                events.append(_demand_event(building, policy, active, "scope"))
                active = []
        elif active:
            # No interval of peak time follows one that is none here: those were closed with `scope` at once.
            reason = "no_data" if above(policy.min_coverage, row.coverage) else "corrected"
            events.append(_demand_event(building, policy, active, reason))
            active = []
    if active:
        events.append(_demand_event(building, policy, active, ""))
    return events


def _peak_budget(building: Building, policy: Policy, calendar: CivilCalendar, item: _ItemDay) -> list[Event]:
    budget = building.peak_budget_kwh
    if budget is None:
        return []
    interval_ms = policy.demand_interval_min * 60_000
    sums: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for row, amount in zip(item.rows, item.budget, strict=True):
        if calendar.is_peak(row.start_ms):
            parts = sums.setdefault(_occurrence(calendar, row.start_ms, interval_ms), [])
            parts.append((row.start_ms, amount + (parts[-1][1] if parts else 0.0)))
    events: list[Event] = []
    for (_, end_ms), parts in sums.items():
        start_ms = next((ts_ms for ts_ms, total in parts if above(total, budget)), None)
        if start_ms is None:
            continue
        last_ms, worst = parts[-1]
        closed = last_ms + interval_ms == end_ms
        events.append(
            Event(
                event_id("peak_budget", building.id, "", start_ms),
                "peak_budget",
                building.id,
                "",
                start_ms,
                end_ms if closed else None,
                "closed" if closed else "open",
                "scope" if closed else "",
                budget,
                worst,
                worst - budget,
                last_ms + interval_ms - start_ms,
                policy.id,
            )
        )
    return events


def evaluate(registry: Registry, readings: Iterable[Reading]) -> Truth:
    """The intervals, events and ledger of a set of accepted readings, in any order, repeated or not.

    Takes about 2 s for 12 buildings with 60 devices over a week. KeyError for a device that is not registered.
    """
    out = Truth()
    values = _resolve(registry, readings, out)
    calendars: dict[tuple[str, str], CivilCalendar] = {}
    clocks: dict[int, int] = {}
    for (device, _), by_ts in values.items():
        b = int(registry.device_building[registry.device_row[device]])
        clocks[b] = max(clocks.get(b, 0), next(reversed(by_ts)))
    for b, clock_ms in sorted(clocks.items()):
        building = registry.buildings[b]
        policy = registry.policies[building.policy]
        key = (policy.id, building.timezone)
        calendar = calendars.setdefault(key, CivilCalendar(policy, building.timezone))
        for item in registry.items[registry.item_start[b] : registry.item_start[b + 1]]:
            found = _item_rows(registry, building, item, policy, calendar, values, clock_ms, out)
            out.intervals.extend(found.rows)
            if item.name == "total":
                out.events.extend(_peak_demand(building, policy, calendar, found.rows))
                out.events.extend(_peak_budget(building, policy, calendar, found))
        units = [
            device
            for device in registry.devices[registry.device_start[b] : registry.device_start[b + 1]]
            if device.kind == "ac"
        ]
        of_unit = {
            device.id: [
                Reading(ts_ms, device.id, quantity, value)
                for quantity in ("on", "mode", "setpoint_c", "room_c")
                for ts_ms, value in values.get((device.id, quantity), {}).items()
            ]
            for device in units
        }
        first_ms = min((reading.ts_ms for own in of_unit.values() for reading in own), default=clock_ms)
        spans = calendar.ac_spans(first_ms, clock_ms + 60_000)
        for unit in units:
            own = sorted(of_unit[unit.id])
            if own:
                out.events.extend(ac_events(building, policy, unit, own, spans, clock_ms))
    out.intervals.sort()
    out.events.sort(key=lambda event: (event.rule, event.building, event.device, event.start_ms))
    out.ledger.sort()
    return out
