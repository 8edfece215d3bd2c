"""Lines that wait for a sink. They are written in the transaction of the step that made them, and leave it only when
the server has accepted them."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.store.lines import LineBatch
from monitor.store.quarantine import QuarantineEntry, insert_entries
from monitor.store.schema import connect, transaction, translated

__all__ = ["Outbox", "OutboxStats", "Waiting", "insert_batches"]

_GZIP_LEVEL = 1
"""Level 6 takes three times as long for a sixth less."""
_NEARLY = 0.9


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """What waits, for all sinks together or for one."""

    batches: int
    points: int
    bytes: int
    """Compressed, as it lies on the disk."""
    oldest_ms: int | None
    """When the oldest was stored [UTC ms]; None: nothing waits."""
    max_bytes: int

    @property
    def is_full(self) -> bool:
        """Nothing more may be acknowledged to the broker."""
        return self.bytes >= self.max_bytes

    @property
    def is_nearly_full(self) -> bool:
        """90 % of the budget: time for an alert."""
        return self.bytes >= _NEARLY * self.max_bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """The oldest batches of a sink, taken together for one request."""

    first_seq: int
    last_seq: int
    points: int
    body: bytes
    """Lines, not compressed."""


class Outbox:
    """One sink's end of the outbox. `take`, `accepted` and `failed` are for the sender's thread, `stats` for any: it
    reads on a connection of its own and never waits for a writer."""

    def __init__(
        self, path: Path, sink: str, *, max_bytes: int, quarantine_rows: int, busy_timeout_s: float = 30.0
    ) -> None:
        """max_bytes: the disk budget of all sinks together. quarantine_rows: the bound of the table `quarantine`.

        Raises StoreError.
        """
        self.sink = sink
        self.max_bytes = max_bytes
        self._path = path
        self._quarantine_rows = quarantine_rows
        self._db = connect(path, busy_timeout_s=busy_timeout_s)
        self._reader = connect(path, read_only=True)
        self._reader_lock = threading.Lock()
        self._db_lock = threading.Lock()  # `close` comes from another thread, while the sender's may still be at work

    def take(self, max_points: int) -> Waiting | None:
        """The oldest batch and as many after it as stay within `max_points`. They stay where they are.

        Raises StoreError.
        """
        with self._db_lock, translated(self._path, "read the outbox"):
            found = self._db.execute(
                "SELECT seq, points FROM outbox WHERE sink = ? ORDER BY seq LIMIT 1000", (self.sink,)
            ).fetchall()
            if not found:
                return None
            count, points = 1, found[0][1]
            while count < len(found) and points + found[count][1] <= max_points:
                points += found[count][1]
                count += 1
            first, last = found[0][0], found[count - 1][0]
            bodies = self._db.execute(
                "SELECT body FROM outbox WHERE sink = ? AND seq BETWEEN ? AND ? ORDER BY seq", (self.sink, first, last)
            ).fetchall()
        return Waiting(first, last, points, b"".join(zlib.decompress(body, wbits=31) for (body,) in bodies))

    def accepted(self, waiting: Waiting, refused: Sequence[QuarantineEntry] = ()) -> None:
        """The server has it all, but for the points that it will never take: those go to quarantine in the same
        transaction. Raises StoreError."""
        with self._db_lock, translated(self._path, "empty the outbox"), transaction(self._db):
            if refused:
                insert_entries(self._db, refused, self._quarantine_rows)
            self._db.execute(
                "DELETE FROM outbox WHERE sink = ? AND seq BETWEEN ? AND ?",
                (self.sink, waiting.first_seq, waiting.last_seq),
            )

    def failed(self, waiting: Waiting, error: str, next_ms: int) -> None:
        """Note beside the batch why it still waits and when it is tried again. Raises StoreError."""
        with self._db_lock, translated(self._path, "write to the outbox"), transaction(self._db):
            self._db.execute(
                "UPDATE outbox SET attempts = attempts + 1, next_ms = ?, last_error = ? WHERE seq = ?",
                (next_ms, error, waiting.first_seq),
            )

    def stats(self, *, every_sink: bool = True) -> OutboxStats:
        """What waits now. Raises StoreError."""
        condition, values = ("", ()) if every_sink else ("WHERE sink = ?", (self.sink,))
        sums = "COUNT(*), COALESCE(SUM(points), 0), COALESCE(SUM(bytes), 0), MIN(created_ms)"
        with self._reader_lock, translated(self._path, "read the outbox"):
            row = self._reader.execute(f"SELECT {sums} FROM outbox {condition}", values).fetchone()
        batches, points, size, oldest_ms = row
        return OutboxStats(batches, points, size, oldest_ms, self.max_bytes)

    def close(self) -> None:
        """Calling it again does nothing."""
        with self._db_lock:
            self._db.close()
        with self._reader_lock:
            self._reader.close()


def insert_batches(db: sqlite3.Connection, sinks: Sequence[str], batches: Sequence[LineBatch], now_ms: int) -> None:
    """Append within the caller's transaction: each batch once for each sink."""
    for batch in batches:
        body = zlib.compress(batch.body, _GZIP_LEVEL, wbits=31)
        for sink in sinks:
            db.execute(
                "INSERT INTO outbox (sink, points, bytes, created_ms, body) VALUES (?, ?, ?, ?, ?)",
                (sink, batch.points, len(body), now_ms, body),
            )
