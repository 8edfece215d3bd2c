"""Scenarios that the tests share. Dates lie in the past of any machine that runs them."""

from __future__ import annotations

import datetime as dt

from monitor.simulate.faults import Faults
from monitor.simulate.made_up import make_scenario
from monitor.simulate.scenario import Scenario

HOUR_S = 3_600.0
DAY_S = 86_400.0


def at(text: str) -> int:
    """UTC ms of an ISO date or time without a zone."""
    return round(dt.datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


START_MS = at("2025-07-08T00:00")
ALL_FAULTS = Faults(
    duplicates=0.1, reordering=0.2, outages=4.0, malformed=0.2, resets=0.3, rollovers=0.5, spikes=0.01, skew=0.5
)


def town(
    *,
    seed: int = 5,
    buildings: int = 3,
    duration_s: float = DAY_S,
    start_ms: int = START_MS,
    faults: Faults | None = None,
) -> Scenario:
    return make_scenario(seed, start_ms=start_ms, duration_s=duration_s, buildings=buildings, faults=faults)
