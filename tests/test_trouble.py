"""What the log says of an outage."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from monitor import running
from monitor.assembly import open_service
from monitor.config import load_settings
from monitor.health import Health
from monitor.logs import Throttle
from monitor.metrics import Metrics
from monitor.results import LedgerEntry, Step
from monitor.store.sender import SinkStatus
from monitor.trouble import Reporter
from tests.small_site import NOW_MS
from tests.test_past_verdicts import registry_of

DEADLINE_S = 20.0


def test_a_sink_that_fails_is_told_once_a_minute_and_its_end_at_once() -> None:
    now_s = [0.0]
    reporter = Reporter(Metrics(CollectorRegistry()), Health({}), Throttle(60, now_s=lambda: now_s[0]))
    failing = SinkStatus("influx", kind="auth", last_error="401")
    with capture_logs() as told:
        for at_s, status in ((0, SinkStatus("influx")), (5, failing), (10, failing), (70, failing)):
            now_s[0] = at_s
            reporter.sink(status)
        reporter.sink(SinkStatus("influx", last_error="401"))
        reporter.sink(SinkStatus("influx"))
        reporter.sink(failing)
    assert [(entry["log_level"], entry.get("error"), entry["hidden"]) for entry in told] == [
        ("warning", "401", 0),
        ("warning", "401", 1),
        ("info", None, 0),
        ("warning", "401", 0),
    ]


def test_the_service_tells_of_an_influxdb_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "GAUGES_S", 0.01)
    registry, config = registry_of(tmp_path / "config"), tmp_path / "config"

    async def run(port: int) -> None:
        (config / "monitor.yaml").write_text(
            f"state_dir: {tmp_path / 'state'}\njournal: {{min_free_mb: 0}}\nmetrics: {{port: 0}}\n"
            f"brokers: [{{name: main, url: 'mqtt://127.0.0.1:{port}'}}]\n"
            f"influx: {{version: 1, database: meters, url: 'http://127.0.0.1:{port}'}}\n"
        )
        stop = asyncio.Event()
        with capture_logs() as told:
            async with open_service(config, load_settings(config, {}), registry, {}) as service:
                task = asyncio.create_task(service.run(stop, asyncio.Event()))
                service.store.apply(Step(ledger=[LedgerEntry("gap", "b", "m", "power_kw", NOW_MS, 1.0)]), registry)
                while not any("cannot be delivered" in entry["event"] for entry in told):
                    assert not task.done()
                    await asyncio.sleep(0.01)
                stop.set()
                await task

    monkeypatch.setattr(running, "DRAIN_S", 0.0)
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        asyncio.run(asyncio.wait_for(run(taken.getsockname()[1]), DEADLINE_S))
