"""InfluxQL for Grafana's InfluxDB data source, and the conditions that most queries share.

The foundation SDK knows no InfluxDB, so the query's JSON model stands here. Queries are text (`rawQuery`): Grafana's
own form for InfluxQL cannot express subqueries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

__all__ = [
    "DAY_BUCKET",
    "ELECTRICITY",
    "INFLUX",
    "LONG_AGO",
    "MEDIA",
    "NOT_WITHDRAWN",
    "ORG_LEVELS",
    "PEAK",
    "Influx",
    "in_buildings",
    "in_org",
    "one_building",
]

INFLUX = DataSourceRef("influxdb", "influxdb")

ORG_LEVELS = ("org1", "org2", "org3", "org4")
"""The variables of the org's levels; the last has whole paths of any length."""

PEAK = '"period" =~ /^(peak|critical)$/'
"""SEMANTICS 4: what peak intervals are."""
MEDIA = '"item" =~ /^(water|gas|heat|cooling)$/'
ELECTRICITY = '"item" !~ /^(water|gas|heat|cooling)$/'
DAY_BUCKET = "time(1d, 12h)"
"""The local days of `consumption_day` as one bucket each, whatever the zones: the day that begins at local midnight,
which is between 12:00 UTC of the day before and 12:00 UTC, in every zone from UTC-12 to UTC+12. A plain `time(1d)`
would put Asian days into the day before."""
NOT_WITHDRAWN = "\"state\" <> 'withdrawn'"
LONG_AGO = "time > now() - 92d"
"""For what is open now, whatever the time range. InfluxDB has no index of states, so it reads all violations that began
since then: a year of them would take it long where there are 10,000 buildings."""


def in_org() -> str:
    """Of the chosen parts of the tree with all below them. A chosen level is a path from the root, so that
    it holds for the path itself and for whatever goes on with a slash. `All` is `.*`."""
    return " AND ".join(rf'"org" =~ /^(${{{level}:regex}})(\/|$)/' for level in ORG_LEVELS)


def in_buildings() -> str:
    """The chosen buildings in the chosen parts of the tree."""
    return f'"building" =~ /^(${{building:regex}})$/ AND {in_org()}'


def one_building() -> str:
    """Exactly one building, where a series for each device comes back."""
    return '"building" =~ /^(${building:regex})$/'


@dataclass(frozen=True)
class Influx(Dataquery, Builder[Dataquery]):
    """One query. `alias`: legend of a time series, with `$tag_item`, `$col` and the like."""

    query: str
    alias: str = ""
    form: Literal["time_series", "table"] = "time_series"
    ref: str = "A"

    def build(self) -> Influx:
        return self

    def to_json(self) -> dict[str, object]:
        model: dict[str, object] = {
            "datasource": INFLUX,
            "query": " ".join(self.query.split()),
            "rawQuery": True,
            "refId": self.ref,
            "resultFormat": self.form,
        }
        if self.alias:
            model["alias"] = self.alias
        return model
