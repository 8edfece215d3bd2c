"""What a stage of the benchmark gives, and how it takes the time."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

__all__ = [
    "Bench",
    "Figure",
    "Runs",
    "machine_processor_s",
    "processor_s",
    "rate",
    "resident_mb",
    "skipped",
    "take_times",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bench:
    """What every stage is given."""

    folder: Path
    """Empty and its own; deleted afterwards."""
    now_ms: int
    """When the benchmark began [UTC ms]: readings of the pipeline lie just before it."""
    say: Callable[[str], None]
    """Progress, for people."""
    quick: bool = False
    """Tiny sizes: shows that all stages work, and nothing else."""

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result."""

    stage: str
    case: str
    """Of what, and how large."""
    unit: str
    """Of value and target: readings/s, messages/s, points/s, rows/s, s or MB."""
    value: float | None
    """The median; None: not measured, `skipped` says why."""
    us_each: float | None = None
    """Of a rate: µs for each of what is counted."""
    target: float | None = None
    at_most: bool = False
    """The target is an upper bound."""
    skipped: str = ""
    details: Mapping[str, float | int | str] = field(default_factory=dict)
    """Where the time goes, and what else is worth knowing; each name ends in its unit."""

    @property
    def reached(self) -> bool | None:
        if self.value is None or self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    @property
    def ratio(self) -> float | None:
        """How many times as good as the target: 1 or more reaches it."""
        if not self.value or not self.target:
            return None
        return self.target / self.value if self.at_most else self.value / self.target


class Runs(NamedTuple):
    """Medians over the runs."""

    wall_s: float
    processor_s: float
    """Of this process, all its threads."""


def take_times(prepare: Callable[[int], T], work: Callable[[T], object], runs: int) -> Runs:
    """Times `work` alone; `prepare` makes what each run works on from the run's number."""
    wall: list[float] = []
    processor: list[float] = []
    for run in range(runs):
        subject = prepare(run)
        wall_from, processor_from = time.perf_counter(), time.process_time()
        work(subject)
        wall.append(time.perf_counter() - wall_from)
        processor.append(time.process_time() - processor_from)
    return Runs(statistics.median(wall), statistics.median(processor))


def rate(
    stage: str,
    case: str,
    unit: str,
    count: int,
    runs: Runs,
    *,
    target: float | None = None,
    details: Mapping[str, float | int | str] | None = None,
) -> Figure:
    """The figure of runs that worked on `count` each."""
    return Figure(
        stage=stage,
        case=case,
        unit=unit,
        value=count / runs.wall_s,
        us_each=runs.wall_s / count * 1e6,
        target=target,
        details={"run_ms": runs.wall_s * 1e3, "run_processor_ms": runs.processor_s * 1e3, **(details or {})},
    )


def skipped(stage: str, case: str, unit: str, reason: str, *, target: float | None = None) -> Figure:
    return Figure(stage, case, unit, None, target=target, skipped=reason)


def resident_mb(pid: int | None = None) -> dict[str, float]:
    """Resident memory of a process now, and at most so far [MB of 2^20 bytes]. Linux only."""
    fields: dict[str, float] = {}
    for line in _proc(pid, "status").read_text("ascii", "replace").splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            fields[name] = int(rest.split()[0]) / 1024
    return {"resident_mb": fields["VmRSS"], "most_resident_mb": fields["VmHWM"]}


def processor_s(pid: int | None = None) -> float:
    """Processor time of a process so far, user and system, all threads [s]. Linux only."""
    # The name of the program stands in parentheses and may hold anything; fields count from behind it.
    fields: Sequence[str] = _proc(pid, "stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_processor_s() -> float:
    """Processor time that all processes of the machine have had so far [s]. Linux only."""
    fields = Path("/proc/stat").read_text("ascii", "replace").split("\n", 1)[0].split()
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in fields[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _proc(pid: int | None, name: str) -> Path:
    return Path("/proc") / ("self" if pid is None else str(pid)) / name
