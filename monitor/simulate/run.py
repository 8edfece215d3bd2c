"""One run of simulated gateways against a broker: scenario, truth, messages, in one call."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monitor.registry import Registry
from monitor.simulate.delivery import deliveries
from monitor.simulate.faults import Faults
from monitor.simulate.gateways import Progress, publish
from monitor.simulate.made_up import from_registry, make_scenario
from monitor.simulate.scenario import Scenario
from monitor.simulate.tables import write_readings, write_truth
from monitor.simulate.truth import Truth

__all__ = ["SimulateResult", "live_scenario", "run_simulate"]


@dataclass(frozen=True, slots=True)
class SimulateResult:
    scenario: Scenario
    truth: Truth
    progress: Progress


def live_scenario(
    *,
    seed: int,
    duration_s: float,
    speed: float,
    now_ms: int,
    registry: Registry | None = None,
    buildings: int = 12,
    cadence_s: float = 900.0,
    ac_cadence_s: float = 300.0,
    faults: Faults | None = None,
) -> Scenario:
    """A scenario for publishing from now on at `speed`, so placed in time that simulated time has caught up with the
    clock when the last reading is sent: a monitor rejects readings of the future.

    Without a registry a town of so many buildings is made up. duration_s: of simulated time [s]. speed below 1 would
    run ahead of the clock at first: the start is then now. InputError for figures that make no sense.
    """
    run_s = 0.0 if speed == math.inf else duration_s / speed
    start_ms = now_ms - max(0, round((duration_s - run_s) * 1000))
    if registry is not None:
        return from_registry(registry, seed, start_ms=start_ms, duration_s=duration_s, faults=faults)
    return make_scenario(
        seed,
        start_ms=start_ms,
        duration_s=duration_s,
        buildings=buildings,
        cadence_s=cadence_s,
        ac_cadence_s=ac_cadence_s,
        faults=faults,
    )


async def run_simulate(
    scenario: Scenario,
    broker_url: str,
    *,
    speed: float = math.inf,
    truth_dir: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    version: Literal["5", "3.1.1"] = "5",
    username: str | None = None,
    password: str | None = None,
    ca_file: str | None = None,
    connections: int = 2,
    inflight: int = 50,
    patience_s: float = 120.0,
) -> SimulateResult:
    """Write the truth to truth_dir (events.csv, intervals.csv, ledger.csv, readings.csv), then publish the scenario.

    The truth is written first: a run that is broken off can still be judged by what it would have said. Errors as of
    `publish`; OSError where truth_dir cannot be written.
    """
    truth = await asyncio.to_thread(scenario.truth)
    if truth_dir is not None:
        await asyncio.to_thread(write_truth, truth, truth_dir)
        await asyncio.to_thread(lambda: write_readings(scenario.truth_rows(), truth_dir / "readings.csv"))
    progress = await publish(
        deliveries(scenario),
        broker_url,
        speed=speed,
        on_progress=on_progress,
        version=version,
        username=username,
        password=password,
        ca_file=ca_file,
        connections=connections,
        inflight=inflight,
        patience_s=patience_s,
    )
    return SimulateResult(scenario, truth, progress)
