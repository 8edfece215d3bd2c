"""For each alert a course of metrics, when it fires on it, and when it does not.

Samples are a minute apart, in promtool's notation: `1x4` is 1 and four more of it, `0+10x4` five values that rise by
10, `_x5` five times nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CASES", "Case"]

HERE = 'job="meter-monitor", instance="a:9464"'
SITE = f'{HERE}, building="ls-xd"'
INSTANCE = {"job": "meter-monitor", "instance": "a:9464"}
BUILDING = {**INSTANCE, "building": "ls-xd", "org": "Việt Nam/Lạng Sơn"}
INFO = {f'meter_monitor_building_info{{{SITE}, org="Việt Nam/Lạng Sơn", policy="vn-office"}}': "1x300"}
DEVICES = {**INFO, f"meter_monitor_devices{{{SITE}}}": "10x300"}
DISK = {f"meter_monitor_disk_reserved_bytes{{{HERE}}}": "512e6x600"}


@dataclass(frozen=True)
class Case:
    """`quiet`, `firing` and `over` are moments: before, while and after it fires."""

    alert: str
    series: Mapping[str, str]
    quiet: tuple[str, ...] = ()
    firing: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: INSTANCE)
    """Without those that the rule gives."""
    summary: str = ""
    """At each of the moments in `firing`."""
    about: str = ""


def of(name: str, values: str, labels: str = HERE) -> dict[str, str]:
    return {f"meter_monitor_{name}{{{labels}}}": values}


def opened(rule: str, values: str) -> dict[str, str]:
    return of("open_violations", values, f'{SITE}, rule="{rule}"')


def _of_source(values: str, outcome: str) -> dict[str, str]:
    return of("source_messages_total", values, f'{HERE}, source="plugs", outcome="{outcome}"')


SERVICE = [
    Case("Watchdog", {}, firing=("0m", "1h"), labels={}, summary="Prometheus and Alertmanager are at work."),
    Case(
        "MonitorDown",
        {f"up{{{HERE}}}": "1x4 0x10 1x10"},
        quiet=("4m", "6m"),
        firing=("7m", "15m"),
        over=("16m",),
        summary="The monitor does not answer (a:9464).",
    ),
    Case(
        "MonitorDown",
        {f"up{{{HERE}}}": "_x5 1x10"},
        quiet=("1m",),
        firing=("2m", "4m"),
        over=("7m",),
        labels={"job": "meter-monitor"},
        summary="The monitor does not answer.",
        about="no such target",
    ),
    Case(
        "BrokerNotConnected",
        of("connected", "1x4 0x10 1x5", f'{HERE}, broker="main"') | of("connected", "1x20", f'{HERE}, broker="b"'),
        quiet=("4m", "9m"),
        firing=("10m", "15m"),
        over=("16m",),
        labels=INSTANCE | {"broker": "main"},
        summary="The monitor a:9464 is not connected to the broker main.",
    ),
    Case(
        "NoReadings",
        {f"up{{{HERE}}}": "1x130"} | of("readings_total", "0+10x30 300x60 300+10x30", f'{HERE}, outcome="accepted"'),
        quiet=("30m", "65m"),
        firing=("75m", "90m"),
        over=("95m",),
        summary="The monitor a:9464 runs, and no reading has been accepted for half an hour.",
    ),
    Case(
        "NoReadings",
        {f"up{{{HERE}}}": "1x90"}
        | of("readings_total", "_x50 5+5x30", f'{HERE}, outcome="accepted"')
        | of("readings_total", "0+5x90", f'{HERE}, outcome="rejected"'),
        quiet=("10m", "39m"),
        firing=("40m", "49m"),
        over=("55m",),
        summary="The monitor a:9464 runs, and no reading has been accepted for half an hour.",
        about="there never was one",
    ),
    Case(
        "NoReadings",
        {f"up{{{HERE}}}": "_x10 1x60"} | of("readings_total", "_x12 7x14 9+1x40", f'{HERE}, outcome="accepted"'),
        quiet=("20m", "26m", "40m", "60m"),
        about="a new monitor, or one of a new name, whose gateways report each quarter of an hour",
    ),
    Case(
        "SourceSilent",
        _of_source("0+1x60 60x1500 61x60", "accepted") | _of_source("0x1650", "rejected"),
        quiet=("60m", "1440m", "1510m"),
        firing=("1520m", "1560m"),
        over=("1563m",),
        labels=INSTANCE | {"source": "plugs"},
        summary="Nothing has come for the source plugs of a:9464 for a day.",
    ),
    Case(
        "SourceSilent",
        _of_source("_x30 0x1600", "accepted") | _of_source("_x30 0x1600", "rejected"),
        quiet=("60m", "1484m"),
        firing=("1486m",),
        labels=INSTANCE | {"source": "plugs"},
        summary="Nothing has come for the source plugs of a:9464 for a day.",
        about="its topics fit nothing",
    ),
    Case(
        "SourceSilent",
        _of_source("0x1700", "accepted") | _of_source("0x800 1x900", "rejected"),
        quiet=("1520m", "1700m"),
        about="what comes cannot be used",
    ),
    Case(
        "SourceSilent",
        _of_source("5x60 stale _x1500 0x400", "accepted"),
        quiet=("60m", "1600m", "1900m"),
        about="a source that was taken out and is back",
    ),
    Case(
        "QuarantineRate",
        of("readings_total", "0+100x120", f'{HERE}, outcome="accepted"')
        | of("quarantined_total", "0x20 0+5x60 300x40", f'{HERE}, reason="bad_time"')
        | of("quarantined_total", "0x20 0+5x60 300x40", f'{HERE}, reason="malformed"'),
        quiet=("20m", "40m"),
        firing=("60m",),
        over=("96m",),
        summary="9.091% of what comes to a:9464 cannot be used.",
    ),
    Case(
        "QuarantineRate",
        of("readings_total", "0+100x120", f'{HERE}, outcome="accepted"')
        | of("quarantined_total", "0+5x120", f'{HERE}, reason="bad_time"'),
        quiet=("60m", "120m"),
        about="less than a twentieth",
    ),
    Case(
        "ResultsNotStored",
        of("sink_errors_total", "_x10 1+1x20 21x20", f'{HERE}, sink="sqlite", kind="locked"'),
        quiet=("9m", "14m"),
        firing=("20m", "30m"),
        over=("40m",),
        summary="The monitor a:9464 cannot write its results to SQLite.",
    ),
    Case(
        "ResultsNotStored",
        of("sink_errors_total", "0+1x60", f'{HERE}, sink="influx", kind="unreachable"'),
        quiet=("30m",),
        about="another sink",
    ),
    Case(
        "ReloadFailed",
        of("config_reload_failed", "0x5 1x10 0x5"),
        quiet=("5m", "6m"),
        firing=("7m", "16m"),
        over=("17m",),
        summary="The monitor a:9464 refused its new configuration.",
    ),
    Case(
        "JournalSlow",
        of("journal_commit_seconds_bucket", "0+100x20 2000x30 2000+100x40", f'{HERE}, le="0.25"')
        | of("journal_commit_seconds_bucket", "0+100x95", f'{HERE}, le="1.0"')
        | of("journal_commit_seconds_bucket", "0+100x95", f'{HERE}, le="+Inf"'),
        quiet=("20m", "30m"),
        firing=("35m",),
        over=("63m",),
        summary="One commit to the journal of a:9464 in a hundred takes 992.5ms or more.",
    ),
    Case(
        "JournalFailing",
        of("journal_errors_total", "0x10 1+1x20 21x20"),
        quiet=("10m", "14m"),
        firing=("20m", "30m"),
        over=("40m",),
        summary="The monitor a:9464 cannot write its journal or its checkpoints.",
    ),
    Case(
        "DiskNearlyFull",
        DISK | of("disk_free_bytes", "1e9x5 7e8x10 1e9x5"),
        quiet=("5m", "7m"),
        firing=("8m", "16m"),
        over=("17m",),
        summary="The disk of a:9464 has 667.6MiB left.",
    ),
    Case(
        "DiskFillingUp",
        DISK | of("disk_free_bytes", "100e9-1e8x120 88e9x480"),
        quiet=("59m",),
        firing=("70m", "130m"),
        over=("500m",),
        summary="The disk of a:9464 will be full within a day.",
    ),
    Case(
        "DiskFillingUp",
        DISK | of("disk_free_bytes", "100e9-1e7x600"),
        quiet=("120m", "600m"),
        about="it lasts a week",
    ),
    Case(
        "OutboxGrowing",
        of("outbox_points", "0x10 0+100x60 0x60"),
        quiet=("10m", "50m"),
        firing=("65m",),
        over=("75m",),
        summary="More and more points wait for InfluxDB at a:9464, 2.4k at the least.",
    ),
    Case("OutboxGrowing", of("outbox_points", "9000-100x80"), quiet=("60m",), about="it shrinks"),
    Case(
        "OutboxOld",
        of("outbox_oldest_seconds", "0x5 60+60x30 0x5"),
        quiet=("5m", "25m"),
        firing=("30m",),
        over=("38m",),
        summary="Points have waited for InfluxDB at a:9464 for 25m 0s.",
    ),
    Case(
        "OutboxNearlyFull",
        of("outbox_bytes", "850x5 950x5 800x5") | of("outbox_capacity_bytes", "1000x20"),
        quiet=("5m", "6m"),
        firing=("7m", "11m"),
        over=("12m",),
        summary="The outbox of a:9464 is 95% full.",
    ),
    Case(
        "OutboxNearlyFull",
        of("outbox_bytes", "0x20") | of("outbox_capacity_bytes", "0x20"),
        quiet=("20m",),
        about="there is no InfluxDB",
    ),
    Case(
        "SinkErrors",
        of("sink_errors_total", "0x5 1+1x30 31x30", f'{HERE}, sink="influx", kind="unreachable"'),
        quiet=("5m", "15m"),
        firing=("17m", "35m"),
        over=("50m",),
        labels=INSTANCE | {"sink": "influx"},
        summary="Writes from a:9464 to influx fail again and again.",
    ),
    Case(
        "SinkErrors",
        of("sink_errors_total", "0x5 3x60", f'{HERE}, sink="influx", kind="unreachable"'),
        quiet=("10m", "20m"),
        about="a database that was started anew",
    ),
    Case(
        "AlertsNotDelivered",
        {
            'alertmanager_notifications_failed_total{job="alertmanager", instance="am:9093", integration="email"}': (
                "0x5 1+1x30 31x30"
            )
        },
        quiet=("5m", "15m"),
        firing=("17m", "35m"),
        over=("50m",),
        labels={"job": "alertmanager", "instance": "am:9093", "integration": "email"},
        summary="Alertmanager am:9093 cannot deliver by email.",
    ),
]

DATA = [
    Case(
        "BuildingSilent",
        DEVICES | of("silent_devices", "9x5 10x20 0x5", SITE),
        quiet=("5m", "15m"),
        firing=("16m", "26m"),
        over=("27m",),
        labels=BUILDING,
        summary="Nothing comes from building ls-xd any more.",
    ),
    Case(
        "DevicesSilent",
        DEVICES | of("silent_devices", "2x5 3x30 10x10", SITE),
        quiet=("5m", "20m"),
        firing=("21m", "36m"),
        over=("38m",),
        labels=BUILDING,
        summary="30% of the devices of building ls-xd are silent.",
    ),
    Case(
        "BuildingClockBehind",
        INFO | of("building_clock_lag_seconds", "900x5 2000x20 900x5", SITE),
        quiet=("5m", "15m"),
        firing=("16m", "26m"),
        over=("27m",),
        labels=BUILDING,
        summary="The newest reading of building ls-xd is 33m 20s old.",
    ),
    Case(
        "BuildingClockAhead",
        INFO | of("building_clock_lag_seconds", "5x5 -300x20 0x5", SITE),
        quiet=("5m", "15m"),
        firing=("16m", "26m"),
        over=("27m",),
        labels=BUILDING,
        summary="A device of building ls-xd has a clock that is ahead of time.",
    ),
]

VERDICTS = [
    Case(
        "PeakLimitExceeded",
        INFO | opened("peak_demand", "0x5 1x10 0x5"),
        quiet=("5m", "6m15s"),
        firing=("6m30s", "16m"),
        over=("17m",),
        labels=BUILDING | {"rule": "peak_demand"},
        summary="Building ls-xd draws more than its peak limit now.",
    ),
    Case(
        "PeakLimitExceeded",
        dict.fromkeys(INFO, "1x5 stale") | opened("peak_demand", "1x5 stale"),
        firing=("5m", "15m"),
        over=("16m",),
        labels=BUILDING | {"rule": "peak_demand"},
        summary="Building ls-xd draws more than its peak limit now.",
        about="a monitor that goes away ends nothing for ten minutes",
    ),
    Case(
        "PeakLimitExceeded",
        dict.fromkeys(INFO, "1x9 stale")
        | {f'meter_monitor_building_info{{{SITE}, org="Việt Nam/Cao Bằng", policy="vn-office"}}': "_x10 1x30"}
        | opened("peak_demand", "1x40"),
        firing=("25m", "40m"),
        labels=BUILDING | {"rule": "peak_demand", "org": "Việt Nam/Cao Bằng"},
        summary="Building ls-xd draws more than its peak limit now.",
        about="a building that a reload gives to another org",
    ),
    Case(
        "PeakLimitExceeded",
        {f'meter_monitor_building_info{{{SITE}, policy="vn-office"}}': "1x20"} | opened("peak_demand", "1x20"),
        firing=("5m",),
        labels={**INSTANCE, "building": "ls-xd", "rule": "peak_demand"},
        summary="Building ls-xd draws more than its peak limit now.",
        about="a building without an org",
    ),
    Case(
        "PeakLimitExceeded",
        INFO | opened("peak_budget", "1x20") | opened("ac_hours", "1x20"),
        quiet=("10m",),
        about="other rules",
    ),
    Case(
        "PeakBudgetExceeded",
        INFO | opened("peak_budget", "0x5 1x10 0x5"),
        quiet=("5m", "6m15s"),
        firing=("6m30s", "16m"),
        over=("17m",),
        labels=BUILDING | {"rule": "peak_budget"},
        summary="Building ls-xd has used up its energy budget of this peak window.",
    ),
    *(
        Case(
            "AcViolationLong",
            INFO
            | opened(rule, "0x9 1x190 0x20")
            | of("oldest_open_violation_start_timestamp_seconds", "_x10 600x190 stale", f'{SITE}, rule="{rule}"'),
            quiet=("60m", "134m"),
            firing=("140m",),
            over=("201m",),
            labels=BUILDING | {"rule": rule},
            summary=f"An air conditioner of building ls-xd has {what} for 2h 10m 0s.",
            about=rule,
        )
        for rule, what in {
            "ac_cool_setpoint": "been set below the lowest temperature for cooling",
            "ac_heat_setpoint": "been set above the highest temperature for heating",
            "ac_hours": "run outside the allowed hours",
        }.items()
    ),
    Case(
        "ManyAcViolations",
        INFO
        | of("air_conditioners", "12x60", SITE)
        | opened("ac_cool_setpoint", "0x5 2x4 3x30 0x9")
        | opened("ac_hours", "2x60"),
        quiet=("9m", "25m"),
        firing=("26m", "41m"),
        over=("42m",),
        labels=BUILDING,
        summary="3 air conditioners of building ls-xd break the same rule at once.",
    ),
    Case(
        "ManyAcViolations",
        INFO | of("air_conditioners", "13x60", SITE) | opened("ac_cool_setpoint", "3x60"),
        quiet=("30m",),
        about="less than a quarter of them",
    ),
    Case(
        "ManyAcViolations",
        INFO | of("air_conditioners", "2x60", SITE) | opened("ac_cool_setpoint", "2x60"),
        quiet=("30m",),
        about="two are not many",
    ),
]

CASES = SERVICE + DATA + VERDICTS
