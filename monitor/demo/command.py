"""The command `demo`: everything on this machine, from simulated gateways to a verdict on the verdicts."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from rich.console import Console

from monitor import logs
from monitor.demo.play import Played, play
from monitor.demo.verdict import judge, read_results, verdict_view
from monitor.demo.view import Screen, recent_view
from monitor.demo.watch import Watch
from monitor.detect.warm_up import warm_up
from monitor.errors import InputError, MonitorError
from monitor.simulate.faults import SOME_FAULTS
from monitor.simulate.run import live_scenario
from monitor.simulate.scenario import Scenario
from monitor.simulate.tables import write_readings, write_truth
from monitor.simulate.truth import Truth

__all__ = ["demo_command"]

DAY_S = 86_400.0
MAX_SIMULATED_S = 380 * DAY_S
"""Readings that are older than 400 days when they arrive are refused."""
METER_CADENCE_S, AC_CADENCE_S = 300.0, 120.0
EQUAL, DIFFERENT, BROKEN_OFF = 0, 1, 130
_LOG_LINES = 20


def demo_command(
    *, duration_s: float, speed: float | None, buildings: int, seed: int, keep: Path | None, console: Console
) -> int:
    """duration_s: of real time [s]. speed: simulated seconds per second; None: one that lets a day pass. keep: a folder
    for configuration, state, truth and results. Returns the exit code: 0 if what was found equals the truth.

    Raises InputError for figures that make no sense, MonitorError when a part fails.
    """
    if not (math.isfinite(duration_s) and duration_s > 0):
        raise InputError(f"--duration {duration_s:g}: give the seconds of real time that the gateways are to send")
    speed = DAY_S / duration_s if speed is None else speed
    if not (speed > 0 and duration_s * speed <= MAX_SIMULATED_S):
        raise InputError(
            f"--speed {speed:g}: must be positive, and the simulated time, --duration times --speed, at most "
            f"{MAX_SIMULATED_S:,.0f} s ({MAX_SIMULATED_S / DAY_S:.0f} days)"
        )
    if buildings < 1:
        raise InputError(f"--buildings {buildings}: give 1 or more")
    if seed < 0:
        raise InputError(f"--seed {seed}: give 0 or more")
    with _folder(keep) as folder, _log_file(folder / "monitor.log") as show_log:
        _compile(console)
        scenario = live_scenario(
            seed=seed,
            duration_s=duration_s * speed,
            speed=speed,
            now_ms=time.time_ns() // 1_000_000,
            buildings=buildings,
            cadence_s=METER_CADENCE_S,
            ac_cadence_s=AC_CADENCE_S,
            faults=SOME_FAULTS,
        )
        scenario.write_config(folder / "config")
        registry = scenario.registry
        console.print(
            f"{len(registry.buildings):,} buildings, {len(registry.devices):,} devices, "
            f"{(scenario.end_ms - scenario.start_ms) / 3_600_000:,.1f} h of simulated time in about {duration_s:g} s "
            f"({speed:,.0f} times as fast), seed {seed}. Gateways lose their connection, send twice, late and rubbish; "
            "meters are exchanged.",
            markup=False,
            soft_wrap=True,
        )
        truth = scenario.truth()
        try:
            played = _play(scenario, folder, speed, console)
            if not played.is_complete:
                return _broken_off(scenario, played, folder, console)
            code = _verdict(scenario, truth, played, folder, console, keep is not None)
        except MonitorError:
            show_log(console)
            raise
        if code != EQUAL:
            show_log(console)
        return code


def _compile(console: Console) -> None:
    def say() -> None:
        console.print(
            "Compiling the detection kernels, once: this takes about a minute ...", markup=False, soft_wrap=True
        )
        said.append(True)

    said: list[bool] = []
    took_s = warm_up(say)
    if said:
        console.print(f"... done in {took_s:.0f} s.", markup=False, soft_wrap=True)


def _play(scenario: Scenario, folder: Path, speed: float, console: Console) -> Played:
    screen = Screen(console, scenario)

    def on_start(metrics_url: str, broker_url: str) -> None:
        console.print(
            f"To look at while it runs: {metrics_url}/metrics  {metrics_url}/healthz  broker {broker_url}",
            markup=False,
            soft_wrap=True,
        )

    with screen.shown(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(
            play(
                scenario,
                folder / "config",
                _state(folder),
                speed=speed,
                on_start=on_start,
                on_change=lambda state: screen.show(state, time.monotonic()),
            )
        )


def _state(folder: Path) -> Path:
    return folder / "state"


def _database(folder: Path) -> Path:
    return _state(folder) / "monitor.sqlite"


def _verdict(scenario: Scenario, truth: Truth, played: Played, folder: Path, console: Console, is_kept: bool) -> int:
    found = read_results(_database(folder))
    verdict = judge(found, truth, played.progress.malformed)
    progress = played.progress
    console.print(
        f"\n{progress.acknowledged:,} messages sent with {progress.readings:,} good readings in them.\n",
        markup=False,
        soft_wrap=True,
    )
    console.print(verdict_view(verdict))
    if is_kept:
        write_truth(truth, folder / "truth")
        write_readings(scenario.truth_rows(), folder / "truth" / "readings.csv")
        write_truth(found.results, folder / "results")
        console.print(f"Configuration, state, truth and results are in {folder}", markup=False, soft_wrap=True)
    return EQUAL if verdict.equal else DIFFERENT


def _broken_off(scenario: Scenario, played: Played, folder: Path, console: Console) -> int:
    console.print(
        f"\nBroken off after {played.progress.acknowledged:,} messages with {played.progress.readings:,} good "
        "readings. Found until then, and not compared with the truth:\n",
        markup=False,
        soft_wrap=True,
    )
    console.print(recent_view(scenario, Watch("", _database(folder)).violations()))
    return BROKEN_OFF


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where everything is written. Raises InputError for one that cannot be made, or is in use already."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="meter-monitor-demo-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    if _state(keep).exists():
        raise InputError(f"--keep {keep}: holds the state of another run; give a new folder")
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--keep {keep}: cannot be made: {error.strerror}") from error
    yield keep


@contextmanager
def _log_file(path: Path) -> Iterator[Callable[[Console], None]]:
    """The monitor's log goes to a file, for it would tear the picture. Gives what prints its end."""
    with path.open("w+", encoding="utf-8") as file:

        def show(console: Console) -> None:
            file.flush()
            lines = path.read_text(encoding="utf-8").splitlines()[-_LOG_LINES:]
            if lines:
                console.print(
                    "The end of the monitor's log:", *lines, sep="\n", markup=False, soft_wrap=True, highlight=False
                )

        logs.configure("text", "warning", stream=file)
        try:
            yield show
        finally:
            logs.configure("text", "warning")
