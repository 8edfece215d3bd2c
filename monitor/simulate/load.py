"""What a building draws, minute by minute: its kind's day, the weather, and how it behaves at peak hours."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.registry import Building
from monitor.simulate.civil import MINUTE_MS, CivilCalendar
from monitor.simulate.weather import CLIMATE_BY_ZONE, DEFAULT_CLIMATE, outdoor_c

__all__ = ["DAY_MS", "DayLoad", "Habits", "day_load", "full_load_kw"]

DAY_MS = 86_400_000
_MINUTES = 1440
_Curve = tuple[tuple[float, ...], tuple[float, ...]]

# Share of people present, by local hour: (hours, shares) on workdays, then on other days.
_PRESENCE: dict[str, tuple[_Curve, _Curve]] = {
    "office": (
        ((0, 6.5, 8.5, 11.5, 12.5, 13.5, 17, 19, 24), (0.03, 0.03, 1.0, 1.0, 0.7, 1.0, 0.95, 0.15, 0.03)),
        ((0, 24), (0.04, 0.04)),
    ),
    "school": (
        ((0, 6, 7.5, 11, 12, 13.5, 17, 18.5, 21, 22, 24), (0.02, 0.02, 1.0, 1.0, 0.5, 1.0, 0.9, 0.3, 0.3, 0.02, 0.02)),
        ((0, 9, 10, 16, 17, 24), (0.02, 0.02, 0.1, 0.1, 0.02, 0.02)),
    ),
    "hospital": (
        ((0, 6, 8, 17, 20, 24), (0.55, 0.55, 1.0, 1.0, 0.65, 0.55)),
        ((0, 6, 9, 17, 20, 24), (0.5, 0.5, 0.7, 0.7, 0.6, 0.5)),
    ),
}


class Habits(NamedTuple):
    """How a building keeps to its limits at peak hours."""

    breaks_demand: bool
    breaks_budget: bool


class DayLoad(NamedTuple):
    """Over one UTC day, float64[1440], one value a minute.

    power_kw: by item; `total` is what the mains draw, `pv` what the roof gives. presence: share of people 0..1.
    outdoor_c: temperature [°C].
    """

    power_kw: dict[str, NDArray[np.float64]]
    presence: NDArray[np.float64]
    outdoor_c: NDArray[np.float64]


def full_load_kw(building: Building) -> float:
    """About the highest draw of a usual day [kW], from the best that is known of the building."""
    if building.contract_kw is not None:
        return 0.7 * building.contract_kw
    if building.peak_limit_kw is not None:
        return 1.3 * building.peak_limit_kw
    return 0.035 * building.area_m2 if building.area_m2 is not None else 50.0


def _presence(kind: str, hour: NDArray[np.float64], working: NDArray[np.bool_]) -> NDArray[np.float64]:
    workday, other = _PRESENCE.get(kind, _PRESENCE["office"])
    return np.where(working, np.interp(hour, *workday), np.interp(hour, *other))


def _keep_to_peak_hours(
    building: Building,
    habits: Habits,
    calendar: CivilCalendar,
    day_ms: int,
    total_kw: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Change `total_kw` in place so that peak limits are kept or broken as the habits say.

    An occurrence that the end of the UTC day cuts is treated as two, each with its share of the budget.
    """
    step_min = calendar.policy.demand_interval_min
    edges = np.arange(0, _MINUTES + 1, step_min)
    peak = [calendar.is_peak(day_ms + int(edge) * MINUTE_MS) for edge in edges[:-1]]
    n = 0
    while n < len(peak):
        end = n
        while end < len(peak) and peak[end]:
            end += 1
        if end == n:
            n += 1
            continue
        piece = total_kw[n * step_min : end * step_min]
        hours = len(piece) / 60
        if building.peak_budget_kwh is not None:
            # Five hours is the length of occurrence that the budget is taken to be meant for.
            goal_kwh = building.peak_budget_kwh * (1.35 if habits.breaks_budget else 0.75 * min(1.0, hours / 5))
            factor = goal_kwh / max(1e-9, piece.sum() / 60)
            piece *= max(1.0, factor) if habits.breaks_budget else min(1.0, factor)
        limit_kw = building.peak_limit_kw
        if limit_kw is not None and not (habits.breaks_demand or habits.breaks_budget):
            np.minimum(piece, 0.92 * limit_kw, out=piece)
        if limit_kw is not None and habits.breaks_demand:
            length_min = min(len(piece), int(rng.integers(2, 7)) * step_min)
            first = int(rng.integers(0, len(piece) - length_min + 1))
            burst = piece[first : first + length_min]
            np.maximum(burst, limit_kw * rng.uniform(1.15, 1.5), out=burst)
        n = end


def day_load(
    building: Building, habits: Habits, calendar: CivilCalendar, day_ms: int, rng: np.random.Generator
) -> DayLoad:
    """The UTC day that begins at day_ms (a multiple of 86 400 000 ms)."""
    noon = calendar.local(day_ms + DAY_MS // 2)
    offset = noon.utcoffset() or dt.timedelta(0)
    local_min = np.arange(_MINUTES) + offset.total_seconds() / 60
    hour = (local_min / 60) % 24
    first_day = calendar.local(day_ms).date()
    names = [calendar.day_names(first_day + dt.timedelta(days=n)) for n in range(2)]
    later = local_min // _MINUTES > local_min[0] // _MINUTES
    working = np.where(later, "workday" in names[1], "workday" in names[0])
    presence = _presence(building.kind, hour, working)
    climate = CLIMATE_BY_ZONE.get(building.timezone, DEFAULT_CLIMATE)
    outside = outdoor_c(climate, noon.timetuple().tm_yday, hour, rng)
    full_kw = full_load_kw(building)
    knots = rng.normal(1.0, 0.05, _MINUTES // 15 + 1)
    noise = np.interp(np.arange(_MINUTES), np.arange(len(knots)) * 15, knots) + rng.normal(0.0, 0.01, _MINUTES)
    dark = np.where((hour < 6) | (hour > 18), 1.3, 1.0)
    need = np.clip(np.maximum(outside - 24.0, 16.0 - outside) / 10.0, 0.05, 1.2)
    items = {
        "lighting_sockets": full_kw * (0.05 + 0.28 * presence * dark),
        "hvac": full_kw * 0.45 * presence * need,
        "power": full_kw * (0.03 + 0.12 * presence),
        "special": np.full(_MINUTES, full_kw * (0.14 if building.kind == "hospital" else 0.07)),
    }
    for name in items:
        items[name] = np.maximum(0.0, items[name] * noise)
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0.0, None)
    pv_kw = 0.2 * full_kw * sun * rng.uniform(0.3, 1.0)
    before_kw = np.sum(list(items.values()), axis=0)
    total_kw = np.maximum(0.02 * full_kw, before_kw - pv_kw)
    shaped_kw = total_kw.copy()
    _keep_to_peak_hours(building, habits, calendar, day_ms, shaped_kw, rng)
    used = (before_kw + shaped_kw - total_kw).clip(0.0) / np.maximum(before_kw, 1e-6)
    for name in items:
        items[name] = items[name] * used
    return DayLoad({**items, "pv": pv_kw, "total": shaped_kw}, presence, outside)
