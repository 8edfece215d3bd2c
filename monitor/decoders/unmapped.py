"""Ids that no device has: said once a day, noted every few seconds, and never more of them than fit."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

__all__ = ["UnmappedLog"]

PERIOD_MS = 86_400_000
"""An id is quarantined once in this time."""
NOTE_EVERY_MS = 10_000
"""Its last value is noted again after this time."""
_KEPT = 20_000
K = TypeVar("K", bound=Hashable)


class UnmappedLog:
    """When each unmapped id was quarantined and noted last. Those for which that is longest ago are forgotten first."""

    def __init__(self, quarantined_ms: Mapping[tuple[str, str], int] | None = None) -> None:
        """quarantined_ms: by source and id, what is known from before, the longest ago first."""
        self._quarantined = dict(quarantined_ms or {})
        self._noted: dict[tuple[str, str, frozenset[str]], int] = {}

    def is_new(self, source: str, source_id: str, now_ms: int) -> bool:
        """Whether it is time to quarantine the id; then the period begins."""
        return _is_due(self._quarantined, (source, source_id), now_ms, PERIOD_MS)

    def quarantined_ms(self, source: str, source_id: str) -> int:
        """When the id's period began. Raises KeyError where it was never asked for."""
        return self._quarantined[source, source_id]

    def is_due(self, source: str, source_id: str, quantities: Iterable[str], now_ms: int) -> bool:
        """Whether it is time to note its last values of these quantities.

        Each set of them has a time of its own: gateways that send one value a message send the others at once after it.
        """
        return _is_due(self._noted, (source, source_id, frozenset(quantities)), now_ms, NOTE_EVERY_MS)


def _is_due(last: dict[K, int], key: K, now_ms: int, every_ms: int) -> bool:
    before = last.get(key)
    if before is not None and 0 <= now_ms - before < every_ms:
        return False
    last.pop(key, None)
    last[key] = now_ms
    if len(last) > _KEPT:
        del last[next(iter(last))]
    return True
