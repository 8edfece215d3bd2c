"""Dashboard 6: the monitor itself, for whoever runs it. Everything is from its metrics, through Prometheus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana.builders.board import Board
from grafana.builders.colours import AMBER, BLUE, GREEN, GREY, PURPLE, RED, TEAL
from grafana.builders.panels import Column, lines, mapping, number, series_style, states, tabular
from grafana.builders.prometheus import MONITOR, PROMETHEUS, at_end, over_time, rows_at_end
from grafana.builders.texts import Words
from grafana.builders.variables import broker_variable, instance_variable

__all__ = ["operations"]

_HERE = f'{MONITOR}, instance=~"${{instance}}"'
_BROKER = 'broker=~"${broker}"'
_RATE = "[$__rate_interval]"
_QUANTILES = {"A": (0.99, RED), "B": (0.95, AMBER), "C": (0.5, BLUE)}

Style = tuple[str, str, bool]
"""Expression, colour, and whether it is a bound (dashed)."""


def operations(words: Words) -> Board:
    board = Board(
        "operations", words, variables=[instance_variable(words), broker_variable(words)], since="now-6h", refresh="1m"
    )
    _figures(board, words)
    _ingest(board, words)
    _delays(board, words)
    _journal(board, words)
    _outbox(board, words)
    _results(board, words)
    _process(board, words)
    return board


def _metric(name: str, *labels: str) -> str:
    return f"meter_monitor_{name}{{{', '.join((_HERE, *labels))}}}"


def _rate(name: str, *labels: str) -> str:
    return f"rate({_metric(name, *labels)}{_RATE})"


def _increase(name: str, *labels: str) -> str:
    return f"increase({_metric(name, *labels)}{_RATE})"


def _figures(board: Board, words: Words) -> None:
    no_data = words.of("common")("no_data")
    accepted = 'outcome="accepted"'
    figures = {
        "disconnected": (f"sum(1 - {_metric('connected', _BROKER)})", "short", RED, None),
        "readings": (f"sum({_rate('readings_total', accepted)})", "suffix: /s", BLUE, 1),
        "latency": (_quantile("result_latency_seconds", 0.99), "s", TEAL, 1),
        "waiting": (f"sum({_metric('outbox_points')})", "short", AMBER, None),
        "failed_reload": (f"sum({_metric('config_reload_failed')})", "short", RED, None),
        "uptime": (f"time() - min(process_start_time_seconds{{{_HERE}}})", "s", GREY, None),
    }
    board.row("row_now")
    for key, (expression, unit, colour, decimals) in figures.items():
        figure = number(
            at_end(expression), unit=unit, no_value=no_data, decimals=decimals, colour=colour, datasource=PROMETHEUS
        )
        board.add(key, figure, width=4, height=4)


def _by_label(
    board: Board,
    words: Words,
    key: str,
    expression: str,
    label: str,
    *,
    unit: str,
    width: int,
    bars: bool = False,
) -> None:
    """A series for each value of a label, or of several."""
    legend = " ".join(f"{{{{{each}}}}}" for each in label.split(", "))
    course = lines(
        over_time(f"sum by ({label}) ({expression})", legend=legend),
        unit=unit,
        no_value=words.of("common")("none"),
        bars=bars,
        stacked=bars,
        datasource=PROMETHEUS,
    )
    board.add(key, course.min(0), width=width, height=8)


def _together(
    board: Board, words: Words, key: str, series: Mapping[str, Style], *, unit: str, width: int, height: int = 8
) -> None:
    """Series of different metrics; their names are in the catalogue below the panel's own key."""
    own = words.of("operations")
    queries = [over_time(expression, ref=chr(ord("A") + row)) for row, (expression, _, _) in enumerate(series.values())]
    course = lines(*queries, unit=unit, no_value=words.of("common")("no_data"), datasource=PROMETHEUS).min(0)
    for row, (name, (_, colour, is_bound)) in enumerate(series.items()):
        style = series_style(title=own(f"{key}.{name}"), colour=colour, dashed=is_bound)
        course = course.override_by_query(chr(ord("A") + row), style)
    board.add(key, course, width=width, height=height)


def _ingest(board: Board, words: Words) -> None:
    own = words.of("operations")
    board.row("row_ingest")
    messages = _rate("messages_total", 'source=~"${broker}"')
    _by_label(board, words, "messages", messages, "source, outcome", unit="suffix: /s", width=12)
    _by_label(board, words, "outcomes", _rate("readings_total"), "outcome", unit="suffix: /s", width=12)
    _sources(board, words)
    connection = states(
        over_time(f"min by (broker) ({_metric('connected', _BROKER)})", legend="{{broker}}"),
        mappings=mapping(own.table("connection"), {"0": RED, "1": GREEN}),
        no_value=words.of("common")("no_data"),
        interval="",
        span_nulls=False,
    ).datasource(PROMETHEUS)
    board.add("connected", connection, width=8, height=8)
    connections = _increase("connections_total", _BROKER)
    _by_label(board, words, "connections", connections, "broker", unit="short", width=8, bars=True)
    _by_label(board, words, "quarantined", _increase("quarantined_total"), "reason", unit="short", width=8, bars=True)
    kept = {
        "rows": (f"sum({_metric('quarantine_rows')})", AMBER, False),
        "dropped": (f"sum({_metric('quarantine_dropped_rows')})", RED, False),
    }
    _together(board, words, "quarantine", kept, unit="short", width=12)
    late = {
        "late": (f"sum({_increase('late_readings_total')})", AMBER, False),
        "revisions": (f"sum({_increase('revisions_total')})", PURPLE, False),
    }
    _together(board, words, "late", late, unit="short", width=12)


def _sources(board: Board, words: Words) -> None:
    own = words.of("operations")
    messages = _rate("source_messages_total")
    _by_label(board, words, "sources", messages, "source, outcome", unit="suffix: /s", width=16)
    since_start = tabular(
        rows_at_end(f"sum by (source) ({_metric('source_messages_total')})"),
        columns=[Column("source", own("source")), Column("Value", own("count"), unit="short")],
        no_value=words.of("common")("none"),
        sort=own("count"),
        descending=False,
        datasource=PROMETHEUS,
    )
    board.add("sources_since", since_start, width=8, height=8)


def _quantile(name: str, quantile: float) -> str:
    return f"histogram_quantile({quantile}, sum by (le) ({_rate(f'{name}_bucket')}))"


def _delays(board: Board, words: Words) -> None:
    own = words.of("operations")
    board.row("row_delays")
    for key, metric in (("result_latency", "result_latency_seconds"), ("commit", "journal_commit_seconds")):
        queries = [over_time(_quantile(metric, quantile), ref=ref) for ref, (quantile, _) in _QUANTILES.items()]
        mean = f"sum({_rate(f'{metric}_sum')}) / sum({_rate(f'{metric}_count')})"
        course = lines(
            *queries,
            over_time(mean, ref="D"),
            unit="s",
            no_value=words.of("common")("no_data"),
            datasource=PROMETHEUS,
        ).min(0)
        for ref, (quantile, colour) in _QUANTILES.items():
            title = own("quantile").replace("#", f"{quantile:.0%}")
            course = course.override_by_query(ref, series_style(title=title, colour=colour))
        course = course.override_by_query("D", series_style(title=own("mean"), colour=GREY, dashed=True))
        board.add(key, course, width=12, height=8)


def _journal(board: Board, words: Words) -> None:
    board.row("row_journal")
    panels: Sequence[tuple[str, Mapping[str, Style], str]] = (
        (
            "disk",
            {
                "free": (f"min({_metric('disk_free_bytes')})", BLUE, False),
                "reserved": (f"max({_metric('disk_reserved_bytes')})", RED, True),
            },
            "bytes",
        ),
        ("journal", {"size": (f"sum({_metric('journal_bytes')})", TEAL, False)}, "bytes"),
        ("journaled", {"rate": (f"sum(rate({_metric('journal_end_position')}{_RATE}))", BLUE, False)}, "suffix: /s"),
        ("checkpoint", {"age": (f"max({_metric('checkpoint_age_seconds')})", AMBER, False)}, "s"),
        ("journal_errors", {"errors": (f"sum({_increase('journal_errors_total')})", RED, False)}, "short"),
    )
    for (key, series, unit), width in zip(panels, (8, 8, 8, 12, 12), strict=True):
        _together(board, words, key, series, unit=unit, width=width)


def _outbox(board: Board, words: Words) -> None:
    board.row("row_outbox")
    room: dict[str, Style] = {
        "used": (f"sum({_metric('outbox_bytes')})", BLUE, False),
        "capacity": (f"sum({_metric('outbox_capacity_bytes')})", RED, True),
    }
    _together(board, words, "outbox", room, unit="bytes", width=8)
    points: dict[str, Style] = {"points": (f"sum({_metric('outbox_points')})", AMBER, False)}
    _together(board, words, "points", points, unit="short", width=8)
    oldest: dict[str, Style] = {"age": (f"max({_metric('outbox_oldest_seconds')})", PURPLE, False)}
    _together(board, words, "oldest", oldest, unit="s", width=8)
    _by_label(board, words, "sent", _rate("sink_points_total"), "sink", unit="suffix: /s", width=8)
    _by_label(board, words, "errors", _increase("sink_errors_total"), "sink, kind", unit="short", width=8, bars=True)
    _by_label(board, words, "refused", _increase("sink_refused_points_total"), "sink", unit="short", width=8, bars=True)


def _results(board: Board, words: Words) -> None:
    board.row("row_results")
    _by_label(board, words, "open", _metric("open_violations"), "rule", unit="short", width=8)
    _by_label(board, words, "found", _increase("violations_total"), "rule", unit="short", width=8, bars=True)
    devices: dict[str, Style] = {
        "silent": (f"sum({_metric('silent_devices')})", RED, False),
        "units": (f"sum({_metric('air_conditioners')})", TEAL, True),
        "all": (f"sum({_metric('devices')})", GREY, True),
    }
    _together(board, words, "devices", devices, unit="short", width=8)
    lag = _metric("building_clock_lag_seconds")
    course: dict[str, Style] = {
        "most": (f"max({lag})", RED, False),
        "some": (f"quantile(0.95, {lag})", AMBER, False),
        "middle": (f"quantile(0.5, {lag})", BLUE, False),
    }
    _together(board, words, "lag", course, unit="s", width=12)
    since = f"time() - min by (rule) ({_metric('oldest_open_violation_start_timestamp_seconds')})"
    _by_label(board, words, "longest", since, "rule", unit="s", width=12)


def _process(board: Board, words: Words) -> None:
    common, own = words.of("common"), words.of("operations")
    board.row("row_process")
    memory: dict[str, Style] = {
        "resident": (f"sum(process_resident_memory_bytes{{{_HERE}}})", BLUE, False),
    }
    _together(board, words, "memory", memory, unit="bytes", width=8)
    cpu: dict[str, Style] = {"cpu": (f"sum(rate(process_cpu_seconds_total{{{_HERE}}}{_RATE}))", TEAL, False)}
    _together(board, words, "cpu", cpu, unit="percentunit", width=8)
    files: dict[str, Style] = {
        "share": (f"max(process_open_fds{{{_HERE}}} / process_max_fds{{{_HERE}}})", BLUE, False),
    }
    _together(board, words, "files", files, unit="percentunit", width=8)
    _by_label(board, words, "reloads", _increase("reloads_total"), "outcome", unit="short", width=8, bars=True)
    age = f"time() - max({_metric('config_last_reload_success_timestamp_seconds')})"
    configuration = number(at_end(age), unit="s", no_value=common("no_data"), colour=GREY, datasource=PROMETHEUS)
    board.add("configuration", configuration, width=6, height=8)
    build = tabular(
        rows_at_end(f"max by (instance, version, python) ({_metric('build_info')})"),
        columns=[
            Column("instance", common("variables.instance")),
            Column("version", own("version")),
            Column("python", "Python"),
        ],
        no_value=common("no_data"),
        datasource=PROMETHEUS,
    )
    board.add("build", build, width=10, height=8)
