"""A real InfluxDB 1.x with everything it writes in one folder."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.services.process import Server, free_port, require

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  auth-enabled = {auth}
"""


class Influxd(Server):
    def __init__(self, folder: Path, *, auth: bool = False) -> None:
        program = require("influxd")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "influxdb.conf"
        values = {"rpc_port": free_port(), "port": self.port, "folder": folder, "auth": str(auth).lower()}
        config.write_text(_CONFIG.format(**values))
        super().__init__([program, "run", "-config", str(config)], ready=self._pings, log=folder / "log")

    def _pings(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=2) as answer:
                return bool(answer.status == 204)
        except OSError:
            return False

    def statement(self, text: str, database: str = "") -> list[dict[str, Any]]:
        """The series of one InfluxQL statement; times in ms."""
        data = urllib.parse.urlencode({"q": text, "db": database, "epoch": "ms"}).encode()
        with urllib.request.urlopen(f"{self.url}/query", data=data, timeout=10) as answer:
            result = json.load(answer)["results"][0]
        if "error" in result:
            raise AssertionError(f"{text}: {result['error']}")
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    def rows(self, text: str, database: str) -> list[dict[str, Any]]:
        """The rows of a SELECT, each as {column: value}, empty ones left out."""
        return [
            {name: value for name, value in zip(one["columns"], row, strict=True) if value is not None}
            for one in self.statement(text, database)
            for row in one["values"]
        ]
