"""Results from wherever they stand, in one form: the simulator's truth, SQLite, InfluxDB."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from monitor.registry import Registry
from monitor.results import Event, LedgerEntry
from monitor.simulate.compare import ABS_TOL, REL_TOL, Comparison, compare_events, compare_intervals
from monitor.simulate.scenario import Scenario
from monitor.simulate.truth import IntervalRow
from tests.e2e.monitor_process import Monitor
from tests.services.influxd import Influxd

DATABASE = "energy"


class Results(NamedTuple):
    """Sorted; events without those that were withdrawn."""

    intervals: list[IntervalRow]
    events: list[Event]
    ledger: list[LedgerEntry]


def of_truth(scenario: Scenario) -> Results:
    truth = scenario.truth()
    return Results(truth.intervals, sorted(truth.events), truth.ledger)


def of_sqlite(monitor: Monitor) -> Results:
    return Results(
        [IntervalRow(*row) for row in monitor.rows("SELECT * FROM intervals ORDER BY building, item, start_ms")],
        sorted(Event(*row) for row in monitor.rows("SELECT * FROM events WHERE state <> 'withdrawn'")),
        sorted(LedgerEntry(*row) for row in monitor.rows("SELECT * FROM ledger")),
    )


def of_influx(influx: Influxd, registry: Registry) -> Results:
    """From the measurements of DESIGN. A violation has no policy there: it is that of the building."""
    intervals = [
        IntervalRow(
            row["building"],
            row["item"],
            row["time"],
            row["period"],
            float(row["measured"]),
            float(row["estimated"]),
            float(row["coverage"]),
            None if row.get("demand_kw") is None else float(row["demand_kw"]),
        )
        for row in influx.rows("SELECT * FROM consumption", DATABASE)
    ]
    events = [
        Event(
            row["event_id"],
            row["rule"],
            row["building"],
            "" if row["device"] == "-" else row["device"],
            row["time"],
            row.get("end_ms") or None,
            row["state"],
            row["reason"],
            row.get("limit"),
            row.get("worst"),
            float(row["excess"]),
            round(row["duration_s"] * 1000),
            registry.buildings[registry.building_row[row["building"]]].policy,
        )
        for row in influx.rows("SELECT * FROM violation", DATABASE)
        if row["state"] != "withdrawn"
    ]
    ledger = [
        LedgerEntry(row["kind"], row["building"], row["device"], row["quantity"], row["time"], float(row["amount"]))
        for row in influx.rows("SELECT * FROM ledger", DATABASE)
        if row["detail"] != "withdrawn"
    ]
    return Results(sorted(intervals), sorted(events), sorted(ledger))


AcPoint = tuple[str, int, str, float | str]


def ac_points_of(scenario: Scenario) -> set[AcPoint]:
    """(device, ts_ms, quantity, value) of every reading of an air conditioner, as `ac` has to show it."""
    return {
        (reading.device, reading.ts_ms, reading.quantity, _shown(reading.quantity, reading.value))
        for reading in scenario.truth_rows()
        if scenario.registry.devices[scenario.registry.device_row[reading.device]].kind == "ac"
    }


def _shown(quantity: str, value: float) -> float | str:
    return ("off", "cool", "heat", "dry", "fan", "auto")[int(value)] if quantity == "mode" else value


def ac_points_in(influx: Influxd) -> set[AcPoint]:
    return {
        (row["device"], row["time"], quantity, row[quantity])
        for row in influx.rows("SELECT * FROM ac", DATABASE)
        for quantity in ("on", "mode", "setpoint_c", "room_c")
        if quantity in row
    }


def assert_same(found: Results, expected: Results, where: str) -> None:
    """Every interval, event and ledger entry, once, with figures equal within 1e-6."""
    assert expected.intervals
    assert expected.events
    _assert_equal(compare_intervals(found.intervals, expected.intervals), f"intervals in {where}")
    _assert_equal(compare_events(found.events, expected.events), f"events in {where}")
    _assert_same_ledger(found.ledger, expected.ledger, where)


def _assert_equal(compared: Comparison[IntervalRow] | Comparison[Event], what: str) -> None:
    counts = {name: len(getattr(compared, name)) for name in ("right", "missing", "unexpected", "wrong", "twice")}
    first = {name: getattr(compared, name)[:2] for name in ("missing", "unexpected", "wrong", "twice")}
    assert compared.equal, f"{what}: {counts}, the first of each: {first}"


def _assert_same_ledger(found: Sequence[LedgerEntry], expected: Sequence[LedgerEntry], where: str) -> None:
    keys = [entry[:5] for entry in sorted(found)]
    assert keys == [entry[:5] for entry in sorted(expected)], f"ledger in {where}"
    for one, other in zip(sorted(found), sorted(expected), strict=True):
        assert math.isclose(one.amount, other.amount, rel_tol=REL_TOL, abs_tol=ABS_TOL), f"ledger in {where}"
