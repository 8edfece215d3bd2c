"""Dashboard 2: one building."""

from __future__ import annotations

from grafana.builders.annotations import violations
from grafana.builders.board import Board
from grafana.builders.colours import AMBER, BLUE, GREY, PURPLE, RED, TEAL
from grafana.builders.influx import (
    DAY_BUCKET,
    ELECTRICITY,
    LONG_AGO,
    MEDIA,
    NOT_WITHDRAWN,
    PEAK,
    Influx,
    one_building,
)
from grafana.builders.panels import Column, daily_bars, lines, mapping, number, series_style, states, tabular
from grafana.builders.shared import name_series, rule_words
from grafana.builders.texts import Words
from grafana.builders.variables import building_variable, item_variable, org_variables

__all__ = ["building"]

_TOTAL = "\"item\" = 'total'"
_HERE = one_building()
_ITEM = '"item" =~ /^(${item:regex})$/'
_HELD_MS = 1_200_000
"""How long a unit's state holds without a report where `max_gap_s` is the default of 4 × 300 s."""


def building(words: Words) -> Board:
    board = Board(
        "building",
        words,
        variables=[*org_variables(words), building_variable(words, one=True), item_variable(words)],
        annotations=violations(words),
        since="now-2d",
    )
    _figures(board, words)
    _demand(board, words)
    _consumption(board, words)
    _air_conditioners(board, words)
    _tables(board, words)
    return board


def _figures(board: Board, words: Words) -> None:
    no_data = words.of("common")("no_data")
    board.row("row_now")
    held = f'FROM "consumption" WHERE {_HERE} AND {_TOTAL} AND $timeFilter'
    figures = {
        "open": (
            f'SELECT count("duration_s") FROM "violation" WHERE {_HERE} AND "state" = \'open\' AND {LONG_AGO}',
            "short",
            RED,
        ),
        "highest": (f'SELECT max("demand_kw") {held} AND {PEAK}', "kwatt", AMBER),
        "limit": (f'SELECT last("limit_kw") {held}', "kwatt", GREY),
        "excess": (
            f"""SELECT sum("excess") FROM "violation"
                WHERE {_HERE} AND "rule" = 'peak_demand' AND {NOT_WITHDRAWN} AND $timeFilter""",
            "kwatth",
            RED,
        ),
        "energy": (f'SELECT sum("measured") + sum("estimated") {held}', "kwatth", BLUE),
    }
    for key, (query, unit, colour) in figures.items():
        empty = "0" if key in ("open", "excess") else no_data
        board.add(key, number(Influx(query), unit=unit, no_value=empty, colour=colour), width=4, height=4)
    covered = Influx(f'SELECT mean("coverage") {held}')
    board.add("completeness", number(covered, unit="percentunit", no_value=no_data, decimals=1), width=4, height=4)


def _demand(board: Board, words: Words) -> None:
    no_data, own = words.of("common")("no_data"), words.of("building")
    where = f"{_HERE} AND {_TOTAL} AND $timeFilter"
    by_time = "GROUP BY time($__interval) fill(null)"
    known = f'"coverage" > 0 AND {where}'
    over = f"""SELECT max("demand_kw") FROM (
        SELECT "demand_kw", "demand_kw" - "limit_kw" AS "over" FROM "consumption" WHERE {known} AND {PEAK})
        WHERE "over" > 0 AND $timeFilter {by_time}"""
    panel = lines(
        Influx(f'SELECT 0 * max("coverage") + 1 FROM "consumption" WHERE {where} AND {PEAK} {by_time}'),
        Influx(f'SELECT max("demand_kw") FROM "consumption" WHERE {known} {by_time}', ref="B"),
        Influx(over, ref="C"),
        Influx(f'SELECT max("limit_kw") FROM "consumption" WHERE {where} {by_time}', ref="D"),
        unit="kwatt",
        no_value=no_data,
        interval="15m",
        span_nulls=3_600_000,
    )
    styles = {
        "A": series_style(title=own("demand.peak"), colour=AMBER, bars=True, fill=18, width=0, hidden_axis=True),
        "B": series_style(title=own("demand.demand"), colour=BLUE, bars=True, fill=80, width=0),
        "C": series_style(title=own("demand.over"), colour=RED, bars=True, fill=100, width=0),
        "D": series_style(title=own("demand.limit"), colour=GREY, dashed=True, step=True),
    }
    for ref, style in styles.items():
        panel = panel.override_by_query(ref, style)
    board.row("row_demand")
    board.add("demand", panel.min(0), width=24, height=11)
    query = f'SELECT mean("coverage") FROM "consumption" WHERE {where} {by_time}'
    covered = lines(Influx(query), unit="percentunit", no_value=no_data, interval="15m", bars=True)
    covered = covered.override_by_query("A", series_style(title=own("completeness_course.coverage"), colour=TEAL))
    board.add("completeness_course", covered.min(0).max(1), width=24, height=5)


def _consumption(board: Board, words: Words) -> None:
    common = words.of("common")
    no_data = common("no_data")
    board.row("row_consumption")
    daily = Influx(
        f"""SELECT sum("measured") + sum("estimated") FROM "consumption_day"
            WHERE {_HERE} AND {_TOTAL} AND $timeFilter GROUP BY {DAY_BUCKET}, "period" fill(none)""",
        alias="$tag_period",
    )
    panel = name_series(daily_bars(daily, unit="kwatth", no_value=no_data), words, "periods")
    board.add("by_day", panel, width=12, height=9)
    sums = Influx(
        f"""SELECT sum("measured") + sum("estimated") AS "energy", sum("estimated") AS "estimated",
                sum("covered") / sum("intervals") AS "coverage"
            FROM "consumption_hour" WHERE {_HERE} AND {_ITEM} AND $timeFilter GROUP BY "item", "period" """,
        form="table",
    )
    columns = [
        Column("item", common("columns.item"), mappings=[mapping(common.table("items"))]),
        Column("period", common("columns.period"), mappings=[mapping(common.table("periods"))]),
        Column("energy", common("columns.consumed"), "none", 1),
        Column("estimated", common("columns.estimated"), "none", 1),
        Column("coverage", common("columns.coverage"), "percentunit", 1),
    ]
    board.add("by_item", tabular(sums, columns=columns, no_value=no_data), width=12, height=9)
    for key, which, unit in (
        ("electricity", f"{ELECTRICITY} AND \"item\" <> 'total'", "kwatth"),
        ("media", MEDIA, "none"),
    ):
        query = Influx(
            f"""SELECT sum("measured") + sum("estimated") FROM "consumption_hour"
                WHERE {_HERE} AND {_ITEM} AND {which} AND $timeFilter
                GROUP BY time($__interval), "item" fill(null)""",
            alias="$tag_item",
        )
        course = lines(
            query, unit=unit, no_value=common("not_metered"), interval="1h", bars=True, stacked=unit == "kwatth"
        )
        board.add(key, name_series(course, words, "items"), width=12, height=8)


def _air_conditioners(board: Board, words: Words) -> None:
    common = words.of("common")
    no_units = common("no_units")
    colours = {"0": GREY, "1": TEAL}
    by_unit = 'GROUP BY time($__interval), "device" fill(null)'
    where = f'FROM "ac" WHERE {_HERE} AND $timeFilter'
    board.row("row_units")
    running = states(
        Influx(f'SELECT last("on") {where} {by_unit}', alias="$tag_device"),
        mappings=mapping(common.table("running"), colours),
        no_value=no_units,
        interval="5m",
        span_nulls=_HELD_MS,
    )
    board.add("running", running, width=12, height=9)
    modes = {"off": GREY, "cool": BLUE, "heat": RED, "dry": AMBER, "fan": TEAL, "auto": PURPLE}
    mode = states(
        Influx(f'SELECT last("mode") {where} {by_unit}', alias="$tag_device"),
        mappings=mapping(common.table("modes"), modes),
        no_value=no_units,
        interval="5m",
        span_nulls=_HELD_MS,
    )
    board.add("mode", mode, width=12, height=9)
    for key, field in (("setpoint", "setpoint_c"), ("room", "room_c")):
        query = Influx(f'SELECT last("{field}") {where} {by_unit}', alias="$tag_device")
        course = lines(query, unit="celsius", no_value=no_units, interval="5m", span_nulls=_HELD_MS)
        board.add(key, course, width=12, height=8)


def _tables(board: Board, words: Words) -> None:
    common = words.of("common")
    board.row("row_tables")
    found = Influx(
        f"""SELECT "rule", "device", "state", "reason", "duration_s", "limit", "worst", "excess" FROM "violation"
            WHERE {_HERE} AND {NOT_WITHDRAWN} AND $timeFilter ORDER BY time DESC LIMIT 500""",
        form="table",
    )
    columns = [
        Column("Time", common("columns.since"), "dateTimeAsLocal", width_px=180),
        Column("rule", common("columns.rule"), mappings=[rule_words(words)]),
        Column("device", common("columns.device")),
        Column("state", common("columns.state"), mappings=[mapping(common.table("states"))], width_px=90),
        Column("reason", common("columns.reason"), mappings=[mapping(common.table("reasons"))]),
        Column("duration_s", common("columns.duration"), "s", width_px=110),
        Column("limit", common("columns.limit"), "none", 1, width_px=90),
        Column("worst", common("columns.worst"), "none", 1, width_px=90),
        Column("excess", common("columns.excess"), "none", 1, width_px=90),
    ]
    board.add("violations", tabular(found, columns=columns, no_value=common("none")), width=24, height=9)
    entries = Influx(
        f"""SELECT "kind", "device", "quantity", "amount" FROM "ledger"
            WHERE {_HERE} AND "detail" <> 'withdrawn' AND $timeFilter ORDER BY time DESC LIMIT 500""",
        form="table",
    )
    columns = [
        Column("Time", common("columns.time"), "dateTimeAsLocal", width_px=180),
        Column("kind", common("columns.kind"), mappings=[mapping(common.table("kinds"))]),
        Column("device", common("columns.device")),
        Column("quantity", common("columns.quantity"), mappings=[mapping(common.table("quantities"))]),
        Column("amount", common("columns.amount"), "none", 2),
    ]
    board.add("ledger", tabular(entries, columns=columns, no_value=common("none")), width=24, height=9)
