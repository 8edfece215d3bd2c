"""The obvious reference: one slow batch program, written from the text of the semantics alone.

It imports nothing of `monitor`, keeps every reading in a dict and asks the calendar minute by minute. Section numbers
are those of the semantics. Times are UTC milliseconds since the epoch throughout.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import holidays
import yaml

Row = tuple[int | None, str, str, float]
"""ts (None: the cell holds no time), device, quantity, value as reported (NaN: the cell holds no number)."""

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
YEAR_2000_MS = 946_684_800_000
MEDIA = ("water", "gas", "heat", "cooling")
QUANTITIES = {"meter": ("register", "power_kw"), "ac": ("on", "mode", "setpoint_c", "room_c")}
SOURCE_QUANTITY = {"register": "register", "power": "power_kw"}
AC_RULES = ("ac_cool_setpoint", "ac_heat_setpoint", "ac_hours")
COOL, HEAT, AUTO, OFF = 1.0, 2.0, 5.0, 0.0
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class IntervalRow(NamedTuple):
    building: str
    item: str
    start_ms: int
    period: str
    measured: float
    estimated: float
    coverage: float
    demand_kw: float | None


class EventRow(NamedTuple):
    event_id: str
    rule: str
    building: str
    device: str
    start_ms: int
    end_ms: int | None
    state: str
    reason: str
    limit: float | None
    worst: float | None
    excess: float
    duration_s: float
    policy: str


class LedgerRow(NamedTuple):
    kind: str
    building: str
    device: str
    quantity: str
    ts_ms: int
    amount: float


class RejectedRow(NamedTuple):
    reason: str
    rows: int


@dataclass(frozen=True)
class NaiveResult:
    """Each list sorted by its key columns."""

    intervals: list[IntervalRow]
    events: list[EventRow]
    ledger: list[LedgerRow]
    rejected: list[RejectedRow]


# 1. Comparing


def gt(a: float, b: float) -> bool:
    """a > b between measured values."""
    return a - b > 1e-9 * max(1.0, abs(a), abs(b))


def lt(a: float, b: float) -> bool:
    return gt(b, a)


def ge(a: float, b: float) -> bool:
    return not lt(a, b)


def le(a: float, b: float) -> bool:
    return not gt(a, b)


# 7. Configuration


@dataclass(frozen=True)
class Building:
    id: str
    zone: str
    policy: dict[str, Any] = field(hash=False, compare=False)
    contract_kw: float | None
    peak_limit_kw: float | None
    peak_budget_kwh: float | None

    @property
    def interval_ms(self) -> int:
        return int(self.policy.get("demand_interval_min") or 15) * MINUTE_MS

    @property
    def grace_ms(self) -> float:
        grace_s = self.policy.get("grace_s")
        return 1000.0 * (900.0 if grace_s is None else grace_s)


@dataclass(frozen=True)
class Device:
    id: str
    building: str
    kind: str
    item: str
    source: str
    multiplier: float
    max_rate: float | None
    register_max: float | None
    jitter: float
    max_gap_ms: float
    exempt: frozenset[str]


def _cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{key: (cell or "").strip() for key, cell in row.items()} for row in csv.DictReader(file)]


def _number(row: dict[str, str], column: str) -> float | None:
    return float(row[column]) if row.get(column) else None


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def load_config(config_dir: Path) -> tuple[dict[str, Building], dict[str, Device]]:
    policies = {}
    for path in sorted((config_dir / "policies").glob("*.yaml")):
        policy = yaml.safe_load(path.read_text(encoding="utf-8"))
        policies[policy["id"]] = policy
    buildings = {}
    for row in _cells(config_dir / "buildings.csv"):
        figures = (_number(row, column) for column in ("contract_kw", "peak_limit_kw", "peak_budget_kwh"))
        buildings[row["id"]] = Building(row["id"], row["timezone"], policies[row["policy"]], *figures)
    devices = {}
    for row in _cells(config_dir / "devices.csv"):
        item = row.get("item") or "total"
        max_rate = _number(row, "max_rate")
        contract_kw = buildings[row["building"]].contract_kw
        if max_rate is None and contract_kw is not None and item not in MEDIA:
            max_rate = 4 * contract_kw
        cadence_s = _or(_number(row, "cadence_s"), 900.0 if row["kind"] == "meter" else 300.0)
        exempt = frozenset(rule.strip() for rule in row.get("exempt", "").split(";") if rule.strip())
        devices[row["id"]] = Device(
            id=row["id"],
            building=row["building"],
            kind=row["kind"],
            item=item,
            source=SOURCE_QUANTITY[row.get("source") or "register"],
            multiplier=_or(_number(row, "multiplier"), 1.0),
            max_rate=max_rate,
            register_max=_number(row, "register_max"),
            jitter=_or(_number(row, "jitter"), 0.1),
            max_gap_ms=1000.0 * _or(_number(row, "max_gap_s"), 4 * cadence_s),
            exempt=frozenset(AC_RULES) if "all" in exempt else exempt,
        )
    return buildings, devices


# 2. Things: which readings count


@dataclass
class Accepted:
    """values[device][quantity][ts] is the value that counts; clock[building] is C."""

    values: dict[str, dict[str, dict[int, float]]]
    clock: dict[str, int]
    ledger: list[LedgerRow]
    rejected: dict[str, int]


def rejection(row: Row, devices: dict[str, Device], now_ms: int, max_future_s: float) -> str | None:
    ts_ms, device, quantity, value = row
    if device not in devices:
        return "unknown_device"
    if quantity not in QUANTITIES[devices[device].kind]:
        return "unknown_quantity"
    if not math.isfinite(value):
        return "bad_value"
    if quantity == "on" and value not in (0, 1):
        return "bad_value"
    if quantity == "mode" and value not in (0, 1, 2, 3, 4, 5):
        return "bad_value"
    if ts_ms is None or ts_ms < YEAR_2000_MS or ts_ms > now_ms + 1000 * max_future_s:
        return "bad_time"
    return None


def accept(
    rows: Iterable[Row], devices: dict[str, Device], now_ms: int, horizon_h: float | None, max_future_s: float
) -> Accepted:
    reported: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    too_late: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    rejected: dict[str, int] = defaultdict(int)
    clock: dict[str, int] = {}
    for row in rows:
        reason = rejection(row, devices, now_ms, max_future_s)
        if reason is not None:
            rejected[reason] += 1
            continue
        ts_ms, device, quantity, value = row
        assert ts_ms is not None
        building = devices[device].building
        clock_ms = clock.get(building, ts_ms)
        if horizon_h is not None and ts_ms < clock_ms - horizon_h * HOUR_MS:
            too_late[device, quantity, ts_ms].append(value)
            continue
        clock[building] = max(clock_ms, ts_ms)
        reported[device, quantity, ts_ms].append(value)

    values: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    ledger = []
    for (device, quantity, ts_ms), same in reported.items():
        counts, other = (max(same), min(same)) if quantity == "setpoint_c" else (min(same), max(same))
        values[device][quantity][ts_ms] = counts
        if counts != other:
            ledger.append(LedgerRow("conflict", devices[device].building, device, quantity, ts_ms, other))
    for (device, quantity, ts_ms), same in too_late.items():
        amount = max(same) if quantity == "setpoint_c" else min(same)
        ledger.append(LedgerRow("too_late", devices[device].building, device, quantity, ts_ms, amount))
    return Accepted(values, clock, ledger, rejected)


# 3. From readings to consumption


class Segment(NamedTuple):
    """`amount` spread evenly over [t0, t1). `counts_for_budget`: of cases 1 to 3 or of power."""

    t0: int
    t1: int
    amount: float
    estimated: bool
    counts_for_budget: bool

    def share(self, start_ms: int, end_ms: int) -> float:
        overlap_ms = max(0, min(self.t1, end_ms) - max(self.t0, start_ms))
        return self.amount * overlap_ms / (self.t1 - self.t0)


class Consumption:
    """The segments and ledger entries of one meter."""

    def __init__(self, meter: Device, values: dict[int, float], calendar: Calendar) -> None:
        self.meter = meter
        self.calendar = calendar
        self.segments: list[Segment] = []
        self.ledger: list[LedgerRow] = []
        samples = [(ts_ms, value * meter.multiplier) for ts_ms, value in sorted(values.items())]
        if meter.source == "register":
            self._register(samples)
        else:
            self._power(samples)

    def _note(self, kind: str, ts_ms: int, amount: float) -> None:
        self.ledger.append(LedgerRow(kind, self.meter.building, self.meter.id, self.meter.source, ts_ms, amount))

    def _segment(self, t0: int, t1: int, amount: float) -> None:
        """A segment of cases 1 to 3, or of power: is its spread in time known?"""
        is_gap = t1 - t0 > self.meter.max_gap_ms
        if is_gap:
            self._note("gap", t1, amount)
        self.segments.append(Segment(t0, t1, amount, is_gap or self._blurs_a_peak(t0, t1), counts_for_budget=True))

    def _blurs_a_peak(self, t0: int, t1: int) -> bool:
        length_ms = self.calendar.interval_ms
        if t1 - t0 <= 1.5 * length_ms:
            return False
        edges = range(t0 // length_ms * length_ms + length_ms, t1, length_ms)
        return any(self.calendar.is_peak(edge - length_ms) != self.calendar.is_peak(edge) for edge in edges)

    def _within_rate(self, amount: float, t0: int, t1: int) -> bool:
        return self.meter.max_rate is not None and le(amount, self.meter.max_rate * (t1 - t0) / HOUR_MS)

    def _fits(self, base: tuple[int, float], reading: tuple[int, float]) -> bool:
        (t0, v0), (t1, v1) = base, reading
        return ge(v1, v0) and (self.meter.max_rate is None or self._within_rate(v1 - v0, t0, t1))

    def _jitters(self, base: tuple[int, float], reading: tuple[int, float]) -> bool:
        v0, v1 = base[1], reading[1]
        return lt(v1, v0) and le(v0 - v1, self.meter.jitter)

    def _rolls_over(self, base: tuple[int, float], reading: tuple[int, float]) -> bool:
        (t0, v0), (t1, v1) = base, reading
        register_max = self.meter.register_max
        if register_max is None or not lt(v1, v0) or not ge(register_max + v1, v0):
            return False
        return self._within_rate(register_max - v0 + v1, t0, t1)

    def _register(self, samples: list[tuple[int, float]]) -> None:
        if not samples:
            return
        base = samples[0]
        at = 1
        while at < len(samples):
            reading = samples[at]
            (t0, v0), (t1, v1) = base, reading
            if self._fits(base, reading):
                self._segment(t0, t1, max(0.0, v1 - v0))
                base = reading
            elif self._jitters(base, reading):
                self._segment(t0, t1, 0.0)
                base = (t1, v0)
            elif self._rolls_over(base, reading):
                assert self.meter.register_max is not None
                amount = self.meter.register_max - v0 + v1
                self._segment(t0, t1, max(0.0, amount))
                self._note("rollover", t1, amount)
                base = reading
            else:
                after = samples[at + 1 : at + 4]
                good = [n for n, later in enumerate(after) if self._fits(base, later) or self._rolls_over(base, later)]
                if good:
                    for ts_ms, value in samples[at : at + 1 + good[0]]:
                        self._note("outlier", ts_ms, value - v0)
                    at += good[0]
                elif len(after) < 3:
                    return
                elif lt(v1, v0):
                    amount = v1 if v1 >= 0 and self._within_rate(v1, t0, t1) else 0.0
                    self.segments.append(Segment(t0, t1, amount, estimated=True, counts_for_budget=False))
                    self._note("reset", t1, amount)
                    base = reading
                else:
                    self._note("spike", t1, v1 - v0)
                    base = reading
            at += 1

    def _power(self, samples: list[tuple[int, float]]) -> None:
        good = []
        for ts_ms, power in samples:
            if self.meter.max_rate is not None and gt(power, self.meter.max_rate):
                self._note("outlier", ts_ms, power)
            else:
                good.append((ts_ms, max(0.0, power)))
        for (t0, p0), (t1, p1) in itertools.pairwise(good):
            self._segment(t0, t1, (p0 + p1) / 2 * (t1 - t0) / HOUR_MS)


@dataclass
class ItemUse:
    """The due intervals of one item of one building, in order, and the segments that they were made from."""

    building: Building
    item: str
    rows: list[IntervalRow]
    segments: list[Segment]


def item_use(building: Building, item: str, meters: list[Device], accepted: Accepted, calendar: Calendar) -> ItemUse:
    length_ms = building.interval_ms
    series = [accepted.values[meter.id][meter.source] for meter in meters]
    segments: list[Segment] = []
    for meter, values in zip(meters, series, strict=True):
        consumption = Consumption(meter, values, calendar)
        segments += consumption.segments
        accepted.ledger += consumption.ledger
    rows: list[IntervalRow] = []
    if not any(series):
        return ItemUse(building, item, rows, segments)
    start_ms = min(min(values) for values in series if values) // length_ms * length_ms
    clock_ms = accepted.clock[building.id]

    def is_due(end_ms: int) -> bool:
        all_passed = all(values and max(values) >= end_ms for values in series)
        return end_ms <= clock_ms and (all_passed or clock_ms >= end_ms + building.grace_ms)

    while is_due(start_ms + length_ms):
        end_ms = start_ms + length_ms
        touching = [segment for segment in segments if segment.t0 < end_ms and segment.t1 > start_ms]
        known = [segment for segment in touching if not segment.estimated]
        measured = sum((segment.share(start_ms, end_ms) for segment in known), 0.0)
        estimated = sum((segment.share(start_ms, end_ms) for segment in touching if segment.estimated), 0.0)
        covered_ms = sum(min(segment.t1, end_ms) - max(segment.t0, start_ms) for segment in known)
        coverage = covered_ms / (len(meters) * length_ms)
        demand_kw = None if item in MEDIA else measured / (length_ms / HOUR_MS)
        period = calendar.period(start_ms)
        rows.append(IntervalRow(building.id, item, start_ms, period, measured, estimated, coverage, demand_kw))
        start_ms = end_ms
    return ItemUse(building, item, rows, segments)


# 4. Calendars


def _minute_of_day(clock: str | int) -> int:
    """YAML reads an unquoted 17:30 as 1050."""
    if isinstance(clock, int):
        return clock
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


def _date(day: str | dt.date) -> dt.date:
    return day if isinstance(day, dt.date) else dt.date.fromisoformat(day)


class Calendar:
    """A policy in a timezone."""

    def __init__(self, policy: dict[str, Any], zone: str) -> None:
        self.policy = policy
        self.interval_ms = int(policy.get("demand_interval_min") or 15) * MINUTE_MS
        self.windows: list[dict[str, Any]] = policy.get("windows") or []
        self.allowed: list[dict[str, Any]] = (policy.get("ac") or {}).get("allowed") or []
        named = policy.get("holidays") or {}
        self.extra = {_date(day) for day in named.get("extra") or []}
        self.workdays = {_date(day) for day in named.get("workdays") or []}
        self.country = holidays.country_holidays(named["country"]) if named.get("country") else None
        self.zone = ZoneInfo(zone)
        # A stream asks for the same minutes over and over.
        self.period = functools.cache(self._period)
        self.is_allowed = functools.cache(self._is_allowed)
        self.day_class = functools.cache(self._day_class)

    def local(self, ts_ms: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(ts_ms // 1000, self.zone)

    def local_date(self, ts_ms: int) -> dt.date:
        return self.local(ts_ms).date()

    def _day_class(self, day: dt.date) -> str:
        if self.country is None:
            holiday, made_up, weekend = False, False, {5, 6}
        else:
            for year in (day.year - 1, day.year + 1):
                _ = (
                    dt.date(year, 1, 1) in self.country
                )  # a look-up loads its year, and a year may name days of its neighbour
            holiday, weekend = day in self.country, self.country.weekend
            made_up = day in self.country.weekend_workdays
        if made_up or day in self.workdays:
            return "workday"
        if holiday or day in self.extra:
            return "holiday"
        return "restday" if day.weekday() in weekend else "workday"

    def _starts_on(self, window: dict[str, Any], day: dt.date) -> bool:
        days = window.get("days")
        if days and WEEKDAYS[day.weekday()] not in days and self.day_class(day) not in days:
            return False
        if window.get("months") and day.month not in window["months"]:
            return False
        if window.get("since") and day < _date(window["since"]):
            return False
        return not (window.get("until") and day >= _date(window["until"]))

    def _holds(self, window: dict[str, Any], ts_ms: int) -> bool:
        local = self.local(ts_ms)
        minute = 60 * local.hour + local.minute
        start, end = _minute_of_day(window["from"]), _minute_of_day(window["to"])
        today = local.date()
        if end > start:
            return start <= minute < end and self._starts_on(window, today)
        yesterday = today - dt.timedelta(days=1)
        return (minute >= start and self._starts_on(window, today)) or (
            minute < end and self._starts_on(window, yesterday)
        )

    def _period(self, ts_ms: int) -> str:
        for window in self.windows:
            if self._holds(window, ts_ms):
                return str(window["period"])
        return str(self.policy.get("default_period") or "normal")

    def is_peak(self, start_ms: int) -> bool:
        """Of the interval that starts then."""
        return self.period(start_ms) in ("peak", "critical")

    def occurrence(self, start_ms: int) -> tuple[int, int]:
        """Start and end of the peak occurrence that holds this peak interval."""
        day = self.local_date(start_ms)
        first = last = start_ms
        while self.is_peak(first - self.interval_ms) and self.local_date(first - self.interval_ms) == day:
            first -= self.interval_ms
        while self.is_peak(last + self.interval_ms) and self.local_date(last + self.interval_ms) == day:
            last += self.interval_ms
        return first, last + self.interval_ms

    def _is_allowed(self, minute_ms: int) -> bool:
        return any(self._holds(window, minute_ms) for window in self.allowed)


# 5. Rules


def make_event(
    rule: str,
    building: Building,
    device: str,
    start_ms: int,
    end_ms: int | None,
    reason: str,
    limit: float | None,
    worst: float | None,
    excess: float,
    duration_ms: int,
) -> EventRow:
    text = "\x1f".join((rule, building.id, device, str(start_ms)))
    event_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    state = "open" if end_ms is None else "closed"
    policy = str(building.policy["id"])
    duration_s = duration_ms / 1000
    key = (event_id, rule, building.id, device, start_ms, end_ms, state, reason)
    return EventRow(*key, limit, worst, excess, duration_s, policy)


def peak_demand(use: ItemUse, calendar: Calendar) -> list[EventRow]:
    building, limit = use.building, use.building.peak_limit_kw
    if limit is None:
        return []
    policy = building.policy.get("peak_demand") or {}
    tolerance, clear_ratio, min_coverage = (
        _or(policy.get(name), default)
        for name, default in (("tolerance", 0.0), ("clear_ratio", 1.0), ("min_coverage", 0.8))
    )
    hours = building.interval_ms / HOUR_MS
    events: list[EventRow] = []
    active: list[IntervalRow] = []

    def finish(end_ms: int | None, reason: str) -> None:
        demands = [row.demand_kw for row in active if row.demand_kw is not None]
        excess = sum((max(0.0, demand_kw - limit) * hours for demand_kw in demands), 0.0)
        duration_ms = sum(building.interval_ms for demand_kw in demands if gt(demand_kw, limit))
        start_ms, worst = active[0].start_ms, max(demands)
        key = ("peak_demand", building, "", start_ms, end_ms, reason)
        events.append(make_event(*key, limit, worst, excess, duration_ms))
        active.clear()

    for row in use.rows:
        demand_kw = row.demand_kw
        assert demand_kw is not None
        is_peak = calendar.is_peak(row.start_ms)
        if active:
            if is_peak and gt(demand_kw, limit * clear_ratio):
                active.append(row)
            elif not is_peak:
                finish(row.start_ms, "scope")
            else:
                finish(row.start_ms, "no_data" if lt(row.coverage, min_coverage) else "corrected")
        elif is_peak and gt(demand_kw, limit * (1 + tolerance)):
            active.append(row)
    if active:
        next_ms = active[-1].start_ms + building.interval_ms
        if calendar.is_peak(next_ms):
            finish(None, "")
        else:
            finish(next_ms, "scope")
    return events


def peak_budget(use: ItemUse, calendar: Calendar) -> list[EventRow]:
    building, budget = use.building, use.building.peak_budget_kwh
    if budget is None:
        return []
    occurrences: dict[tuple[int, int], list[IntervalRow]] = defaultdict(list)
    for row in use.rows:
        if calendar.is_peak(row.start_ms):
            occurrences[calendar.occurrence(row.start_ms)].append(row)
    events = []
    for (from_ms, to_ms), rows in occurrences.items():
        inside = [
            segment
            for segment in use.segments
            if segment.estimated and segment.counts_for_budget and from_ms <= segment.t0 and segment.t1 <= to_ms
        ]
        total, start_ms = 0.0, None
        for row in rows:
            total += row.measured
            total += sum(segment.share(row.start_ms, row.start_ms + building.interval_ms) for segment in inside)
            if start_ms is None and gt(total, budget):
                start_ms = row.start_ms
        if start_ms is None:
            continue
        due_end_ms = rows[-1].start_ms + building.interval_ms
        end_ms, reason = (to_ms, "scope") if due_end_ms == to_ms else (None, "")
        key = ("peak_budget", building, "", start_ms, end_ms, reason)
        events.append(make_event(*key, budget, total, total - budget, due_end_ms - start_ms))
    return events


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
    tolerance_c = _or(ac.get("tolerance_c"), 0.0)
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
    on_delay_ms = 1000 * _or(ac.get("min_duration_s"), 600.0)
    off_delay_ms = 1000 * _or(ac.get("clear_duration_s"), 300.0)
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


# 6. Replay


def run(
    config_dir: Path,
    rows: Iterable[Row],
    *,
    now_ms: int,
    horizon_h: float | None = None,
    max_future_s: float = 600.0,
) -> NaiveResult:
    """All results of `rows` (in order of arrival) at once. `horizon_h` None: no revision horizon. now_ms: when the
    replay began."""
    buildings, devices = load_config(config_dir)
    accepted = accept(rows, devices, now_ms, horizon_h, max_future_s)
    intervals: list[IntervalRow] = []
    events: list[EventRow] = []
    for building in buildings.values():
        calendar = Calendar(building.policy, building.zone)
        own = [device for device in devices.values() if device.building == building.id]
        meters_of: dict[str, list[Device]] = defaultdict(list)
        for device in own:
            if device.kind == "meter":
                meters_of[device.item].append(device)
            else:
                events += ac_events(device, building, accepted, calendar)
        for item, meters in meters_of.items():
            use = item_use(building, item, meters, accepted, calendar)
            intervals += use.rows
            if item == "total":
                events += peak_demand(use, calendar) + peak_budget(use, calendar)
    return NaiveResult(
        intervals=sorted(intervals, key=lambda row: row[:3]),
        events=sorted(events, key=lambda row: row[1:5]),
        ledger=sorted(accepted.ledger, key=lambda row: row[:5]),
        rejected=sorted(RejectedRow(reason, count) for reason, count in accepted.rejected.items()),
    )
