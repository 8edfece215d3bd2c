"""The service as an operator runs it: a process, a configuration folder, signals, and what it shows on HTTP."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services.process import Server, free_port

DEADLINE_S = 60.0
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

QUICK: dict[str, Any] = {
    "journal": {"commit_interval_ms": 20, "min_free_mb": 0},
    "checkpoint": {"interval_s": 0.3},
    "outbox": {"retry_min_s": 0.05, "retry_max_s": 0.3},
    "settle_s": 0.0,
    "log": {"format": "json"},
}
"""So that each thing which a kill can interrupt happens many times in a run of seconds."""


class Monitor(Server):
    """`meter-monitor run` over `folder/config`, which the caller fills with buildings, devices and policies."""

    start_timeout_s = 240.0
    """The first process on a machine compiles the kernels before all else, which takes a minute or more."""

    def __init__(
        self, folder: Path, *broker_urls: str, influx: dict[str, Any] | None = None, **sections: object
    ) -> None:
        """influx and sections: as in monitor.yaml. The first broker is called main and spoken to in MQTT 5, a second
        one in 3.1.1."""
        self.config = folder / "config"
        self.config.mkdir(parents=True, exist_ok=True)
        self.state = folder / "state"
        self.database = self.state / "monitor.sqlite"
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        settings = {
            **QUICK,
            "brokers": [
                {"name": name, "url": url, "version": version, "reconnect_min_s": 0.05, "reconnect_max_s": 0.3}
                for name, url, version in zip(("main", "second"), broker_urls, (5, "3.1.1"), strict=False)
            ],
            "state_dir": str(self.state),
            "influx": influx,
            "metrics": {"port": port},
            **sections,
        }
        (self.config / "monitor.yaml").write_text(yaml.safe_dump(settings))
        command = [sys.executable, "-m", "monitor", "run", "--config", str(self.config)]
        super().__init__(command, ready=lambda: self.status("/readyz") == 200, log=folder / "monitor.log")

    def status(self, path: str) -> int | None:
        """The HTTP status of one of its pages; None where nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return None

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that bear these labels, without the prefix in its name; 0 where none does."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        total = 0.0
        for line in text.splitlines():
            sample = _SAMPLE.match(line)
            if sample is None or sample[1] != f"meter_monitor_{name}":
                continue
            found = dict(_LABEL.findall(sample[2] or ""))
            if all(found.get(key) == value for key, value in labels.items()):
                total += float(sample[3])
        return total

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Of its SQLite file, as another process reads it; none while the file is not made."""
        try:
            with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)) as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if "unable to open" in str(error) or "no such table" in str(error):
                return []
            raise

    def number(self, query: str, *values: object) -> int:
        rows = self.rows(query, *values)
        return int(rows[0][0] or 0) if rows else 0

    def reload(self) -> None:
        self.running.send_signal(signal.SIGHUP)

    def terminate(self, within_s: float) -> None:
        """SIGTERM, and the exit of a service that has done all it had to do."""
        process = self.running
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"not stopped {within_s:g} s after SIGTERM:\n{self.tail()}")
        assert code == 0, self.tail()
        self.process = None

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "not started"
        return self.process

    def until(self, condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Polls. Fails with the log when the time is over or the process has ended."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            if self.process is not None and self.process.poll() is not None:
                pytest.fail(f"the monitor ended by itself while waiting until {what}:\n{self.tail()}")
            if time.monotonic() > deadline:
                pytest.fail(f"not within {deadline_s:g} s: {what}\n{self.tail()}")
            time.sleep(0.05)  # polling a condition with a deadline, not hoping

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]
