"""A copy of a state directory that is right while the monitor runs, and can be put in its place as it is.

A reading is first in the journal, then its results are in SQLite, then a checkpoint says so. Copied the other way
round, no part of the copy knows of a reading that the journal's copy lacks: it is what a crash leaves, and the monitor
starts from that as it does after one. What the monitor lets go of in the meantime is still there, since its files are
held open from the beginning. Where something is changed that cannot be had as it was, all is copied once more.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from monitor.config import load_settings
from monitor.errors import InputError, JournalError, MonitorError
from monitor.journal.atomic import fsync_directory
from monitor.journal.checkpoint import CheckpointLadder, open_checkpoint
from monitor.journal.segment_file import read_head, segment_paths
from monitor.journal.segments import Journal
from monitor.recovery import CONFIGURATION
from monitor.store.schema import connect, translated
from monitor.store.source_memory import forget_identity

__all__ = ["Backup", "back_up", "backup_command"]

TRIES = 5
_CHECKPOINTS = "checkpoint-*.mmc"


class _ChangedError(Exception):
    """Something was replaced under our hands; the next try may have it whole."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a finished copy holds."""

    readings: int
    """The journal's end: so many readings were accepted over its life."""
    judged: int
    """Position of the newest checkpoint: those after it are judged again when the copy is started."""
    bytes: int


def backup_command(config: Path, out: Path, env: Mapping[str, str]) -> str:
    """Makes the folder `out`; returns a line that says what is in it. Raises ConfigError, InputError, MonitorError."""
    settings = load_settings(config, env)
    made = back_up(settings.state_dir, settings.sqlite_path, out)
    return (
        f"{out}: {made.readings:,} readings in the journal, {made.judged:,} of them in its newest checkpoint; "
        f"{made.bytes / 1e6:,.1f} MB, read back and found whole"
    )


def back_up(state: Path, sqlite: Path, out: Path, *, on_part: Callable[[str], None] = lambda part: None) -> Backup:
    """Copies a state directory to the new folder `out`, which is there only when it is whole.

    state: may be in use. sqlite: its SQLite file, wherever it lies; in the copy it is monitor.sqlite. on_part: told
    what is going to be copied next.

    Raises InputError: there is nothing to copy, or `out` exists. Raises MonitorError: it cannot be read or written, or
    the original is damaged.
    """
    if not (state / "journal").is_dir() or not sqlite.is_file():
        raise InputError(f"{state}: holds no journal or no SQLite file; has the monitor run with this configuration?")
    if out.exists():
        raise InputError(f"{out}: is there already; name a folder that is not")
    aside = out.with_name(out.name + ".partial")
    _allow_many_files()
    try:
        for left in range(TRIES - 1, -1, -1):
            shutil.rmtree(aside, ignore_errors=True)
            try:
                _copy(state, sqlite, aside, on_part)
                made = _verified(aside)
            except (_ChangedError, FileNotFoundError, JournalError) as error:
                if not left:
                    raise MonitorError(f"{state}: no whole copy after {TRIES} tries: {error}") from error
                continue
            break
        aside.rename(out)
        fsync_directory(out.parent)
    except OSError as error:
        raise MonitorError(f"{error.filename or aside}: cannot be copied: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return made


def _copy(state: Path, sqlite: Path, out: Path, on_part: Callable[[str], None]) -> None:
    """From the last written to the first."""
    out.mkdir(parents=True, mode=0o750)
    for folder in ("journal", "checkpoints"):
        (out / folder).mkdir(mode=0o750)
    with contextlib.ExitStack() as files:
        # 1. Hold the journal's files: whatever the checkpoints below need is in them, or comes after them.
        on_part("journal held")
        held = {path.name: _held(path, files) for _, path in segment_paths(state / "journal")}
        # 2. The checkpoints as they stand at one moment.
        on_part("checkpoints")
        made_under = _copy_checkpoints(state / "checkpoints", out / "checkpoints", files)
        # 3. The configuration that they were made under, and what the broker's session is subscribed to.
        on_part("configuration")
        _copy_configuration(state / "configuration", out / "configuration")
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(state / "subscriptions.json", out / "subscriptions.json")
        # 4. Results: not older than the checkpoints.
        on_part("sqlite")
        _copy_sqlite(sqlite, out / "monitor.sqlite")
        # 5. The journal: not older than the results. Files that are new since 1 are whole, or it is tried again.
        on_part("journal")
        position = 0
        for first, path in segment_paths(state / "journal"):
            if path.name not in held:
                if read_head(path, first).is_rewritten:
                    raise _ChangedError(f"{path} was written anew")
                held[path.name] = _held(path, files)
        for name in sorted(held):
            position += _copy_file(held[name], out / "journal" / name)
        # 6. The devices' numbers: not older than the journal.
        on_part("devices")
        shutil.copyfile(state / "journal" / "devices", out / "journal" / "devices")
    # 7. A reload in the meantime: what was judged by then and what comes after it would be under other rules.
    on_part("check")
    if _configurations(state / "checkpoints") != made_under:
        raise _ChangedError("the configuration was reloaded")
    for folder, _, names in os.walk(out):
        for name in names:
            _sync(Path(folder, name))
        fsync_directory(Path(folder))


def _held(path: Path, files: contextlib.ExitStack) -> BinaryIO:
    """Open, and so kept by the system when its name is gone or another file's."""
    return files.enter_context(path.open("rb"))


def _copy_checkpoints(source: Path, target: Path, files: contextlib.ExitStack) -> frozenset[str]:
    """Raises _ChangedError where one came, went or was replaced while they were opened."""
    paths = sorted(source.glob(_CHECKPOINTS))
    held = [_held(path, files) for path in paths]
    there = {path.name: path.stat().st_ino for path in source.glob(_CHECKPOINTS)}
    if there != {path.name: os.fstat(file.fileno()).st_ino for path, file in zip(paths, held, strict=True)}:
        raise _ChangedError("a checkpoint was written")
    for path, file in zip(paths, held, strict=True):
        _copy_file(file, target / path.name)
    return _configurations(target)


def _configurations(folder: Path) -> frozenset[str]:
    """Marks of the configurations under which checkpoints were made. A damaged one is the monitor's to put aside."""
    found = set()
    for path in folder.glob(_CHECKPOINTS):
        with contextlib.suppress(JournalError):
            found.add(str(open_checkpoint(path).meta[CONFIGURATION]))
    return frozenset(found)


def _copy_configuration(source: Path, target: Path) -> None:
    """The monitor replaces the whole folder; there is none before its first start is done."""
    if not source.is_dir():
        return
    before = source.stat().st_ino
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    if source.stat().st_ino != before:
        raise _ChangedError(f"{source} was replaced")


def _copy_sqlite(source: Path, target: Path) -> None:
    """As it stands at one moment. Writers do not wait for it: SQLite's log takes what they write."""
    with (
        translated(source, "copy"),
        contextlib.closing(connect(source, read_only=True)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
        forget_identity(copy)


def _copy_file(source: BinaryIO, target: Path) -> int:
    source.seek(0)
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        return file.tell()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _verified(copy: Path) -> Backup:
    """Reads all of it back, as the monitor will. A journal that is still written to may end in half a frame, which is
    cut off here as it is at a start. Raises JournalError and StoreError."""
    newest = CheckpointLadder(copy / "checkpoints", keep_ms=0).newest()
    if newest is None:
        raise JournalError(f"{copy}: no whole checkpoint; is the monitor just making its first?")
    with Journal.open(copy / "journal", device_ids=(), segment_max_bytes=1 << 62, now=lambda: 0) as journal:
        for _ in journal.chunks(journal.first):
            pass  # each frame's checksum, and that none is missing
        end = journal.end
    judged = int(newest.meta["position"])
    if judged > end:
        raise JournalError(f"{copy}: a checkpoint of position {judged} is newer than its journal, which ends at {end}")
    (copy / "journal" / "lock").unlink()
    database = copy / "monitor.sqlite"
    with contextlib.closing(connect(database)) as db, translated(database, "check"):
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise MonitorError(f"{database}: the copy is damaged, and so is the original: {found}")
    return Backup(end, judged, sum(path.stat().st_size for path in copy.rglob("*") if path.is_file()))


def _allow_many_files() -> None:
    """A journal of a quiet site has a file for each hour of weeks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
