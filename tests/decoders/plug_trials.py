"""Reading single messages with one of the formats of plugs, and payloads that no device should send."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from monitor.decoders.formats import FORMATS
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["ARRIVAL_MS", "PlugTrial", "hostile_payloads"]

ARRIVAL_MS = 1_782_638_100_000
_NONSENSE: tuple[Any, ...] = (
    None, True, False, 0, -1, 10**30, 1e308, "", "x" * 300, "NaN", "on", "\ud800", [], [1, None, "a"], {},
    {"total": []}, [[1.0] * 3] * 3, {"a": {"b": 1}}, float("nan"), float("inf"), -127,
    "2026-06-28T09:14:00", 1_782_638_000,
)  # fmt: skip


class PlugTrial:
    """One format with a state of its own, and what it finds in one message after the other."""

    def __init__(self, name: str, options: Options | None = None) -> None:
        self.state = SourceState()
        self._format = FORMATS[name].make(options or Options(), self.state)
        self.found = Found(self.state)

    def read(self, topic: str, payload: bytes | str | dict[str, Any], *, retain: bool = False) -> Found:
        """Raises nothing; what is unreadable is a rejection."""
        raw = json.dumps(payload).encode() if isinstance(payload, dict) else payload
        raw = raw.encode() if isinstance(raw, str) else raw
        found = self.found
        found.clear()
        try:
            self._format.read(Message(topic, raw, retain, ARRIVAL_MS, "main"), found)
            found.end_message()
        except UnreadableError as error:
            found.clear()
            found.reject(error.reason, error.detail)
        return found

    def triples(self, topic: str, payload: bytes | str | dict[str, Any]) -> list[tuple[str, str, float]]:
        return [(value.source_id, value.quantity, value.value) for value in self.read(topic, payload).values]


def hostile_payloads(good: dict[str, Any], seed: int, count: int = 400) -> Iterator[bytes]:
    """A good payload with some of its values, at any depth, replaced by nonsense; and what is no such payload."""
    yield from (
        b"",
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"a":' * 50_000,
        b"9" * 5000,
        b"[]",
        b"null",
        b'"' + b"x" * 1_000_000 + b'"',
    )
    yield json.dumps(good).encode()[:-9]
    dice = random.Random(seed)
    for _ in range(count):
        yield json.dumps(_spoilt(good, dice)).encode()


def _spoilt(value: Any, dice: random.Random) -> Any:
    if dice.random() < 0.15:
        return dice.choice(_NONSENSE)
    if isinstance(value, dict):
        spoilt = {key: _spoilt(each, dice) for key, each in value.items()}
        if dice.random() < 0.1:
            spoilt[dice.choice(["", "\ud800", "x" * 500, "em:1", "POWER99999", "state_l99"])] = dice.choice(_NONSENSE)
        return spoilt
    if isinstance(value, list):
        return [_spoilt(each, dice) for each in value]
    return value
