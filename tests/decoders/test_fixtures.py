"""Every format against its folder of cases: tests/fixtures/<format>/<case>/.

`case.json` holds the source's options and the messages in their order, each with its topic and its payload: a file
beside it (`file`) or a short text (`text`). `expected.jsonl` holds what they yield, line by line, as `meter-monitor
decode` prints it; of a rejection the detail is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from monitor.decoders.decoded import Limits
from monitor.decoders.formats import FORMATS
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.sources import Source
from monitor.decoders.state import SourceState
from monitor.decoders.times import iso_ms
from monitor.decoders.trial import Trial
from monitor.ingest.message import Message

FIXTURES = Path(__file__).parents[1] / "fixtures"
OWN_LAYOUT = {"native"}
CASES = sorted(path.parent for path in FIXTURES.glob("*/*/case.json") if path.parents[1].name not in OWN_LAYOUT)
CASE_IDS = [f"{case.parent.name}/{case.name}" for case in CASES]
RECEIVED = "2026-06-28T09:15:00Z"


def options_of(case: dict[str, Any]) -> Options:
    return Options(
        timezone=ZoneInfo(case["timezone"]) if "timezone" in case else None,
        fields={name: FieldRule(**rule) for name, rule in case.get("fields", {}).items()},
        modes=case.get("modes", {}),
        more=case.get("more", {}),
    )


def messages_of(folder: Path, case: dict[str, Any]) -> list[Message]:
    return [
        Message(
            each["topic"],
            each["text"].encode() if "text" in each else (folder / each["file"]).read_bytes(),
            each.get("retain", False),
            iso_ms(each.get("received_at", case.get("received_at", RECEIVED))),
            "main",
        )
        for each in case["messages"]
    ]


def plain(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "detail"}


def read_all(name: str, options: Options, messages: list[Message]) -> list[dict[str, Any]]:
    trial = Trial(Source("test", name, ("#",), options=options), Limits(max_age_d=None))
    return [plain(line) for message in messages for line in trial.read(message)]


@pytest.mark.parametrize("folder", CASES, ids=CASE_IDS)
def test_case(folder: Path) -> None:
    case = json.loads((folder / "case.json").read_text("utf-8"))
    lines = read_all(folder.parent.name, options_of(case), messages_of(folder, case))
    expected = [json.loads(line) for line in (folder / "expected.jsonl").read_text("utf-8").splitlines()]
    for found, wanted in zip(lines, expected, strict=False):
        if "value" in wanted:
            wanted["value"] = pytest.approx(wanted["value"], rel=1e-12, abs=1e-12)
        assert found == wanted
    assert len(lines) == len(expected), lines[len(expected) :]


@pytest.mark.parametrize("folder", CASES, ids=CASE_IDS)
def test_restart_between_any_two_messages_changes_nothing(folder: Path) -> None:
    case = json.loads((folder / "case.json").read_text("utf-8"))
    messages = messages_of(folder, case)
    options = options_of(case)
    whole = read_all(folder.parent.name, options, messages)
    stored: dict[str, bytes] = {}
    interrupted = []
    source = Source("test", folder.parent.name, ("#",), options=options)
    for message in messages:
        trial = Trial(source, Limits(max_age_d=None), state=SourceState(stored))
        interrupted += [plain(line) for line in trial.read(message)]
        for key, encoded in trial.state.changes().items():
            stored.pop(key, None)
            if encoded is not None:
                stored[key] = encoded
    assert interrupted == whole


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in OWN_LAYOUT])
def test_every_format_has_good_and_bad_cases(name: str) -> None:
    good = bad = 0
    for folder in (FIXTURES / name).glob("*/"):
        lines = [json.loads(line) for line in (folder / "expected.jsonl").read_text("utf-8").splitlines()]
        good += any("value" in line for line in lines)
        bad += any("rejected" in line or "ignored" in line for line in lines)
    assert good >= 2, name
    assert bad >= 2, name
