"""Section 5: the rules of an air conditioner, true or false minute by minute."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.reference.acceptance import Accepted
from tests.reference.calendar import Calendar
from tests.reference.comparing import gt, lt
from tests.reference.configuration import Building, Device, default_to
from tests.reference.events import make_event
from tests.reference.rows import HOUR_MS, MINUTE_MS, EventRow

COOL, HEAT, AUTO, OFF = 1.0, 2.0, 5.0, 0.0


class Hold(NamedTuple):
    """The state of an air conditioner (quantity: value, absent is unknown) during [t0, t1)."""

    t0: float
    t1: float
    state: dict[str, float]
    ran_out: bool


def ac_holds(device: Device, values: dict[str, dict[int, float]], clock_ms: int) -> list[Hold]:
    times = sorted({ts_ms for series in values.values() for ts_ms in series})
    state: dict[str, float] = {}
    holds = []
    for ts_ms, next_ms in zip(times, [*times[1:], clock_ms], strict=True):
        state = state | {quantity: series[ts_ms] for quantity, series in values.items() if ts_ms in series}
        runs_out_ms = ts_ms + device.max_gap_ms
        ran_out = runs_out_ms < next_ms
        holds.append(Hold(ts_ms, runs_out_ms if ran_out else next_ms, state, ran_out))
        if ran_out:
            state = {}
    return holds


def runs(state: dict[str, float]) -> bool:
    mode, on = state.get("mode"), state.get("on")
    return mode != OFF and (on == 1 or (on is None and mode is not None))


@dataclass(frozen=True)
class AcRule:
    """`broken` looks at the state alone, `in_scope` at the calendar alone (of the minute that starts then)."""

    name: str
    limit: float | None
    worst_of: Callable[[Iterable[float]], float] | None
    broken: Callable[[dict[str, float]], bool]
    in_scope: Callable[[int], bool]


def ac_rules(policy: dict[str, Any], calendar: Calendar) -> list[AcRule]:
    ac = policy.get("ac") or {}
    tolerance_c = default_to(ac.get("tolerance_c"), 0.0)
    auto = ac.get("auto_counts")
    rules = []

    def setpoint_rule(name: str, limit: float, mode: float, counts_auto: bool, months: list[int] | None) -> AcRule:
        def broken(state: dict[str, float]) -> bool:
            setpoint_c = state.get("setpoint_c")
            if not runs(state) or setpoint_c is None:
                return False
            if state.get("mode") != mode and not (counts_auto and state.get("mode") == AUTO):
                return False
            return lt(setpoint_c, limit - tolerance_c) if mode == COOL else gt(setpoint_c, limit + tolerance_c)

        def in_scope(minute_ms: int) -> bool:
            return not months or calendar.local_date(minute_ms).month in months

        return AcRule(name, limit, min if mode == COOL else max, broken, in_scope)

    if ac.get("cool_min_c") is not None:
        rules.append(setpoint_rule("ac_cool_setpoint", ac["cool_min_c"], COOL, auto == "cool", ac.get("cool_months")))
    if ac.get("heat_max_c") is not None:
        rules.append(setpoint_rule("ac_heat_setpoint", ac["heat_max_c"], HEAT, auto == "heat", ac.get("heat_months")))
    if calendar.allowed:
        rules.append(AcRule("ac_hours", None, None, runs, lambda minute_ms: not calendar.is_allowed(minute_ms)))
    return rules


class Piece(NamedTuple):
    """The condition is true during [t0, t1), at most a minute."""

    t0: float
    t1: float
    setpoint_c: float | None


def true_runs(holds: list[Hold], rule: AcRule) -> list[list[Piece]]:
    """Runs of true time, each as its pieces; touching ones are one run."""
    found: list[list[Piece]] = []
    for hold in holds:
        if not rule.broken(hold.state):
            continue
        t0 = hold.t0
        while t0 < hold.t1:
            minute_ms = int(t0 // MINUTE_MS) * MINUTE_MS
            t1 = min(hold.t1, minute_ms + MINUTE_MS)
            if rule.in_scope(minute_ms):
                piece = Piece(t0, t1, hold.state.get("setpoint_c"))
                if found and found[-1][-1].t1 == t0:
                    found[-1].append(piece)
                else:
                    found.append([piece])
            t0 = t1
    return found


def end_reason(end_ms: float, holds: list[Hold], rule: AcRule) -> str:
    if any(hold.ran_out and hold.t1 == end_ms for hold in holds):
        return "no_data"
    still_broken = any(hold.t0 <= end_ms < hold.t1 and rule.broken(hold.state) for hold in holds)
    return "scope" if still_broken else "corrected"


def ac_events(device: Device, building: Building, accepted: Accepted, calendar: Calendar) -> list[EventRow]:
    values = accepted.values[device.id]
    if not values:
        return []
    clock_ms = accepted.clock[building.id]
    holds = ac_holds(device, values, clock_ms)
    ac = building.policy.get("ac") or {}
    on_delay_ms = 1000 * default_to(ac.get("min_duration_s"), 600.0)
    off_delay_ms = 1000 * default_to(ac.get("clear_duration_s"), 300.0)
    events = []
    for rule in ac_rules(building.policy, calendar):
        if rule.name in device.exempt:
            continue
        clusters: list[list[list[Piece]]] = []
        for run in true_runs(holds, rule):
            if clusters and run[0].t0 - clusters[-1][-1][-1].t1 < off_delay_ms:
                clusters[-1].append(run)
            else:
                clusters.append([run])
        for cluster in clusters:
            pieces = [piece for run in cluster for piece in run]
            true_ms = sum(piece.t1 - piece.t0 for piece in pieces)
            if true_ms < on_delay_ms:
                continue
            start_ms, end_ms = pieces[0].t0, pieces[-1].t1
            is_open = end_ms == clock_ms or clock_ms - end_ms < off_delay_ms
            worst, excess = None, true_ms / HOUR_MS
            if rule.limit is not None and rule.worst_of is not None:
                known = [(piece, piece.setpoint_c) for piece in pieces if piece.setpoint_c is not None]
                worst = rule.worst_of(setpoint_c for _, setpoint_c in known)
                excess = math.fsum(
                    abs(rule.limit - setpoint_c) * (piece.t1 - piece.t0) / HOUR_MS for piece, setpoint_c in known
                )
            reason = "" if is_open else end_reason(end_ms, holds, rule)
            key = (rule.name, building, device.id, round(start_ms), None if is_open else round(end_ms), reason)
            events.append(make_event(*key, rule.limit, worst, excess, round(true_ms)))
    return events
