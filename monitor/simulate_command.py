"""The command `simulate`: options to a scenario, its progress on the terminal, a closing line."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import uvloop
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from monitor.config import load_registry, load_settings
from monitor.errors import InputError, MonitorError
from monitor.registry import Registry
from monitor.simulate.faults import Faults
from monitor.simulate.gateways import Progress, parse_broker_url
from monitor.simulate.run import live_scenario, run_simulate
from monitor.simulate.scenario import Scenario

__all__ = ["SimulateOptions", "simulate_command"]

DAY_S = 86_400.0
MAX_SIMULATED_S = 380 * DAY_S
"""Readings that are older than 400 days when they arrive are refused."""
DEFAULT_BUILDINGS = 12
_LINE_EVERY_S = 10.0
DONE, BROKEN_OFF = 0, 130


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """As on the command line. duration_s: of real time [s]; speed: simulated seconds per second."""

    broker: str
    config: Path | None = None
    buildings: int | None = None
    """None: 12, or those of `config`."""
    seed: int = 1
    duration_s: float = 600.0
    speed: float = 60.0
    faults: str = ""
    out: Path | None = None
    version: Literal["5", "3.1.1"] = "5"
    username: str | None = None
    password_env: str | None = None
    ca_file: Path | None = None
    patience_s: float = 30.0


def simulate_command(options: SimulateOptions, env: Mapping[str, str], console: Console, now_ms: int) -> int:
    """Returns the exit code. Raises ConfigError and InputError before anything is sent, MonitorError where the broker
    cannot be reached or the truth cannot be written."""
    _check(options, env)
    password = None if options.password_env is None else env[options.password_env]
    scenario = _scenario(options, env, now_ms)
    registry = scenario.registry
    console.print(
        f"{len(registry.buildings):,} buildings, {len(registry.devices):,} devices: "
        f"{options.duration_s * options.speed / 3600:,.1f} h of simulated time in {options.duration_s:,.0f} s",
        markup=False,
    )
    report = _Report(console, scenario)
    begun_s = time.monotonic()
    try:
        if options.out is not None and options.config is None:
            scenario.write_config(options.out / "config")
        with report.bar, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(
                run_simulate(
                    scenario,
                    options.broker,
                    speed=options.speed,
                    truth_dir=options.out,
                    on_progress=report.show,
                    version=options.version,
                    username=options.username,
                    password=password,
                    ca_file=str(options.ca_file) if options.ca_file else None,
                    patience_s=options.patience_s,
                )
            )
    except KeyboardInterrupt:
        console.print(f"broken off: {_sent(report.last)}", markup=False)
        return BROKEN_OFF
    except OSError as error:
        # The broker's errors are BrokerErrors by now; what is left are the files.
        raise MonitorError(f"{error.filename or options.out}: {error.strerror or error}") from error
    took_s = max(1e-3, time.monotonic() - begun_s)
    truth = f"; the truth is in {options.out}" if options.out is not None else ""
    console.print(
        f"{_sent(report.last)} in {took_s:,.1f} s ({report.last.acknowledged / took_s:,.0f} messages/s){truth}",
        markup=False,
    )
    return DONE


def _check(options: SimulateOptions, env: Mapping[str, str]) -> None:
    """Everything that is wrong with the options themselves."""
    address = parse_broker_url(options.broker)
    simulated_s = options.duration_s * options.speed
    if not (options.duration_s > 0 and options.speed > 0 and simulated_s <= MAX_SIMULATED_S):
        raise InputError(
            f"--duration {options.duration_s:g} and --speed {options.speed:g}: both must be positive, and their "
            f"product, the simulated time, at most {MAX_SIMULATED_S:,.0f} s ({MAX_SIMULATED_S / DAY_S:.0f} days)"
        )
    if not (options.patience_s >= 0 and math.isfinite(options.patience_s)):
        raise InputError(f"--patience {options.patience_s:g}: give 0 or more seconds")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: give 0 or more")
    if options.buildings is not None and options.buildings < 1:
        raise InputError(f"--buildings {options.buildings}: give 1 or more")
    if options.config is not None and options.buildings is not None:
        raise InputError("--buildings is for made-up buildings, --config names those that exist: give one of them")
    if options.password_env is not None and options.username is None:
        raise InputError("--password-env without --username: give both")
    if options.password_env is not None and not env.get(options.password_env):
        raise InputError(f"--password-env {options.password_env}: this environment variable is not set")
    if options.ca_file is not None and not address.tls:
        raise InputError("--ca-file has no effect with mqtt://; use mqtts://")
    if options.ca_file is not None:
        try:
            ssl.create_default_context(cafile=options.ca_file)
        except OSError as error:
            raise InputError(f"--ca-file {options.ca_file}: cannot be used: {error.strerror or error}") from error


def _scenario(options: SimulateOptions, env: Mapping[str, str], now_ms: int) -> Scenario:
    registry: Registry | None = None
    if options.config is not None:
        horizon_h = load_settings(options.config, env).revision_horizon_h
        registry, _ = load_registry(options.config, now_ms=now_ms, revision_horizon_h=horizon_h)
    return live_scenario(
        seed=options.seed,
        duration_s=options.duration_s * options.speed,
        speed=options.speed,
        now_ms=now_ms,
        registry=registry,
        buildings=DEFAULT_BUILDINGS if options.buildings is None else options.buildings,
        faults=Faults.parse(options.faults),
    )


def _sent(progress: Progress) -> str:
    bad = sum(progress.malformed.values())
    text = f"{progress.acknowledged:,} messages acknowledged, {progress.readings:,} good readings in them"
    if bad:
        text += f", {bad:,} bad messages"
    if progress.reconnects:
        text += f"; connected again {progress.reconnects:,} times, {progress.resent:,} messages sent again"
    return text


class _Report:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, scenario: Scenario) -> None:
        self.last = Progress()
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._console = console
        self._start_ms, self._end_ms = scenario.start_ms, scenario.end_ms
        self._task = self.bar.add_task("connecting", total=scenario.end_ms - scenario.start_ms)
        self._last_line_s = time.monotonic()

    def show(self, progress: Progress) -> None:
        self.last = progress
        done_ms = min(max(0, progress.simulated_ms - self._start_ms), self._end_ms - self._start_ms)
        doing = f"{progress.acknowledged:,} messages" if progress.acknowledged else "connecting"
        self.bar.update(self._task, completed=done_ms, description=doing)
        now_s = time.monotonic()
        if not self._console.is_terminal and now_s - self._last_line_s >= _LINE_EVERY_S:
            self._last_line_s = now_s
            share = done_ms / (self._end_ms - self._start_ms)
            self._console.print(f"{share:4.0%} of simulated time, {_sent(progress)}", markup=False)
