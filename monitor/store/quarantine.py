"""What could not be taken or was refused, kept for a human: bounded, the oldest out first, and counted."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from monitor.store.schema import connect, storable, transaction, translated

__all__ = ["PAYLOAD_BYTES", "Quarantine", "QuarantineEntry", "Refused", "insert_entries", "read_refused"]

PAYLOAD_BYTES = 4096
"""So much of a payload is kept."""


class QuarantineEntry(NamedTuple):
    """One thing refused. `payload` may be given whole; its first 4 KiB and its length are kept."""

    time_ms: int
    topic: str
    """MQTT topic, or the sink's name for a point that a server refused."""
    payload: bytes
    reason: str
    detail: str = ""


class Refused(NamedTuple):
    """What was refused for one reason, of the newest rows."""

    reason: str
    times: int
    last_ms: int
    topic: str
    """Of the last one, as is `detail`."""
    detail: str


class Quarantine:
    """The table `quarantine`, on a connection of its own: any thread may add to it while a step is being stored."""

    def __init__(self, path: Path, *, max_rows: int, busy_timeout_s: float = 30.0) -> None:
        """Raises StoreError."""
        self._path = path
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._db = connect(path, busy_timeout_s=busy_timeout_s)

    def add(self, entries: Sequence[QuarantineEntry]) -> None:
        """Add all of them in one transaction, or none. Raises StoreError."""
        if not entries:
            return
        with self._lock, translated(self._path, "write to quarantine"), transaction(self._db):
            insert_entries(self._db, entries, self._max_rows)

    def count(self) -> int:
        """Rows kept. Raises StoreError."""
        # Ids have no holes. COUNT(*) reads every payload's page, 400 MB of them where there are 100,000 rows.
        return self._number(
            "SELECT COALESCE((SELECT MAX(id) FROM quarantine) - (SELECT MIN(id) FROM quarantine) + 1, 0)"
        )

    def dropped(self) -> int:
        """Rows that had to make room since the file was made. Raises StoreError."""
        return self._number("SELECT COALESCE((SELECT value FROM meta WHERE key = 'quarantine_dropped'), 0)")

    def newest(self, limit: int = 100) -> list[QuarantineEntry]:
        """The newest rows, newest first; payloads are cut to 4 KiB. Raises StoreError."""
        with self._lock, translated(self._path, "read quarantine"):
            rows = self._db.execute(
                "SELECT time_ms, topic, payload, reason, detail FROM quarantine ORDER BY id DESC LIMIT ?", (limit,)
            ).fetchall()
        return [QuarantineEntry(*row) for row in rows]

    def _number(self, query: str) -> int:
        with self._lock, translated(self._path, "read quarantine"):
            number: int = self._db.execute(query).fetchone()[0]
        return number

    def close(self) -> None:
        """Calling it again does nothing."""
        with self._lock:
            self._db.close()


def read_refused(
    path: Path, since_ms: int, but_for: Callable[[str, str], bool] = lambda reason, topic: False, newest: int = 1000
) -> list[Refused]:
    """The newest rows that are not older than `since_ms` [UTC ms], by reason, in a file that a running monitor may be
    writing; the most frequent first. Raises StoreError.

    but_for: whether rows of this reason and topic are left out. Only the newest are looked at, for reasons lie behind
    payloads: 100,000 rows would be 400 MB to read.
    """
    db = connect(path, read_only=True)
    try:
        with translated(path, "read quarantine"):
            rows = db.execute(
                "SELECT reason, time_ms, topic, detail FROM quarantine "
                "WHERE id > (SELECT MAX(id) FROM quarantine) - ? AND time_ms >= ? ORDER BY id",
                (newest, since_ms),
            ).fetchall()
    finally:
        db.close()
    found: dict[str, Refused] = {}
    for reason, time_ms, topic, detail in rows:
        if not but_for(reason, topic):
            times = found[reason].times if reason in found else 0
            found[reason] = Refused(reason, times + 1, time_ms, topic, detail)
    return sorted(found.values(), key=lambda refused: (-refused.times, refused.reason))


def insert_entries(db: sqlite3.Connection, entries: Sequence[QuarantineEntry], max_rows: int) -> None:
    """Insert within the caller's transaction, and drop what is over `max_rows`.

    Ids have no holes (AUTOINCREMENT is part of the transaction, only the oldest are deleted), so they count the rows.
    """
    db.executemany(
        "INSERT INTO quarantine (time_ms, topic, payload, payload_bytes, reason, detail) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                entry.time_ms,
                storable(entry.topic),
                bytes(entry.payload[:PAYLOAD_BYTES]),
                len(entry.payload),
                entry.reason,
                storable(entry.detail),
            )
            for entry in entries
        ],
    )
    dropped = db.execute(
        "DELETE FROM quarantine WHERE id <= (SELECT MAX(id) FROM quarantine) - ?", (max_rows,)
    ).rowcount
    if dropped:
        db.execute(
            "INSERT INTO meta VALUES ('quarantine_dropped', ?) "
            "ON CONFLICT DO UPDATE SET value = value + excluded.value",
            (dropped,),
        )
