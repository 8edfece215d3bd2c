"""Every alert fires, does not fire and resolves when it should, by Prometheus' own means."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.alert_cases import CASES, Case
from tests.deploy.alerting_files import ALERTMANAGER, PROMETHEUS, ROOT, RULES, alert_rules, duration_s, load
from tests.services.process import require

pytestmark = pytest.mark.services

ALWAYS_THERE = {"Watchdog"}
"""Its absence is the alarm, and somebody else's to raise."""


def promtool(*arguments: str, folder: Path = ROOT) -> str:
    done = subprocess.run([require("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_with_its_rules_is_good() -> None:
    assert "valid prometheus config" in promtool("check", "config", str(PROMETHEUS))


def test_the_rules_are_good() -> None:
    assert promtool("check", "rules", *map(str, RULES)).count("SUCCESS") == len(RULES)


def test_every_alert_says_what_it_has_to() -> None:
    for name, rule in alert_rules().items():
        assert rule["labels"].keys() == {"severity", "scope"}, name
        if name not in ALWAYS_THERE:
            assert rule["labels"]["severity"] in {"critical", "warning"}, name
            assert rule["labels"]["scope"] in {"service", "data", "verdict"}, name
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, name
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_every_alert_is_tried_before_while_and_after_it_fires() -> None:
    tried = {case.alert for case in CASES if case.quiet and case.firing and case.over}
    assert tried | ALWAYS_THERE == set(alert_rules())
    assert {case.alert for case in CASES if case.firing and not case.quiet + case.over} >= ALWAYS_THERE


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert} {case.about}".strip())
def test_alert(case: Case, tmp_path: Path) -> None:
    rule = alert_rules()[case.alert]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(_rules_for(case.alert), allow_unicode=True), "utf-8")
    (tmp_path / "case.yml").write_text(yaml.safe_dump(_test_file(case, rule), allow_unicode=True), "utf-8")
    assert "SUCCESS" in promtool("test", "rules", "case.yml", folder=tmp_path)


def _rules_for(alert: str) -> dict[str, Any]:
    """The alert's file without the other alerts: they would be evaluated for hours, and asked nothing."""
    (content,) = (load(path) for path in RULES if f"alert: {alert}\n" in path.read_text("utf-8"))
    for group in content["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert", alert) == alert]
    return {"groups": [group for group in content["groups"] if group["rules"]]}


def _test_file(case: Case, rule: dict[str, Any]) -> dict[str, Any]:
    expected = {
        "exp_labels": {**case.labels, **rule["labels"]},
        "exp_annotations": {**rule["annotations"], "summary": case.summary},
    }
    moments = [*((moment, []) for moment in case.quiet + case.over), *((moment, [expected]) for moment in case.firing)]
    return {
        "rule_files": ["rules.yml"],
        "evaluation_interval": load(PROMETHEUS)["global"]["evaluation_interval"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "alert_rule_test": [
                    {"eval_time": moment, "alertname": case.alert, "exp_alerts": alerts} for moment, alerts in moments
                ],
            }
        ],
    }


def test_what_was_recorded_outlives_the_wait_for_a_monitor_that_is_down() -> None:
    """Else alerts about buildings would end, and people be told so, before MonitorDown silences them."""
    held_s = 600.0
    rules = alert_rules()
    assert duration_s(rules["MonitorDown"]["for"]) < held_s / 2
    about_buildings = [rule for rule in rules.values() if rule["labels"]["scope"] in {"data", "verdict"}]
    assert about_buildings
    for rule in about_buildings:
        assert rule["expr"].count("[10m]") == rule["expr"].count("last_over_time") > 0, rule["alert"]


def test_a_violation_is_told_within_what_the_runbook_promises() -> None:
    """The sum of all that an alert may wait for between two of the monitor's answers and the page."""
    times = load(PROMETHEUS)["global"]
    route = load(ALERTMANAGER)["route"]
    waits_s = [
        duration_s(times["scrape_interval"]),
        2 * duration_s(times["evaluation_interval"]),  # until the rule is looked at, and until it is after `for`
        duration_s(alert_rules()["PeakLimitExceeded"]["for"]),
    ]
    runbook = " ".join((ROOT / "docs/runbook.md").read_text("utf-8").split())
    assert "within two minutes" in runbook
    assert sum(waits_s) + duration_s(route["group_wait"]) < 120
    assert "within three minutes" in runbook
    assert sum(waits_s) + duration_s(route["group_interval"]) < 180
