"""The files of Prometheus and Alertmanager as they are committed, read for the tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

__all__ = ["ALERTMANAGER", "PROMETHEUS", "ROOT", "RULES", "alert_rules", "duration_s", "load"]

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus/prometheus.yml"
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yml"
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def alert_rules() -> dict[str, dict[str, Any]]:
    """By name of the alert."""
    rules = [rule for path in RULES for group in load(path)["groups"] for rule in group["rules"] if "alert" in rule]
    assert len({rule["alert"] for rule in rules}) == len(rules), "two alerts have one name"
    return {rule["alert"]: rule for rule in rules}


def duration_s(text: str) -> float:
    """`15s`, `2m`, `1h` in seconds; nothing else is written in these files."""
    found = re.fullmatch(r"(\d+)([smh])", text)
    assert found, f"{text} is no duration"
    return int(found[1]) * _UNIT_S[found[2]]
