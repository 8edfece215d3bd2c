"""Compiles every kernel before it is needed, and only in one process at a time. `python -m` this file does just that.

The first step of an engine would compile them too, but in the middle of the work: a broker would wait for a minute
for its acknowledgements. And two processes that write one of Numba's cache directories at once can crash each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numba
import numpy as np

from monitor.detect import jit
from monitor.detect.engine import Engine
from monitor.detect.history import MemoryHistory
from monitor.readings import Quantity, ReadingColumns
from monitor.registry import AcRules, Building, Device, Policy, Registry, Window

__all__ = ["is_compiled", "warm_up"]

_START_MS = 1_750_000_000_000
_STEP_MS = 60_000


def warm_up(on_compile: Callable[[], None] = lambda: None, also: Sequence[Callable[[], None]] = ()) -> float:
    """Compile all kernels, or load what was compiled before; returns how long it took [s].

    Blocks: about a minute when nothing is compiled yet, a second otherwise, and for as long as another process
    compiles. on_compile: called first when it is going to take long. also: what other rooms compile, done under the
    same lock. Where the cache cannot be written the kernels
    are compiled for this process alone, each time.
    """
    begun_s = time.monotonic()
    if not is_compiled():
        on_compile()
    with _only_one():
        _one_step_of_each_kind()
        for compile_more in also:
            compile_more()
        # Nothing depends on the mark but what is said while one waits.
        with contextlib.suppress(OSError):
            _mark().touch()
    return time.monotonic() - begun_s


def is_compiled() -> bool:
    """Whether the kernels of these very sources have been compiled here before."""
    return _mark().exists()


def _mark() -> Path:
    """A file that says: compiled, from these sources, by this Numba, for this Python and machine."""
    sources = jit.cache_directory(Path(jit.__file__).parent, {}).name
    name = f"{sources}-{sys.implementation.cache_tag}-numba-{numba.__version__}-{platform.machine()}"
    return _cache_directory() / f"{name}.compiled"


def _cache_directory() -> Path:
    return Path(str(numba.config.CACHE_DIR))  # type: ignore[attr-defined]  # numba fills its config at run time


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Holds the lock of the cache directory; of no use, and not held, where that cannot be written."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            _cache_directory().mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((_cache_directory() / "compiling.lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)  # goes with the file, also when the process is killed
        yield


def _one_step_of_each_kind() -> None:
    """Readings in order, readings that come late, and the end of a configuration: the three ways into the kernels."""
    registry = _registry()
    history = MemoryHistory(registry.device_building, len(registry.buildings))
    engine = Engine(registry, history, horizon_ms=None)
    for first in (10, 0):
        columns = _readings(first)
        engine.step(columns, history.append(columns))
    engine.freeze()


def _registry() -> Registry:
    rules = AcRules(cool_min_c=26.0, heat_max_c=20.0, allowed=(Window("", 7 * 60, 18 * 60),))
    policy = Policy("p", windows=(Window("peak", 9 * 60, 17 * 60),), ac=rules)
    building = Building("b", "UTC", "p", contract_kw=10.0, peak_limit_kw=5.0, peak_budget_kwh=5.0)
    devices = (
        Device("register", "b", "meter", max_rate=40.0, register_max=1e6),
        Device("power", "b", "meter", item="hvac", source="power"),
        Device("ac", "b", "ac", item="", cadence_s=300.0, max_gap_s=1200.0),
    )
    return Registry.of([building], devices, {policy.id: policy})


def _readings(first: int) -> ReadingColumns:
    """Five for each quantity, a minute apart."""
    quantities = [
        (0, Quantity.REGISTER),
        (1, Quantity.POWER_KW),
        (2, Quantity.ON),
        (2, Quantity.MODE),
        (2, Quantity.SETPOINT_C),
    ]
    rows = [
        (device, quantity, _START_MS + minute * _STEP_MS)
        for minute in range(first, first + 5)
        for device, quantity in quantities
    ]
    return ReadingColumns.of(
        [device for device, _, _ in rows],
        [int(quantity) for _, quantity, _ in rows],
        [ts_ms for _, _, ts_ms in rows],
        np.ones(len(rows)),
    )


if __name__ == "__main__":
    sys.stdout.write(f"kernels ready after {warm_up():.1f} s, kept in {_cache_directory()}\n")
