from __future__ import annotations

import csv
import io
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from monitor.cli import main
from monitor.demo.command import AC_CADENCE_S, DAY_S, METER_CADENCE_S, demo_command
from monitor.demo.verdict import Found, judge, verdict_view
from monitor.results import RULES
from monitor.simulate.faults import SOME_FAULTS
from monitor.simulate.run import live_scenario
from monitor.simulate.truth import Truth
from tests.simulate.towns import ALL_FAULTS, at, town

_DEADLINE_S = 200.0
"""Where nothing is compiled yet, that comes first."""


def _console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=200, highlight=False), out


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_demo_finds_what_is_true(tmp_path: Path) -> None:
    console, out = _console()
    keep = tmp_path / "kept"
    code = demo_command(duration_s=5.0, speed=None, buildings=2, seed=1, keep=keep, console=console)
    text = out.getvalue()
    assert code == 0, text
    assert "Everything found is true, and everything true was found." in text
    assert "/metrics" in text
    assert "/healthz" in text
    true, found = (_rows(keep / name / "events.csv") for name in ("truth", "results"))
    assert {row["event_id"] for row in found} == {row["event_id"] for row in true}
    assert {row["rule"] for row in found} == set(RULES)
    assert len(_rows(keep / "results" / "intervals.csv")) == len(_rows(keep / "truth" / "intervals.csv")) > 100

    arguments = [
        "--config",
        keep / "config",
        "--input",
        keep / "truth" / "readings.csv",
        "--out",
        tmp_path / "replayed",
    ]
    assert main(["replay", *map(str, arguments)]) == 0
    replayed = _rows(tmp_path / "replayed" / "events.csv")
    assert {row["event_id"] for row in replayed} == {row["event_id"] for row in true}


@pytest.mark.parametrize(
    "now",
    [
        *(f"2026-11-{day:02}T{hour:02}:30" for day, hour in zip(range(16, 23), range(1, 24, 3), strict=False)),
        "2027-02-08T05:00",  # Tết
        "2027-05-01T14:00",
        "2027-07-15T21:00",
        "2027-10-04T09:00",  # the Golden Week
    ],
)
def test_any_day_of_demo_breaks_every_rule(now: str) -> None:
    scenario = live_scenario(
        seed=1,
        duration_s=DAY_S,
        speed=DAY_S / 60,
        now_ms=at(now),
        buildings=1,
        cadence_s=METER_CADENCE_S,
        ac_cadence_s=AC_CADENCE_S,
        faults=SOME_FAULTS,
    )
    assert {event.rule for event in scenario.truth().events} == set(RULES)


def test_demo_ends_in_order_when_it_is_broken_off() -> None:
    command = [sys.executable, "-m", "monitor", "demo", "--duration", "600", "--buildings", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "/healthz" in line:
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=_DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    assert "Broken off after" in rest
    assert "peak_demand" in rest
    assert errors == ""
    assert process.returncode == 130


@pytest.fixture(scope="module")
def truth() -> Truth:
    return town(buildings=1, faults=ALL_FAULTS).truth()


def test_verdict_on_the_truth_itself(truth: Truth) -> None:
    verdict = judge(Found(truth, Counter(malformed=3)), truth, {"malformed": 3, "bad_time": 0})
    assert verdict.equal
    assert verdict.ledger_right == len(truth.ledger) > 0


@pytest.mark.parametrize("flaw", ["no event", "event too many", "other event", "no interval", "ledger", "quarantine"])
def test_verdict_sees_every_difference(truth: Truth, flaw: str) -> None:
    intervals, events, ledger = list(truth.intervals), list(truth.events), list(truth.ledger)
    quarantined = Counter(malformed=3)
    if flaw == "no event":
        events.pop()
    elif flaw == "event too many":
        events.append(events[0]._replace(event_id="0" * 16))
    elif flaw == "other event":
        events[0] = events[0]._replace(excess=events[0].excess + 1.0)
    elif flaw == "no interval":
        intervals.pop()
    elif flaw == "ledger":
        ledger[0] = ledger[0]._replace(amount=ledger[0].amount + 1.0)
    else:
        quarantined["malformed"] = 2
    verdict = judge(Found(Truth(intervals, events, ledger), quarantined), truth, {"malformed": 3})
    assert not verdict.equal
    console, out = _console()
    console.print(verdict_view(verdict))
    assert "What was found differs from the truth." in out.getvalue()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--duration", "0"], "--duration 0"),
        (["--duration", "nan"], "--duration nan"),
        (["--speed", "-1"], "--speed -1"),
        (["--duration", "3600", "--speed", "1e9"], "380 days"),
        (["--buildings", "0"], "--buildings 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_demo_bad_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_demo_keeps_nothing_over_what_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    assert main(["demo", "--keep", str(tmp_path)]) == 2
    assert "give a new folder" in capsys.readouterr().err
