"""A file is replaced whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.journal.atomic import remove_leftovers, write_all, write_atomic


def test_replaces_and_says_the_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_atomic(path, [b"one", memoryview(b"two"), b""]) == 6
    assert write_atomic(path, [bytearray(b"three")]) == 5
    assert path.read_bytes() == b"three"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_the_old_file_stands_when_the_parts_fail(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def parts() -> Iterator[bytes]:
        yield b"new"
        raise KeyError("no more")

    with pytest.raises(KeyError):
        write_atomic(path, parts())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["pwrite", "fsync"])
def test_the_old_file_stands_when_the_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OSError, match="No space"):
            write_atomic(path, [b"new"])
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_the_contents_reach_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomic(tmp_path / "file", [b"x"])
    assert steps == ["file.aside", "rename", tmp_path.name]


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: pwrite(descriptor, data[:3], offset))
    with (tmp_path / "file").open("w+b") as file:
        assert write_all(file.fileno(), b"0123456789", 2) == 10
        assert file.read() == b"\0\x000123456789"


def test_leftovers_go_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.aside", "b", "c.seg.aside"):
        (tmp_path / name).write_bytes(b"")
    remove_leftovers(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]
