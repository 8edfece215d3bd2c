"""A real broker and the real service on loopback ports, and what can be seen of them from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prometheus_client.parser import text_string_to_metric_families

from monitor.bench.children import Child, accepts, free_port
from monitor.bench.workload import Town
from monitor.errors import MonitorError
from monitor.simulate.configuration import write_config

__all__ = ["LATENCY", "Plant", "Published", "find_mosquitto", "open_plant", "quantile"]

LATENCY = "meter_monitor_result_latency_seconds"
_RECEIVE_MAXIMUM = 5_000


def find_mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Published(NamedTuple):
    messages: int
    began_s: float
    """Of the system's monotonic clock."""
    ended_s: float
    processor_s: float


class Plant:
    """Made by `open_plant`."""

    def __init__(self, folder: Path, town: Town, broker: Child, broker_port: int, metrics_port: int) -> None:
        self.folder = folder
        self.town = town
        self.broker = broker
        self._broker_port = broker_port
        self._metrics_port = metrics_port

    @contextlib.contextmanager
    def service(self) -> Iterator[Child]:
        """`meter-monitor run` until it is ready; stopped in order afterwards unless it has been killed."""
        command = [sys.executable, "-m", "monitor", "run", "--config", str(self.folder / "config")]
        with Child(command, self.folder / "service.log", is_ready=lambda: self._get("/readyz")[0] == 200) as service:
            yield service

    def metrics(self) -> dict[tuple[str, str], float]:
        """(name of the sample, its first label's value) to its value; of series with several labels the last one."""
        status, text = self._get("/metrics")
        if status != 200:
            raise MonitorError(f"bench: the service answers {status} to /metrics")
        return {
            (sample.name, next(iter(sample.labels.values()), "")): sample.value
            for family in text_string_to_metric_families(text)
            if not family.name.startswith("python_")
            for sample in family.samples
        }

    def stored_intervals(self) -> int:
        """Rows that the store has, read from its file without asking the service."""
        path = self.folder / "state" / "monitor.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            count: int = database.execute("SELECT count(*) FROM intervals").fetchone()[0]
            return count

    @contextlib.contextmanager
    def publisher(
        self, first: int, rounds: int, per_message: int, per_second: float | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Connected, its packets prepared; `publish` lets it go."""
        place = (self._broker_port, len(self.town.registry.buildings), self.town.start_ms, first, rounds, per_message)
        command = [sys.executable, "-m", "monitor.bench.publisher", *map(str, place)]
        if per_second is not None:
            command += ["--per-second", str(per_second)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603  # ours
            try:
                if process.stdout is None or process.stdout.readline() != b"ready\n":
                    raise MonitorError("bench: the publisher did not start; see above")
                yield process
            finally:
                process.kill()

    @staticmethod
    def publish(process: subprocess.Popen[bytes]) -> Published:
        """Returns when the broker has acknowledged everything."""
        output, _ = process.communicate(b"go\n")
        if process.returncode:
            raise MonitorError(f"bench: the publisher ended with {process.returncode}; see above")
        return Published(**json.loads(output))

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._metrics_port, timeout=10.0)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()


@contextlib.contextmanager
def open_plant(folder: Path, town: Town, mosquitto: str, *, mqtt_version: int | str = 5) -> Iterator[Plant]:
    """A broker that runs, and a configuration for the service."""
    broker_port, metrics_port = free_port(), free_port()
    folder.mkdir(parents=True)
    write_config(town.registry, folder / "config")
    settings: dict[str, Any] = {
        "brokers": [
            {
                "url": f"mqtt://127.0.0.1:{broker_port}",
                "client_id": "bench-monitor",
                "version": mqtt_version,
                "receive_maximum": _RECEIVE_MAXIMUM,
            }
        ],
        "state_dir": str(folder / "state"),
        "metrics": {"port": metrics_port},
        "settle_s": 0.0,
        "log": {"level": "warning"},
    }
    (folder / "config" / "monitor.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    lines = [
        f"listener {broker_port} 127.0.0.1",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {folder}/",
        "max_queued_messages 0",
        f"max_inflight_messages {_RECEIVE_MAXIMUM}",
        "log_dest stdout",
        *(["user root"] if os.geteuid() == 0 else []),  # else it becomes the user mosquitto, who may not write here
    ]
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n", "utf-8")
    with Child([mosquitto, "-c", config], folder / "mosquitto.log", is_ready=lambda: accepts(broker_port)) as broker:
        yield Plant(folder, town, broker, broker_port, metrics_port)


def quantile(
    before: Mapping[tuple[str, str], float], after: Mapping[tuple[str, str], float], name: str, share: float
) -> float:
    """Of what a histogram observed between two readings of it, linear within a bucket as Prometheus does it. What lies
    beyond the last bound counts as infinite; NaN without observations."""
    key = f"{name}_bucket"
    bounds = sorted(
        (float(bound), count - before.get((key, bound), 0.0))
        for (sample, bound), count in after.items()
        if sample == key
    )
    total = bounds[-1][1] if bounds else 0.0
    if not total:
        return math.nan
    low, below = 0.0, 0.0
    for bound, count in bounds:
        if count >= share * total:
            return bound if math.isinf(bound) else low + (bound - low) * (share * total - below) / (count - below)
        low, below = bound, count
    return math.inf
