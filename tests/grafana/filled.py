"""The committed dashboards as Grafana would use them: panels, targets, and queries with everything filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana.builders.files import GRAFANA

Model = dict[str, Any]

_PROMQL_VARIABLE = re.compile(r"\$\{(\w+)\}")
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}")
_LEFT_OVER = re.compile(r"\$(?:\{|__|[A-Za-z])")
_REGEX_SPECIAL = re.compile(r"[\\^$*+?.()|[\]{}/]")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Target:
    """One query of one panel."""

    panel: Model
    query: Model

    @property
    def text(self) -> str:
        return str(self.query["query"])

    @property
    def expression(self) -> str:
        """PromQL."""
        return str(self.query["expr"])

    @property
    def name(self) -> str:
        return f"{self.panel['title']} {self.query['refId']}"


@dataclass(frozen=True)
class Range:
    """Both ends belong to it, as in Grafana's `$timeFilter`."""

    from_ms: int
    to_ms: int

    def of(self, panel: Model, midnight_ms: int) -> Range:
        """With the panel's own range, of which the dashboards use `now/d`, and its shift in days."""
        begin = {None: self.from_ms, "now/d": midnight_ms}[panel.get("timeFrom")]
        shift_ms = int(str(panel.get("timeShift", "0d")).removesuffix("d")) * DAY_MS
        return Range(begin - shift_ms, self.to_ms - shift_ms)


def committed(language: str = "en") -> dict[str, Model]:
    folder = GRAFANA / "dashboards" / language
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def dashboard_files() -> list[Path]:
    return sorted((GRAFANA / "dashboards").glob("*/*.json"))


def panels(dashboard: Model) -> list[Model]:
    """Without the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(dashboard: Model, kind: str = "influxdb") -> Iterator[Target]:
    for panel in panels(dashboard):
        for query in panel["targets"]:
            if query["datasource"]["type"] == kind:
                yield Target(panel, query)


def target(dashboard: Model, key_title: str, ref: str = "A", kind: str = "influxdb") -> Target:
    """That of the panel with this title; where a title stands twice, of the first."""
    found = [
        each for each in targets(dashboard, kind) if each.panel["title"] == key_title and each.query["refId"] == ref
    ]
    assert found, f"no panel {key_title!r} with a query {ref}"
    return found[0]


def escape(value: str) -> str:
    """Grafana's format `regex`."""
    return _REGEX_SPECIAL.sub(lambda found: "\\" + found[0], value)


def fill(text: str, choices: Mapping[str, Sequence[str] | None], chosen: Range, interval: str = "1h") -> str:
    """The query as Grafana sends it. choices: what is chosen in each variable; None is `All`, which these dashboards
    define as `.*`."""

    def value(found: re.Match[str]) -> str:
        assert found[2] == "regex", f"{found[0]}: only the format regex is safe in InfluxQL"
        values = choices[found[1]]
        if values is None:
            return ".*"
        return escape(values[0]) if len(values) == 1 else f"({'|'.join(map(escape, values))})"

    text = _VARIABLE.sub(value, text)
    text = text.replace("$timeFilter", f"time >= {chosen.from_ms}ms and time <= {chosen.to_ms}ms")
    text = text.replace("$__interval", interval)
    assert not _LEFT_OVER.search(text), f"not filled in: {text}"
    return text


def fill_promql(expression: str, choices: Mapping[str, Sequence[str]]) -> str:
    """PromQL as Grafana sends it: values of variables are escaped for a regular expression within quotes, several stand
    in brackets. What is not in `choices` is `All`. Rates are over a minute."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in choices:
            return ".*"
        values = [escape(each).replace("\\", "\\\\") for each in choices[found[1]]]
        return values[0] if len(values) == 1 else f"({'|'.join(values)})"

    filled = _PROMQL_VARIABLE.sub(value, expression).replace("$__rate_interval", "1m")
    assert "$" not in filled, f"not filled in: {filled}"
    return filled
