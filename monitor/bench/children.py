"""Processes that a stage starts, waits for and ends."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from monitor.errors import MonitorError

__all__ = ["Child", "accepts", "free_port", "run_module", "wait_until"]

_START_S = 120.0
_STOP_S = 60.0
_POLL_S = 0.02


def run_module(module: str, *arguments: str | Path) -> tuple[dict[str, Any], float]:
    """The JSON object that `python -m module` prints, and the seconds from its start to its end.

    Raises MonitorError with what it wrote to standard error if it fails.
    """
    began_s = time.perf_counter()
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  # our own module
    taken_s = time.perf_counter() - began_s
    if done.returncode:
        raise MonitorError(f"bench: {module} failed:\n{done.stderr.decode(errors='replace')[-4000:]}")
    return json.loads(done.stdout), taken_s


def free_port() -> int:
    """A port of the loopback interface that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def wait_until(condition: Callable[[], bool], what: str, *, within_s: float, poll_s: float = _POLL_S) -> None:
    """Raises MonitorError where it does not come true in time."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise MonitorError(f"bench: {what}: not within {within_s:.0f} s")
        time.sleep(poll_s)


class Child:
    """A server in a process of its own. Ended on exit, whatever happens."""

    def __init__(self, command: Sequence[str | Path], log: Path, *, is_ready: Callable[[], bool]) -> None:
        self._name = Path(command[0]).name
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=output)  # noqa: S603  # ours, or Mosquitto by its full path
        try:
            wait_until(lambda: self.is_running() and is_ready(), f"{self._name} starts", within_s=_START_S)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        """Raises MonitorError with the end of its log if it has ended by itself."""
        if self._process.poll() is not None:
            tail = self._log.read_text("utf-8", "replace")[-4000:]
            raise MonitorError(f"bench: {self._name} ended with {self._process.returncode}:\n{tail}")
        return True

    def stop(self) -> None:
        """SIGTERM, and time to end in order."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
