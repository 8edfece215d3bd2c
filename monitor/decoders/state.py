"""What a source remembers from one message to the next, within a bound, so that a restart changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["SourceState"]

_MAX_ENTRIES = 50_000
_MAX_BYTES = 64 * 1024 * 1024


class SourceState:
    """Entries by key; values are what msgspec can encode: bool, int, float, str, bytes, lists, dicts. None is no entry.

    Who changes a value that `get` gave says so by `put`. A tuple comes back as a list after a restart. The entries that
    were not used for longest go first when there are more than `max_entries`, or more than `max_bytes`, keys among
    them, as they were last written down.
    """

    def __init__(
        self,
        entries: Mapping[str, bytes] | None = None,
        *,
        max_entries: int = _MAX_ENTRIES,
        max_bytes: int = _MAX_BYTES,
    ) -> None:
        """entries: what `changes` gave, put together, the longest unused first."""
        self._values: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        self._changed: dict[str, None] = {}
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        for key, encoded in (entries or {}).items():
            self._values[key] = msgspec.msgpack.decode(encoded)
            self._resize(key, encoded)
        self.evicted = 0
        """Entries that had to make room."""

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> Any:
        """The value, or None. It counts as used now."""
        values = self._values
        value = values.pop(key, None)
        if value is not None:
            values[key] = value
        return value

    def put(self, key: str, value: Any) -> None:
        if value is None:
            self.discard(key)
            return
        values = self._values
        values.pop(key, None)
        values[key] = value
        self._changed[key] = None
        while len(values) > self._max_entries:
            self._evict()

    def put_back(self, key: str) -> None:
        """`put` of the value that `get` has just given, changed in place: at a third of its price."""
        self._changed[key] = None

    def append(self, key: str, item: str | int, value: Any, most: int) -> bool:
        """Add an item to the value under this key, a dict that keeps the last `most` items; False, and nothing is
        changed but that it counts as used, where it has this item already or there is no such dict."""
        values = self._values
        known = values.pop(key, None)
        if known is None:
            return False
        values[key] = known
        if type(known) is not dict or item in known:
            return False
        known[item] = value
        if len(known) > most:
            del known[next(iter(known))]
        self._changed[key] = None
        return True

    def discard(self, key: str) -> None:
        if self._values.pop(key, None) is not None:
            self._changed[key] = None
            self._resize(key, None)

    def changes(self) -> dict[str, bytes | None]:
        """What was put since the last call, encoded; None: it is gone."""
        if not self._changed:
            return {}
        changed: dict[str, bytes | None] = {}
        for key in self._changed:
            value = self._values.get(key)
            try:
                encoded = None if value is None else msgspec.msgpack.encode(value)
            except (OverflowError, TypeError, ValueError, RecursionError):
                # A format's mistake, brought about by some payload: no reason for all other sources not to be saved.
                del self._values[key]
                encoded = None
                self.evicted += 1
            changed[key] = encoded
            self._resize(key, encoded)
        self._changed = {}
        while self._bytes > self._max_bytes and len(self._values) > 1:
            changed[self._evict()] = None
            self._changed = {}
        return changed

    def _evict(self) -> str:
        oldest = next(iter(self._values))
        del self._values[oldest]
        self._changed[oldest] = None
        self._resize(oldest, None)
        self.evicted += 1
        return oldest

    def _resize(self, key: str, encoded: bytes | None) -> None:
        size = 0 if encoded is None else len(key) + len(encoded)
        self._bytes += size - self._sizes.pop(key, 0)
        if size:
            self._sizes[key] = size
