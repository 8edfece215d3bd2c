"""Topics of gateways that put names into them, taken apart."""

from __future__ import annotations

from monitor.decoders.payloads import shown
from monitor.decoders.values import UnreadableError

__all__ = ["COMMAND_LEVELS", "Levels", "is_command", "levels_of"]

Levels = tuple[str, ...]

_LONGEST = 400
"""[characters] of a topic. What is longer is nobody's device, and would fill the memory of those that are."""
COMMAND_LEVELS = frozenset({"set", "command", "cmd", "cmnd", "commands", "control"})
"""Last levels of topics to which people write: a wish, whatever the payload says."""


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


def is_command(topic: str) -> bool:
    """Whether people write to a topic."""
    return topic[topic.rfind("/") + 1 :] in COMMAND_LEVELS or topic.startswith("cmnd/") or "/cmnd/" in topic
