"""What is remembered of Sparkplug's edge nodes: which session is alive, what its births declared, which sequence number
came last, which messages wait for a birth.

All of it stands in the source's state, each kind under keys of its own, so that a DATA message changes two numbers and
no table. A table belongs to the session in which its birth came, and counts only while that session is the node's: so a
death or a new NBIRTH drops the tables of all its devices at once, without a list of them.
"""

from __future__ import annotations

import zlib
from typing import Any, Literal, NamedTuple

from monitor.decoders.state import SourceState
from monitor.ingest.message import Message

__all__ = ["Order", "Row", "Sessions", "Table", "Waiting"]

Order = Literal["next", "repeated", "gap", "restart"]
"""next: as expected, or nothing to expect; repeated: this very message came before; gap: at least one is missing;
restart: the count went back, so that a whole session may be missing."""

_SEQUENCE = 256
_REMEMBERED = 64
"""Messages of a node that are recognised when they come again."""
_MAX_WAITING = 64
_MAX_WAITING_BYTES = 256 * 1024
_MAX_PENDING = 1_000
_MAX_ROWS = 20_000
_ASK_AGAIN_MS = 60_000
_ASK_AGAIN_AT_MOST_MS = 3_600_000
_WITHDRAWN = ["withdrawn", None, None]
"""The session of a table that is no more."""


class Row(NamedTuple):
    """One metric as a birth declares it."""

    alias: int | None
    name: str
    datatype: int
    unit: str | None


class Table(NamedTuple):
    """What one birth declared; the same object as long as it is the same birth."""

    rows: list[Row]
    stored: Any


class Waiting(NamedTuple):
    """A message that could not be read to the end before a birth."""

    device: str
    topic: str
    payload: bytes
    retain: bool
    received_ms: int
    pending: list[int | str] | None
    """The aliases and names that wait; None: all."""


class Sessions:
    """`node` is group/edge with what stands before the namespace; `device` is empty for the node itself."""

    def __init__(self, state: SourceState) -> None:
        self._state = state

    def follow(self, node: str, seq: int, message: Message, *, is_node_birth: bool) -> Order:
        """Hold a message's sequence number against the last one's, and remember it."""
        key = f"seq/{node}"
        known: list[Any] | None = self._state.get(key)
        digest = zlib.crc32(message.payload, zlib.crc32(message.topic.encode("utf-8", "surrogatepass")))
        slot = seq % _REMEMBERED
        if known is None:
            known = [None, [0] * _REMEMBERED]
            self._state.put(key, known)
        last, recent = known
        if recent[slot] == digest:
            return "repeated"
        recent[slot] = digest
        known[0] = seq
        self._state.put_back(key)
        if is_node_birth or last is None or seq in ((last + 1) % _SEQUENCE, last + 1):
            return "next"
        return "restart" if seq < last else "gap"

    def begin(self, node: str, bd_seq: int | None, stamp: int) -> None:
        """A NBIRTH. The same one again leaves the devices' tables as they are."""
        session = ["birth", bd_seq, stamp]
        if self._state.get(f"session/{node}") != session:
            self._state.put(f"session/{node}", session)

    def end(self, node: str, bd_seq: int | None, received_ms: int) -> bool:
        """A NDEATH; False: it is of an earlier session than the one that is alive."""
        key = f"session/{node}"
        session = self._state.get(key)
        if session is not None and bd_seq is not None:
            kind, of_session, _ = session
            if kind == "dead" and of_session == bd_seq:
                return True
            if kind == "birth" and of_session is not None and _is_before(bd_seq, of_session):
                return False
        self._state.put(key, ["dead", bd_seq, received_ms])
        known: list[Any] | None = self._state.get(f"seq/{node}")
        if known is not None:  # what came before the death is recognised after it, too
            self._state.put(f"seq/{node}", [None, known[1]])
        return True

    def lose(self, node: str, received_ms: int) -> None:
        """Births may have been missed: what earlier ones declared no longer counts, even after a loss that was noticed
        in the same millisecond."""
        key = f"session/{node}"
        session = self._state.get(key)
        if session is not None and session[0] == "lost":
            received_ms = max(received_ms, session[2] + 1)
        self._state.put(key, ["lost", None, received_ms])

    def declare(self, node: str, device: str, rows: list[Row], stamp: int) -> None:
        """What a birth says of its metrics."""
        session = self._state.get(f"session/{node}")
        table = [session, stamp, [list(row) for row in rows[:_MAX_ROWS]]]
        key = f"table/{node}/{device}"
        if self._state.get(key) != table:
            self._state.put(key, table)

    def has_declared(self, node: str, device: str, stamp: int) -> bool:
        """Whether the last birth, of whatever session, is the one with this time."""
        stored = self._state.get(f"table/{node}/{device}")
        return stored is not None and bool(stored[1] == stamp)

    def withdraw(self, node: str, device: str) -> None:
        """A DDEATH. The time of the birth is kept: the broker may have kept that birth, and send it again."""
        key = f"table/{node}/{device}"
        stored = self._state.get(key)
        if stored is not None and stored[0] != _WITHDRAWN:
            self._state.put(key, [_WITHDRAWN, stored[1], []])

    def table(self, node: str, device: str) -> Any:
        """What the present birth of a node or device declared, as it is stored; None: there is none. See `rows`."""
        stored = self._state.get(f"table/{node}/{device}")
        if stored is None or stored[0] == _WITHDRAWN:
            return None
        session = self._state.get(f"session/{node}")
        of_birth, stamp, _ = stored
        if of_birth == session:
            return stored
        # Retained births come in any order: one of a device that came before its node's is of the same session if it
        # was sent after it.
        is_early = session is not None and session[0] == "birth" and (of_birth is None or of_birth[0] != "birth")
        return stored if is_early and stamp >= session[2] else None

    @staticmethod
    def rows(stored: Any) -> list[Row]:
        return [Row(*row) for row in stored[2]]

    def hold(self, node: str, waiting: Waiting) -> int:
        """Keep a message until a birth; returns how many had to go instead, the oldest first."""
        key = f"waiting/{node}"
        held: list[list[Any]] = self._state.get(key) or []
        if waiting.pending is not None and len(waiting.pending) > _MAX_PENDING:
            waiting = waiting._replace(pending=None)
        entry = list(waiting)
        if any(each[1] == waiting.topic and each[2] == waiting.payload for each in held):
            return 0  # it came again
        held.append(entry)
        dropped = 0
        size = sum(len(each[1]) + len(each[2]) for each in held)
        while held and (len(held) > _MAX_WAITING or size > _MAX_WAITING_BYTES):
            first = held.pop(0)
            size -= len(first[1]) + len(first[2])
            dropped += 1
        if held:
            self._state.put(key, held)
        else:
            self._state.discard(key)
        return dropped

    def holds(self, node: str, message: Message) -> bool:
        held: list[list[Any]] = self._state.get(f"waiting/{node}") or []
        return any(each[1] == message.topic and each[2] == message.payload for each in held)

    def release(self, node: str, device: str) -> list[Waiting]:
        """The messages that wait for this birth, which do so no more."""
        key = f"waiting/{node}"
        held: list[list[Any]] = self._state.get(key) or []
        if not held:
            return []
        released = [Waiting(*each) for each in held if each[0] == device]
        kept = [each for each in held if each[0] != device]
        if not released:
            return []
        if kept:
            self._state.put(key, kept)
        else:
            self._state.discard(key)
        return released

    def drop_waiting(self, node: str, device: str | None = None) -> bool:
        """Forget what waits for a birth that can no longer come, of one device or of all; true: something did."""
        key = f"waiting/{node}"
        held: list[list[Any]] = self._state.get(key) or []
        kept = [each for each in held if device is not None and each[0] != device]
        if len(kept) == len(held):
            return False
        if kept:
            self._state.put(key, kept)
        else:
            self._state.discard(key)
        return True

    def may_ask(self, node: str, now_ms: int) -> bool:
        """Whether a node may be asked for its births (again): at once, after a minute, then less and less often, since
        who sees a part of a node's messages only sees gaps all the time."""
        key = f"asked/{node}"
        last_ms, count = self._state.get(key) or (None, 0)
        if last_ms is not None and 0 <= now_ms - last_ms < 2 * _ASK_AGAIN_AT_MOST_MS:
            if now_ms - last_ms < min(_ASK_AGAIN_MS << min(count - 1, 10), _ASK_AGAIN_AT_MOST_MS):
                return False
        else:
            count = 0
        self._state.put(key, [now_ms, count + 1])
        return True


def _is_before(bd_seq: int, of_session: int) -> bool:
    """Whether a session's number is an earlier one; they count from 0 to 255 and round again, or just on."""
    if bd_seq < _SEQUENCE and of_session < _SEQUENCE:
        return 0 < (of_session - bd_seq) % _SEQUENCE < _SEQUENCE // 2
    return bd_seq < of_session
