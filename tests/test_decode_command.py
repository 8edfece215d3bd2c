"""The command `decode` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import main

T1 = '{"ts": "2026-06-28T09:15:00Z", "register": 10234.5, "power_kw": -0.0}'
CONFIG = """\
sources:
  - name: plain
    format: mapper
    topics: ["plain/+"]
    options: {values: [{path: e, quantity: register, unit: Wh}], time: {path: t}}
    id: {topic: 2}
    scale: {register: 10}
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[dict[str, Any]]:
    assert main(["decode", *(str(argument) for argument in arguments)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["decode", *(str(argument) for argument in arguments)]) == 2
    return capsys.readouterr().err


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "1.json"
    path.write_text(T1)
    return path


def test_readings_and_why_the_rest_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path, payload: Path) -> None:
    (tmp_path / "2.json").write_text('{"register": 5}')
    (tmp_path / "3.json").write_text("{")
    files = [payload, tmp_path / "2.json", tmp_path / "3.json"]
    lines = run(capsys, "--format", "native", "--topic", "meters/gw/M", "--retain", "2", *files)
    assert lines == [
        {"source_id": "M", "quantity": "register", "value": 10234.5, "ts": "2026-06-28T09:15:00Z"},
        {"source_id": "M", "quantity": "power_kw", "value": 0.0, "ts": "2026-06-28T09:15:00Z"},
        {"ignored": "retained_without_time", "topic": "meters/gw/M"},
        {"rejected": "malformed", "detail": lines[3]["detail"], "topic": "meters/gw/M"},
    ]


def test_a_topic_for_each_file_and_the_time_of_arrival(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text('{"register": 5}')
    arrived = ["--received-at", "2026-06-28T09:15:00.250+07:00"]
    lines = run(capsys, "--format", "native", "--topic", "m/g/a", path, "--topic", "m/g/b", path, *arrived)
    assert [(line["source_id"], line["ts"]) for line in lines] == [
        ("a", "2026-06-28T02:15:00.250Z"),
        ("b", "2026-06-28T02:15:00.250Z"),
    ]
    lines = run(capsys, "--format", "native", "--topic", "m/g/a", path, "--received-at", "1782638100")
    assert lines[0]["ts"] == "2026-06-28T09:15:00Z"
    assert run(capsys, "--format", "native", "--topic", "m/g/a", path, "--retain", "all")[0]["ignored"]


def test_any_age_is_good_for_a_try(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text('{"ts": "2001-01-01T00:00:00Z", "register": 5}')
    assert "value" in run(capsys, "--format", "native", "--topic", "m/g/a", path)[0]
    path.write_text('{"ts": "1970-01-01T00:00:05Z", "register": 5}')
    (refused,) = run(capsys, "--format", "native", "--topic", "m/g/a", path, "--received-at", "1970-01-03T00:00:05Z")
    assert refused["rejected"] == "bad_time"
    assert "a register: 5.0, ts 1970-01-01T00:00:05Z: 2 d before its arrival" in refused["detail"]


def test_as_a_source_of_the_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "monitor.yaml").write_text(CONFIG)
    path = tmp_path / "x"
    path.write_text('{"e": 1500, "t": 1782638100}')
    source: list[str | Path] = ["--source", "plain", "--config", tmp_path]
    assert run(capsys, *source, "--topic", "plain/m7", path) == [
        {"source_id": "m7", "quantity": "register", "value": 15.0, "ts": "2026-06-28T09:15:00Z"}
    ]
    assert "mapper" in refused(capsys, *source, "--format", "tasmota", "--topic", "a", path)
    assert "did you mean 'plain'" in refused(capsys, "--source", "plan", "--config", tmp_path, "--topic", "a", path)
    assert "--timezone" in refused(capsys, *source, "--timezone", "UTC", "--topic", "a", path)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--format", "tasmoto", "--topic", "a", "FILE"], "did you mean 'tasmota'"),
        (["--topic", "a", "FILE"], "expected a format"),
        (["--format", "native", "--topic", "a"], "expected the file"),
        (["--format", "native", "--topic", "a", "--topic", "b", "FILE"], "one for each"),
        (["--format", "native", "--topic", "a", "--retain", "2", "FILE"], "from 1 to 1"),
        (["--format", "native", "--topic", "a", "--received-at", "noon", "FILE"], "2026-06-28T09:15:00Z"),
        (["--format", "native", "--topic", "a", "--timezone", "Hanoi", "FILE"], "IANA"),
        (["--format", "native", "--topic", "a", "--timezone", "Asia/Saigo", "FILE"], "did you mean 'Asia/Saigon'"),
        (["--format", "native", "--topic", "a", "--source", "x", "FILE"], "belong together"),
        (["--format", "native", "--topic", "a", "nowhere"], "cannot be read"),
        (["--source", "x", "--config", "nowhere", "--topic", "a", "FILE"], "no folder"),
    ],
)
def test_bad_usage(capsys: pytest.CaptureFixture[str], payload: Path, arguments: list[str], found: str) -> None:
    assert found in refused(capsys, *(str(payload) if each == "FILE" else each for each in arguments))


def test_a_topic_that_is_not_the_sources_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, payload: Path
) -> None:
    (tmp_path / "monitor.yaml").write_text(CONFIG)
    for topic, warnings in (("plain/M", 0), ("plains/M", 1)):
        command = ["decode", "--source", "plain", "--config", str(tmp_path), "--topic", topic, str(payload)]
        assert main(command) == 0
        told = capsys.readouterr().err.splitlines()
        assert len(told) == warnings
        assert all("'plains/M' fits none of the topics of plain (plain/+)" in line for line in told)


def test_a_pipe_that_closes_is_no_traceback(payload: Path) -> None:
    command = [sys.executable, "-m", "monitor", "decode", "--format", "native", "--topic", "a/b/c", str(payload)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""
