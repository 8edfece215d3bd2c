"""Dashboard 3: are air conditioners set and switched as the policy says?

Verdicts come from `violation`, which is small whatever the number of units. Of `ac`, which has a point for each unit
every few minutes, only the last readings are asked.
"""

from __future__ import annotations

from grafana.builders.board import Board
from grafana.builders.colours import AMBER, BLUE, RED, TEAL
from grafana.builders.distribution import histogram_of
from grafana.builders.influx import LONG_AGO, NOT_WITHDRAWN, Influx, in_buildings
from grafana.builders.panels import Column, lines, link_to, number, series_style, tabular
from grafana.builders.shared import rule_words
from grafana.builders.texts import Words
from grafana.builders.variables import building_variable, org_variables

__all__ = ["ac_compliance"]

_SETPOINT = '"rule" =~ /^ac_(cool|heat)_setpoint$/'
_COOLING = "\"rule\" = 'ac_cool_setpoint'"
_AFTER_HOURS = "\"rule\" = 'ac_hours'"
_AC = '"rule" =~ /^ac_/'
_DEGREE_HOURS = "suffix: °C·h"
_MOST_UNITS = 5000
"""So many rows the browser gets at most."""
_RANKED = 20
_COLOURS = {"ac_cool_setpoint": BLUE, "ac_heat_setpoint": RED, "ac_hours": AMBER}


def ac_compliance(words: Words) -> Board:
    board = Board("ac", words, variables=[*org_variables(words), building_variable(words)], since="now-7d")
    _figures(board, words)
    _set_points(board, words)
    _course(board, words)
    _rankings(board, words)
    return board


def _of(rule: str) -> str:
    return f'FROM "violation" WHERE {rule} AND {NOT_WITHDRAWN} AND {in_buildings()} AND $timeFilter'


def _last_of_each_unit(field: str) -> str:
    """InfluxDB finds the last point of a series without reading the others, as long as no field is asked about."""
    return f"""SELECT last("{field}") AS "value" FROM "ac"
        WHERE {in_buildings()} AND $timeFilter GROUP BY "building", "device" """


def _figures(board: Board, words: Words) -> None:
    no_data = words.of("common")("no_data")
    open_now = f"\"state\" = 'open' AND {_AC} AND {in_buildings()} AND {LONG_AGO}"
    figures = {
        "open": (f'SELECT count("event_id") FROM "violation" WHERE {open_now}', "short", RED),
        "too_cold": (f'SELECT sum("duration_s") / 3600 {_of(_COOLING)}', "suffix: h", BLUE),
        "degree_hours": (f'SELECT sum("excess") {_of(_SETPOINT)}', _DEGREE_HOURS, AMBER),
        "after_hours": (f'SELECT sum("duration_s") / 3600 {_of(_AFTER_HOURS)}', "suffix: h", AMBER),
        "offenders": (
            f"""SELECT count("events") FROM (
                SELECT count("event_id") AS "events" {_of(_AC)} GROUP BY "building", "device")""",
            "short",
            RED,
        ),
        "reporting": (f'SELECT count("value") FROM ({_last_of_each_unit("on")})', "short", TEAL),
    }
    board.row("row_now")
    for key, (query, unit, colour) in figures.items():
        empty = no_data if key == "reporting" else "0"
        decimals = None if unit == "short" else 1
        figure = number(Influx(query), unit=unit, no_value=empty, decimals=decimals, colour=colour)
        board.add(key, figure, width=4, height=4)


def _set_points(board: Board, words: Words) -> None:
    common = words.of("common")
    each = Influx(f'SELECT "value" FROM ({_last_of_each_unit("setpoint_c")}) LIMIT {_MOST_UNITS}', form="table")
    board.row("row_setpoints")
    board.add("distribution", histogram_of(each, unit="celsius", no_value=common("no_units")), width=14, height=9)
    lost = "\"reason\" = 'no_data'"
    ended = Influx(
        f"""SELECT sum("all") AS "events", sum("s") / 3600 AS "hours", sum("cut") AS "lost" FROM
            (SELECT count("event_id") AS "all", sum("duration_s") AS "s" {_of(_AC)} GROUP BY "rule"),
            (SELECT count("event_id") AS "cut" {_of(f"{_AC} AND {lost}")} GROUP BY "rule") GROUP BY "rule" """,
        form="table",
    )
    columns = [
        Column("rule", common("columns.rule"), mappings=[rule_words(words)]),
        Column("events", common("columns.events"), "short", width_px=90),
        Column("hours", common("columns.hours"), "none", 1, width_px=90),
        Column("lost", words.of("ac")("lost"), "short", width_px=150),
    ]
    board.add("ended", tabular(ended, columns=columns, no_value="0"), width=10, height=9)


def _course(board: Board, words: Words) -> None:
    board.row("row_course")
    rules = words.of("common").table("rules")
    for key, value, which, unit in (
        ("hours", 'sum("duration_s") / 3600', _AC, "suffix: h"),
        ("degrees", 'sum("excess")', _SETPOINT, _DEGREE_HOURS),
    ):
        query = Influx(f'SELECT {value} {_of(which)} GROUP BY time($__interval), "rule" fill(none)', alias="$tag_rule")
        course = lines(
            query, unit=unit, no_value=words.of("common")("none"), interval="1h", bars=True, stacked=True
        ).decimals(1)
        for rule, colour in _COLOURS.items():
            course = course.override_by_name(rule, series_style(title=rules[rule], colour=colour))
        board.add(key, course, width=12, height=9)


def _rankings(board: Board, words: Words) -> None:
    common = words.of("common")
    to_building = link_to("building", common("to_building"), words, "building")
    building = Column("building", common("columns.building"), links=[to_building])
    device = Column("device", common("columns.device"))
    events = Column("events", common("columns.events"), "short", width_px=90)
    degrees = Column("excess", "°C·h", "none", 1, bar=True)
    hours = Column("hours", common("columns.hours"), "none", 1, bar=True)
    board.row("row_worst")
    for key, which, tags, first, second in (
        ("worst_setpoint", _SETPOINT, ("building", "device"), degrees, hours),
        ("worst_hours", _AFTER_HOURS, ("building", "device"), hours, None),
        ("worst_buildings", _SETPOINT, ("building",), degrees, hours),
    ):
        names = ", ".join(f'"{tag}"' for tag in tags)
        rest = f', "{second.field}"' if second else ""
        query = Influx(
            f"""SELECT top("{first.field}", {names}, {_RANKED}) AS "{first.field}"{rest}, "events" FROM (
                SELECT sum("excess") AS "excess", sum("duration_s") / 3600 AS "hours", count("event_id") AS "events"
                {_of(which)} GROUP BY {names})""",
            form="table",
        )
        columns = [building, *([device] if "device" in tags else []), first, *([second] if second else []), events]
        ranking = tabular(query, columns=columns, no_value=common("none"), sort=first.title)
        board.add(key, ranking, width=12 if "device" in tags else 24, height=10)
    latest = Influx(
        f"""SELECT "building", "device", "rule", "limit", "worst", "duration_s" FROM "violation"
            WHERE "state" = 'open' AND {_AC} AND {in_buildings()} AND {LONG_AGO} ORDER BY time DESC LIMIT 200""",
        form="table",
    )
    columns = [
        Column("Time", common("columns.since"), "dateTimeAsLocal", width_px=170),
        building,
        device,
        Column("rule", common("columns.rule"), mappings=[rule_words(words)]),
        Column("limit", common("columns.limit"), "celsius", 1, width_px=90),
        Column("worst", common("columns.worst"), "celsius", 1, width_px=90),
        Column("duration_s", common("columns.duration"), "s", width_px=120),
    ]
    board.add("open_list", tabular(latest, columns=columns, no_value=common("none")), width=24, height=10)
