"""Panels for how something is spread: bars of one figure each, and hours of the day against days."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, common, table
from grafana_foundation_sdk.builders.dashboard import FieldColor
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    MatcherConfig,
)

from grafana.builders.colours import BLUE
from grafana.builders.influx import INFLUX
from grafana.builders.panels import no_thresholds

__all__ = ["bars", "hours_by_days"]

_DAY_AND_HOUR = "YYYY-MM-DD HH:00"
"""A time as two words, which Grafana's next transformation takes apart: InfluxQL cannot say the hour of a day, and only
the browser knows its own time zone."""
_PARTS = r"/(?<day>\S+) (?<hour>\S+)/"


def bars(
    *queries: Builder[Dataquery], unit: str, no_value: str, upright: bool, decimals: int = 0, colour: str = BLUE
) -> bargauge.Panel:
    """A bar from zero for each series or column, in the order of the query."""
    return (
        bargauge.Panel()
        .datasource(INFLUX)
        .targets(list(queries))
        .unit(unit)
        .no_value(no_value)
        .decimals(decimals)
        .min(0)
        .thresholds(no_thresholds())
        .color_scheme(FieldColor().mode(FieldColorModeId.FIXED).fixed_color(colour))
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .value_mode(kinds.BarGaugeValueMode.TEXT)
        .orientation(kinds.VizOrientation.VERTICAL if upright else kinds.VizOrientation.HORIZONTAL)
        .show_unfilled(False)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def hours_by_days(query: Builder[Dataquery], *, field: str, unit: str, no_value: str, hour_title: str) -> table.Panel:
    """A heat map: a row for each hour of the day, a column for each date, both in the browser's time zone.

    query: a table of `Time` and `field`, one row an hour. Tried first: Grafana's own heat map, whose second axis would
    need a query for each hour of the day.
    """
    corner = "hour\\day"  # what Grafana calls the first column of such a matrix
    return (
        table.Panel()
        .datasource(INFLUX)
        .targets([query])
        .unit(unit)
        .decimals(0)
        .no_value(no_value)
        .thresholds(no_thresholds())
        .color_scheme(FieldColor().mode(FieldColorModeId.CONTINUOUS_YL_RD))
        .cell_height(kinds.TableCellHeight.SM)
        .transformations(
            [
                DataTransformerConfig(
                    id_val="formatTime",
                    options={"timeField": "Time", "outputFormat": _DAY_AND_HOUR, "timezone": "browser"},
                ),
                DataTransformerConfig(
                    id_val="extractFields",
                    options={
                        "source": "Time",
                        "format": "regexp",
                        "regExp": _PARTS,
                        "replace": False,
                        "keepTime": False,
                    },
                ),
                DataTransformerConfig(
                    id_val="groupingToMatrix",
                    options={"columnField": "day", "rowField": "hour", "valueField": field, "emptyValue": "null"},
                ),
                DataTransformerConfig(id_val="sortBy", options={"fields": {}, "sort": [{"field": corner}]}),
            ]
        )
        .with_override(
            MatcherConfig(id_val="byType", options="number"),
            [
                DynamicConfigValue(
                    id_val="custom.cellOptions",
                    value=kinds.TableColoredBackgroundCellOptions(mode=kinds.TableCellBackgroundDisplayMode.BASIC),
                ),
            ],
        )
        .override_by_name(
            corner,
            [
                DynamicConfigValue(id_val="displayName", value=hour_title),
                DynamicConfigValue(id_val="custom.width", value=80),
            ],
        )
    )
