from __future__ import annotations

import asyncio
import csv
import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from monitor.cli import main
from monitor.config import load_registry
from monitor.simulate.broker import embedded_broker
from monitor.simulate.delivery import deliveries
from monitor.simulate.faults import SOME_FAULTS
from monitor.simulate.run import live_scenario
from monitor.simulate_command import SimulateOptions, simulate_command
from tests.services.process import free_port

_DEADLINE_S = 60.0
_SAMPLE = Path(__file__).parent.parent / "config"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _simulate(options: SimulateOptions, now_ms: int) -> tuple[int, str]:
    """Against a broker of one's own; `options.broker` is replaced by its URL. Exit code and output."""
    out = io.StringIO()
    console = Console(file=out, soft_wrap=True, highlight=False, width=200)

    async def in_time() -> int:
        async with asyncio.timeout(_DEADLINE_S), embedded_broker() as url:
            given = SimulateOptions(
                **{name: getattr(options, name) for name in SimulateOptions.__slots__} | {"broker": url}
            )
            return await asyncio.to_thread(simulate_command, given, {}, console, now_ms)

    return asyncio.run(in_time()), out.getvalue()


def test_simulate_sends_all_and_writes_its_truth(tmp_path: Path) -> None:
    now_ms = _now_ms()
    options = SimulateOptions(
        "", buildings=2, seed=4, duration_s=1.0, speed=43_200.0, faults="some", out=tmp_path, version="3.1.1"
    )
    scenario = live_scenario(
        seed=4, duration_s=43_200.0, speed=43_200.0, now_ms=now_ms, buildings=2, faults=SOME_FAULTS
    )
    sent = list(deliveries(scenario))
    code, text = _simulate(options, now_ms)
    assert code == 0
    readings = sum(len(message.readings) for message in sent)
    assert f"{len(sent):,} messages acknowledged, {readings:,} good readings in them" in text
    assert f"the truth is in {tmp_path}" in text
    truth = scenario.truth()
    assert [row["event_id"] for row in _rows(tmp_path / "events.csv")] == [event.event_id for event in truth.events]
    assert len(_rows(tmp_path / "intervals.csv")) == len(truth.intervals) > 0
    assert len(_rows(tmp_path / "readings.csv")) == len(scenario.truth_rows())
    registry, _ = load_registry(tmp_path / "config", now_ms=now_ms)
    assert registry.devices == scenario.registry.devices


def test_simulate_the_devices_of_a_configuration(tmp_path: Path) -> None:
    registry, _ = load_registry(_SAMPLE, now_ms=_now_ms())
    options = SimulateOptions("", config=_SAMPLE, duration_s=0.5, speed=7_200.0, out=tmp_path, version="3.1.1")
    code, text = _simulate(options, _now_ms())
    assert code == 0
    assert f"{len(registry.buildings)} buildings, {len(registry.devices)} devices" in text
    assert {row["device"] for row in _rows(tmp_path / "readings.csv")} == set(registry.device_row)
    assert not (tmp_path / "config").exists()


def test_simulate_where_no_broker_is(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    assert main(["simulate", "--broker", url, "--duration", "1", "--buildings", "1", "--patience", "0"]) == 1
    assert "no connection to the broker for 0 s" in capsys.readouterr().err


def test_simulate_where_the_truth_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["simulate", "--broker", "mqtt://127.0.0.1:1", "--buildings", "1", "--out", str(file)]) == 1
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--broker"),
        (["--broker", "http://host"], "expected mqtt://host"),
        (["--broker", "mqtt://h", "--version", "4"], "--version"),
        (["--broker", "mqtt://h", "--speed", "0"], "--speed 0"),
        (["--broker", "mqtt://h", "--duration", "inf"], "--duration inf"),
        (["--broker", "mqtt://h", "--duration", "nan"], "--duration nan"),
        (["--broker", "mqtt://h", "--seed", "-1"], "--seed -1"),
        (["--broker", "mqtt://h", "--buildings", "0"], "--buildings 0"),
        (["--broker", "mqtt://h", "--patience", "-1"], "--patience -1"),
        (["--broker", "mqtt://h", "--faults", "rain=1"], "rain"),
        (["--broker", "mqtt://h", "--faults", "spikes=2"], "spikes=2"),
        (["--broker", "mqtt://h", "--buildings", "1", "--config", "config"], "give one of them"),
        (["--broker", "mqtt://h", "--config", "no-such-folder"], "buildings.csv"),
        (["--broker", "mqtt://h", "--password-env", "SECRET"], "--username"),
        (["--broker", "mqtt://h", "--password-env", "NOT_SET_ANYWHERE", "--username", "u"], "NOT_SET_ANYWHERE"),
        (["--broker", "mqtt://h", "--ca-file", "ca.pem"], "mqtts://"),
        (["--broker", "mqtts://h", "--ca-file", "no-such-file"], "no-such-file"),
    ],
)
def test_simulate_bad_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *arguments]) == 2
    assert said in capsys.readouterr().err
