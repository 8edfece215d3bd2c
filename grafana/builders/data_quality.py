"""Dashboard 5: how far the figures can be trusted, and which meters to mend.

What was judged is in InfluxDB; who is silent now and what is in quarantine only the monitor's metrics say.
"""

from __future__ import annotations

from grafana.builders.board import Board
from grafana.builders.colours import AMBER, GREY, RED, TEAL
from grafana.builders.distribution import bars
from grafana.builders.influx import ELECTRICITY, Influx, in_buildings
from grafana.builders.panels import Column, lines, link_to, mapping, number, series_style, tabular
from grafana.builders.prometheus import MONITOR, PROMETHEUS, at_end, chosen_buildings, over_time, rows_at_end
from grafana.builders.shared import completeness, name_series
from grafana.builders.texts import Words
from grafana.builders.variables import building_variable, item_variable, org_variables

__all__ = ["data_quality"]

_ITEM = '"item" =~ /^(${item:regex})$/'
_GIVEN = "\"detail\" <> 'withdrawn'"
_RANKED = 20


def data_quality(words: Words) -> Board:
    variables = [*org_variables(words), building_variable(words), item_variable(words)]
    board = Board("quality", words, variables=variables, since="now-7d")
    _figures(board, words)
    _course(board, words)
    _meters(board, words)
    _silent(board, words)
    _quarantine(board, words)
    return board


def _chosen(*conditions: str) -> str:
    return " AND ".join((*conditions, in_buildings(), "$timeFilter"))


def _estimated_share(measurement: str, *, group: str = "", over_time: str = "") -> str:
    """Of electricity: kWh and m³ do not add up. Two forms for the reason that `completeness` has."""
    where = _chosen(_ITEM, ELECTRICITY)
    if not over_time:
        by = f" GROUP BY {group}" if group else ""
        return f"""SELECT sum("estimated") / (sum("measured") + sum("estimated")) AS "share" FROM "{measurement}"
            WHERE {where}{by}"""
    return f"""SELECT sum("assumed") / sum("energy") AS "share" FROM (
        SELECT "estimated" AS "assumed", "measured" + "estimated" AS "energy" FROM "{measurement}" WHERE {where})
        WHERE $timeFilter GROUP BY {over_time}"""


def _silent_devices() -> str:
    return f"meter_monitor_silent_devices{{{MONITOR}}} and {chosen_buildings()}"


def _figures(board: Board, words: Words) -> None:
    no_data = words.of("common")("no_data")
    devices = f"meter_monitor_devices{{{MONITOR}}} and {chosen_buildings()}"
    asked = {
        "completeness": (completeness(_chosen(_ITEM)), "percentunit", TEAL, no_data, 1),
        "estimated": (_estimated_share("consumption_day"), "percentunit", AMBER, no_data, 2),
        "entries": (f'SELECT count("amount") FROM "ledger" WHERE {_chosen(_GIVEN)}', "short", GREY, "0", None),
    }
    board.row("row_now")
    for key, (query, unit, colour, empty, decimals) in asked.items():
        figure = number(Influx(query), unit=unit, no_value=empty, decimals=decimals, colour=colour)
        board.add(key, figure, width=4, height=4)
    scraped = {
        "silent": (f"sum({_silent_devices()})", "short", RED),
        "silent_share": (f"sum({_silent_devices()}) / sum({devices})", "percentunit", RED),
        "quarantine": (f"sum(meter_monitor_quarantine_rows{{{MONITOR}}})", "short", AMBER),
    }
    for key, (expression, unit, colour) in scraped.items():
        figure = number(at_end(expression), unit=unit, no_value=no_data, colour=colour, datasource=PROMETHEUS)
        board.add(key, figure, width=4, height=4)


def _course(board: Board, words: Words) -> None:
    common = words.of("common")
    no_data = common("no_data")
    by_time = "time($__interval) fill(null)"
    covered = Influx(completeness(_chosen(_ITEM), over_time=by_time, measurement="consumption_hour"))
    course = lines(covered, unit="percentunit", no_value=no_data, interval="1h").min(0).max(1)
    course = course.override_by_query("A", series_style(title=common("columns.coverage"), colour=TEAL))
    board.row("row_course")
    board.add("completeness_course", course, width=12, height=8)
    assumed = Influx(_estimated_share("consumption_hour", over_time=by_time))
    course = lines(assumed, unit="percentunit", no_value=no_data, interval="1h").min(0)
    course = course.override_by_query("A", series_style(title=words.of("quality")("share"), colour=AMBER))
    board.add("estimated_course", course, width=12, height=8)


def _meters(board: Board, words: Words) -> None:
    common = words.of("common")
    to_building = link_to("building", common("to_building"), words, "building")
    building = Column("building", common("columns.building"), links=[to_building])
    device = Column("device", common("columns.device"))
    item = Column("item", common("columns.item"), mappings=[mapping(common.table("items"))])
    kind = Column("kind", common("columns.kind"), mappings=[mapping(common.table("kinds"))])
    count = f'SELECT count("amount") AS "entries" FROM "ledger" WHERE {_chosen(_GIVEN)}'
    board.row("row_meters")
    by_kind = bars(Influx(f'{count} GROUP BY "kind"', alias="$tag_kind"), unit="short", no_value=common("none"))
    board.add("by_kind", name_series(by_kind, words, "kinds"), width=8, height=9)
    course = Influx(f'{count} GROUP BY time($__interval), "kind" fill(none)', alias="$tag_kind")
    over_hours = lines(course, unit="short", no_value=common("none"), interval="1h", bars=True, stacked=True)
    board.add("by_time", name_series(over_hours, words, "kinds"), width=16, height=9)
    worst = Influx(
        f"""SELECT top("entries", "building", "device", "kind", {_RANKED}) AS "entries" FROM (
            {count} GROUP BY "building", "device", "kind")""",
        form="table",
    )
    entries = Column("entries", common("columns.events"), "short", bar=True)
    devices = tabular(worst, columns=[building, device, kind, entries], no_value=common("none"), sort=entries.title)
    board.add("worst_devices", devices, width=12, height=10)
    latest = Influx(
        f"""SELECT "building", "device", "kind", "amount" FROM "ledger" WHERE {_chosen(_GIVEN)}
            ORDER BY time DESC LIMIT 200""",
        form="table",
    )
    time = Column("Time", common("columns.time"), "dateTimeAsLocal", width_px=170)
    amount = Column("amount", common("columns.amount"), "none", 2, width_px=110)
    table = tabular(latest, columns=[time, building, device, kind, amount], no_value=common("none"))
    board.add("latest", table, width=12, height=10)
    for key, function, field, share, inner in (
        (
            "least_complete",
            "bottom",
            "coverage",
            common("columns.coverage"),
            completeness(_chosen(_ITEM), group='"building", "item"'),
        ),
        (
            "most_estimated",
            "top",
            "share",
            words.of("quality")("share"),
            _estimated_share("consumption_day", group='"building", "item"'),
        ),
    ):
        ranked = Influx(
            f'SELECT {function}("{field}", "building", "item", {_RANKED}) AS "{field}" FROM ({inner})', form="table"
        )
        columns = [building, item, Column(field, share, "percentunit", 2, bar=True)]
        ranking = tabular(ranked, columns=columns, no_value=common("no_data"), sort=share, descending=function == "top")
        board.add(key, ranking, width=12, height=10)


def _silent(board: Board, words: Words) -> None:
    common, own = words.of("common"), words.of("quality")
    to_building = link_to("building", common("to_building"), words, "building")
    building = Column("building", common("columns.building"), links=[to_building])
    board.row("row_silent")
    course = lines(
        over_time(f"sum({_silent_devices()})", legend=own("silent.legend")),
        unit="short",
        no_value=common("no_data"),
        datasource=PROMETHEUS,
    ).min(0)
    board.add("silent_course", course, width=8, height=9)
    behind = f"meter_monitor_building_clock_lag_seconds{{{MONITOR}}} and {chosen_buildings()}"
    for key, expression, title, unit in (
        ("silent_buildings", f"({_silent_devices()}) > 0", own("devices"), "short"),
        ("behind", behind, own("lag"), "s"),
    ):
        ranking = tabular(
            rows_at_end(f"topk({_RANKED}, sum by (building) ({expression}))"),
            columns=[building, Column("Value", title, unit, bar=True)],
            no_value=common("none"),
            sort=title,
            datasource=PROMETHEUS,
        )
        board.add(key, ranking, width=8, height=9)


def _quarantine(board: Board, words: Words) -> None:
    common, own = words.of("common"), words.of("quality")
    board.row("row_quarantine")
    course = lines(
        over_time(
            f"sum by (reason) (increase(meter_monitor_quarantined_total{{{MONITOR}}}[$__rate_interval]))",
            legend="{{reason}}",
        ),
        unit="short",
        no_value=common("none"),
        bars=True,
        stacked=True,
        datasource=PROMETHEUS,
    ).decimals(0)
    board.add("quarantine_course", course, width=12, height=9)
    reasons = tabular(
        rows_at_end(f"sort_desc(sum by (reason) (meter_monitor_quarantined_total{{{MONITOR}}}))"),
        columns=[Column("reason", own("reason")), Column("Value", own("count"), "short", 0, bar=True)],
        no_value=common("none"),
        sort=own("count"),
        datasource=PROMETHEUS,
    )
    board.add("reasons", reasons, width=12, height=9)
