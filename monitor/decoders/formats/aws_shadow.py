"""Device shadows of AWS IoT: `$aws/things/<thing>/shadow[/name/<name>]/update` and what follows it.

Only `state.reported` is read: `desired`, and `delta` between the two, are wishes. `metadata` has the time [s] of each
value; the device's own message has none. Documented in AWS IoT's "Device Shadow service documents" and "MQTT topics".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.decoders.formats.plain_values import PlainValues
from monitor.decoders.formats.reported import timed
from monitor.decoders.payloads import shown
from monitor.decoders.times import BadTimeError
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["Shadow", "ShadowTopic", "shadow_topic"]

_READ = frozenset({"update", "update/accepted", "update/documents", "get/accepted"})
_COMMANDS = frozenset({"update/delta", "get", "delete"})


class ShadowTopic(NamedTuple):
    thing: str
    operation: str
    ignored: str
    """Why its messages are no readings; empty: they are."""


def shadow_topic(topic: str) -> ShadowTopic | None:
    """What a topic below `$aws` is; None for one that carries a device's own messages (`$aws/rules/…`) or a property's
    values (`$aws/sitewise/…`)."""
    levels = topic.split("/")
    levels = levels[levels.index("$aws") + 1 :]
    if levels[0] in ("rules", "sitewise"):
        return None
    if len(levels) < 4 or levels[0] not in ("things", "thing") or levels[2] != "shadow":
        return ShadowTopic("", "", "status")
    thing, rest = levels[1], levels[3:]
    if rest[0] == "name" and len(rest) > 2:
        thing, rest = f"{thing}/{rest[1]}", rest[2:]
    operation = "/".join(rest)
    ignored = "" if operation in _READ else "command" if operation in _COMMANDS else "status"
    return ShadowTopic(thing, operation, ignored)


class Shadow:
    """Reads shadow documents of one source."""

    def __init__(self, plain: PlainValues) -> None:
        self._plain = plain

    def read(
        self, message: Message, found: Found, document: Any, thing: str, operation: str, envelope_ms: int | None
    ) -> None:
        """envelope_ms: when the cloud had it, if it came in an envelope; for values without a time of their own."""
        if type(document) is not dict:
            raise UnreadableError(f"expected an object, found {shown(document)}")
        current = document.get("current")
        if type(current) is dict:
            document = {"timestamp": document.get("timestamp"), **current}
        state = document.get("state")
        if type(state) is not dict:
            raise UnreadableError(f"state: expected an object, found {shown(state)}")
        reported = state.get("reported")
        if type(reported) is not dict:
            found.ignore("command" if "desired" in state or "delta" in state else "no_value")
            return
        metadata = document.get("metadata")
        raw_time = None
        if type(metadata) is dict:
            reported, raw_time = timed(reported, metadata.get("reported"), _time)
        if raw_time is None and operation != "get/accepted":  # its timestamp says when somebody asked
            raw_time = document.get("timestamp")
        try:
            ts_ms = self._plain.time_ms(message, found, raw_time, thing)
            if ts_ms is None:
                ts_ms = envelope_ms
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(thing)}: {error.detail}")
            return
        self._plain.read_body(message, found, reported, thing, ts_ms, is_id_known=True)


def _time(about: dict[str, Any]) -> int | float | None:
    time = about.get("timestamp")
    return time if type(time) is int or isinstance(time, int | float) else None
