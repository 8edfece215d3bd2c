"""The words of the mail, as Alertmanager itself makes them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.alerting_files import ALERTMANAGER, load
from tests.services.process import require

pytestmark = pytest.mark.services

TEMPLATES = ALERTMANAGER.parent / "templates"
LIMIT = {
    "status": "firing",
    "labels": {
        "alertname": "PeakLimitExceeded",
        "severity": "critical",
        "building": "ls-xd",
        "org": "Việt Nam/Lạng Sơn",
    },
    "annotations": {
        "summary": "Building ls-xd draws more than its peak limit now.",
        "description": "It goes on.",
        "runbook_url": "docs/runbook.md#peaklimitexceeded",
    },
    "startsAt": "2026-06-28T17:45:30+07:00",
    "endsAt": "0001-01-01T00:00:00Z",
}
BEHIND = {
    "status": "resolved",
    "labels": {"alertname": "BuildingClockBehind", "severity": "warning", "building": "ls-xd"},
    "annotations": {
        "summary": "The newest reading of building ls-xd is 33m old.",
        "description": "Late.",
        "runbook_url": "r",
    },
    "startsAt": "2026-06-28T09:00:00Z",
    "endsAt": "2026-06-28T10:30:00Z",
}
RELOAD = {
    "status": "firing",
    "labels": {"alertname": "ReloadFailed", "severity": "warning", "instance": "monitor:9464"},
    "annotations": {"summary": "The configuration was refused.", "description": "Old.", "runbook_url": "r"},
    "startsAt": "2026-06-28T09:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
}


def rendered(name: str, folder: Path, *alerts: dict[str, Any], common: dict[str, str]) -> str:
    is_over = all(alert["status"] == "resolved" for alert in alerts)
    data = {"status": "resolved" if is_over else "firing", "alerts": alerts, "commonLabels": common}
    (folder / "data.json").write_text(json.dumps(data), "utf-8")
    command = [
        *(require("amtool"), "template", "render"),
        f"--template.glob={TEMPLATES}/*.tmpl",
        f'--template.text={{{{ template "{name}" . }}}}',
        f"--template.data={folder / 'data.json'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_building(name: str, folder: Path, *alerts: dict[str, Any]) -> str:
    return rendered(name, folder, *alerts, common={"building": "ls-xd"})


def test_a_subject_says_how_urgent_where_and_what(tmp_path: Path) -> None:
    said = of_building("monitor.subject", tmp_path, LIMIT)
    assert said.strip() == "URGENT: building ls-xd: Building ls-xd draws more than its peak limit now."


def test_a_subject_of_several_counts_them(tmp_path: Path) -> None:
    said = of_building("monitor.subject", tmp_path, BEHIND | {"status": "firing"}, LIMIT, BEHIND)
    assert said.strip() == "URGENT: building ls-xd: 2 open, 1 over"


def test_a_subject_of_what_is_over_says_so(tmp_path: Path) -> None:
    said = of_building("monitor.subject", tmp_path, BEHIND)
    assert said.strip() == "Over: building ls-xd: The newest reading of building ls-xd is 33m old."


def test_a_subject_about_the_monitor_names_it(tmp_path: Path) -> None:
    said = rendered("monitor.subject", tmp_path, RELOAD, common={"instance": "monitor:9464"})
    assert said.strip() == "Notice: monitor monitor:9464: The configuration was refused."


def test_the_text_says_what_since_when_and_what_to_do(tmp_path: Path) -> None:
    lines = of_building("monitor.text", tmp_path, LIMIT, BEHIND).strip().splitlines()
    assert lines == [
        "URGENT Building ls-xd draws more than its peak limit now.",
        "  It goes on.",
        "  Since 2026-06-28 10:45 UTC; Việt Nam/Lạng Sơn",
        "  What to do: docs/runbook.md#peaklimitexceeded",
        "",
        "OVER: The newest reading of building ls-xd is 33m old.",
        "  From 2026-06-28 09:00 to 2026-06-28 10:30 UTC",
    ]


def test_every_mail_is_in_these_words() -> None:
    """Subjects stand in one line: what is before and after them in the template would be part of them."""
    mails = [mail for receiver in load(ALERTMANAGER)["receivers"] for mail in receiver.get("email_configs", [])]
    assert mails
    for mail in mails:
        assert mail["headers"] == {"Subject": '{{ template "monitor.subject" . }}'}
        assert (mail["text"], mail["html"]) == ('{{ template "monitor.text" . }}', "")
