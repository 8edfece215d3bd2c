"""What gateways send to readings, format by format, on one core: how long a message takes its reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.bench.measure import Bench, Figure, rate, skipped, take_times
from monitor.bench.payloads import SHAPES
from monitor.bench.turns import Shape, Turn, as_message
from monitor.decoders.formats import FORMATS
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["measure"]

_MESSAGE_US = 5.0
_READING_US = 1.0
"""On top of it, for each reading."""
_WHOLE_US = {"sparkplug_b": 30.0, "dsmr_p1": 30.0}
"""Formats that are no JSON and long, for a message."""


def measure(bench: Bench) -> Iterator[Figure]:
    bench.say(f"formats: {len(SHAPES)} kinds of messages")
    for shape in SHAPES:
        yield _figure(bench, shape)


def _figure(bench: Bench, shape: Shape) -> Figure:
    devices, runs = bench.size(200, 5), bench.size(9, 2)
    state = SourceState()
    found = Found(state)
    reader = FORMATS[shape.format].make(shape.options, state)
    rounds = [[_message(shape, Turn(device, number)) for device in range(devices)] for number in range(runs + 1)]
    case = f"{shape.format}: {shape.name}"
    for device in range(devices):
        for topic, payload in shape.before(device) if shape.before else ():
            reader.read(as_message(topic, payload, Turn(device, -1).ms), found)
            found.end_message()
    readings = 0
    for message in rounds[0]:  # warms up, and proves that it is readings that are counted
        found.clear()
        try:
            reader.read(message, found)
        except UnreadableError as error:
            found.reject(error.reason, error.detail)
        found.end_message()
        if not found.values or found.rejected:
            why = found.rejected[0].detail if found.rejected else "no reading in it"
            return skipped("formats", case, "messages/s", f"{message.topic}: {why}")
        readings += len(found.values)

    def read(messages: Sequence[Message]) -> None:
        # As `SourceReader` does it.
        for message in messages:
            found.clear()
            reader.read(message, found)
            found.end_message()

    times = take_times(lambda run: rounds[run + 1], read, runs)
    each = readings / devices
    target_us = _WHOLE_US.get(shape.format, _MESSAGE_US + _READING_US * each)
    size = sum(len(message.payload) for message in rounds[0]) / devices
    return rate(
        "formats",
        case,
        "messages/s",
        devices,
        times,
        target=1e6 / target_us,
        details={
            "readings_per_message": each,
            "us_per_reading": times.wall_s / readings * 1e6,
            "target_us": target_us,
            "bytes_per_message": size,
        },
    )


def _message(shape: Shape, turn: Turn) -> Message:
    topic, payload = shape.make(turn)
    return as_message(topic, payload, turn.ms)
