"""What a persistent session was subscribed to, kept over restarts.

A broker keeps the subscriptions of a persistent session and tells nobody which they are. A topic that is taken out of
the configuration would go on arriving for ever; so the filters are written down before they are subscribed, and what
stands there and is no longer wanted is unsubscribed. Who reads them is kept there as well, under a name of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from monitor.errors import BrokerError
from monitor.journal.atomic import write_atomic

__all__ = ["SubscriptionFile", "SubscriptionMemory"]


class SubscriptionMemory(Protocol):
    """Where a link remembers its subscriptions."""

    def load(self, session: str) -> frozenset[str]:
        """The filters that the session may still have."""

    def save(self, session: str, filters: frozenset[str]) -> None: ...


class SubscriptionFile:
    """One small JSON file for all links: the filters of each session by its name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, session: str) -> frozenset[str]:
        """Empty where there is no file, where it cannot be read as one, or where the session is not in it."""
        return frozenset(self._all().get(session, ()))

    def save(self, session: str, filters: frozenset[str]) -> None:
        """Raises BrokerError (retryable) where it cannot be written."""
        document = {**self._all(), session: sorted(filters)}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, [json.dumps(document, ensure_ascii=False, indent=1).encode()])
        except OSError as error:
            raise BrokerError(f"{self._path}: cannot write down the subscriptions: {error}") from error

    def _all(self) -> dict[str, list[str]]:
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(kept, dict):
            return {}
        return {session: [str(name) for name in names] for session, names in kept.items() if isinstance(names, list)}
