"""The command `replay`: configuration, progress on a terminal, a closing line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from monitor.config import load_registry, load_settings
from monitor.detect.warm_up import warm_up
from monitor.replay import replay


def replay_command(
    config: Path, source: Path, out: Path, *, batch: int, horizon: bool, env: Mapping[str, str], now_ms: int
) -> None:
    """Raises ConfigError and InputError."""
    settings = load_settings(config, env)
    registry, warnings = load_registry(config, now_ms=now_ms, revision_horizon_h=settings.revision_horizon_h)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for warning in warnings:
        console.print(str(warning), markup=False)
    warm_up(lambda: console.print("compiling the detection kernels, once: this takes about a minute"))
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task(f"replay {source.name}", total=None)
        report = replay(
            registry,
            source,
            out,
            now_ms=now_ms,
            horizon_ms=round(settings.revision_horizon_h * 3_600_000) if horizon else None,
            max_future_ms=round(settings.max_future_s * 1000),
            batch=batch,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    rejected = sum(report.rejected.values())
    console.print(
        f"{report.readings:,} readings, {rejected:,} rejected; {report.intervals:,} intervals, {report.events:,} "
        f"events, {report.ledger:,} ledger entries in {out}",
        markup=False,
    )
