"""Native messages to columns, on one core, in batches as the intake hands them over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.bench.measure import Bench, Figure, rate, take_times
from monitor.bench.workload import Town, build_town, messages, readings
from monitor.decoders import Limits
from monitor.decoders.native import NativeDecoder
from monitor.errors import MonitorError

__all__ = ["measure"]

_TARGET = 1_000_000.0


def measure(bench: Bench) -> Iterator[Figure]:
    town = build_town(bench.size(1_000, 10))
    # What 200 ms bring at 150,000 readings/s and at 12,000 messages/s.
    yield _batches(bench, town, per_message=100, rows=bench.size(30_000, 200), target=_TARGET)
    yield _batches(bench, town, per_message=1, rows=bench.size(2_400, 50), target=None)


def _batches(bench: Bench, town: Town, *, per_message: int, rows: int, target: float | None) -> Figure:
    bench.say(f"decode: {rows // per_message} messages of {per_message} readings")
    decoder = NativeDecoder(town.registry, Limits())
    rounds = rows // len(town.is_ac) + 1
    columns = readings(town, 0, rounds * 2)
    batches = [
        messages(town.registry, columns.take(np.arange(first, first + rows)), per_message) for first in (0, rows)
    ]
    for batch in batches:  # compiles, and proves that it is the readings that are counted
        decoded = decoder.decode(batch)
        if len(decoded.columns) != rows or decoded.rejects:
            raise MonitorError(f"decode: {len(decoded.columns)} readings and {len(decoded.rejects)} rejects of {rows}")
    times = take_times(lambda run: batches[run % 2], decoder.decode, bench.size(25, 2))
    size = sum(len(message.payload) for message in batches[0]) / rows
    each = "one-reading" if per_message == 1 else f"{per_message}-reading"
    case = f"native JSON, {rows // per_message:,} {each} messages"
    return rate("decode", case, "readings/s", rows, times, target=target, details={"bytes_per_reading": size})
