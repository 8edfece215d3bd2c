"""A real VictoriaMetrics: it answers InfluxDB's v2 write API. Text fields are not kept there."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path

from tests.services.process import Server, free_port, require


class VictoriaMetrics(Server):
    def __init__(self, folder: Path) -> None:
        program = require("victoria-metrics")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            program,
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
            "-memory.allowedBytes=128MiB",
            "-search.latencyOffset=0s",
            "-search.disableCache",
        ]
        super().__init__(command, ready=self._is_healthy, log=folder / "log")

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.read() == b"OK")
        except OSError:
            return False

    def exported(self, name: str) -> dict[str, dict[int, float]]:
        """Every sample of a metric (`measurement_field`): labels as `key=value,...` -> {ts_ms: value}."""
        query = urllib.parse.urlencode({"match[]": name, "reduce_mem_usage": "1"})
        urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=10).close()
        with urllib.request.urlopen(f"{self.url}/api/v1/export?{query}", timeout=10) as answer:
            series = [json.loads(line) for line in answer.read().splitlines()]
        samples: dict[str, dict[int, float]] = {}
        for one in series:  # a series has one line for each of its blocks
            tags = ",".join(f"{key}={value}" for key, value in sorted(one["metric"].items()) if key != "__name__")
            samples.setdefault(tags, {}).update(zip(one["timestamps"], one["values"], strict=True))
        return samples
