"""From the kernels' numbers to results with names, and what of them is news."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from monitor.readings import QUANTITY_NAMES, ReadingColumns
from monitor.registry import Registry
from monitor.results import RULES, Event, EventScope, IntervalColumns, LedgerEntry, LedgerScope, Step, event_id

__all__ = ["LEDGER_KINDS", "REASONS", "SEGMENT_KINDS", "TOO_LATE", "Found", "Namer"]

LEDGER_KINDS = ("conflict", "gap", "rollover", "outlier", "reset", "spike", "too_late")
"""In the order of the kernels' codes."""
TOO_LATE = LEDGER_KINDS.index("too_late")
SEGMENT_KINDS = ("gap", "rollover", "outlier", "reset", "spike")
REASONS = ("", "corrected", "no_data", "scope")


@dataclass(slots=True)
class Found:
    """What the kernel calls of one step gave."""

    intervals: list[IntervalColumns] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)
    event_scopes: list[EventScope] = field(default_factory=list)
    ledger_scopes: list[LedgerScope] = field(default_factory=list)

    def as_step(self, accepted: ReadingColumns) -> Step:
        """The step, with the readings that it took in."""
        parts = self.intervals
        if not parts:
            intervals = IntervalColumns.empty()
        elif len(parts) == 1:
            intervals = parts[0]
        else:
            names = IntervalColumns.__slots__
            intervals = IntervalColumns(
                **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
            )
        return Step(intervals, self.events, self.ledger, self.event_scopes, self.ledger_scopes, accepted)


class Namer:
    """Gives rows of a registry their names, and remembers which events were given that may still change."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._is_electricity = np.array([item.is_electricity for item in registry.items], np.bool_)
        self._given: dict[int, dict[tuple[int, int], dict[int, Event]]] = {}
        """Building to (rule, device) to start to event."""

    def remember(self, event: Event) -> None:
        """An event that stands in the store and is not final."""
        building = self._registry.building_row[event.building]
        device = self._registry.device_row[event.device] if event.device else -1
        rules = self._given.setdefault(building, {})
        rules.setdefault((RULES.index(event.rule), device), {})[event.start_ms] = event

    def forget(self, building: int) -> None:
        """Nothing is known of what was given of this building."""
        self._given.pop(building, None)

    def entry(self, kind: int, device: int, quantity: int, ts: int, amount: float) -> LedgerEntry:
        """kind: an index of LEDGER_KINDS. device: a row."""
        row = self._registry.devices[device]
        return LedgerEntry(LEDGER_KINDS[kind], row.building, row.id, QUANTITY_NAMES[quantity], ts, amount)

    def intervals(self, rows: NDArray[np.int64], figures: NDArray[np.float64]) -> IntervalColumns:
        """rows [n, 4] and figures [n, 4] as `kernels.advance` gives them."""
        item = rows[:, 0]
        return IntervalColumns(
            item=item.astype(np.int32),
            start_ms=rows[:, 1].copy(),
            period=rows[:, 2].astype(np.int16),
            measured=figures[:, 0].copy(),
            estimated=figures[:, 1].copy(),
            coverage=figures[:, 2].copy(),
            demand_kw=np.where(self._is_electricity[item], figures[:, 3], np.nan),
            revised=rows[:, 3].astype(np.bool_),
        )

    def _event(self, row: list[int], worst: float, excess: float) -> Event:
        rule, b, d, start, end, is_closed, reason, duration_ms, _ = row
        building = self._registry.buildings[b]
        policy = self._registry.policies[building.policy]
        device = "" if d < 0 else self._registry.devices[d].id
        limit = (
            building.peak_limit_kw,
            building.peak_budget_kwh,
            policy.ac.cool_min_c,
            policy.ac.heat_max_c,
            None,
        )[rule]
        return Event(
            event_id=event_id(RULES[rule], building.id, device, start),
            rule=RULES[rule],
            building=building.id,
            device=device,
            start_ms=start,
            end_ms=end if is_closed else None,
            state="closed" if is_closed else "open",
            reason=REASONS[reason],
            limit=limit,
            worst=None if worst != worst else worst,  # NaN: ac_hours has none
            excess=excess,
            duration_ms=duration_ms,
            policy=policy.id,
        )

    def compare(
        self,
        events: NDArray[np.int64],
        figures: NDArray[np.float64],
        groups: NDArray[np.int64],
        found: Found,
        *,
        everything: bool,
    ) -> None:
        """Adds to found what is news of the events: final ones first, then each group as all that stands now of its
        rule and device. everything: also what was given before."""
        made = [self._event(row, *pair) for row, pair in zip(events.tolist(), figures.tolist(), strict=True)]
        for index in np.flatnonzero(events[:, 8]).tolist():
            rule, building, device = events[index, :3].tolist()
            given = self._given.get(building, {}).get((rule, device), {})
            if given.pop(made[index].start_ms, None) != made[index] or everything:
                found.events.append(made[index])
        for rule, building, device, first, end in groups.tolist():
            rules = self._given.setdefault(building, {})
            before = rules.get((rule, device), {})
            now = {event.start_ms: event for event in made[first:end]}
            found.events.extend(event for event in now.values() if everything or before.get(event.start_ms) != event)
            found.events.extend(
                event._replace(state="withdrawn") for start, event in before.items() if start not in now
            )
            if now:
                rules[rule, device] = now
            else:
                rules.pop((rule, device), None)
