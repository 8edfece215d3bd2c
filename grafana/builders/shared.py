"""Pieces that several dashboards show: completeness, legends of periods, words for what the monitor's tags say."""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, ValueMap

from grafana.builders.colours import AMBER, BLUE, BROWN, GREEN, PURPLE, RED, TEAL
from grafana.builders.panels import mapping, series_style
from grafana.builders.texts import Words

__all__ = ["completeness", "name_series", "rule_words"]

_PERIOD_COLOURS = {"peak": AMBER, "critical": RED, "normal": BLUE, "offpeak": TEAL}
_ITEM_COLOURS = {
    "total": BLUE,
    "hvac": TEAL,
    "lighting_sockets": AMBER,
    "power": PURPLE,
    "special": BROWN,
    "pv": GREEN,
    "water": BLUE,
    "gas": AMBER,
    "heat": RED,
    "cooling": TEAL,
}


class _Overridable(Protocol):
    def override_by_name(self, name: str, properties: list[DynamicConfigValue]) -> Self: ...


_P = TypeVar("_P", bound=_Overridable)


def completeness(where: str, *, group: str = "", over_time: str = "", measurement: str = "consumption_day") -> str:
    """InfluxQL: coverage [0..1] over all intervals that `where` chooses. Hours and days hold different numbers of
    intervals, so each counts by them; those of a period that was given up have none and drop out. group: tags;
    over_time: buckets.

    A total of stored fields costs a third of one over a subquery; but in buckets of time InfluxDB merges every series'
    buckets once for each sum, and there the subquery is the cheaper one."""
    if not over_time:
        by = f" GROUP BY {group}" if group else ""
        return f"""SELECT sum("covered") / sum("intervals") AS "coverage" FROM "{measurement}" WHERE {where}{by}"""
    return f"""SELECT sum("covered") / sum("due") AS "coverage" FROM (
        SELECT "covered", "intervals" AS "due" FROM "{measurement}" WHERE {where})
        WHERE $timeFilter GROUP BY {over_time}"""


def name_series(panel: _P, words: Words, table: str) -> _P:
    """Legends in words for series that are called like values of a tag: `periods`, `items` or `kinds` of the catalogue.
    Names of a site's own stay as they are."""
    colours = {"periods": _PERIOD_COLOURS, "items": _ITEM_COLOURS}.get(table, {})
    for value, title in words.of("common").table(table).items():
        panel = panel.override_by_name(value, series_style(title=title, colour=colours.get(value, "")))
    return panel


def rule_words(words: Words) -> ValueMap:
    return mapping(words.of("common").table("rules"))
