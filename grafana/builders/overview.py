"""Dashboard 1: a country, a province, an authority at a glance."""

from __future__ import annotations

from grafana.builders.board import Board
from grafana.builders.colours import GREY, RED, TEAL
from grafana.builders.influx import DAY_BUCKET, LONG_AGO, NOT_WITHDRAWN, Influx, in_buildings
from grafana.builders.panels import Column, daily_bars, link_to, number, series_style, shares, tabular
from grafana.builders.shared import completeness, name_series, rule_words
from grafana.builders.texts import Words
from grafana.builders.variables import building_variable, org_variables

__all__ = ["overview"]

_TOTAL = "\"item\" = 'total'"
_RANKED = 10


def overview(words: Words) -> Board:
    board = Board("overview", words, variables=[*org_variables(words), building_variable(words)], since="now-7d")
    _figures(board, words)
    _energy(board, words)
    _rankings(board, words)
    _tables(board, words)
    return board


def _figures(board: Board, words: Words) -> None:
    common = words.of("common")
    no_data, none_open = common("no_data"), "0"
    open_now = f"\"state\" = 'open' AND {in_buildings()} AND {LONG_AGO}"
    board.row("row_now")
    events = Influx(f'SELECT count("duration_s") FROM "violation" WHERE {open_now}')
    board.add("open", number(events, unit="short", no_value=none_open, colour=RED), width=5, height=4)
    buildings = Influx(
        f"""SELECT count("events") FROM (
            SELECT count("duration_s") AS "events" FROM "violation" WHERE {open_now} GROUP BY "building")"""
    )
    board.add("open_buildings", number(buildings, unit="short", no_value=none_open, colour=RED), width=5, height=4)
    hours = Influx(
        f"""SELECT sum("measured") + sum("estimated") FROM "consumption_hour"
            WHERE {_TOTAL} AND {in_buildings()} AND $timeFilter"""
    )
    today = number(hours, unit="kwatth", no_value=no_data).time_from("now/d").hide_time_override(True)
    board.add("today", today, width=5, height=4)
    before = number(hours, unit="kwatth", no_value=no_data, colour=GREY).time_from("now/d").time_shift("7d")
    board.add("week_before", before.hide_time_override(True), width=5, height=4)
    covered = Influx(completeness(f"{_TOTAL} AND {in_buildings()} AND $timeFilter"))
    board.add("completeness", number(covered, unit="percentunit", no_value=no_data, decimals=1), width=4, height=4)


def _energy(board: Board, words: Words) -> None:
    no_data = words.of("common")("no_data")
    board.row("row_energy")
    where = f"{_TOTAL} AND {in_buildings()} AND $timeFilter"
    daily = Influx(
        f"""SELECT sum("measured") + sum("estimated") FROM "consumption_day"
            WHERE {where} GROUP BY {DAY_BUCKET}, "period" fill(none)""",
        alias="$tag_period",
    )
    panel = name_series(daily_bars(daily, unit="kwatth", no_value=no_data), words, "periods")
    board.add("by_day", panel, width=10, height=9)
    share = Influx(
        f"""SELECT sum("measured") + sum("estimated") FROM "consumption_day"
            WHERE {_TOTAL} AND {in_buildings()} AND $timeFilter GROUP BY "period" """,
        alias="$tag_period",
    )
    board.add(
        "peak_share", name_series(shares(share, unit="kwatth", no_value=no_data), words, "periods"), width=6, height=9
    )
    # By day: over 10,000 buildings a week of hours takes InfluxDB four to eight times as long.
    covered = Influx(completeness(where, over_time=f"{DAY_BUCKET} fill(none)"), alias="covered")
    course = daily_bars(covered, unit="percentunit", no_value=no_data).min(0).max(1)
    course = course.override_by_name("covered", series_style(title=words.of("common")("columns.coverage"), colour=TEAL))
    board.add("completeness_course", course, width=8, height=9)


def _rankings(board: Board, words: Words) -> None:
    """One sum each and no second column: over 10,000 buildings each further aggregate costs as much as the first."""
    common = words.of("common")
    board.row("row_rankings")
    to_building = link_to("building", common("to_building"), words, "building")
    building = Column("building", common("columns.building"), links=[to_building])
    for key, rule in (("excess", "peak_demand"), ("budget", "peak_budget")):
        query = Influx(
            f"""SELECT top("excess", "building", {_RANKED}) AS "excess" FROM (
                SELECT sum("excess") AS "excess" FROM "violation"
                WHERE "rule" = '{rule}' AND {NOT_WITHDRAWN} AND {in_buildings()} AND $timeFilter
                GROUP BY "building")""",
            form="table",
        )
        columns = [
            building,
            Column("excess", common("columns.excess_kwh"), "kwatth", 1, bar=True),
        ]
        table = tabular(query, columns=columns, no_value=common("none"), sort=common("columns.excess_kwh"))
        board.add(f"worst_{key}", table, width=8, height=9)
    query = Influx(
        f"""SELECT top("hours", "building", {_RANKED}) AS "hours" FROM (
            SELECT sum("duration_s") / 3600 AS "hours" FROM "violation"
            WHERE {NOT_WITHDRAWN} AND {in_buildings()} AND $timeFilter GROUP BY "building")""",
        form="table",
    )
    columns = [
        building,
        Column("hours", common("columns.hours"), "h", 1, bar=True),
    ]
    table = tabular(query, columns=columns, no_value=common("none"), sort=common("columns.hours"))
    board.add("worst_hours", table, width=8, height=9)


def _tables(board: Board, words: Words) -> None:
    common = words.of("common")
    board.row("row_tree")
    to_building = link_to("building", common("to_building"), words, "building")
    by_org = Influx(
        f"""SELECT sum("measured") + sum("estimated") AS "energy", sum("covered") / sum("intervals") AS "coverage"
            FROM "consumption_day" WHERE {_TOTAL} AND {in_buildings()} AND $timeFilter GROUP BY "org" """,
        form="table",
    )
    columns = [
        Column("org", common("columns.org"), links=[link_to("overview", common("to_org"), words, "org4")]),
        Column("energy", common("columns.energy"), "kwatth", 0, bar=True),
        Column("coverage", common("columns.coverage"), "percentunit", 1, width_px=110),
    ]
    tree = tabular(by_org, columns=columns, no_value=common("no_data"), sort=common("columns.org"), descending=False)
    board.add("tree", tree, width=14, height=11)
    least = Influx(
        f"""SELECT bottom("coverage", "building", {_RANKED}) AS "coverage" FROM (
            {completeness(f"{_TOTAL} AND {in_buildings()} AND $timeFilter", group='"building"')})""",
        form="table",
    )
    columns = [
        Column("building", common("columns.building"), links=[to_building]),
        Column("coverage", common("columns.coverage"), "percentunit", 1, bar=True),
    ]
    incomplete = tabular(
        least, columns=columns, no_value=common("no_data"), sort=common("columns.coverage"), descending=False
    )
    board.add("least_complete", incomplete, width=10, height=11)
    latest = Influx(
        f"""SELECT "building", "rule", "device", "duration_s" FROM "violation"
            WHERE "state" = 'open' AND {in_buildings()} AND {LONG_AGO} ORDER BY time DESC LIMIT 200""",
        form="table",
    )
    columns = [
        Column("Time", common("columns.since"), "dateTimeAsLocal", width_px=190),
        Column("building", common("columns.building"), links=[to_building]),
        Column("rule", common("columns.rule"), mappings=[rule_words(words)]),
        Column("device", common("columns.device")),
        Column("duration_s", common("columns.duration"), "s", width_px=140),
    ]
    board.add("open_list", tabular(latest, columns=columns, no_value=common("none")), width=24, height=9)
