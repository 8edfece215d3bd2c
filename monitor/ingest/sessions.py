"""What a persistent session was subscribed to, kept over restarts.

A broker keeps the subscriptions of a persistent session and tells nobody which they are. A topic that is taken out of
the configuration would go on arriving for ever; so the filters are written down before they are subscribed, and what
stands there and is no longer wanted is unsubscribed.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Protocol

from monitor.errors import BrokerError

__all__ = ["SubscriptionFile", "SubscriptionMemory"]


class SubscriptionMemory(Protocol):
    """Where a link remembers its subscriptions."""

    def load(self, session: str) -> frozenset[str]:
        """The filters that the session may still have."""

    def save(self, session: str, filters: frozenset[str]) -> None: ...


class SubscriptionFile:
    """One small JSON file per link: the session's name, and its filters."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, session: str) -> frozenset[str]:
        """Empty where there is no file, where it cannot be read as one, or where it is another session's."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept["session"] == session:
                return frozenset(str(name) for name in kept["filters"])
        return frozenset()

    def save(self, session: str, filters: frozenset[str]) -> None:
        """Raises BrokerError (retryable) where it cannot be written."""
        aside = self._path.with_suffix(".new")
        document = {"session": session, "filters": sorted(filters)}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("w", encoding="utf-8") as file:
                json.dump(document, file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)
        except OSError as error:
            raise BrokerError(f"{self._path}: cannot write down the subscriptions: {error}") from error
