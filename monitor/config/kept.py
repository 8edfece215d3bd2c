"""A copy of the configuration that is in force, beside the state that was made under it.

A monitor that is started with another configuration than it was stopped with first goes on with the old one up to where
it had come, and then changes over as a reload does: so both are the same to the results.
"""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from monitor.config.registry_files import BUILDINGS_FILE, DEVICES_FILE, POLICIES_FOLDER, load_registry
from monitor.errors import ConfigError, JournalError
from monitor.registry import Registry

__all__ = ["keep_configuration", "kept_registry"]


def keep_configuration(config_dir: Path, kept: Path) -> None:
    """Copies buildings, devices and policies into the folder `kept`. Raises JournalError (retryable)."""
    aside, old = kept.with_suffix(".aside"), kept.with_suffix(".old")
    try:
        for leftover in (aside, old):
            shutil.rmtree(leftover, ignore_errors=True)
        aside.mkdir(parents=True)
        shutil.copytree(config_dir / POLICIES_FOLDER, aside / POLICIES_FOLDER)
        for name in (BUILDINGS_FILE, DEVICES_FILE):
            shutil.copyfile(config_dir / name, aside / name)
        if kept.exists():
            kept.rename(old)
        aside.rename(kept)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise JournalError(f"{kept}: the configuration cannot be kept: {error}", retryable=True) from error


def kept_registry(kept: Path, config_dir: Path, *, now_ms: int) -> Registry | None:
    """The registry of the copy; None where it is the same as today's, there is none, or a crash left half of one."""
    names = [BUILDINGS_FILE, DEVICES_FILE]
    for folder in (kept, config_dir):
        names += [f"{POLICIES_FOLDER}/{path.name}" for path in (folder / POLICIES_FOLDER).glob("*")]
    _, others, missing = filecmp.cmpfiles(kept, config_dir, sorted(set(names)), shallow=False)
    if not others and not missing:
        return None
    try:
        return load_registry(kept, now_ms=now_ms)[0]
    except ConfigError:
        return None
