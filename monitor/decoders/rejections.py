"""What a batch of messages holds that cannot be taken, as entries of the quarantine, within bounds."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence

import numpy as np

from monitor.decoders.decoded import DETAIL_CHARS, Reject
from monitor.decoders.payloads import shown
from monitor.decoders.values import Value
from monitor.ingest.message import Message

__all__ = ["MAX_ENTRIES", "Rejections", "far_off", "unaccepted"]

MAX_ENTRIES = 100
"""Quarantine entries of one reason that one message may cause; further ones are counted in the last."""
_FARTHEST_MS = 1 << 62


class Rejections:
    """Collects what is rejected, within bounds."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self.rejects: list[Reject] = []
        self.hit = np.zeros(len(messages), np.bool_)
        """bool[m]: the message has a rejection."""
        self._of: Counter[tuple[int, str]] = Counter()
        self._last: dict[tuple[int, str], int] = {}

    def full(self, message: int, reason: str) -> bool:
        """Count one more; true where it needs no entry, and no detail, of its own."""
        key = message, reason
        self.hit[message] = True
        self._of[key] += 1
        if self._of[key] <= MAX_ENTRIES:
            self._last[key] = len(self.rejects)
            return False
        return True

    def add(self, message: int, reason: str, detail: str) -> None:
        of = self._messages[message]
        if len(detail) > DETAIL_CHARS:
            detail = detail[: DETAIL_CHARS - 1] + "…"
        self.rejects.append(Reject(of.topic, of.payload, reason, detail, of.received_ms))

    def finish(self) -> list[Reject]:
        for key, count in self._of.items():
            if count > MAX_ENTRIES:
                last = self.rejects[self._last[key]]
                more = count - MAX_ENTRIES
                end = f" (and {more} more)"
                detail = last.detail[: DETAIL_CHARS - len(end)] + end
                self.rejects[self._last[key]] = last._replace(detail=detail, readings=1 + more)
        return self.rejects


def unaccepted(reason: str, value: Value, ts_ms: int, received_ms: int) -> str:
    """The detail of a value that the rule of acceptance refuses. Of a time it says how far off it is: a source with
    another's timezone is wrong by whole hours."""
    ts_ms = min(max(ts_ms, -_FARTHEST_MS), _FARTHEST_MS)
    told = f"{shown(value.source_id)} {value.quantity}: {value.value!r}, ts {_iso(ts_ms)}"
    return f"{told}: {far_off(ts_ms, received_ms)}" if reason == "bad_time" else told


def far_off(ts_ms: int, received_ms: int) -> str:
    """How far a refused time is from its arrival, and what may be the matter."""
    hours = abs(ts_ms - received_ms) / 3_600_000
    far = f"{hours:.3g} h" if hours < 48 else f"{hours / 24:.0f} d"
    where = "after" if ts_ms > received_ms else "before"
    return f"{far} {where} its arrival; check the clock and the timezone"


def _iso(ts_ms: int) -> str:
    try:
        moment = dt.datetime.fromtimestamp(ts_ms // 1000, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return str(ts_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
