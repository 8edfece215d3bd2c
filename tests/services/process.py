"""Real servers from Debian's packages, on free loopback ports, for as long as a test needs them."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

START_TIMEOUT_S = 60.0


_PORTS = range(20_000, 32_000)
"""Below those that Linux gives to whoever connects to somewhere: nobody takes one before its server listens."""
_PORTS_OF_WORKER = 1_500


def _candidates() -> Iterator[int]:
    """Each worker of pytest-xdist has ports of its own, and none is given twice by one process until all have been."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = _PORTS[worker * _PORTS_OF_WORKER % len(_PORTS) :][:_PORTS_OF_WORKER]
    first = random.randrange(len(own))  # another run of the tests on this machine begins elsewhere
    return itertools.cycle([*own[first:], *own[:first]])


_CANDIDATES = _candidates()


def free_port() -> int:
    for port in itertools.islice(_CANDIDATES, _PORTS_OF_WORKER):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port from {_PORTS[0]} to {_PORTS[-1]}")


def require(*names: str) -> str:
    """The path of the first of these programs that is installed. Skips on a laptop, fails in CI."""
    for name in names:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if path:
            return path
    message = f"server not installed: {' or '.join(names)} (make test installs it when run as root)"
    if os.environ.get("MONITOR_REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


class Server:
    """One child process. `ready` is polled until true; a process that ends before is an error with its output."""

    start_timeout_s = START_TIMEOUT_S

    def __init__(self, command: Sequence[str], *, ready: Callable[[], bool], log: Path) -> None:
        self.command = list(command)
        self.ready = ready
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start, and wait for nothing."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT)

    def await_ready(self) -> None:
        deadline = time.monotonic() + self.start_timeout_s
        while not self.ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"{self.command[0]} did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.02)  # polling a condition with a deadline, not hoping

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, sign: signal.Signals) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(15)
        self.process = None
