"""The command `bench`: which stages there are, one after the other."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from monitor.bench import decode, formats, journal, kernel, lines, memory, pipeline, restart, sqlite
from monitor.bench.machine import machine_facts
from monitor.bench.measure import Bench, Figure
from monitor.bench.report import as_json as to_json
from monitor.bench.report import print_table
from monitor.errors import MonitorError

__all__ = ["STAGES", "run_bench"]

STAGES: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "kernel": kernel.measure,
    "decode": decode.measure,
    "formats": formats.measure,
    "lines": lines.measure,
    "journal": journal.measure,
    "sqlite": sqlite.measure,
    "restart": restart.measure,
    "memory": memory.measure,
    "pipeline": pipeline.measure,
}
"""In the order in which they run: the shortest first."""


_FILE_COLUMNS = 140
"""Width of the table where there is no terminal."""


def run_bench(*, as_json: bool, quick: bool, only: Sequence[str]) -> int:
    """Measures and prints to standard output, progress to standard error. `only`: names of stages; empty for all.

    Returns 0, also where a target is missed: that is a result; 1 where a stage could not do its work; 2 for a stage
    that there is not.
    """
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    unknown = [name for name in only if name not in STAGES]
    if unknown:
        progress.print(f"bench: found stage {', '.join(unknown)}, expected any of {', '.join(STAGES)}", markup=False)
        return 2
    figures: list[Figure] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="meter-monitor-bench-") as name:
        for stage, measure in STAGES.items():
            if only and stage not in only:
                continue
            folder = Path(name) / stage
            folder.mkdir()
            bench = Bench(
                folder=folder,
                now_ms=time.time_ns() // 1_000_000,
                say=lambda text: progress.print(f"  {text}", style="dim", markup=False),
                quick=quick,
            )
            try:
                figures.extend(measure(bench))
            except MonitorError as error:  # what the other stages have measured is worth having
                progress.print(f"{stage}: {error}", style="red", markup=False)
                failed = True
            shutil.rmtree(folder)  # what is measured next has the disk to itself
    if as_json:
        sys.stdout.write(to_json(figures, machine_facts(), quick=quick) + "\n")
    else:
        output = Console(highlight=False)
        if not output.is_terminal:
            output = Console(highlight=False, width=_FILE_COLUMNS)
        if quick:
            output.print("Quick: sizes too small for any target.")
        print_table(figures, machine_facts(), output)
    return 1 if failed else 0
