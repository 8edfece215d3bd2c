"""Topics of gateways that put names into them, taken apart."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from monitor.decoders.payloads import shown
from monitor.decoders.values import UnreadableError

__all__ = ["COMMAND_LEVELS", "STATUS_LEVELS", "Levels", "is_command", "is_order", "is_status", "levels_of"]

Levels = tuple[str, ...]

_LONGEST = 400
"""[characters] of a topic. What is longer is nobody's device, and would fill the memory of those that are."""
COMMAND_LEVELS = frozenset({"set", "command", "cmd", "cmnd", "commands", "control", "write", "desired"})
"""Last levels of topics to which people write: a wish, whatever the payload says."""
STATUS_LEVELS = frozenset({"status", "state", "lwt", "LWT", "connected", "online", "availability"})
"""Last levels of topics that say whether a device is there."""
_BEFORE_LAST = frozenset({"set", "command", "cmd", "cmnd", "commands"})
"""`set/setpoint`, `command/ac-1`."""
_ORDER_KEYS = frozenset({"cmd", "command", "method", "action", "op", "msgType", "msg_type", "type"})
_CACHED_TOPICS = 4000
_LONGEST_ORDER = 40
_LONGEST_STATUS = 20
_ORDERS = frozenset({"set", "write", "command", "cmd", "down", "downlink"})


def levels_of(topic: str) -> Levels:
    """The levels of a topic. Raises UnreadableError for one that cannot be remembered."""
    if len(topic) > _LONGEST:
        raise UnreadableError(f"topic {shown(topic)}: {len(topic)} characters, expected at most {_LONGEST}")
    if not topic.isascii():
        try:
            topic.encode()
        except UnicodeEncodeError:
            raise UnreadableError(f"topic {shown(topic)}: no UTF-8") from None
    return tuple(topic.split("/"))


@lru_cache(_CACHED_TOPICS)
def is_command(topic: str) -> bool:
    """Whether people write to a topic."""
    *_, before, last = ("", *topic.rsplit("/", 2))
    return last in COMMAND_LEVELS or before in _BEFORE_LAST or topic.startswith("cmnd/") or "/cmnd/" in topic


def is_status(topic: str, payload: bytes) -> bool:
    """Whether a word (`online`) says that a device is there: to be asked of what is not of its format."""
    return len(payload) <= _LONGEST_STATUS and payload.isalpha() and topic.rpartition("/")[2] in STATUS_LEVELS


def is_order(body: dict[str, Any]) -> bool:
    """Whether an object says of itself that somebody wants its values: `"method": "property.set"`."""
    if _ORDER_KEYS.isdisjoint(body):
        return False
    said = [body[key] for key in _ORDER_KEYS if key in body]
    return any(type(each) is str and each[-_LONGEST_ORDER:].rpartition(".")[2].lower() in _ORDERS for each in said)
