"""The SQLite file: its schema, how it is opened, and what its errors mean."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from monitor.errors import StoreError

__all__ = ["MIGRATIONS", "connect", "storable", "transaction", "translated"]

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE intervals (
            building TEXT NOT NULL, item TEXT NOT NULL, start_ms INTEGER NOT NULL, period TEXT NOT NULL,
            measured REAL NOT NULL, estimated REAL NOT NULL, coverage REAL NOT NULL, demand_kw REAL,
            PRIMARY KEY (building, item, start_ms)) WITHOUT ROWID""",
        """CREATE TABLE events (
            event_id TEXT NOT NULL PRIMARY KEY, rule TEXT NOT NULL, building TEXT NOT NULL, device TEXT NOT NULL,
            start_ms INTEGER NOT NULL, end_ms INTEGER, state TEXT NOT NULL, reason TEXT NOT NULL,
            "limit" REAL, worst REAL, excess REAL NOT NULL, duration_ms INTEGER NOT NULL, policy TEXT NOT NULL
            ) WITHOUT ROWID""",
        "CREATE INDEX events_by_scope ON events (building, rule, device, start_ms)",
        "CREATE INDEX events_by_start ON events (start_ms)",
        "CREATE INDEX events_open ON events (building) WHERE end_ms IS NULL",
        """CREATE TABLE ledger (
            kind TEXT NOT NULL, building TEXT NOT NULL, device TEXT NOT NULL, quantity TEXT NOT NULL,
            ts_ms INTEGER NOT NULL, amount REAL NOT NULL,
            PRIMARY KEY (kind, device, quantity, ts_ms)) WITHOUT ROWID""",
        "CREATE INDEX ledger_by_device ON ledger (device, ts_ms)",
        """CREATE TABLE quarantine (
            id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, topic TEXT NOT NULL,
            payload BLOB NOT NULL, payload_bytes INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL)""",
        # the body comes last: SQLite reads a row from its front, and what does not fit a page is chained behind it
        """CREATE TABLE outbox (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, points INTEGER NOT NULL, bytes INTEGER NOT NULL,
            created_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_ms INTEGER, last_error TEXT,
            body BLOB NOT NULL)""",
        # covers outbox_stats, which then touches no body
        "CREATE INDEX outbox_by_sink ON outbox (sink, seq, points, bytes, created_ms)",
        "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    ),
    (
        # changed: rises with every change, so that what was changed last is known
        """CREATE TABLE source_state (
            source TEXT NOT NULL, key TEXT NOT NULL, changed INTEGER NOT NULL, value BLOB NOT NULL,
            PRIMARY KEY (source, key))""",
        """CREATE TABLE unmapped (
            source TEXT NOT NULL, source_id TEXT NOT NULL, topic TEXT NOT NULL, first_ms INTEGER NOT NULL,
            last_ms INTEGER NOT NULL, "values" TEXT NOT NULL, PRIMARY KEY (source, source_id)) WITHOUT ROWID""",
        "CREATE INDEX unmapped_by_time ON unmapped (last_ms)",
    ),
    (
        # until then it began anew with every restart, at what was seen last
        "ALTER TABLE unmapped ADD COLUMN quarantined_ms INTEGER",
        "UPDATE unmapped SET quarantined_ms = last_ms",
    ),
)
"""Each entry takes the file from the version of its place to the next. Never change one that was released: add one."""

_RETRYABLE = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "disk_full",
    sqlite3.SQLITE_IOERR: "io",
    sqlite3.SQLITE_NOMEM: "memory",
}
_FINAL = {
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_CANTOPEN: "cannot_open",
    sqlite3.SQLITE_PERM: "cannot_open",
    sqlite3.SQLITE_AUTH: "cannot_open",
}
_ADVICE = {
    "locked": "another program holds the database; end it",
    "disk_full": "free space on its disk",
    "io": "look at the disk and at the system's log",
    "memory": "give the process more memory",
    "read_only": "make file and folder writable for the user of the service",
    "corrupt": "stop the service, keep the file aside, restore it from the backup",
    "cannot_open": "make sure that the folder exists and the user of the service may write there",
}


def connect(path: Path, *, busy_timeout_s: float = 30.0, read_only: bool = False) -> sqlite3.Connection:
    """Open the file, in WAL mode, every commit on the disk before it returns. It may be used by any thread, but by
    one at a time.

    Raises StoreError.
    """
    with translated(path, "open"):
        uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        db = sqlite3.connect(uri, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
        try:
            if not read_only:
                db.execute("PRAGMA journal_mode = WAL").fetchone()
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA journal_size_limit = 67108864")
                db.execute("PRAGMA cache_size = -32768")  # 32 MiB: a step touches one leaf of each building
                _migrate(db, path)
        except BaseException:
            db.close()
            raise
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    if _version(db) == len(MIGRATIONS):
        return
    with transaction(db):
        version = _version(db)  # again: another connection may have been first
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{path}: has schema version {version}, this program knows {len(MIGRATIONS)}; "
                "run the program that wrote it, or restore the backup made before the upgrade",
                kind="schema",
                retryable=False,
            )
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Everything inside, or nothing. IMMEDIATE: a read that turns into a write halfway cannot wait for the lock."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # after some errors (disk full, I/O) SQLite has rolled back by itself, and says so when asked again
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def translated(path: Path, doing: str) -> Iterator[None]:
    """sqlite3's errors as StoreError: "`doing` `path` failed"."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes keep the primary one in the low byte
        kind = _RETRYABLE.get(code) or _FINAL.get(code, "sqlite")
        advice = f"; {_ADVICE[kind]}" if kind in _ADVICE else ""
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        message = f"{path}: cannot {doing}: {error} ({name}){advice}"
        raise StoreError(message, kind=kind, retryable=code in _RETRYABLE) from error


def storable(text: str) -> str:
    """Text as SQLite can store it: payloads may hold half a surrogate pair, which it cannot."""
    return text.encode("utf-8", "backslashreplace").decode()
