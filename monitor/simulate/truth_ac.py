"""The three rules of air conditioning (SEMANTICS 5), one device at a time over all of its readings."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from monitor.registry import Building, Device, Policy
from monitor.results import Event, event_id
from monitor.simulate.civil import AcSpan
from monitor.simulate.stream import Reading, above

__all__ = ["ac_events"]

HOUR_MS = 3_600_000
_OFF, _COOL, _HEAT, _AUTO = 0.0, 1.0, 2.0, 5.0


class _Hold(NamedTuple):
    """A state and how long it holds. ran_out: max_gap_s ended it, and the state is forgotten."""

    start_ms: int
    end_ms: int
    state: dict[str, float]
    ran_out: bool


class _Run(NamedTuple):
    start_ms: int
    end_ms: int
    setpoint_c: float | None


def _holds(device: Device, readings: Sequence[Reading], clock_ms: int) -> list[_Hold]:
    """readings: of this device, sorted by time, one for each (ts, quantity)."""
    by_ts: dict[int, dict[str, float]] = {}
    for reading in readings:
        by_ts.setdefault(reading.ts_ms, {})[reading.quantity] = reading.value
    times = sorted(by_ts)
    gap_ms = round(device.max_gap_s * 1000)
    holds: list[_Hold] = []
    state: dict[str, float] = {}
    for n, ts_ms in enumerate(times):
        if holds and holds[-1].ran_out:
            state = {}
        state = state | by_ts[ts_ms]
        next_ms = times[n + 1] if n + 1 < len(times) else clock_ms
        ran_out = ts_ms + gap_ms < next_ms
        holds.append(_Hold(ts_ms, min(next_ms, ts_ms + gap_ms), state, ran_out))
    return holds


def _violates(rule: str, policy: Policy, state: dict[str, float]) -> bool:
    """The condition but for the calendar."""
    ac, mode = policy.ac, state.get("mode")
    on = state.get("on")
    runs = mode != _OFF and (on == 1.0 or (on is None and mode is not None))
    if not runs or rule == "ac_hours":
        return runs
    setpoint_c = state.get("setpoint_c")
    if setpoint_c is None:
        return False
    if rule == "ac_cool_setpoint":
        cools = mode == _COOL or (mode == _AUTO and ac.auto_counts == "cool")
        return cools and ac.cool_min_c is not None and above(ac.cool_min_c - ac.tolerance_c, setpoint_c)
    heats = mode == _HEAT or (mode == _AUTO and ac.auto_counts == "heat")
    return heats and ac.heat_max_c is not None and above(setpoint_c, ac.heat_max_c + ac.tolerance_c)


def _in_force(rule: str, span: AcSpan) -> bool:
    if rule == "ac_hours":
        return not span.allowed
    return span.cool_month if rule == "ac_cool_setpoint" else span.heat_month


def _runs(rule: str, policy: Policy, holds: Sequence[_Hold], spans: Sequence[AcSpan]) -> list[_Run]:
    """Pieces in which the condition is true, each with one set-point; touching pieces are still apart."""
    starts = [span.start_ms for span in spans]
    runs: list[_Run] = []
    for hold in holds:
        if not _violates(rule, policy, hold.state):
            continue
        for n in range(bisect_right(starts, hold.start_ms) - 1, len(spans)):
            if spans[n].start_ms >= hold.end_ms:
                break
            end_ms = min(hold.end_ms, spans[n + 1].start_ms if n + 1 < len(spans) else hold.end_ms)
            start_ms = max(hold.start_ms, spans[n].start_ms)
            if _in_force(rule, spans[n]) and start_ms < end_ms:
                runs.append(_Run(start_ms, end_ms, hold.state.get("setpoint_c")))
    return runs


def _reason(rule: str, policy: Policy, holds: Sequence[_Hold], end_ms: int) -> str:
    if any(hold.ran_out and hold.end_ms == end_ms for hold in holds):
        return "no_data"
    standing = [hold for hold in holds if hold.start_ms <= end_ms < hold.end_ms]
    return "scope" if standing and _violates(rule, policy, standing[0].state) else "corrected"


def _clusters(runs: Sequence[_Run], clear_ms: float) -> list[list[_Run]]:
    clusters: list[list[_Run]] = []
    for run in runs:
        if clusters and (run.start_ms == clusters[-1][-1].end_ms or run.start_ms - clusters[-1][-1].end_ms < clear_ms):
            clusters[-1].append(run)
        else:
            clusters.append([run])
    return clusters


def ac_events(
    building: Building,
    policy: Policy,
    device: Device,
    readings: Sequence[Reading],
    spans: Sequence[AcSpan],
    clock_ms: int,
) -> list[Event]:
    """readings: of this device, sorted, one for each (ts, quantity). spans: cover its readings up to clock_ms."""
    ac = policy.ac
    limits = {"ac_cool_setpoint": ac.cool_min_c, "ac_heat_setpoint": ac.heat_max_c, "ac_hours": None}
    holds = _holds(device, readings, clock_ms)
    events: list[Event] = []
    for rule, limit in limits.items():
        absent = not ac.allowed if rule == "ac_hours" else limit is None
        if absent or rule in device.exempt:
            continue
        for cluster in _clusters(_runs(rule, policy, holds, spans), ac.clear_duration_s * 1000):
            duration_ms = sum(run.end_ms - run.start_ms for run in cluster)
            if duration_ms < ac.min_duration_s * 1000:
                continue
            start_ms, end_ms = cluster[0].start_ms, cluster[-1].end_ms
            is_open = end_ms >= clock_ms or clock_ms - end_ms < ac.clear_duration_s * 1000
            setpoints = [run.setpoint_c for run in cluster if run.setpoint_c is not None]
            if limit is None:
                worst, excess = None, duration_ms / HOUR_MS
            else:
                worst = min(setpoints) if rule == "ac_cool_setpoint" else max(setpoints)
                excess = sum(
                    abs(limit - run.setpoint_c) * (run.end_ms - run.start_ms) / HOUR_MS
                    for run in cluster
                    if run.setpoint_c is not None
                )
            events.append(
                Event(
                    event_id(rule, building.id, device.id, start_ms),
                    rule,
                    building.id,
                    device.id,
                    start_ms,
                    None if is_open else end_ms,
                    "open" if is_open else "closed",
                    "" if is_open else _reason(rule, policy, holds, end_ms),
                    limit,
                    worst,
                    excess,
                    duration_ms,
                    policy.id,
                )
            )
    return events
