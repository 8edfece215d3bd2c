"""The committed files of Prometheus and Alertmanager, made fit for a test: other addresses, shorter waits, all else as
it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.alerting_files import ALERTMANAGER, PROMETHEUS, RULES, load

__all__ = ["ALWAYS", "NEVER", "WAIT_S", "shortened_alertmanager", "shortened_prometheus", "walk"]

WAIT_S = 1
"""Every wait that a test need not sit through."""
ALWAYS = [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]
NEVER = [{"years": ["1990"]}]


def walk(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The route and all below it."""
    yield route
    for child in route.get("routes", []):
        yield from walk(child)


def shortened_alertmanager(
    folder: Path, webhook_url: str, *, nights: list[dict[str, Any]] = NEVER, repeat: bool = False
) -> Path:
    """Every receiver gets a webhook below webhook_url that bears its name. nights: in place of all quiet hours.
    repeat: say again every second what goes on."""
    config = load(ALERTMANAGER)
    config["global"] = {name: value for name, value in config["global"].items() if not name.startswith("smtp_")}
    config["templates"] = [str(ALERTMANAGER.parent / pattern) for pattern in config["templates"]]
    config["receivers"] = [
        {"name": receiver["name"], "webhook_configs": [{"url": f"{webhook_url}/{receiver['name']}"}]}
        for receiver in config["receivers"]
    ]
    config["time_intervals"] = [night | {"time_intervals": nights} for night in config["time_intervals"]]
    config["route"] |= {"group_wait": f"{WAIT_S}s", "group_interval": f"{WAIT_S}s"}
    if repeat:
        for route in walk(config["route"]):
            route["repeat_interval"] = f"{WAIT_S}s"
    return _written(folder / "alertmanager.yml", config)


def shortened_prometheus(folder: Path, targets: Mapping[str, str], alertmanager: str) -> Path:
    """targets: host and port by job. Only the wait of verdicts is cut short: the other rules are to stay quiet as they
    do in earnest."""
    config = load(PROMETHEUS)
    config["global"] = dict.fromkeys(config["global"], f"{WAIT_S}s")
    config["rule_files"] = [str(_written(folder / path.name, _hasty(load(path)))) for path in RULES]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    return _written(folder / "prometheus.yml", config)


def _hasty(rules: dict[str, Any]) -> dict[str, Any]:
    for group in rules["groups"]:
        for rule in group["rules"]:
            if rule.get("labels", {}).get("scope") == "verdict":
                rule["for"] = f"{WAIT_S}s"
    return rules


def _written(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
    return path
