"""One source of messages: its topics, its format, its options, and the reader that all of it makes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from monitor.decoders.decoded import Limits
from monitor.decoders.formats import FORMATS
from monitor.decoders.formats.topics import is_status
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, Measured, UnreadableError, Value
from monitor.ingest.message import Message

__all__ = ["MAX_TOPIC_CHARS", "IdRule", "Source", "SourceReader", "topic_matches"]

MAX_TOPIC_CHARS = 1000
"""A longer topic is nobody's, and formats remember topics."""


@dataclass(frozen=True, slots=True)
class IdRule:
    """How the id of a message's readings is found, instead of as the format says. One of the three."""

    topic: tuple[int, ...] = ()
    """Levels of the topic, from 1 (negative: from its end), joined by `/`."""
    path: tuple[str | int, ...] = ()
    """Keys and positions that lead to it in a JSON payload."""
    fixed: str = ""

    def id_of(self, message: Message) -> str:
        """Raises UnreadableError where the topic is too short or the payload has no such id."""
        if self.fixed:
            return self.fixed
        if self.topic:
            levels = message.topic.split("/")
            try:
                topic_id = "/".join(levels[level - 1 if level > 0 else level] for level in self.topic)
            except IndexError:
                raise UnreadableError(f"topic of {len(levels)} levels, the id is at {self.topic}", "no_id") from None
            if not topic_id.strip():
                raise UnreadableError(f"the topic's level at {self.topic} is empty", "no_id")
            return topic_id
        found: Any = read_json(message.payload)
        for step in self.path:
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                raise UnreadableError(f"no id at {step!r} of {self.path}", "no_id") from None
        if isinstance(found, bool) or not isinstance(found, str | int) or not str(found).strip():
            raise UnreadableError(f"no id at {self.path}", "no_id")
        return str(found)


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of `sources` in monitor.yaml, checked."""

    name: str
    format: str
    """A name of `monitor.decoders.formats.FORMATS`."""
    topics: tuple[str, ...]
    """MQTT topic filters."""
    broker: str = ""
    """Name of the broker; empty: any."""
    options: Options = field(default_factory=Options)
    id: IdRule | None = None
    scale: Mapping[Measured, float] = field(default_factory=dict)
    """What values of a quantity are multiplied by, after all units."""


class SourceReader:
    """Reads the messages of one source, one after the other."""

    def __init__(self, source: Source, limits: Limits, state: SourceState | None = None) -> None:
        """Raises KeyError for an unknown format."""
        self.source = source
        self.state = SourceState() if state is None else state
        self.found = Found(self.state)
        self._read = FORMATS[source.format].make(source.options, self.state).read
        self._longest = limits.max_payload_bytes

    def read(self, message: Message) -> Found:
        """What is in the message; good until the next call. Bad input never raises."""
        found = self.found
        found.clear()
        try:
            if len(message.payload) > self._longest:
                found.reject("payload_too_large", f"{len(message.payload)} bytes, expected at most {self._longest}")
                return found
            if len(message.topic) > MAX_TOPIC_CHARS:
                found.reject("malformed", f"a topic of {len(message.topic)} characters, most are {MAX_TOPIC_CHARS}")
                return found
            self._read(message, found)
            found.end_message()
            if self.source.id is not None and found.values:
                _rename(found.values, self.source.id.id_of(message))
            if self.source.scale:
                _scale(found.values, self.source.scale)
        except UnreadableError as error:
            found.clear()
            if is_status(message.topic, message.payload):
                found.ignore("status")
            else:
                found.reject(error.reason, error.detail)
        except Exception as error:  # noqa: BLE001  # a format's mistake: it stands in the quarantine with the payload
            # Not left to whoever reads the batch: read again, its other messages would look like duplicates.
            found.clear()
            found.reject("decoder_failed", shown(f"{type(error).__name__}: {error}"))
        return found


def _rename(values: list[Value], source_id: str) -> None:
    values[:] = [replace(value, source_id=source_id) for value in values]


def _scale(values: list[Value], scale: Mapping[Measured, float]) -> None:
    values[:] = [replace(value, value=value.value * scale.get(value.quantity, 1.0)) for value in values]


def topic_matches(topic: str, topic_filter: str) -> bool:
    """Whether a topic is one of a filter's (MQTT 5, 4.7)."""
    return _matches(topic.split("/"), topic_filter.split("/"))


def _matches(levels: Sequence[str], wanted: Sequence[str]) -> bool:
    if levels[0].startswith("$") and wanted[0] in ("#", "+"):
        return False
    for position, want in enumerate(wanted):
        if want == "#":
            return True
        if position >= len(levels) or want not in ("+", levels[position]):
            return False
    return len(levels) == len(wanted)
