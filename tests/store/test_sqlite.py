"""What only the SQLite store promises: durability, one transaction with the outbox, and errors that say what to do."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.errors import StoreError
from monitor.results import Step
from monitor.store import schema
from monitor.store.outbox import Outbox
from monitor.store.quarantine import PAYLOAD_BYTES, Quarantine, QuarantineEntry
from monitor.store.sqlite import SqliteStore
from tests.store.crashing import step
from tests.store.made import QUARTER_MS, START_MS, event, intervals, registry

POINTS = 8
"""Of one step: two intervals, their hours and their days, an event, a ledger entry."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path, sinks=["influx"], now_ms=lambda: 77)
    yield made
    made.close()


def open_outbox(path: Path) -> Outbox:
    return Outbox(path, "influx", max_bytes=1000, quarantine_rows=10)


def rows(store: SqliteStore) -> int:
    return sum(1 for _ in store.intervals()) + sum(1 for _ in store.events()) + sum(1 for _ in store.ledger())


def test_contents_survive_closing(path: Path, store: SqliteStore) -> None:
    store.apply(step(1), registry())
    store.close()
    store.close()
    again = SqliteStore(path)
    assert [row.measured for row in again.intervals()] == [1.0, 1.0]
    assert list(again.events()) == [event(1)]
    again.close()


def test_every_commit_is_on_the_disk(store: SqliteStore) -> None:
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_kill_9_loses_no_step_that_was_taken_and_leaves_no_half(path: Path) -> None:
    chance = random.Random(3)
    taken = -1
    for _ in range(4):
        command = [sys.executable, "-m", "tests.store.crashing", str(path), str(taken + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(chance.randint(1, 30)):
                taken = int(child.stdout.readline())
            # somewhere inside the steps that follow
            threading.Event().wait(chance.random() * 0.005)
            child.send_signal(signal.SIGKILL)
            child.wait(30)
            taken = max([taken, *map(int, child.stdout.read().split())])
        store = SqliteStore(path)
        steps = [row.start_ms for row in store.intervals() if row.building == "B-1"]
        assert steps == [row.start_ms for row in store.intervals() if row.building == "B-2"]
        assert steps == [each.start_ms for each in store.events()]
        assert steps == [each.ts_ms for each in store.ledger()]
        assert len(steps) in {taken + 1, taken + 2}
        taken = len(steps) - 1
        store.close()
        outbox = open_outbox(path)
        assert outbox.stats().points == POINTS * len(steps)
        outbox.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_step_that_fails_halfway_leaves_nothing(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.apply(step(0), registry())

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("injected")

    monkeypatch.setattr("monitor.store.sqlite.insert_batches", fails)
    with pytest.raises(StoreError, match="injected"):
        store.apply(step(1), registry())
    monkeypatch.undo()
    assert rows(store) == 4
    store.apply(step(1), registry())
    assert rows(store) == 8


def test_disk_full(path: Path, store: SqliteStore) -> None:
    names = registry()
    store.apply(step(0), names)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    quarters = range(10, 5000)
    big = Step(intervals=intervals([(0, quarter, 1.5) for quarter in quarters]))
    with pytest.raises(StoreError, match=r"monitor.sqlite: .*full.*free space") as caught:
        store.apply(big, names)
    assert (caught.value.kind, caught.value.retryable) == ("disk_full", True)
    assert rows(store) == 4
    store._db.execute("PRAGMA max_page_count = 1000000")
    store.apply(big, names)
    assert rows(store) == 4994
    outbox = open_outbox(path)
    starts_ms = [START_MS + quarter * QUARTER_MS for quarter in quarters]
    sums = sum(len({start_ms // span_ms for start_ms in starts_ms}) for span_ms in (3_600_000, 86_400_000))
    assert outbox.stats().points == POINTS + len(quarters) + sums
    outbox.close()


def test_read_only(store: SqliteStore) -> None:
    store._db.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match="writable") as caught:
        store.apply(step(0), registry())
    assert (caught.value.kind, caught.value.retryable) == ("read_only", False)


def test_locked_by_another_program(path: Path) -> None:
    store = SqliteStore(path, busy_timeout_s=0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError) as caught:
        store.apply(step(0), registry())
    assert (caught.value.kind, caught.value.retryable) == ("locked", True)
    other.execute("ROLLBACK")
    other.close()
    store.apply(step(0), registry())
    assert rows(store) == 4
    store.close()


def test_no_database(path: Path) -> None:
    path.write_bytes(b"building,item\n" * 1000)
    with pytest.raises(StoreError, match="backup") as caught:
        SqliteStore(path)
    assert (caught.value.kind, caught.value.retryable) == ("corrupt", False)


def test_a_damaged_page(path: Path, store: SqliteStore) -> None:
    names = registry()
    store.apply(Step(intervals=intervals([(0, quarter, 1.5) for quarter in range(5000)])), names)
    store.close()
    content = bytearray(path.read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    path.write_bytes(content)
    damaged = SqliteStore(path)
    with pytest.raises(StoreError) as caught:
        damaged.apply(step(9000), names)
    assert caught.value.kind == "corrupt"
    with pytest.raises(StoreError):
        list(damaged.intervals())
    damaged.close()


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder") as caught:
        SqliteStore(tmp_path / "missing" / "monitor.sqlite")
    assert caught.value.kind == "cannot_open"


def test_a_file_of_a_later_version_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StoreError, match="schema version") as caught:
        SqliteStore(path)
    assert caught.value.kind == "schema"


def test_migrations_take_an_older_file_along(path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.apply(step(0), registry())
    store.close()
    added = (*schema.MIGRATIONS, ("ALTER TABLE meta ADD COLUMN note TEXT", "CREATE TABLE later (x INTEGER)"))
    monkeypatch.setattr(schema, "MIGRATIONS", added)
    later = SqliteStore(path)
    assert rows(later) == 4
    assert later._db.execute("SELECT COUNT(*) FROM later").fetchone() == (0,)
    assert later._db.execute("PRAGMA user_version").fetchone() == (len(added),)
    later.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    before = len(schema.MIGRATIONS)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE later (x)", "no SQL at all")))
    with pytest.raises(StoreError):
        SqliteStore(path)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (before,)
    assert db.execute("SELECT name FROM sqlite_master WHERE name = 'later'").fetchone() is None
    db.close()


def test_lines_wait_once_for_each_sink(path: Path) -> None:
    store = SqliteStore(path, sinks=["a", "b"], now_ms=lambda: 77)
    store.apply(step(0), registry())
    store.close()
    outboxes = [Outbox(path, sink, max_bytes=1000, quarantine_rows=10) for sink in ("a", "b")]
    bodies = [waiting.body for outbox in outboxes if (waiting := outbox.take(100)) is not None]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    assert bodies[0].count(b"\n") == POINTS
    assert outboxes[0].stats(every_sink=False).points == POINTS
    assert outboxes[0].stats().points == 2 * POINTS
    assert outboxes[0].stats().oldest_ms == 77
    for outbox in outboxes:
        outbox.close()


def test_a_step_given_again_sends_only_its_fresh_rows_again(path: Path, store: SqliteStore) -> None:
    """Intervals that claim to be new are taken at their word; events and ledger are compared."""
    store.apply(step(0), registry())
    store.apply(step(0), registry())
    outbox = open_outbox(path)
    assert outbox.stats().points == POINTS + 6
    outbox.close()


def test_without_a_sink_no_lines_are_made(path: Path) -> None:
    store = SqliteStore(path)
    store.apply(step(0), registry())
    store.close()
    outbox = open_outbox(path)
    assert (outbox.stats().batches, outbox.take(10)) == (0, None)
    assert outbox.stats().oldest_ms is None
    outbox.close()


def test_the_budget_of_the_outbox(path: Path, store: SqliteStore) -> None:
    outbox = open_outbox(path)
    stats = outbox.stats()
    assert (stats.is_nearly_full, stats.is_full) == (False, False)
    number = 0
    while not stats.is_nearly_full:
        store.apply(step(number), registry())
        number += 1
        stats = outbox.stats()
    assert stats.bytes >= 900
    while not stats.is_full:
        store.apply(step(number), registry())
        number += 1
        stats = outbox.stats()
    assert stats.bytes >= 1000
    assert stats.batches == number
    outbox.close()


def test_quarantine_keeps_the_newest_and_counts_the_rest(path: Path, store: SqliteStore) -> None:
    store.apply(step(0), registry())
    quarantine = Quarantine(path, max_rows=3)
    for number in range(5):
        quarantine.add([QuarantineEntry(START_MS + number, "meters/g/d", b"x" * number, "bad_value", f"row {number}")])
    quarantine.add([])
    assert (quarantine.count(), quarantine.dropped()) == (3, 2)
    assert [entry.time_ms - START_MS for entry in quarantine.newest()] == [4, 3, 2]
    quarantine.add([QuarantineEntry(number, "t", b"", "r") for number in range(8)])
    assert (quarantine.count(), quarantine.dropped()) == (3, 10)
    quarantine.close()
    again = Quarantine(path, max_rows=3)
    assert (again.count(), again.dropped()) == (3, 10)
    again.close()


def test_quarantine_cuts_payloads_and_takes_any_text(path: Path) -> None:
    quarantine = Quarantine(path, max_rows=3)
    quarantine.add([QuarantineEntry(1, "a\ud800b", bytes(PAYLOAD_BYTES + 1), "r", "\udfff")])
    (found,) = quarantine.newest()
    assert found == QuarantineEntry(1, "a\\ud800b", bytes(PAYLOAD_BYTES), "r", "\\udfff")
    assert quarantine._db.execute("SELECT payload_bytes FROM quarantine").fetchone() == (PAYLOAD_BYTES + 1,)
    quarantine.close()


def test_quarantine_takes_entries_from_other_threads_while_steps_are_stored(path: Path, store: SqliteStore) -> None:
    quarantine = Quarantine(path, max_rows=1000)

    def fill() -> None:
        for number in range(50):
            quarantine.add([QuarantineEntry(number, "t", b"", "r")])

    threads = [threading.Thread(target=fill) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(30):
        store.apply(step(number), registry())
    for thread in threads:
        thread.join()
    assert quarantine.count() == 100
    assert rows(store) == 120
    quarantine.close()
