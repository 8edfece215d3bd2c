"""A real Alertmanager, alone, with everything it writes in one folder."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.services.process import Server, free_port, require


class Alertmanager(Server):
    def __init__(self, folder: Path, config: Path) -> None:
        program = require("prometheus-alertmanager", "alertmanager")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            program,
            f"--config.file={config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",  # no other ones to ask
        ]
        super().__init__(command, ready=self._is_ready, log=folder / "log")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def post(self, alerts: Sequence[Mapping[str, str]]) -> None:
        """Alerts that fire now, each by its labels."""
        body = json.dumps([{"labels": dict(labels)} for labels in alerts]).encode()
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts", data=body, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()

    def states(self) -> list[tuple[dict[str, str], str]]:
        """The labels of each alert, and whether it is `active` or `suppressed` by another."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=10) as answer:
            alerts: list[dict[str, Any]] = json.load(answer)
        return [(alert["labels"], str(alert["status"]["state"])) for alert in alerts]
