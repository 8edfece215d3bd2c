"""Dashboard 4: what is taken in peak hours, against budget and limit, and when.

By day it reads `consumption_day`, by hour `consumption_hour`; what one window took beyond its budget or limit is in
`violation`, an event a window.
"""

from __future__ import annotations

from grafana_foundation_sdk.models.common import StackingMode

from grafana.builders.board import Board
from grafana.builders.colours import AMBER, GREY, RED, TEAL
from grafana.builders.distribution import hours_by_days, load_duration
from grafana.builders.influx import DAY_BUCKET, ELECTRICITY, NOT_WITHDRAWN, PEAK, Influx, in_buildings
from grafana.builders.panels import Column, daily_bars, lines, link_to, mapping, number, series_style, tabular
from grafana.builders.shared import completeness, name_series
from grafana.builders.texts import Words
from grafana.builders.variables import building_variable, item_variable, org_variables

__all__ = ["peak_hours"]

_TOTAL = "\"item\" = 'total'"
_ITEM = '"item" =~ /^(${item:regex})$/'
_RANKED = 20


def peak_hours(words: Words) -> Board:
    variables = [*org_variables(words), building_variable(words), item_variable(words)]
    board = Board("peak", words, variables=variables, since="now-7d")
    _figures(board, words)
    _days(board, words)
    _load(board, words)
    _tables(board, words)
    return board


def _chosen(*conditions: str) -> str:
    return " AND ".join((*conditions, in_buildings(), "$timeFilter"))


def _beyond(rule: str) -> str:
    return f'FROM "violation" WHERE {_chosen(_rule(rule), NOT_WITHDRAWN)}'


def _rule(name: str) -> str:
    return f"\"rule\" = '{name}'"


def _figures(board: Board, words: Words) -> None:
    no_data = words.of("common")("no_data")
    days = f'FROM "consumption_day" WHERE {_chosen(_TOTAL)}'
    energy = f'SELECT sum("measured") + sum("estimated") FROM "consumption_day" WHERE {_chosen(_TOTAL, PEAK)}'
    share = f"""SELECT sum("peak_kwh") / sum("all_kwh") FROM
        (SELECT "measured" + "estimated" AS "peak_kwh" {days} AND {PEAK}),
        (SELECT "measured" + "estimated" AS "all_kwh" {days})"""
    windows = f'SELECT count("event_id") {_beyond("peak_budget")}'
    figures = {
        "energy": (energy, "kwatth", AMBER, no_data, None),
        "share": (share, "percentunit", AMBER, no_data, 1),
        "over_limit": (f'SELECT sum("excess") {_beyond("peak_demand")}', "kwatth", RED, "0", None),
        "over_budget": (f'SELECT sum("excess") {_beyond("peak_budget")}', "kwatth", RED, "0", None),
        "windows": (windows, "short", RED, "0", None),
        "completeness": (completeness(_chosen(_TOTAL, PEAK)), "percentunit", TEAL, no_data, 1),
    }
    board.row("row_now")
    for key, (query, unit, colour, empty, decimals) in figures.items():
        figure = number(Influx(query), unit=unit, no_value=empty, decimals=decimals, colour=colour)
        board.add(key, figure, width=4, height=4)


def _days(board: Board, words: Words) -> None:
    common, own = words.of("common"), words.of("peak")
    no_data = common("no_data")
    board.row("row_days")
    daily = Influx(
        f"""SELECT sum("measured") + sum("estimated") FROM "consumption_day" WHERE {_chosen(_TOTAL, PEAK)}
            GROUP BY {DAY_BUCKET}, "period" fill(none)""",
        alias="$tag_period",
    )
    by_day = name_series(daily_bars(daily, unit="kwatth", no_value=no_data), words, "periods")
    board.add("by_day", by_day, width=12, height=9)
    taken = Influx(
        f"""SELECT sum("measured") + sum("estimated") FROM "consumption_day"
            WHERE {_chosen(_TOTAL, PEAK, '"budget_kwh" > 0')} GROUP BY {DAY_BUCKET} fill(none)""",
        alias="taken",
    )
    budget = Influx(
        f"""SELECT sum("budget_kwh") FROM (SELECT max("budget_kwh") AS "budget_kwh" FROM "consumption_day"
            WHERE {_chosen(_TOTAL, PEAK, '"intervals" > 0')} GROUP BY {DAY_BUCKET}, "building" fill(none))
            WHERE $timeFilter GROUP BY {DAY_BUCKET} fill(none)""",
        alias="budget",
        ref="B",
    )
    against = daily_bars(taken, budget, unit="kwatth", no_value=own("no_budget")).stacking(StackingMode.NONE)
    against = against.override_by_name("taken", series_style(title=own("against.taken"), colour=AMBER))
    against = against.override_by_name("budget", series_style(title=own("against.budget"), colour=GREY))
    board.add("against", against, width=12, height=9)
    hourly = Influx(
        f"""SELECT sum("measured") + sum("estimated") FROM "consumption_hour" WHERE {_chosen(_TOTAL, PEAK)}
            GROUP BY time($__interval), "period" fill(none)""",
        alias="$tag_period",
    )
    course = lines(hourly, unit="kwatth", no_value=no_data, interval="1h", bars=True, stacked=True)
    board.add("by_hour", name_series(course, words, "periods"), width=12, height=8)
    excess = Influx(
        f"""SELECT sum("excess") FROM "violation"
            WHERE {_chosen('"rule" =~ /^peak_(demand|budget)$/', NOT_WITHDRAWN)}
            GROUP BY time($__interval), "rule" fill(none)""",
        alias="$tag_rule",
    )
    beyond = lines(excess, unit="kwatth", no_value=common("none"), interval="1h", bars=True)
    rules = common.table("rules")
    for rule, colour in (("peak_demand", RED), ("peak_budget", AMBER)):
        beyond = beyond.override_by_name(rule, series_style(title=rules[rule], colour=colour))
    board.add("excess", beyond, width=12, height=8)
    covered = Influx(
        completeness(_chosen(_TOTAL, PEAK), over_time="time($__interval) fill(none)", measurement="consumption_hour")
    )
    course = lines(covered, unit="percentunit", no_value=no_data, interval="1h", bars=True).min(0).max(1)
    course = course.override_by_query("A", series_style(title=common("columns.coverage"), colour=TEAL))
    board.add("completeness_course", course, width=24, height=5)


def _load(board: Board, words: Words) -> None:
    common = words.of("common")
    no_data = common("no_data")
    hourly = f"""SELECT sum("measured") + sum("estimated") AS "kw" FROM "consumption_hour"
        WHERE {_chosen(_TOTAL, '"intervals" > 0')} GROUP BY time(1h) fill(none)"""
    hours = Influx(hourly, form="table")
    board.row("row_load")
    board.add("duration", load_duration(hours, field="kw", unit="kwatt", no_value=no_data), width=24, height=9)
    matrix = hours_by_days(hours, field="kw", unit="none", no_value=no_data, hour_title=words.of("peak")("hour"))
    board.add("heat", matrix, width=24, height=25)


def _tables(board: Board, words: Words) -> None:
    common, own = words.of("common"), words.of("peak")
    to_building = link_to("building", common("to_building"), words, "building")
    building = Column("building", common("columns.building"), links=[to_building])
    since = Column("Time", common("columns.since"), "dateTimeAsLocal", width_px=170)
    board.row("row_windows")
    for key, rule, limit, worst, unit in (
        ("budget_windows", "peak_budget", own("budget"), own("taken"), "kwatth"),
        ("limit_windows", "peak_demand", common("columns.limit"), own("highest"), "kwatt"),
    ):
        found = Influx(
            f"""SELECT "building", "limit", "worst", "excess", "state" {_beyond(rule)}
                ORDER BY time DESC LIMIT 200""",
            form="table",
        )
        columns = [
            since,
            building,
            Column("limit", limit, unit, 1, width_px=105),
            Column("worst", worst, unit, 1, width_px=105),
            Column("excess", common("columns.excess_kwh"), "kwatth", 1, width_px=105),
            Column("state", common("columns.state"), mappings=[mapping(common.table("states"))], width_px=90),
        ]
        board.add(key, tabular(found, columns=columns, no_value=common("none")), width=24, height=9)
    ratio = Influx(
        f"""SELECT top("ratio", "building", {_RANKED}) AS "ratio", "demand", "limit" FROM (
            SELECT max("demand_kw") / max("limit_kw") AS "ratio", max("demand_kw") AS "demand",
                max("limit_kw") AS "limit" FROM "consumption_day"
            WHERE {_chosen(_TOTAL, PEAK, '"intervals" > 0', '"limit_kw" > 0')} GROUP BY "building")""",
        form="table",
    )
    columns = [
        building,
        Column("ratio", own("of_limit"), "percentunit", 0, bar=True),
        Column("demand", own("highest"), "kwatt", 1, width_px=105),
        Column("limit", common("columns.limit"), "kwatt", 1, width_px=105),
    ]
    closest = tabular(ratio, columns=columns, no_value=common("none"), sort=own("of_limit"))
    board.add("closest", closest, width=12, height=10)
    by_item = Influx(
        f"""SELECT sum("measured") + sum("estimated") AS "energy", sum("estimated") AS "estimated",
                sum("covered") / sum("intervals") AS "coverage"
            FROM "consumption_day" WHERE {_chosen(PEAK, _ITEM, ELECTRICITY)} GROUP BY "item" """,
        form="table",
    )
    columns = [
        Column("item", common("columns.item"), mappings=[mapping(common.table("items"))]),
        Column("energy", common("columns.energy"), "kwatth", 1, bar=True),
        Column("estimated", common("columns.estimated"), "kwatth", 1, width_px=150),
        Column("coverage", common("columns.coverage"), "percentunit", 1, width_px=105),
    ]
    items = tabular(by_item, columns=columns, no_value=common("no_data"), sort=common("columns.energy"))
    board.add("by_item", items, width=12, height=10)
