"""Outdoor temperature: a year's and a day's wave with noise. Plausible, not a climate record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLIMATE_BY_ZONE", "DEFAULT_CLIMATE", "Climate", "outdoor_c"]


class Climate(NamedTuple):
    """Yearly mean [°C], half the span between the monthly means [K], half the span of a day [K], warmest day of the
    year (1..366)."""

    mean_c: float
    season_k: float
    day_k: float
    warmest_day: float


DEFAULT_CLIMATE = Climate(14.0, 10.0, 5.0, 200.0)
CLIMATE_BY_ZONE: dict[str, Climate] = {
    "Asia/Ho_Chi_Minh": Climate(26.5, 3.0, 4.0, 150.0),
    "Asia/Shanghai": Climate(16.5, 11.0, 5.0, 203.0),
    "Asia/Urumqi": Climate(8.0, 19.0, 7.0, 200.0),
}


def outdoor_c(
    climate: Climate, day_of_year: float, local_hour: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Temperature [°C] at the local hours 0..24 of one day, all shifted by one draw of weather."""
    season = climate.season_k * np.cos(2 * np.pi * (day_of_year - climate.warmest_day) / 365.25)
    daily = climate.day_k * np.cos(2 * np.pi * (local_hour - 14.5) / 24)
    level_c = climate.mean_c + season + rng.normal(0.0, 1.5)
    return np.asarray(level_c + daily, np.float64)
