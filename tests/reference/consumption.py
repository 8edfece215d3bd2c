"""Section 3: from readings to segments, and from those to intervals."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

from tests.reference.acceptance import Accepted
from tests.reference.calendar import Calendar
from tests.reference.comparing import ge, gt, le, lt
from tests.reference.configuration import MEDIA, Building, Device
from tests.reference.rows import HOUR_MS, IntervalRow, LedgerRow


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
        """By its own words: of a reading that follows a suspect it may be true beside `_jitters`."""
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
