"""A configuration as the kernels see it: arrays over dense rows, calendars as boundary arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.calendars import AcCalendar, PeriodCalendar, compile_ac, compile_periods
from monitor.registry import Registry

MIN_WINDOW_S = 2 * 3600.0
"""How far back a building's intervals stay open for readings that come in order for their own device; what reaches
further back is computed again from the journal."""

RULE_BIT = {"ac_cool_setpoint": 1, "ac_heat_setpoint": 2, "ac_hours": 4}
AUTO_CODE = {"": 0, "cool": 1, "heat": 2}


def judged_ac_rules(registry: Registry, device: int) -> tuple[bool, ...]:
    """Which of the rules of RULE_BIT this air conditioner is judged by."""
    row = registry.devices[device]
    ac = registry.policies[registry.buildings[registry.device_building[device]].policy].ac
    given = (ac.cool_min_c is not None, ac.heat_max_c is not None, bool(ac.allowed))
    return tuple(rule not in row.exempt and is_given for rule, is_given in zip(RULE_BIT, given, strict=True))


class Layout(NamedTuple):
    """Where the parts of a building lie along each axis of the state."""

    device_start: NDArray[np.int64]  # [B + 1]
    ac_start: NDArray[np.int64]  # [B + 1]
    item_start: NDArray[np.int64]  # [B + 1]
    cell_start: NDArray[np.int64]  # [B + 1]

    def length(self, axis: str) -> int:
        if axis == "B":
            return len(self.device_start) - 1
        return int(self._starts(axis)[-1])

    def slice(self, axis: str, building: int) -> slice:
        if axis == "B":
            return slice(building, building + 1)
        starts = self._starts(axis)
        return slice(int(starts[building]), int(starts[building + 1]))

    def _starts(self, axis: str) -> NDArray[np.int64]:
        return {"D": self.device_start, "A": self.ac_start, "I": self.item_start, "P": self.cell_start}[axis]


class Params(NamedTuple):
    """The kernels' view of buildings, devices and calendars. NaN: not given."""

    # devices
    building: NDArray[np.int64]
    ac_slot: NDArray[np.int64]  # row on axis A, -1 for a meter
    item: NDArray[np.int64]  # row on axis I, -1 for an AC
    cell: NDArray[np.int64]  # first cell on axis P, -1 for an AC
    source: NDArray[np.int64]  # the quantity that counts: 0 register, 1 power_kw
    multiplier: NDArray[np.float64]
    max_rate: NDArray[np.float64]  # units per hour, NaN
    register_max: NDArray[np.float64]  # NaN
    jitter: NDArray[np.float64]
    max_gap_ms: NDArray[np.int64]
    exempt: NDArray[np.int64]  # bits of RULE_BIT
    # items
    item_meters: NDArray[np.int64]
    # buildings
    device_start: NDArray[np.int64]
    item_start: NDArray[np.int64]
    interval_ms: NDArray[np.int64]
    grace_ms: NDArray[np.int64]
    window: NDArray[np.int64]  # cells that each meter keeps
    total_item: NDArray[np.int64]  # row on axis I, -1
    limit_kw: NDArray[np.float64]
    tolerance: NDArray[np.float64]
    clear_ratio: NDArray[np.float64]
    min_coverage: NDArray[np.float64]
    budget_kwh: NDArray[np.float64]
    cool_min_c: NDArray[np.float64]
    heat_max_c: NDArray[np.float64]
    tolerance_c: NDArray[np.float64]
    auto_counts: NDArray[np.int64]
    on_delay_ms: NDArray[np.int64]
    off_delay_ms: NDArray[np.int64]
    # calendars of all (policy, timezone) one after the other; each building's is [lo, hi)
    period_lo: NDArray[np.int64]
    period_hi: NDArray[np.int64]
    period_start: NDArray[np.int64]
    period_code: NDArray[np.int64]
    period_peak: NDArray[np.bool_]
    occurrence_start: NDArray[np.int64]
    occurrence_end: NDArray[np.int64]
    ac_lo: NDArray[np.int64]
    ac_hi: NDArray[np.int64]
    ac_start: NDArray[np.int64]
    ac_flags: NDArray[np.int64]


def _ints(values: Iterable[int]) -> NDArray[np.int64]:
    return np.array(list(values), dtype=np.int64)


def _reals(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def window_lengths(registry: Registry) -> NDArray[np.int64]:
    """int64[B]: cells per meter: enough for the grace, and for what usually comes late in order."""
    lengths = []
    for row, building in enumerate(registry.buildings):
        policy = registry.policies[building.policy]
        devices = registry.devices[registry.device_start[row] : registry.device_start[row + 1]]
        usual_s = max([MIN_WINDOW_S, *(min(d.max_gap_s, 4 * MIN_WINDOW_S) for d in devices if d.kind == "meter")])
        span_s = max(policy.grace_s, usual_s)
        lengths.append(-(-_ms(span_s) // (policy.demand_interval_min * 60_000)) + 3)
    return _ints(lengths)


def build_layout(registry: Registry) -> Layout:
    buildings = len(registry.buildings)
    is_ac = np.array([device.kind == "ac" for device in registry.devices], dtype=bool)
    of_building = registry.device_building.astype(np.int64)
    ac_counts = np.bincount(of_building[is_ac], minlength=buildings).astype(np.int64)
    meter_counts = np.bincount(of_building[~is_ac], minlength=buildings).astype(np.int64)
    return Layout(
        device_start=registry.device_start.astype(np.int64),
        ac_start=_starts(ac_counts),
        item_start=registry.item_start.astype(np.int64),
        cell_start=_starts(meter_counts * window_lengths(registry)),
    )


class Calendars(NamedTuple):
    """The compiled calendars of a registry for a range of time."""

    from_ms: int
    to_ms: int
    periods: tuple[PeriodCalendar, ...]
    acs: tuple[AcCalendar, ...]
    of_building: tuple[int, ...]


def compile_calendars(registry: Registry, from_ms: int, to_ms: int) -> Calendars:
    """Every (policy, timezone) in use, once, for [from_ms, to_ms)."""
    keys: dict[tuple[str, str], int] = {}
    of_building = tuple(keys.setdefault((b.policy, b.timezone), len(keys)) for b in registry.buildings)
    return Calendars(
        from_ms,
        to_ms,
        tuple(
            compile_periods(registry.policies[policy], zone, from_ms, to_ms, registry.period_names)
            for policy, zone in keys
        ),
        tuple(compile_ac(registry.policies[policy], zone, from_ms, to_ms) for policy, zone in keys),
        of_building,
    )


def build_params(registry: Registry, layout: Layout, calendars: Calendars) -> Params:
    devices, buildings = registry.devices, registry.buildings
    policies = [registry.policies[building.policy] for building in buildings]
    item_of = {meter: row for row, item in enumerate(registry.items) for meter in item.meters}
    window = window_lengths(registry)
    ac_slot, cell = _ints([-1] * len(devices)), _ints([-1] * len(devices))
    for building in range(len(buildings)):
        next_ac, next_cell = int(layout.ac_start[building]), int(layout.cell_start[building])
        for row in range(int(layout.device_start[building]), int(layout.device_start[building + 1])):
            if devices[row].kind == "ac":
                ac_slot[row], next_ac = next_ac, next_ac + 1
            else:
                cell[row], next_cell = next_cell, next_cell + int(window[building])
    total_item = _ints([-1] * len(buildings))
    for row, item in enumerate(registry.items):
        if item.name == "total":
            total_item[item.building] = row
    period_starts = _starts(_ints(len(calendar.start_ms) for calendar in calendars.periods))
    ac_starts = _starts(_ints(len(calendar.start_ms) for calendar in calendars.acs))
    index = _ints(calendars.of_building)

    def joined(parts: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
        return np.concatenate([np.asarray(part, dtype=dtype) for part in parts]) if parts else np.empty(0, dtype)

    return Params(
        building=registry.device_building.astype(np.int64),
        ac_slot=ac_slot,
        item=_ints(item_of.get(row, -1) for row in range(len(devices))),
        cell=cell,
        source=_ints(1 if device.source == "power" else 0 for device in devices),
        multiplier=_reals(device.multiplier for device in devices),
        max_rate=_reals(device.max_rate for device in devices),
        register_max=_reals(device.register_max for device in devices),
        jitter=_reals(device.jitter for device in devices),
        max_gap_ms=_ints(_ms(device.max_gap_s) for device in devices),
        exempt=_ints(sum(RULE_BIT[rule] for rule in device.exempt) for device in devices),
        item_meters=_ints(len(item.meters) for item in registry.items),
        device_start=layout.device_start,
        item_start=layout.item_start,
        interval_ms=_ints(policy.demand_interval_min * 60_000 for policy in policies),
        grace_ms=_ints(_ms(policy.grace_s) for policy in policies),
        window=window,
        total_item=total_item,
        limit_kw=_reals(building.peak_limit_kw for building in buildings),
        tolerance=_reals(policy.tolerance for policy in policies),
        clear_ratio=_reals(policy.clear_ratio for policy in policies),
        min_coverage=_reals(policy.min_coverage for policy in policies),
        budget_kwh=_reals(building.peak_budget_kwh for building in buildings),
        cool_min_c=_reals(policy.ac.cool_min_c for policy in policies),
        heat_max_c=_reals(policy.ac.heat_max_c for policy in policies),
        tolerance_c=_reals(policy.ac.tolerance_c for policy in policies),
        auto_counts=_ints(AUTO_CODE[policy.ac.auto_counts] for policy in policies),
        on_delay_ms=_ints(_ms(policy.ac.min_duration_s) for policy in policies),
        off_delay_ms=_ints(_ms(policy.ac.clear_duration_s) for policy in policies),
        period_lo=period_starts[:-1][index],
        period_hi=period_starts[1:][index],
        period_start=joined([c.start_ms for c in calendars.periods], np.int64),
        period_code=joined([c.period for c in calendars.periods], np.int64),
        period_peak=joined([c.peak for c in calendars.periods], np.bool_),
        occurrence_start=joined([c.occurrence_start_ms for c in calendars.periods], np.int64),
        occurrence_end=joined([c.occurrence_end_ms for c in calendars.periods], np.int64),
        ac_lo=ac_starts[:-1][index],
        ac_hi=ac_starts[1:][index],
        ac_start=joined([c.start_ms for c in calendars.acs], np.int64),
        ac_flags=joined([c.flags for c in calendars.acs], np.int64),
    )
