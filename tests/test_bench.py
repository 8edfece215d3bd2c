"""The benchmark does what it says in small: every stage works, and the report has all its fields."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.bench import run_bench
from monitor.bench.measure import Bench, Figure, Runs, processor_s, rate, resident_mb, take_times
from monitor.bench.pipeline import measure as measure_pipeline
from monitor.bench.plant import quantile
from monitor.bench.publisher import connect_packet, publish, publish_packet
from monitor.bench.run import STAGES
from monitor.bench.workload import CADENCE_MS, MORNING_MS, build_town, messages, readings
from monitor.config import load_registry
from monitor.decoders import Limits
from monitor.decoders.native import NativeDecoder
from monitor.readings import QUANTITY_NAMES, Quantity
from monitor.simulate.configuration import write_config
from tests.services.process import require

IN_PROCESS = ["kernel", "decode", "lines", "journal", "sqlite"]
WITH_CHILDREN = ["restart", "memory"]
FIELDS = {
    *("stage", "case", "unit", "value", "us_each", "target", "target_is", "reached", "skipped"),
    *("ratio", "details"),
}


def run_quick(capsys: pytest.CaptureFixture[str], *only: str) -> dict[str, Any]:
    assert run_bench(as_json=True, quick=True, only=only) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


@pytest.mark.parametrize("stages", [IN_PROCESS, WITH_CHILDREN], ids=["in-process", "children"])
def test_quick_json_has_a_figure_of_every_stage(stages: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    report = run_quick(capsys, *stages)
    assert report["quick"] is True
    assert report["machine"].keys() == {"meter_monitor", "cores", "processor", "system", "python", "libraries"}
    assert report["machine"]["cores"] >= 1
    assert list(dict.fromkeys(figure["stage"] for figure in report["figures"])) == stages
    for figure in report["figures"]:
        assert figure.keys() == FIELDS
        assert figure["value"] > 0, figure
        assert figure["skipped"] == ""
        assert (figure["reached"] is None) == (figure["target"] is None)
        assert (figure["us_each"] is not None) == figure["unit"].endswith("/s"), figure


def test_the_targets_are_those_that_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    figures = run_quick(capsys, *IN_PROCESS, *WITH_CHILDREN)["figures"]
    targets = {(figure["stage"], figure["target"]) for figure in figures if figure["target"] is not None}
    assert targets == {
        ("kernel", 10_000_000),
        ("decode", 1_000_000),
        ("lines", 1_000_000),
        ("journal", 1_000_000),
        ("restart", 10),
        ("memory", 600),
    }
    upper_bounds = {figure["stage"] for figure in figures if figure["target_is"] == "at_most"}
    assert upper_bounds == {"restart", "memory"}


def test_the_table_names_stage_target_and_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_bench(as_json=False, quick=True, only=["decode"]) == 0
    printed = capsys.readouterr()
    assert "≥ 1,000,000" in printed.out
    assert "readings/s" in printed.out
    assert "decode: 2 messages of 100 readings" in printed.err


def test_an_unknown_stage_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_bench(as_json=True, quick=True, only=["kernel", "colonel"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "colonel" in printed.err
    assert all(name in printed.err for name in STAGES)


@pytest.mark.services
def test_quick_pipeline_runs_the_real_service(tmp_path: Path) -> None:
    require("mosquitto")
    said: list[str] = []
    bench = Bench(tmp_path, time.time_ns() // 1_000_000, said.append, quick=True)
    figures = list(measure_pipeline(bench))
    assert [(figure.stage, figure.unit) for figure in figures] == [
        ("pipeline", "messages/s"),
        ("latency", "s"),
        ("pipeline", "readings/s"),
        ("latency", "s"),
    ]
    for figure in figures:
        assert figure.value is not None
        assert figure.value > 0
        assert figure.target is not None
        assert figure.details["readings"] == (1600 if figure.stage == "pipeline" else 1500)
        assert {"publisher_processor_s", "monitor_processor_s", "broker_processor_s"} <= figure.details.keys()


def test_the_pipeline_says_why_it_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.bench.pipeline.find_mosquitto", lambda: None)
    figures = list(measure_pipeline(Bench(tmp_path, MORNING_MS, lambda text: None, quick=True)))
    assert [figure.target for figure in figures] == [12_000, 150_000]
    assert all(figure.value is None and "Mosquitto" in figure.skipped for figure in figures)
    assert all(figure.reached is None for figure in figures)


def test_the_workload_is_in_order_and_decodes_to_itself() -> None:
    town = build_town(20)
    columns = readings(town, 3, 8)
    assert len(columns) == 8 * 200
    for device in range(200):
        mine = columns.take(columns.device == device)
        assert (np.diff(mine.ts_ms) == CADENCE_MS).all()
        if not town.is_ac[device]:
            assert (np.diff(mine.value) > 0).all()
    assert set(columns.quantity[town.is_ac[columns.device]].tolist()) == {
        *(Quantity.ON, Quantity.MODE, Quantity.SETPOINT_C, Quantity.ROOM_C),
    }
    decoder = NativeDecoder(town.registry, Limits())
    for per_message in (1, 100):
        decoded = decoder.decode(messages(town.registry, columns, per_message))
        assert not decoded.rejects, [QUANTITY_NAMES[columns.quantity[0]], decoded.rejects[0]]
        for name in ("device", "quantity", "ts_ms", "value"):
            np.testing.assert_array_equal(getattr(decoded.columns, name), getattr(columns, name))


@pytest.mark.parametrize("hour", [0, 5, 13, 23])
def test_the_town_can_be_configured_at_every_hour(hour: int, tmp_path: Path) -> None:
    town = build_town(3, MORNING_MS + hour * 3_600_000)
    write_config(town.registry, tmp_path)
    loaded, _ = load_registry(tmp_path, now_ms=town.start_ms)
    assert loaded.devices == town.registry.devices
    assert loaded.policies["town"].windows == town.registry.policies["town"].windows


def test_reached_knows_upper_and_lower_bounds() -> None:
    assert rate("s", "c", "rows/s", 100, Runs(2.0, 2.0), target=50.0).reached is True
    assert rate("s", "c", "rows/s", 100, Runs(2.1, 2.0), target=50.0).reached is False
    assert Figure("s", "c", "s", 10.0, target=10.0, at_most=True).reached is True
    assert Figure("s", "c", "s", 10.1, target=10.0, at_most=True).reached is False
    assert Figure("s", "c", "s", 5.0, target=10.0, at_most=True).ratio == 2.0
    assert Figure("s", "c", "rows/s", 5.0, target=10.0).ratio == 0.5
    assert Figure("s", "c", "rows/s", 5.0).ratio is None
    assert rate("s", "c", "rows/s", 100, Runs(2.0, 2.0)).us_each == pytest.approx(20_000)


def test_preparation_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0

    def spend(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    monkeypatch.setattr("time.perf_counter", lambda: now_s)

    def prepare(run: int) -> float:
        spend(1000.0)
        return [5.0, 1.0, 3.0][run]

    assert take_times(prepare, spend, 3).wall_s == 3.0


def test_figures_of_a_process() -> None:
    memory = resident_mb()
    assert 0 < memory["resident_mb"] <= memory["most_resident_mb"]
    before_s = processor_s()
    assert before_s > 0
    assert processor_s(1) >= 0


def test_quantiles_are_linear_within_a_bucket() -> None:
    name = "latency_seconds"
    before = {(f"{name}_bucket", bound): 10.0 for bound in ("0.1", "0.5", "+Inf")}
    after = {(f"{name}_bucket", "0.1"): 10.0, (f"{name}_bucket", "0.5"): 18.0, (f"{name}_bucket", "+Inf"): 20.0}
    assert quantile(before, after, name, 0.4) == pytest.approx(0.3)
    assert quantile(before, after, name, 0.8) == pytest.approx(0.5)
    assert math.isinf(quantile(before, after, name, 0.99))
    assert math.isnan(quantile(after, after, name, 0.5))


def test_packets_are_those_of_the_standard() -> None:
    assert connect_packet("ab") == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02ab"
    assert publish_packet("t/1", b"x", 258) == b"\x32\x08\x00\x03t/1\x01\x02x"
    long = publish_packet("t", b"x" * 200, 1)
    assert long[:3] == b"\x32\xcd\x01"  # 205 = 0x4d + 1 * 128
    assert len(long) == 3 + 205


@pytest.mark.parametrize("per_second", [None, 20_000.0])
def test_the_publisher_keeps_to_its_window(per_second: float | None) -> None:
    packets = [publish_packet("t", b"", number) for number in range(1, 3001)]
    size = len(packets[0])
    ours, theirs = socket.socketpair()
    received = acknowledged = most = 0

    def broker() -> None:
        nonlocal received, acknowledged, most
        pending = 0
        while received < len(packets):
            pending += len(theirs.recv(1 << 20))
            whole, pending = divmod(pending, size)
            received += whole
            most = max(most, received - acknowledged)
            acknowledged += whole
            theirs.sendall(bytes(4 * whole))

    with ours, theirs:
        thread = threading.Thread(target=broker)
        thread.start()
        publish(ours, packets, per_second)
        thread.join(30)
    assert received == acknowledged == len(packets)
    assert 0 < most <= 1000
