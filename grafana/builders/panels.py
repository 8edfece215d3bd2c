"""The kinds of panels that the dashboards use, with what all of one kind share: no thresholds, nulls as gaps, units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import barchart, common, piechart, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor, ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import (
    DashboardLink as Link,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    MatcherConfig,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.piechart import PieChartLegendValues, PieChartType

from grafana.builders.board import dashboard_uid
from grafana.builders.colours import BLUE
from grafana.builders.influx import INFLUX, ORG_LEVELS
from grafana.builders.texts import Words

__all__ = [
    "Column",
    "bar_cell",
    "daily_bars",
    "lines",
    "link_to",
    "mapping",
    "no_thresholds",
    "number",
    "series_style",
    "shares",
    "states",
    "tabular",
]

Queries = Sequence[Builder[Dataquery]]

_DATE_ZONE = "Etc/GMT-12"
"""Buckets of `DAY_BUCKET` begin at 12:00 UTC of the day before the one they hold, in whatever zone the building is:
twelve hours ahead of UTC that is the beginning of the right date."""


def no_thresholds() -> ThresholdsConfig:
    """One step: a limit is the building's own and comes from the data, never from a dashboard."""
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(value=None, color=BLUE)])


def _fixed(colour: str) -> FieldColor:
    return FieldColor().mode(FieldColorModeId.FIXED).fixed_color(colour)


def mapping(words: Mapping[str, str], colours: Mapping[str, str] | None = None) -> ValueMap:
    """Values as words of the language, perhaps with colours."""
    given = colours or {}
    return ValueMap(
        options={
            value: ValueMappingResult(text=text, color=given.get(value), index=row)
            for row, (value, text) in enumerate(words.items())
        }
    )


def number(
    *queries: Builder[Dataquery],
    unit: str,
    no_value: str,
    decimals: int | None = None,
    colour: str = BLUE,
    datasource: DataSourceRef = INFLUX,
) -> stat.Panel:
    """One figure. no_value: what stands there when the query has none."""
    panel = (
        stat.Panel()
        .datasource(datasource)
        .targets(list(queries))
        .unit(unit)
        .no_value(no_value)
        .thresholds(no_thresholds())
        .color_scheme(_fixed(colour))
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    *queries: Builder[Dataquery],
    unit: str,
    no_value: str,
    interval: str = "",
    bars: bool = False,
    stacked: bool = False,
    span_nulls: bool | float = False,
    datasource: DataSourceRef = INFLUX,
) -> timeseries.Panel:
    """A course over time. interval: the least `$__interval`, where the data has no finer one. Nulls are gaps;
    span_nulls: up to how many ms they are bridged, for data that comes less often than the interval."""
    panel = (
        timeseries.Panel()
        .datasource(datasource)
        .targets(list(queries))
        .unit(unit)
        .no_value(no_value)
        .thresholds(no_thresholds())
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(2 if not bars else 0)
        .fill_opacity(80 if bars else 10 if stacked else 0)
        .span_nulls(span_nulls)
        .show_points(kinds.VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .display_mode(kinds.LegendDisplayMode.LIST)
            .placement(kinds.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )
    if interval:
        panel = panel.interval(interval)
    if bars:
        panel = panel.draw_style(kinds.GraphDrawStyle.BARS)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    return panel


def daily_bars(*queries: Builder[Dataquery], unit: str, no_value: str) -> barchart.Panel:
    """Stacked bars, one for each local day; the queries group by `DAY_BUCKET`."""
    return (
        barchart.Panel()
        .datasource(INFLUX)
        .targets(list(queries))
        .unit(unit)
        .no_value(no_value)
        .thresholds(no_thresholds())
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .transformations(
            [
                DataTransformerConfig(id_val="joinByField", options={"byField": "Time", "mode": "outer"}),
                DataTransformerConfig(
                    id_val="formatTime",
                    options={"timeField": "Time", "outputFormat": "YYYY-MM-DD", "timezone": _DATE_ZONE},
                ),
            ]
        )
        .x_field("Time")
        .x_tick_label_spacing(100)
        .stacking(kinds.StackingMode.NORMAL)
        .fill_opacity(80)
        .legend(
            common.VizLegendOptions()
            .display_mode(kinds.LegendDisplayMode.LIST)
            .placement(kinds.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.NONE))
    )


def shares(*queries: Builder[Dataquery], unit: str, no_value: str) -> piechart.Panel:
    """A ring of parts with their percentages; each series is a part."""
    return (
        piechart.Panel()
        .datasource(INFLUX)
        .targets(list(queries))
        .unit(unit)
        .no_value(no_value)
        .thresholds(no_thresholds())
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .pie_type(PieChartType.DONUT)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .legend(
            piechart.PieChartLegendOptions()
            .display_mode(kinds.LegendDisplayMode.TABLE)
            .placement(kinds.LegendPlacement.BOTTOM)
            .show_legend(True)
            .values([PieChartLegendValues.PERCENT])
        )
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.SINGLE).sort(kinds.SortOrder.NONE))
    )


def states(
    *queries: Builder[Dataquery], mappings: ValueMap, no_value: str, interval: str, span_nulls: bool | float
) -> statetimeline.Panel:
    """A row of coloured stretches for each series, with words for its values."""
    return (
        statetimeline.Panel()
        .datasource(INFLUX)
        .targets(list(queries))
        .unit("none")
        .no_value(no_value)
        .thresholds(no_thresholds())
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .mappings([mappings])
        .interval(interval)
        .with_override(
            MatcherConfig(id_val="byType", options="number"),
            [DynamicConfigValue(id_val="custom.spanNulls", value=span_nulls)],
        )
        .with_override(
            MatcherConfig(id_val="byType", options="string"),
            [DynamicConfigValue(id_val="custom.spanNulls", value=span_nulls)],
        )
        .merge_values(True)
        .show_value(kinds.VisibilityMode.AUTO)
        .row_height(0.8)
        .per_page(10)
        .legend(
            common.VizLegendOptions()
            .display_mode(kinds.LegendDisplayMode.LIST)
            .placement(kinds.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )


@dataclass(frozen=True)
class Column:
    """One column of a table: `field` as the query names it, `title` as people read it."""

    field: str
    title: str
    unit: str = "none"
    decimals: int | None = None
    width_px: int | None = None
    bar: bool = False
    """Draw the value as a bar as well, the longest for the largest of the column."""
    mappings: Sequence[ValueMap] = ()
    links: Sequence[Link] = ()


def tabular(
    *queries: Builder[Dataquery],
    columns: Sequence[Column],
    no_value: str,
    sort: str = "",
    descending: bool = True,
    datasource: DataSourceRef = INFLUX,
) -> table.Panel:
    """A table of exactly these columns in this order; whatever else the query gives is hidden, the time too unless a
    column is called `Time`. sort: the title of a column."""
    kept = [column.field for column in columns]
    hidden = {name: True for name in ("Time", "time") if "Time" not in kept}
    panel = (
        table.Panel()
        .datasource(datasource)
        .targets(list(queries))
        .unit("none")
        .no_value(no_value)
        .thresholds(no_thresholds())
        .color_scheme(_fixed(BLUE))
        .cell_height(kinds.TableCellHeight.SM)
        .min_width(90)
        .transformations(
            [
                DataTransformerConfig(
                    id_val="organize",
                    options={
                        "excludeByName": hidden,
                        "indexByName": {name: row for row, name in enumerate(kept)},
                        "renameByName": {},
                    },
                )
            ]
        )
    )
    for column in columns:
        panel = panel.override_by_name(column.field, _column(column))
    if sort:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])
    return panel


def _column(column: Column) -> list[DynamicConfigValue]:
    values: dict[str, object] = {"displayName": column.title, "unit": column.unit}
    if column.decimals is not None:
        values["decimals"] = column.decimals
    if column.width_px is not None:
        values["custom.width"] = column.width_px
    if column.bar:
        values["custom.cellOptions"] = bar_cell()
        values["min"] = 0
    if column.mappings:
        values["mappings"] = list(column.mappings)
    if column.links:
        values["links"] = list(column.links)
    return [DynamicConfigValue(id_val=name, value=value) for name, value in values.items()]


def bar_cell() -> kinds.TableBarGaugeCellOptions:
    return kinds.TableBarGaugeCellOptions(
        mode=kinds.BarGaugeDisplayMode.BASIC, value_display_mode=kinds.BarGaugeValueMode.TEXT
    )


def link_to(name: str, title: str, words: Words, variable: str) -> Link:
    """From a table's cell to a dashboard, with the cell's value in a variable; the time range and the chosen part of
    the tree go with it."""
    kept = "&".join(f"${{{level}:queryparam}}" for level in ORG_LEVELS if level != variable)
    url = f"/d/{dashboard_uid(name, words)}?${{__url_time_range}}&{kept}&var-{variable}=${{__value.raw}}"
    return DashboardLink(title).url(url).build()


def series_style(
    *,
    title: str = "",
    colour: str = "",
    dashed: bool = False,
    bars: bool = False,
    fill: int | None = None,
    width: int | None = None,
    step: bool = False,
    hidden_axis: bool = False,
) -> list[DynamicConfigValue]:
    """How one series differs from the others of its panel. hidden_axis: drawn over the whole height, as shading."""
    values: dict[str, object] = {}
    if title:
        values["displayName"] = title
    if colour:
        values["color"] = {"mode": "fixed", "fixedColor": colour}
    if dashed:
        values["custom.lineStyle"] = {"fill": "dash", "dash": [10, 6]}
    if bars:
        values["custom.drawStyle"] = "bars"
    if fill is not None:
        values["custom.fillOpacity"] = fill
    if width is not None:
        values["custom.lineWidth"] = width
    if step:
        values["custom.lineInterpolation"] = "stepAfter"
    if hidden_axis:
        values |= {"custom.axisPlacement": "hidden", "min": 0, "max": 1, "custom.barWidthFactor": 1}
        values |= {"custom.hideFrom": {"legend": False, "tooltip": True, "viz": False}, "unit": "bool"}
    return [DynamicConfigValue(id_val=name, value=value) for name, value in values.items()]
