"""What a broker link hands on: one MQTT message with what is needed to acknowledge it."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Message"]


class Message(msgspec.Struct, frozen=True):
    """One message as it arrived. Nothing of it is trusted yet."""

    topic: str
    payload: bytes
    retain: bool
    """The broker kept it from an earlier time: what it says may be old."""
    received_ms: int
    """Arrival, UTC milliseconds since the epoch."""
    broker: str
    """Name of the broker in the configuration: the `source` label of the metrics."""
    token: Any = None
    """What acknowledges it. Only the link that made it looks inside."""
