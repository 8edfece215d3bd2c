"""What every format promises, whatever comes: checked after each message that is read."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from monitor.decoders.formats import FORMATS
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import QUANTITIES, Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["Reader", "Told", "containers", "merge", "processor_time_below", "read_all", "restarted_each_time"]

_CONSTANT = 64
_LONGEST_S = 5.0
"""Processor time for one message."""
_REASON = re.compile(r"[a-z0-9][a-z0-9_]*")
_MAX_DETAIL_CHARS = 1000


@contextlib.contextmanager
def processor_time_below(longest_s: float) -> Iterator[None]:
    """A guard against time out of proportion to a payload's length, not a measurement: what others do on the machine
    does not count."""
    began = time.thread_time()
    yield
    assert time.thread_time() - began < longest_s, "too slow"


class Told(NamedTuple):
    """What a message held; values as text, so that NaN is NaN."""

    values: tuple[tuple[str, str, str, int | None, str], ...]
    """(source_id, quantity, value, ts_ms, name)"""
    reasons: tuple[tuple[str, ...], ...]
    """Of what is rejected, ignored and flagged."""
    requests: tuple[str, ...]


class Reader:
    """One format with its state; every message is checked."""

    def __init__(self, name: str, options: Options, state: SourceState | None = None) -> None:
        self.state = SourceState() if state is None else state
        self.found = Found(self.state)
        self.format = FORMATS[name].make(options, self.state)

    def read(self, message: Message) -> Told:
        found = self.found
        found.clear()
        with processor_time_below(_LONGEST_S):
            try:
                self.format.read(message, found)
                found.end_message()
            except UnreadableError as error:
                found.clear()
                found.reject(error.reason, error.detail)
        _check(message, found)
        return Told(
            tuple((each.source_id, each.quantity, repr(each.value), each.ts_ms, each.name) for each in found.values),
            (tuple(each.reason for each in found.rejected), tuple(found.ignored), tuple(found.flagged)),
            tuple(each.topic for each in found.requests),
        )


def _check(message: Message, found: Found) -> None:
    for value in found.values:
        assert type(value.source_id) is str, value
        value.source_id.encode()
        assert type(value.name) is str, value
        value.name.encode()
        assert value.quantity in QUANTITIES, value
        assert type(value.value) in (float, int), value
        float(value.value)  # an int may be too large to be one
        assert value.ts_ms is None or type(value.ts_ms) is int, value
    for reject in found.rejected:
        assert _REASON.fullmatch(reject.reason), reject
        assert type(reject.detail) is str, reject
        assert len(reject.detail) <= _MAX_DETAIL_CHARS, len(reject.detail)
        reject.detail.encode()
        assert reject.detail.isprintable(), reject
    for reason in (*found.ignored, *found.flagged):
        assert _REASON.fullmatch(reason), reason
    count = len(message.payload) + _CONSTANT
    assert len(found.values) <= count
    assert len(found.rejected) + len(found.ignored) + len(found.flagged) <= 2 * count
    assert len(found.requests) <= 8


def merge(stored: dict[str, bytes], changes: Mapping[str, bytes | None]) -> None:
    """What the store does with a source's changes."""
    for key, encoded in changes.items():
        stored.pop(key, None)
        if encoded is not None:
            key.encode()
            stored[key] = encoded


def read_all(name: str, options: Options, messages: Iterable[Message]) -> tuple[list[Told], SourceState]:
    reader = Reader(name, options)
    return [reader.read(message) for message in messages], reader.state


def restarted_each_time(
    name: str, options: Options, messages: Iterable[Message]
) -> tuple[list[Told], dict[str, bytes]]:
    """As `read_all`, by a format made anew for each message, with the state as it was written down."""
    stored: dict[str, bytes] = {}
    told = []
    for message in messages:
        reader = Reader(name, options, SourceState(stored))
        told.append(reader.read(message))
        merge(stored, reader.state.changes())
        assert reader.state.evicted == 0, "something that cannot be written down"
    return told, stored


def containers(root: object) -> Iterator[Any]:
    """Dicts, lists, sets and the like that hang on a format, but for its options and its state."""
    waiting: list[Any] = [root]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, str | bytes | int | float | Options | SourceState | type | None):
            continue
        seen.add(id(each))
        if isinstance(each, dict):
            yield each
            waiting.extend([*each.keys(), *each.values()])
        elif isinstance(each, list | set | frozenset | tuple):
            yield each
            waiting.extend(each)
        elif type(each).__module__.startswith("monitor."):
            waiting.extend(vars(each).values() if hasattr(each, "__dict__") else ())
            slots = [slot for kind in type(each).__mro__ for slot in getattr(kind, "__slots__", ())]
            waiting.extend(getattr(each, slot, None) for slot in slots)
        elif hasattr(each, "__self__"):  # a bound method
            waiting.append(each.__self__)
