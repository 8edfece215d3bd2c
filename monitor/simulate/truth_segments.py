"""A meter's readings as segments of consumption: SEMANTICS 3, Register and Power, one meter at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from monitor.registry import Device
from monitor.simulate.stream import above

__all__ = ["Segment", "Segments", "power_segments", "register_segments"]

HOUR_MS = 3_600_000


class Segment(NamedTuple):
    """amount [the item's unit] over [start_ms, end_ms). reset: from case 4, which never counts towards a budget."""

    start_ms: int
    end_ms: int
    amount: float
    estimated: bool
    reset: bool = False


class Segments(NamedTuple):
    segments: list[Segment]
    ledger: list[tuple[str, int, float]]
    """(kind, ts_ms, amount), in multiplied units."""


class _Case(NamedTuple):
    """How a reading continues a base: kind is fit, jitter, rollover or suspect, the first that holds."""

    kind: str
    amount: float
    clears: bool
    """It fits or rolls over by the words of those cases, so that suspects before it are outliers."""


def _case(device: Device, t0: int, v0: float, t1: int, v1: float) -> _Case:
    hours = (t1 - t0) / HOUR_MS
    limit = None if device.max_rate is None else device.max_rate * hours
    if not above(v0, v1):
        if limit is None or not above(v1 - v0, limit):
            return _Case("fit", max(0.0, v1 - v0), clears=True)
        return _Case("suspect", v1 - v0, clears=False)
    rolled, rolls = 0.0, False
    if device.register_max is not None and limit is not None:
        rolled = device.register_max - v0 + v1
        rolls = not above(v0, device.register_max + v1) and not above(rolled, limit)
    if not above(v0 - v1, device.jitter):
        return _Case("jitter", 0.0, clears=rolls)
    return _Case("rollover", max(0.0, rolled), clears=True) if rolls else _Case("suspect", v1 - v0, clears=False)


def _is_spread_unknown(start_ms: int, end_ms: int, interval_ms: int, is_peak: Callable[[int], bool]) -> bool:
    """The second test of an estimated segment: long, and across an edge of peak time."""
    if end_ms - start_ms <= interval_ms * 3 // 2:
        return False
    first_edge = start_ms - start_ms % interval_ms + interval_ms
    return any(is_peak(edge - interval_ms) != is_peak(edge) for edge in range(first_edge, end_ms, interval_ms))


def _measured(
    device: Device,
    start_ms: int,
    end_ms: int,
    amount: float,
    interval_ms: int,
    is_peak: Callable[[int], bool],
    out: Segments,
) -> None:
    """Append a segment of cases 1 to 3 or of power, with its `gap` where it is one."""
    gap = end_ms - start_ms > device.max_gap_s * 1000
    if gap:
        out.ledger.append(("gap", end_ms, amount))
    estimated = gap or _is_spread_unknown(start_ms, end_ms, interval_ms, is_peak)
    out.segments.append(Segment(start_ms, end_ms, amount, estimated))


def register_segments(
    device: Device, rows: Sequence[tuple[int, float]], interval_ms: int, is_peak: Callable[[int], bool]
) -> Segments:
    """rows: (ts_ms, multiplied value), sorted, one for each ts. is_peak: of an interval, by its start."""
    out = Segments([], [])
    if not rows:
        return out
    t0, v0 = rows[0]
    n = 1
    while n < len(rows):
        t1, v1 = rows[n]
        case = _case(device, t0, v0, t1, v1)
        if case.kind == "suspect":
            ahead = rows[n + 1 : n + 4]
            vindicated = next((k for k, (t, v) in enumerate(ahead) if _case(device, t0, v0, t, v).clears), None)
            if vindicated is not None:
                out.ledger.extend(("outlier", t, v - v0) for t, v in rows[n : n + 1 + vindicated])
                n += 1 + vindicated
                continue
            if len(ahead) < 3:
                return out
            if above(v0, v1):
                limit = None if device.max_rate is None else device.max_rate * (t1 - t0) / HOUR_MS
                counts = not above(0.0, v1) and limit is not None and not above(v1, limit)
                amount = v1 if counts else 0.0
                out.ledger.append(("reset", t1, amount))
                out.segments.append(Segment(t0, t1, amount, estimated=True, reset=True))
            else:
                out.ledger.append(("spike", t1, case.amount))
        else:
            if case.kind == "rollover":
                out.ledger.append(("rollover", t1, case.amount))
            _measured(device, t0, t1, case.amount, interval_ms, is_peak, out)
        t0, v0 = t1, v0 if case.kind == "jitter" else v1
        n += 1
    return out


def power_segments(
    device: Device, rows: Sequence[tuple[int, float]], interval_ms: int, is_peak: Callable[[int], bool]
) -> Segments:
    """rows: (ts_ms, multiplied kW), sorted, one for each ts."""
    out = Segments([], [])
    last: tuple[int, float] | None = None
    for ts_ms, power_kw in rows:
        if device.max_rate is not None and above(power_kw, device.max_rate):
            out.ledger.append(("outlier", ts_ms, power_kw))
            continue
        import_kw = max(0.0, power_kw)
        if last is not None:
            energy_kwh = (last[1] + import_kw) / 2 * (ts_ms - last[0]) / HOUR_MS
            _measured(device, last[0], ts_ms, energy_kwh, interval_ms, is_peak, out)
        last = (ts_ms, import_kw)
    return out
