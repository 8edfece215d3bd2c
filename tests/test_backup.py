"""A backup while the monitor works: whatever happens meanwhile, a monitor on the copy comes to the same end."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from monitor import cli
from monitor.backup import TRIES, back_up
from monitor.config import load_registry
from monitor.errors import InputError, MonitorError, StoreError
from monitor.journal.checkpoint import open_checkpoint, write_checkpoint
from monitor.journal.frames import SEGMENT_HEAD_BYTES
from monitor.recovery import CONFIGURATION
from monitor.results import Event, LedgerEntry
from monitor.store import schema
from monitor.store.source_memory import SourceMemory
from monitor.store.sqlite import SqliteStore
from tests import naive, streams
from tests.detect.harness import differences
from tests.machine import HOUR_MS, Machine

PARTS = ["journal held", "checkpoints", "configuration", "sqlite", "journal", "devices", "check"]
HORIZON_H = 12.0
"""Far shorter than the streams, so that the base moves on and the journal is let go of."""


class Course:
    """A stream that machines are fed batch by batch, each from where its journal ends."""

    def __init__(self, folder: Path, seed: int, *, days: float = 3.0) -> None:
        self.case = streams.make_case(seed, days=days)
        streams.write(self.case, folder)
        self.config = folder / "config"
        self.batches = list(streams.batches(self.case.rows, seed))
        self.registry, _ = load_registry(self.config, now_ms=self.case.now_ms)
        self.taken_at: dict[int, int] = {0: 0}
        """How many batches had been taken when the journal ended there."""

    def machine(self, state: Path) -> Machine:
        return Machine(state, self.registry, horizon_ms=round(HORIZON_H * HOUR_MS), now_ms=0)

    def take(self, machine: Machine, count: int) -> None:
        """The next `count` batches."""
        taken = self.taken_at[machine.journal.end]
        for batch in self.batches[taken : taken + count]:
            machine.take(batch, self.case.now_ms)
            taken += 1
            # The highest: batches without a good reading leave the journal where it is, and change nothing.
            self.taken_at[machine.journal.end] = taken
            machine.now_ms = max(int(machine.detector.engine.state.clock.max()), 0)

    def finish(self, machine: Machine) -> None:
        self.take(machine, len(self.batches))


@pytest.mark.parametrize("seed", range(700, 706))
def test_what_the_monitor_does_meanwhile_changes_nothing(seed: int, tmp_path: Path) -> None:
    course = Course(tmp_path, seed)
    chance = Random(seed)
    machine = course.machine(tmp_path / "state")
    dropped: list[int] = []

    def work(part: str) -> None:
        """What a running monitor may do at any moment: readings, results, checkpoints, letting go."""
        for _ in range(chance.randrange(3)):
            course.take(machine, chance.randrange(4))
            if chance.random() < 0.5:
                machine.detector.checkpoint()
            dropped.append(machine.journal.first)

    copies = []
    for number in range(4):
        course.take(machine, len(course.batches) // 6)
        out = tmp_path / f"backup-{number}"
        made = back_up(machine.state, machine.state / "monitor.sqlite", out, on_part=work)
        assert 0 <= made.judged <= made.readings <= machine.journal.end
        copies.append(out)
    course.finish(machine)
    expected = naive.run(course.config, course.case.rows, now_ms=course.case.now_ms, horizon_h=HORIZON_H)
    assert differences(expected, machine.store) == []
    assert max(dropped) > 0, "the journal was to be let go of meanwhile"
    for out in copies:
        restored = course.machine(out)
        assert restored.journal.end in course.taken_at
        course.finish(restored)
        assert differences(expected, restored.store) == []
        assert results(restored) == results(machine)
        restored.close()
    machine.close()


def test_an_upgrade_and_the_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer program takes the state over; the older one goes on from the backup of before, and from that alone."""
    course = Course(tmp_path, 12, days=1.0)
    machine = course.machine(tmp_path / "state")
    course.take(machine, len(course.batches) // 2)
    back_up(machine.state, machine.state / "monitor.sqlite", tmp_path / "backup")
    machine.close()

    with monkeypatch.context() as newer:
        newer.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE later (x INTEGER)",)))
        upgraded = course.machine(tmp_path / "state")
        course.finish(upgraded)
        found = results(upgraded)
        upgraded.close()
    with pytest.raises(StoreError, match="restore the backup made before the upgrade"):
        SqliteStore(tmp_path / "state" / "monitor.sqlite")
    back = course.machine(tmp_path / "backup")
    course.finish(back)
    assert results(back) == found
    back.close()


def results(machine: Machine) -> tuple[list[object], list[Event], list[LedgerEntry]]:
    """To the bit, without what was withdrawn: that depends on what was given before."""
    events = [event for event in machine.store.events() if event.state != "withdrawn"]
    return list(machine.store.intervals()), sorted(events), sorted(machine.store.ledger())


@pytest.mark.parametrize("at", PARTS)
def test_a_reload_meanwhile(at: str, tmp_path: Path) -> None:
    course = Course(tmp_path, 11, days=2.0)
    machine = course.machine(tmp_path / "state")
    course.take(machine, len(course.batches) // 2)
    machine.detector.checkpoint()
    course.take(machine, 2)
    parts: list[str] = []

    def reload(part: str) -> None:
        if part == at and at not in parts:
            _stricter(course.config)
            course.registry, _ = load_registry(course.config, now_ms=course.case.now_ms)
            machine.detector.reload(course.registry)
            machine.registry = course.registry
            course.take(machine, 2)
            machine.detector.checkpoint()
        parts.append(part)

    back_up(machine.state, machine.state / "monitor.sqlite", tmp_path / "backup", on_part=reload)
    assert parts[-len(PARTS) :] == PARTS
    course.finish(machine)
    restored = course.machine(tmp_path / "backup")
    course.finish(restored)
    assert results(restored) == results(machine)
    restored.close()
    machine.close()


def _stricter(config: Path) -> None:
    for policy in (config / "policies").iterdir():
        text = policy.read_text(encoding="utf-8")
        policy.write_text(text.replace("grace_s: 900", "grace_s: 300"), encoding="utf-8")
    path = config / "buildings.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",30,", ",25,").replace(",20,", ",35,"))


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A state directory of which nobody makes use."""
    course = Course(tmp_path, 7, days=0.5)
    machine = course.machine(tmp_path / "state")
    course.finish(machine)
    machine.detector.checkpoint()
    machine.close()
    return machine.state


def _ends(state: Path, out: Path, on_part: Callable[[str], None] = lambda part: None) -> str:
    with pytest.raises(MonitorError) as caught:
        back_up(state, state / "monitor.sqlite", out, on_part=on_part)
    assert sorted(path.name for path in out.parent.iterdir() if path.name.startswith("backup")) == []
    return str(caught.value)


def test_a_damaged_original_makes_no_backup(stopped: Path, tmp_path: Path) -> None:
    newest = max((stopped / "checkpoints").iterdir())
    database = stopped / "monitor.sqlite"
    content = bytearray(database.read_bytes())
    content[5000:8000] = bytes(3000)
    database.write_bytes(content)
    assert "monitor.sqlite" in _ends(stopped, tmp_path / "backup")
    newest.write_bytes(newest.read_bytes()[:-200])
    for other in sorted((stopped / "checkpoints").iterdir())[:-1]:
        other.unlink()
    assert "no whole checkpoint" in _ends(stopped, tmp_path / "backup")


def test_a_journal_older_than_its_checkpoints_makes_no_backup(stopped: Path, tmp_path: Path) -> None:
    first, *others = sorted((stopped / "journal").glob("*.seg"))
    for segment in others:
        segment.unlink()
    with first.open("r+b") as file:
        file.truncate(SEGMENT_HEAD_BYTES)
    assert "is newer than its journal" in _ends(stopped, tmp_path / "backup")


def test_a_monitor_that_never_comes_to_rest(stopped: Path, tmp_path: Path) -> None:
    """Reloaded during each try: it is said, and nothing is left behind."""
    newest = max((stopped / "checkpoints").iterdir())
    tries: list[str] = []

    def reload(part: str) -> None:
        if part == "sqlite":
            tries.append(part)
            write_checkpoint(newest, {}, {**open_checkpoint(newest).meta, CONFIGURATION: f"another {len(tries)}"})

    assert "the configuration was reloaded" in _ends(stopped, tmp_path / "backup", reload)
    assert len(tries) == TRIES


def test_refusals(stopped: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is there already"):
        back_up(stopped, stopped / "monitor.sqlite", tmp_path)
    with pytest.raises(InputError, match="holds no journal"):
        back_up(tmp_path, tmp_path / "monitor.sqlite", tmp_path / "backup")


def test_a_copy_is_another_file_for_what_brokers_keep(stopped: Path, tmp_path: Path) -> None:
    """Else retained messages that came between the backup and its use would not be asked for."""
    original, out = stopped / "monitor.sqlite", tmp_path / "backup"

    def identity(path: Path) -> int:
        with closing(SourceMemory(path)) as memory:
            return memory.identity

    before = identity(original)
    back_up(stopped, original, out)
    assert identity(out / "monitor.sqlite") != before
    assert identity(original) == before


def test_the_command(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "results.sqlite"
    shutil.move(stopped / "monitor.sqlite", elsewhere)
    (stopped / "subscriptions.json").write_text("{}")
    (tmp_path / "config" / "monitor.yaml").write_text(f"state_dir: {stopped}\nsqlite: {{path: {elsewhere}}}\n")
    monkeypatch.chdir(tmp_path)
    command = ["backup", "--config", str(tmp_path / "config"), "--out", "backup"]
    assert cli.main(command) == 0
    assert "found whole" in capsys.readouterr().out
    names = {path.relative_to(tmp_path / "backup").as_posix() for path in (tmp_path / "backup").rglob("*")}
    assert {"journal/devices", "checkpoints", "monitor.sqlite", "subscriptions.json"} <= names
    assert not any(name.endswith(("lock", "-wal", "-shm", ".aside")) for name in names)
    with closing(sqlite3.connect(tmp_path / "backup" / "monitor.sqlite")) as copy:
        (copied,) = copy.execute("SELECT COUNT(*) FROM intervals").fetchone()
    with closing(sqlite3.connect(elsewhere)) as original:
        assert original.execute("SELECT COUNT(*) FROM intervals").fetchone() == (copied,)
    assert copied > 0
    assert cli.main(command) == 2
