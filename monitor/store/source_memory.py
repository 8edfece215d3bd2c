"""What sources remember from message to message, and which ids nobody knows, kept over restarts."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from monitor.errors import StoreError
from monitor.store.schema import connect, storable, transaction, translated

__all__ = ["MAX_UNMAPPED", "SeenUnmapped", "SourceMemory", "Unmapped", "forget_identity", "read_unmapped"]

MAX_UNMAPPED = 10_000
"""So many unmapped ids are kept; those not seen for longest go first."""


class Unmapped(NamedTuple):
    """An id that no device has, as it was seen last."""

    source: str
    source_id: str
    topic: str
    seen_ms: int
    values: Mapping[str, float]
    """Last value of each quantity, in canonical units."""
    quarantined_ms: int | None = None
    """When it was last put into quarantine, UTC; None: nothing new is known of that."""


class SeenUnmapped(NamedTuple):
    """The same, with the time since which it has been seen [UTC ms]."""

    unmapped: Unmapped
    first_ms: int


class SourceMemory:
    """The tables `source_state` and `unmapped`, on a connection of their own. Any thread may use it."""

    def __init__(self, path: Path, *, busy_timeout_s: float = 30.0) -> None:
        """Raises StoreError."""
        self._path = path
        self._lock = threading.Lock()
        self._db = connect(path, busy_timeout_s=busy_timeout_s)
        with translated(path, "read what sources remember"):
            # Once: no index has it, and to look for it reads every value that is remembered.
            (self._changes,) = self._db.execute("SELECT COALESCE(MAX(changed), 0) FROM source_state").fetchone()
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('source_memory', random())")
            (identity,) = self._db.execute("SELECT value FROM meta WHERE key = 'source_memory'").fetchone()
        self.identity: int = identity
        """Another one for a file that was begun anew: what was remembered then is not in it."""

    def state(self) -> dict[str, dict[str, bytes]]:
        """Of each source by its name, the entries that were changed longest ago first. Raises StoreError."""
        found: dict[str, dict[str, bytes]] = {}
        with self._lock, translated(self._path, "read what sources remember"):
            for source, key, value in self._db.execute(
                "SELECT source, key, value FROM source_state ORDER BY source, changed"
            ):
                found.setdefault(source, {})[key] = value
        return found

    def keep_only(self, sources: Collection[str]) -> None:
        """Forget all others. What stands for a source that is gone would never be changed or evicted, and were it named
        again in a year, it would go on with registers and births of today. Raises StoreError."""
        names = json.dumps(list(sources))
        with self._lock, translated(self._path, "forget sources that are gone"), transaction(self._db):
            for table in ("source_state", "unmapped"):
                self._db.execute(
                    f"DELETE FROM {table} WHERE source NOT IN (SELECT value FROM json_each(?))",
                    (names,),
                )

    def quarantined(self) -> dict[tuple[str, str], int]:
        """When each unmapped id, by source and id, was last put into quarantine [UTC ms], the longest ago first. Raises
        StoreError."""
        with self._lock, translated(self._path, "read unmapped ids"):
            rows = self._db.execute(
                "SELECT source, source_id, quarantined_ms FROM unmapped WHERE quarantined_ms IS NOT NULL "
                "ORDER BY quarantined_ms"
            ).fetchall()
        return {(source, source_id): quarantined_ms for source, source_id, quarantined_ms in rows}

    def save(self, state: Mapping[str, Mapping[str, bytes | None]], unmapped: Sequence[Unmapped]) -> None:
        """All of it in one transaction, or nothing. Raises StoreError."""
        with self._lock, translated(self._path, "write what sources remember"), transaction(self._db):
            for source, changes in state.items():
                self._save_state(source, changes)
            if unmapped:
                self._save_unmapped(unmapped)

    def _save_state(self, source: str, changes: Mapping[str, bytes | None]) -> None:
        gone = [(source, storable(key)) for key, value in changes.items() if value is None]
        self._db.executemany("DELETE FROM source_state WHERE source = ? AND key = ?", gone)
        kept = [
            (source, storable(key), self._changes + number, value)
            for number, (key, value) in enumerate(changes.items(), 1)
            if value is not None
        ]
        self._changes += len(changes)
        self._db.executemany(
            "INSERT INTO source_state VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET changed = excluded.changed, value = excluded.value",
            kept,
        )

    def _save_unmapped(self, unmapped: Sequence[Unmapped]) -> None:
        self._db.executemany(
            "INSERT INTO unmapped VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            'topic = excluded.topic, last_ms = excluded.last_ms, "values" = json_patch("values", excluded."values"), '
            "quarantined_ms = COALESCE(excluded.quarantined_ms, quarantined_ms)",
            [
                (
                    each.source,
                    storable(each.source_id),
                    storable(each.topic),
                    each.seen_ms,
                    each.seen_ms,
                    json.dumps({name: _finite(value) for name, value in each.values.items()}),
                    each.quarantined_ms,
                )
                for each in unmapped
            ],
        )
        self._db.execute(
            "DELETE FROM unmapped WHERE (source, source_id) IN "
            "(SELECT source, source_id FROM unmapped ORDER BY last_ms DESC LIMIT -1 OFFSET ?)",
            (MAX_UNMAPPED,),
        )

    def close(self) -> None:
        """Calling it again does nothing."""
        with self._lock:
            self._db.close()


def read_unmapped(path: Path) -> list[SeenUnmapped]:
    """The unmapped ids in a file that a running monitor may be writing, by source and id. Raises StoreError."""
    db = connect(path, read_only=True)
    try:
        with translated(path, "read unmapped ids"):
            (tables,) = db.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'unmapped'").fetchone()
            if not tables:
                found = f"{path}: was written by an earlier version, which noted no unmapped ids"
                raise StoreError(f"{found}; start the monitor of this version first", kind="schema", retryable=False)
            rows = db.execute(
                'SELECT source, source_id, topic, first_ms, last_ms, "values" FROM unmapped ORDER BY source, source_id'
            ).fetchall()
    finally:
        db.close()
    return [
        SeenUnmapped(Unmapped(source, source_id, topic, last_ms, json.loads(values)), first_ms)
        for source, source_id, topic, first_ms, last_ms, values in rows
    ]


def forget_identity(db: sqlite3.Connection) -> None:
    """Of a copy: where it is put to use, what brokers keep has changed since, and is asked for again."""
    with db:
        db.execute("DELETE FROM meta WHERE key = 'source_memory'")


def _finite(value: float) -> float | None:
    """JSON knows no other; null takes the entry out."""
    return value if abs(value) < float("inf") else None
