"""Streams of arrivals from a seed: devices as they misbehave, deliveries as they get disordered.

`make_case` is plain `random.Random`; `cases` wraps it for hypothesis. The same arguments give the same case.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.naive import HOUR_MS, Row
from tests.stream_config import DAYS, BuildingPlan, DevicePlan, config_files, make_building, minute_of_day

DAY_MS = 24 * HOUR_MS
SETPOINTS_C = (18.0, 19.5, 20.0, 20.5, 22.0, 24.0, 25.0, 25.5, 26.0, 26.5, 27.0)


@dataclass(frozen=True)
class Case:
    """`files`: path below config/ → text. `rows`: in order of arrival. `now_ms`: a time at which a replay of them may
    begin."""

    seed: int
    files: dict[str, str]
    rows: list[Row]
    now_ms: int


# Meters


def _times(rng: Random, device: DevicePlan, start_ms: int, end_ms: int, *, ties: bool, silence: bool) -> list[int]:
    """When it reports: its step, gaps of hours, at most one silence of days."""
    step_ms = round(1000 * device.step_s)
    now_ms = start_ms if ties else start_ms + rng.randrange(step_ms)
    gap_chance = rng.choice((0.0, 0.01, 0.03))
    times = []
    while now_ms < end_ms:
        times.append(now_ms)
        if ties:
            now_ms += step_ms * rng.choice((1,) * 12 + (2, 3, 8))
        else:
            now_ms += step_ms + rng.randint(-step_ms // 10, step_ms // 10) * rng.randint(0, 1)
            if rng.random() < gap_chance:
                now_ms += rng.randint(1, 6) * HOUR_MS
    if silence and times:
        times += [times[-1] + 10 * DAY_MS + n * step_ms for n in range(rng.randint(1, 6))]
    return times


def _power(rng: Random, device: DevicePlan, ts_ms: int, exact: list[float]) -> float:
    if exact and rng.random() < 0.7:
        return rng.choice(exact)
    daily = 1 + 0.6 * math.sin(2 * math.pi * (ts_ms % DAY_MS) / DAY_MS)
    return device.level * daily * rng.uniform(0.7, 1.3)


def _exact_powers(device: DevicePlan, building: BuildingPlan) -> list[float]:
    """Powers at which something is met exactly, if the meter is the only one of its item."""
    demand = building.policy.get("peak_demand", {})
    exact = [0.0]
    if building.peak_limit_kw is not None:
        factors = (1.0, 1.0, 1 + demand.get("tolerance", 0.0), demand.get("clear_ratio", 1.0))
        exact += [building.peak_limit_kw * factor for factor in factors]
    if device.max_rate is not None:
        exact.append(device.max_rate)
    return exact


def _faulty(rng: Random, values: list[float], device: DevicePlan) -> list[float]:
    """Register values with jitters and suspects: alone, in runs of up to four, and pending at the end."""
    values = list(values)
    jitter_chance, spike_chance = rng.choice((0.0, 0.03)), rng.choice((0.0, 0.01, 0.03))
    at = 1
    while at < len(values):
        if rng.random() < jitter_chance:
            values[at] = values[at - 1] - rng.choice((0.02, 0.09, device.jitter, device.jitter + 0.01, 1.5))
        elif rng.random() < spike_chance:
            length = rng.choice((1, 1, 1, 2, 3, 4))
            kind, base = rng.randrange(4), values[at - 1]
            for n in range(at, min(at + length, len(values))):
                values[n] = (values[n] + rng.uniform(500, 9000), 0.0, values[n] / 2, 6000.0 - 1000 * n)[kind]
            at += length
            if at < len(values) and rng.random() < 0.2:
                values[at] = base - 0.05  # would jitter, had it come first
        at += 1
    if rng.random() < 0.4:
        pending = min(rng.randint(1, 3), len(values) - 1)
        base = values[-pending - 1] if values else 0.0
        for n in range(pending, 0, -1):
            values[-n] = rng.choice((values[-n] + 50_000, values[-n] / 3, 0.0, base - 0.05))
    return values


def _register_values(rng: Random, device: DevicePlan, times: list[int], exact: list[float]) -> list[float]:
    total = rng.choice((0.0, 995.0, 995.0, 5000.0, 123456.789))
    reset_chance = rng.choice((0.0, 0.01, 0.03))
    values: list[float] = []
    for n, ts_ms in enumerate(times):
        if n:
            total += _power(rng, device, ts_ms, exact) * (ts_ms - times[n - 1]) / HOUR_MS
        if rng.random() < reset_chance:
            total = rng.choice((0.0, rng.uniform(0, 3), rng.uniform(0, 3), -0.5))
        values.append(total % device.register_max if device.register_max else total)
    return _faulty(rng, values, device)


def _power_values(rng: Random, device: DevicePlan, times: list[int], exact: list[float]) -> list[float]:
    values = []
    for ts_ms in times:
        odd = rng.random()
        if odd < 0.01:
            values.append(6553.5)
        elif odd < 0.03:
            values.append(-rng.uniform(0, 3))
        else:
            values.append(_power(rng, device, ts_ms, exact))
    return values


def _meter_rows(
    rng: Random, device: DevicePlan, building: BuildingPlan, start_ms: int, end_ms: int, *, ties: bool, silence: bool
) -> list[Row]:
    times = _times(rng, device, start_ms, end_ms, ties=ties, silence=silence)
    exact = _exact_powers(device, building) if ties else []
    is_register = device.cells["source"] != "power"
    values = (_register_values if is_register else _power_values)(rng, device, times, exact)
    own, other = ("register", "power_kw") if is_register else ("power_kw", "register")
    # Unrounded, exact figures carry the noise of floating point: what ties must survive.
    digits = 15 if ties and rng.random() < 0.5 else 3
    rows: list[Row] = []
    reports_both = rng.random() < 0.2
    for ts_ms, value in zip(times, values, strict=True):
        rows.append((ts_ms, device.cells["id"], own, round(value / device.multiplier, digits)))
        if reports_both and rng.random() < 0.3:
            rows.append((ts_ms + rng.choice((0, 60_000)), device.cells["id"], other, round(rng.uniform(0, 50), 1)))
    return rows


# Air conditioning


def _ac_rows(
    rng: Random, device: DevicePlan, building: BuildingPlan, start_ms: int, end_ms: int, *, ties: bool
) -> list[Row]:
    """Each quantity is a row of its own; those of one moment bear the same ts."""
    ac = building.policy.get("ac", {})
    on_delay_s, off_delay_s = ac.get("min_duration_s", 600), ac.get("clear_duration_s", 300)
    exact_s = (on_delay_s, on_delay_s, off_delay_s, off_delay_s, device.max_gap_s, device.max_gap_s + 0.001, 60, 300)
    reported = {"on": 1.0, "mode": float(rng.choice((1, 1, 2, 5))), "setpoint_c": 25.0, "room_c": 27.0}
    always = rng.random() < 0.3
    silence_chance = rng.choice((0.0, 0.02, 0.05))
    now_ms = start_ms if ties else start_ms + rng.randrange(HOUR_MS)
    rows: list[Row] = []
    while now_ms < end_ms:
        if rng.random() < 0.3:
            reported["setpoint_c"] = rng.choice(SETPOINTS_C)
        if rng.random() < 0.1:
            reported["mode"] = float(rng.choice((0, 1, 1, 1, 2, 2, 3, 4, 5, 5)))
        if rng.random() < 0.1:
            reported["on"] = float(rng.random() < 0.7)
        quantities = list(reported) if always else rng.sample(list(reported), rng.randint(1, 4))
        rows += [(now_ms, device.cells["id"], quantity, reported[quantity]) for quantity in quantities]
        if ties:
            now_ms += max(1, round(1000 * rng.choice(exact_s)))
        else:
            now_ms += round(1000 * device.step_s) * rng.choice((1, 1, 1, 2))
            if rng.random() < silence_chance:
                now_ms += rng.randint(1, 5) * HOUR_MS
    return rows


# Deliveries


def _window_end_ms(plan: BuildingPlan, before_ms: int) -> int:
    """The last end of one of its windows at or before `before_ms`, so that a stream can end with it."""
    zone = ZoneInfo(plan.cells["timezone"])
    day = dt.datetime.fromtimestamp(before_ms / 1000, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = [before_ms]
    for window in plan.policy["windows"]:
        minute = minute_of_day(window["to"])
        # Added on the wall clock: a day may have 23 or 25 hours.
        local = (day.replace(tzinfo=None) + dt.timedelta(minutes=minute)).replace(tzinfo=zone)
        end_ms = round(local.timestamp() * 1000)
        ends.append(end_ms if end_ms <= before_ms else end_ms - DAY_MS)
    return max(ends[1:], default=before_ms)


def _bad_rows(rng: Random, plans: list[BuildingPlan], start_ms: int, end_ms: int) -> list[Row]:
    """Each reason, and pairs of reasons of which the first counts."""
    kinds = {device.cells["kind"]: device.cells["id"] for plan in plans for device in plan.devices}
    then_ms = rng.randint(start_ms, end_ms)
    rows: list[Row] = [(then_ms, "ghost", "register", 1.0), (5, "ghost", "volts", math.nan)]
    if "meter" in kinds:
        meter = kinds["meter"]
        rows += [(then_ms, meter, "setpoint_c", 1.0), (then_ms, meter, "volts", math.nan)]
        rows += [(then_ms, meter, "register", value) for value in (math.nan, math.inf, -math.inf)]
        rows += [(1000, meter, "register", 5.0), (946_684_799_999, meter, "power_kw", 5.0)]
        rows += [(4_102_444_800_000, meter, "register", 1.0), (-1, meter, "register", math.nan)]
    if "ac" in kinds:
        unit = kinds["ac"]
        rows += [(then_ms, unit, "register", 1.0), (then_ms, unit, "room_c", math.nan)]
        rows += [(then_ms, unit, "on", value) for value in (2.0, 0.5, -1.0)]
        rows += [(then_ms, unit, "mode", value) for value in (6.0, 1.5, -1.0)]
        rows += [(4_102_444_800_000, unit, "room_c", 21.0)]
    return rng.sample(rows, rng.randint(1, len(rows)))


def _changed(rng: Random, row: Row) -> Row:
    """Another value for the same key."""
    ts_ms, device, quantity, value = row
    if quantity == "on":
        return ts_ms, device, quantity, 1.0 - value
    if quantity == "mode":
        return ts_ms, device, quantity, float(rng.randrange(6))
    return ts_ms, device, quantity, round(value + rng.choice((-5.0, -1.0, 0.5, 1.0, 4.0)), 3)


def _latency_ms(rng: Random, late: float) -> int:
    kind = rng.random() / late if late else 1.0
    if kind < 0.4:
        return rng.randint(5, 600) * 1000
    if kind < 0.8:
        return rng.randint(1, 12) * HOUR_MS
    if kind < 1.0:
        return rng.randint(1, 12) * DAY_MS
    return rng.randint(0, 3000)


def _deliver(rng: Random, rows_of: dict[str, list[Row]], start_ms: int, end_ms: int) -> list[tuple[float, Row]]:
    """(arrival, row): late rows, duplicates, conflicts, outages with backfill, first readings after later ones."""
    arrivals: list[tuple[float, Row]] = []
    late, again, other = rng.choice((0.0, 0.05)), rng.choice((0.0, 0.03)), rng.choice((0.0, 0.02))
    for rows in rows_of.values():
        outages = []
        if rng.random() < 0.3:
            from_ms = rng.randint(start_ms, end_ms)
            outages.append((from_ms, from_ms + rng.randint(1, 20) * HOUR_MS))
        first_late = rng.randint(1, 6) if rng.random() < 0.15 else 0
        for n, row in enumerate(rows):
            ts_ms = row[0]
            assert ts_ms is not None
            arrival = float(ts_ms + _latency_ms(rng, late))
            for from_ms, to_ms in outages:
                if from_ms <= ts_ms < to_ms:
                    arrival = to_ms + (ts_ms - from_ms) / 1000  # sent again in order, faster than real time
            if n < first_late:
                arrival += rng.randint(1, 30) * HOUR_MS
            arrivals.append((arrival, row))
            if rng.random() < again:
                arrivals.append((arrival + _latency_ms(rng, 0.5), row))
            if rng.random() < other:
                arrivals.append((ts_ms + _latency_ms(rng, 0.5), _changed(rng, row)))
    return arrivals


def make_case(
    seed: int,
    *,
    days: float = 2,
    buildings: int = 2,
    ties: bool = False,
    disorder: bool = True,
    bad_rows: bool = True,
    silences: bool = True,
    zone: str | None = None,
) -> Case:
    """A configuration and a stream for it, about 1000 to 3000 rows.

    `ties`: readings exactly on interval edges, figures exactly at limits, delays exactly met. `disorder`: rows arrive
    late, twice, with other values; otherwise in order of time. `silences`: a few meters are silent for 10 days and then
    come back. `zone`: for all buildings, otherwise each draws its own.
    """
    rng = Random(seed)
    zones = [zone or rng.choice(tuple(DAYS)) for _ in range(buildings)]
    day = dt.date.fromisoformat(rng.choice(DAYS[zones[0]]))
    noon = dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC)
    start_ms = round(noon.timestamp() * 1000 - rng.uniform(0.3, 0.8) * days * DAY_MS)
    if ties:
        start_ms -= start_ms % HOUR_MS
    plans: list[BuildingPlan] = []
    for number, name in enumerate(zones):
        shares = number > 0 and name == zones[0] and rng.random() < 0.5
        plans.append(make_building(rng, number, name, day, ties=ties, like=plans[0] if shares else None))
    end_ms = start_ms + round(days * DAY_MS)
    ends_with_window = rng.random() < 0.3
    if ends_with_window:
        end_ms = _window_end_ms(plans[0], end_ms)
    rows_of: dict[str, list[Row]] = {}
    for plan in plans:
        for device in plan.devices:
            if device.silent:
                continue
            if device.cells["kind"] == "ac":
                rows = _ac_rows(rng, device, plan, start_ms, end_ms, ties=ties)
            else:
                silence = silences and rng.random() < 0.08
                rows = _meter_rows(rng, device, plan, start_ms, end_ms, ties=ties, silence=silence)
            rows_of[device.cells["id"]] = rows
        if plan.devices and (ends_with_window or (ties and rng.random() < 0.5)):
            # The clock stops exactly where the grace of an interval ends, or a moment before or after.
            device = rng.choice(plan.devices)
            last_ms = end_ms + 1000 * plan.policy.get("grace_s", 900) + rng.choice((-1, 0, 0, 1))
            quantity = "room_c" if device.cells["kind"] == "ac" else "power_kw"
            rows_of.setdefault(device.cells["id"], []).append((last_ms, device.cells["id"], quantity, 20.0))
    if disorder:
        arrivals = _deliver(rng, rows_of, start_ms, end_ms)
    else:
        arrivals = [(float(row[0] or 0), row) for rows in rows_of.values() for row in rows]
    if bad_rows:
        arrivals += [(rng.uniform(start_ms, end_ms), row) for row in _bad_rows(rng, plans, start_ms, end_ms)]
    arrivals.sort(key=lambda arrival: arrival[0])
    now_ms = max([end_ms, *(ts_ms for rows in rows_of.values() for ts_ms, *_ in rows if ts_ms is not None)])
    return Case(seed, config_files(plans), [row for _, row in arrivals], now_ms + HOUR_MS)


def reordered(case: Case, seed: int) -> list[Row]:
    """The same rows in another order of arrival: shuffled, reversed, sorted, by device, or in shuffled blocks."""
    rng = Random(seed)
    rows = list(case.rows)
    style = rng.randrange(5)
    if style == 0:
        rng.shuffle(rows)
    elif style == 1:
        rows.reverse()
    elif style == 2:
        rows.sort(key=lambda row: row[0] or 0)
    elif style == 3:
        rows.sort(key=lambda row: (row[1], row[0] or 0))
    else:
        size = rng.randint(1, 300)
        blocks = [rows[n : n + size] for n in range(0, len(rows), size)]
        rng.shuffle(blocks)
        rows = [row for block in blocks for row in block]
    return rows


def batches(rows: list[Row], seed: int, *, largest: int = 500) -> Iterator[list[Row]]:
    """`rows` cut into pieces of random size, one row among them."""
    rng = Random(seed)
    at = 0
    while at < len(rows):
        size = rng.choice((1, rng.randint(1, 20), rng.randint(1, largest)))
        yield rows[at : at + size]
        at += size


def _time_cell(ts_ms: int | None, style: int) -> str:
    if ts_ms is None:
        return "no time"
    if style == 0:
        return str(ts_ms)
    zone = dt.UTC if style < 3 else dt.timezone(dt.timedelta(hours=7))
    text = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=ts_ms)).astimezone(zone)
    iso = text.isoformat(timespec="milliseconds")
    return iso.replace("+00:00", "Z") if style == 1 else iso


def write(case: Case, folder: Path) -> Path:
    """config/ and input.csv below `folder`, times by turns as epoch ms and as ISO 8601 in three spellings."""
    for name, text in case.files.items():
        path = folder / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    lines = ["ts,device,quantity,value"]
    for n, (ts_ms, device, quantity, value) in enumerate(case.rows):
        lines.append(f"{_time_cell(ts_ms, n % 4)},{device},{quantity},{value!r}")
    (folder / "input.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def cases(*, days: float = 2, buildings: int = 2, ties: bool | None = None) -> st.SearchStrategy[Case]:
    """For hypothesis: a seed and a flavour (`ties` None: either)."""
    flavour = st.booleans() if ties is None else st.just(ties)
    seeds = st.integers(0, 2**32 - 1)
    return st.builds(lambda seed, exact: make_case(seed, days=days, buildings=buildings, ties=exact), seeds, flavour)
