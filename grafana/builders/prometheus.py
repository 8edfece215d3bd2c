"""PromQL for Grafana's Prometheus data source, and what most queries share.

Grafana itself escapes the values of variables in PromQL, where `${org1}` has no format, and puts `(a|b)` for several.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.builders.influx import ORG_LEVELS

__all__ = ["MONITOR", "PROMETHEUS", "at_end", "chosen_buildings", "over_time", "rows_at_end"]

PROMETHEUS = DataSourceRef("prometheus", "prometheus")

MONITOR = 'job="meter-monitor"'
"""The name of the job that the alerting rules ask for too."""


def over_time(expression: str, *, legend: str = "", ref: str = "A") -> Dataquery:
    """A series over the time range. legend: as `{{broker}}`."""
    return _query(expression, ref).range().legend_format(legend)


def at_end(expression: str, *, legend: str = "", ref: str = "A") -> Dataquery:
    """One value for each series, at the end of the time range."""
    return _query(expression, ref).instant().legend_format(legend)


def rows_at_end(expression: str) -> Dataquery:
    """For tables: a column for each label, and `Value`."""
    return _query(expression, "A").instant().format(PromQueryFormat.TABLE)


def _query(expression: str, ref: str) -> Dataquery:
    return Dataquery().datasource(PROMETHEUS).expr(" ".join(expression.split())).ref_id(ref)


def chosen_buildings() -> str:
    """What a metric of buildings is joined to: those of the chosen parts of the tree, with all below them. The monitor
    gives org and building by one metric alone."""
    levels = ", ".join(f'org=~"(${{{level}}})(/.*)?"' for level in ORG_LEVELS)
    return f'on (job, instance, building) meter_monitor_building_info{{{MONITOR}, building=~"${{building}}", {levels}}}'
