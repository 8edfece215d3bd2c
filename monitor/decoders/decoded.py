"""What decoding a batch of messages gives, whatever their format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.ingest.message import Message
from monitor.readings import ReadingColumns

__all__ = [
    "DETAIL_CHARS",
    "OUTCOMES",
    "WHOLE_MESSAGE",
    "Decoded",
    "Decoder",
    "Limits",
    "Memory",
    "Outgoing",
    "Reject",
    "UnmappedId",
    "decode_all",
]

DETAIL_CHARS = 200
"""As long is the detail of a rejection at most."""
WHOLE_MESSAGE = frozenset({"malformed", "payload_too_large", "decoder_failed"})
"""Reasons that say something of a message, or a part of it, in which no reading was found."""
OUTCOMES = ("accepted", "partial", "rejected", "ignored")
"""What became of a message: all its readings were taken, some, none, or there was none in it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still believed (SEMANTICS 2)."""

    max_future_s: float = 600.0
    """A reading may lie so far after its arrival [s]."""
    max_age_d: float | None = 400.0
    """A reading may lie so far before its arrival [d]; None: however far (a replay)."""
    max_payload_bytes: int = 262_144
    """A longer payload is not looked at."""


class Reject(NamedTuple):
    """One entry of the quarantine."""

    topic: str
    payload: bytes
    """The whole payload; the quarantine keeps its head."""
    reason: str
    """unknown_device, foreign_device, unknown_quantity, bad_value or bad_time for a reading; one of
    `WHOLE_MESSAGE` for what no reading can be taken from."""
    detail: str
    """Which device, which key, which value: at most `DETAIL_CHARS` characters, printable."""
    received_ms: int
    readings: int = 1
    """Readings for which it stands: more than one only in the last entry of a message that has very many."""


class Outgoing(NamedTuple):
    """A message to a gateway: it is asked to send something again."""

    broker: str
    topic: str
    payload: bytes


class UnmappedId(NamedTuple):
    """An id that no device has, as it was seen last."""

    source: str
    source_id: str
    topic: str
    seen_ms: int
    """Its message's arrival, UTC."""
    values: Mapping[str, float]
    """Its last value of each quantity, in canonical units."""
    quarantined_ms: int
    """Arrival of the message for which it was put into quarantine, UTC."""


class Memory(NamedTuple):
    """What has to be remembered with a batch."""

    state: Mapping[str, Mapping[str, bytes | None]] = {}
    """Of each source by its name: entries that changed; None: gone."""
    unmapped: Sequence[UnmappedId] = ()

    @property
    def is_empty(self) -> bool:
        return not self.state and not self.unmapped


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded batch of m messages with n accepted readings."""

    columns: ReadingColumns
    """The accepted readings, in the order of their messages."""
    message_of_row: NDArray[np.int32]
    """int32[n], ascending: index of the message from which a reading comes."""
    outcome: NDArray[np.int8]
    """int8[m], an index of `OUTCOMES`."""
    rejects: Sequence[Reject] = ()
    ignored: Counter[str] = field(default_factory=Counter)
    """What is no reading and no mistake, by reason: retained_without_time, empty, command, unmapped, …"""
    requests: Sequence[Outgoing] = ()
    memory: Memory = field(default_factory=Memory)
    of_sources: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Messages by source of the configuration and outcome; those of no source are not among them."""


class Decoder(Protocol):
    """Rows in the result are rows of the registry that it was made with.

    Bad input never raises: whatever a payload holds ends as a reading, a rejection or an ignored entry.
    """

    def decode(self, messages: Sequence[Message]) -> Decoded: ...


def decode_all(decoder: Decoder, messages: Sequence[Message]) -> Decoded:
    """`decoder.decode`, but not even a mistake in a decoder lets one message hold up the others.

    The broker would send the batch again, and again it would fail; so its messages are tried one by one, and that which
    cannot be decoded is rejected as `decoder_failed`.
    """
    try:
        return decoder.decode(messages)
    except Exception:  # noqa: BLE001  # whatever it is, it is looked for below
        return _joined([_decode_alone(decoder, message) for message in messages])


def _decode_alone(decoder: Decoder, message: Message) -> Decoded:
    try:
        return decoder.decode([message])
    except Exception as error:  # noqa: BLE001  # a decoder's mistake: it stands in the quarantine with the payload
        detail = f"{type(error).__name__}: {error}".encode("ascii", "backslashreplace").decode()[:DETAIL_CHARS]
        rejected = np.array([OUTCOMES.index("rejected")], np.int8)
        reject = Reject(message.topic, message.payload, "decoder_failed", detail, message.received_ms)
        return Decoded(ReadingColumns.empty(), np.empty(0, np.int32), rejected, [reject])


def _joined(parts: Sequence[Decoded]) -> Decoded:
    rows = [np.full(len(part.columns), number, np.int32) for number, part in enumerate(parts)]
    return Decoded(
        ReadingColumns.concat([part.columns for part in parts]),
        np.concatenate(rows) if rows else np.empty(0, np.int32),
        np.concatenate([part.outcome for part in parts]) if parts else np.empty(0, np.int8),
        [reject for part in parts for reject in part.rejects],
        sum((part.ignored for part in parts), start=Counter()),
        [request for part in parts for request in part.requests],
        _remembered([part.memory for part in parts]),
        sum((part.of_sources for part in parts), start=Counter()),
    )


def _remembered(parts: Sequence[Memory]) -> Memory:
    state: dict[str, dict[str, bytes | None]] = {}
    for part in parts:
        for source, changes in part.state.items():
            state.setdefault(source, {}).update(changes)
    return Memory(state, [each for part in parts for each in part.unmapped])
