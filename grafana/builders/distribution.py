"""Panels for how something is spread over units, over time, over the hours of the day.

They sort and count in the browser, from a bounded number of rows. InfluxDB would read all of a subquery once for each
column that is counted from it: 15 columns over the last readings of 30,000 units took it 20 s, where their rows take 2.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, common, histogram, table, trend
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

__all__ = ["bars", "histogram_of", "hours_by_days", "load_duration"]

_DAY_AND_HOUR = '[{"day":"]YYYY-MM-DD[","hour":"]HH[:00"}]'
"""A time as JSON, which Grafana's next transformation takes apart: InfluxQL cannot say the hour of a day, and only the
browser knows its own time zone. What is in square brackets stands there as it is."""


def bars(*queries: Builder[Dataquery], unit: str, no_value: str) -> bargauge.Panel:
    """A bar from zero for each series or column, in the order of the query."""
    return (
        bargauge.Panel()
        .datasource(INFLUX)
        .targets(list(queries))
        .unit(unit)
        .no_value(no_value)
        .decimals(0)
        .min(0)
        .thresholds(no_thresholds())
        .color_scheme(FieldColor().mode(FieldColorModeId.FIXED).fixed_color(BLUE))
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .value_mode(kinds.BarGaugeValueMode.TEXT)
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .show_unfilled(False)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _no_legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
        .show_legend(False)
    )


def histogram_of(query: Builder[Dataquery], *, unit: str, no_value: str) -> histogram.Panel:
    """How many rows of the query have a value within each step of 1."""
    return (
        histogram.Panel()
        .datasource(INFLUX)
        .targets([query])
        .unit(unit)
        .no_value(no_value)
        .thresholds(no_thresholds())
        .color_scheme(FieldColor().mode(FieldColorModeId.FIXED).fixed_color(BLUE))
        .bucket_size(1)
        .fill_opacity(80)
        .legend(_no_legend())
    )


def load_duration(query: Builder[Dataquery], *, field: str, unit: str, no_value: str) -> trend.Panel:
    """The values of a table's `field` from the highest to the lowest, over the share of the rows."""
    return (
        trend.Panel()
        .datasource(INFLUX)
        .targets([query])
        .unit(unit)
        .no_value(no_value)
        .thresholds(no_thresholds())
        .color_scheme(FieldColor().mode(FieldColorModeId.FIXED).fixed_color(BLUE))
        .line_width(2)
        .fill_opacity(10)
        .legend(_no_legend())
        .transformations(
            [
                DataTransformerConfig(
                    id_val="sortBy", options={"fields": {}, "sort": [{"field": field, "desc": True}]}
                ),
                DataTransformerConfig(
                    id_val="calculateField",
                    options={"mode": "index", "index": {"asPercentile": True}, "alias": "share", "timeSeries": False},
                ),
                DataTransformerConfig(id_val="organize", options={"excludeByName": {"Time": True}}),
            ]
        )
        .x_field("share")
        .override_by_name("share", [DynamicConfigValue(id_val="unit", value="percentunit")])
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
                        "format": "json",
                        "replace": False,
                        "keepTime": False,
                    },
                ),
                # Without it the matrix would head each day with the field's name, which the data source set as a title.
                DataTransformerConfig(
                    id_val="groupBy",
                    options={
                        "fields": {
                            "day": {"operation": "groupby", "aggregations": []},
                            "hour": {"operation": "groupby", "aggregations": []},
                            field: {"operation": "aggregate", "aggregations": ["mean"]},
                        }
                    },
                ),
                DataTransformerConfig(
                    id_val="groupingToMatrix",
                    options={
                        "columnField": "day",
                        "rowField": "hour",
                        "valueField": f"{field} (mean)",
                        "emptyValue": "null",
                    },
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
