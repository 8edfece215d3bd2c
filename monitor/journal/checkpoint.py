"""Checkpoints: a state's arrays in one file, and the ladder of them that late readings go back along.

A file is a line of JSON (what follows, with its place, type, shape and CRC-32), and the arrays as they lie in memory,
each at a multiple of 64 bytes, so that a part of one is read without the rest.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from monitor.errors import JournalError
from monitor.journal.atomic import fsync_directory, remove_leftovers, write_atomic

__all__ = ["Checkpoint", "CheckpointLadder", "open_checkpoint", "write_checkpoint"]

_MAGIC = b"MMckpt01"
_ALIGNMENT = 64
_NAME = re.compile(r"checkpoint-(\d{20})-(\d{16})\.mmc")
_FIRST_BUCKET_MS = 60_000
"""Of checkpoints younger than this the newest two are kept; then one for each doubling of age."""
log = structlog.get_logger(__name__)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def write_checkpoint(path: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Writes the file whole or not at all. meta: anything JSON knows. Raises JournalError (retryable)."""
    entries, offset = [], 0
    blocks = [np.ascontiguousarray(array) for array in arrays.values()]
    for name, block in zip(arrays, blocks, strict=True):
        crc = zlib.crc32(block.reshape(-1).view(np.uint8).data) if block.size else 0
        entries.append([name, block.dtype.str, list(block.shape), offset, crc])
        offset += _aligned(block.nbytes)
    text = json.dumps({"meta": meta, "arrays": entries}, ensure_ascii=False, separators=(",", ":")).encode()
    head = _MAGIC + len(text).to_bytes(8, "little") + zlib.crc32(text).to_bytes(8, "little") + text
    parts: list[bytes | memoryview] = [head, bytes(_aligned(len(head)) - len(head))]
    for block in blocks:
        if block.size:
            parts.append(block.reshape(-1).view(np.uint8).data)
        parts.append(bytes(_aligned(block.nbytes) - block.nbytes))
    try:
        write_atomic(path, parts)
    except OSError as error:
        raise JournalError(f"{path}: the checkpoint cannot be written: {error.strerror}", retryable=True) from error


class Checkpoint:
    """One file, read where it is asked for. It stays readable as it is when its file is replaced or deleted."""

    def __init__(
        self, path: Path, meta: dict[str, Any], entries: list[list[Any]], data: NDArray[np.uint8], start: int
    ) -> None:
        """Use `open_checkpoint`. data: the whole file, mapped. start: where its first array lies."""
        self.path = path
        self.meta = meta
        self._entries = {entry[0]: entry[1:] for entry in entries}
        self._data = data
        self._start = start

    @property
    def written_ms(self) -> int:
        found = _NAME.fullmatch(self.path.name)
        return int(found[2]) if found else 0

    def array(self, name: str) -> NDArray[Any]:
        """Read-only, without a copy. Raises JournalError if the file has no such array or is too short."""
        if name not in self._entries:
            raise JournalError(f"{self.path}: no array {name}; it has {', '.join(self._entries)}")
        dtype, shape, offset, _ = self._entries[name]
        size = math.prod(shape) * np.dtype(dtype).itemsize
        raw = self._data[self._start + offset : self._start + offset + size]
        if len(raw) < size:
            raise JournalError(f"{self.path}: ends before its array {name} does")
        array: NDArray[Any] = raw.view(dtype).reshape(shape)
        return array

    def verify(self) -> None:
        """Raises JournalError where the file is not what was written."""
        for name, (_, _, _, crc) in self._entries.items():
            block = np.ascontiguousarray(self.array(name))
            if block.size and zlib.crc32(block.reshape(-1).view(np.uint8).data) != crc:
                raise JournalError(f"{self.path}: array {name} is damaged; the file is passed over")


def open_checkpoint(path: Path) -> Checkpoint:
    """Raises JournalError where it is none, or its head is damaged."""
    try:
        data: NDArray[np.uint8] = np.memmap(path, np.uint8, mode="r")
        head = bytes(data[:24])
        size, crc = int.from_bytes(head[8:16], "little"), int.from_bytes(head[16:24], "little")
        text = bytes(data[24 : 24 + size]) if head[:8] == _MAGIC else b""
        if len(text) != size or zlib.crc32(text) != crc or head[:8] != _MAGIC:
            raise JournalError(f"{path}: no checkpoint, or a damaged one")
        document = json.loads(text)
    except (OSError, ValueError) as error:  # ValueError: the file is empty
        raise JournalError(f"{path}: cannot be read: {error}") from error
    return Checkpoint(path, document["meta"], document["arrays"], data, _aligned(24 + size))


class CheckpointLadder:
    """The checkpoints of one directory: the oldest, the newest two, and one for each doubling of age up to `keep_ms`.
    The oldest one stays under its name while its contents move on. One thread at a time."""

    def __init__(self, directory: Path, *, keep_ms: int) -> None:
        """Raises JournalError if the directory cannot be made."""
        self._directory = directory
        self._keep_ms = keep_ms
        try:
            directory.mkdir(parents=True, exist_ok=True)
            remove_leftovers(directory)
        except OSError as error:
            raise JournalError(f"{directory}: cannot be used: {error.strerror}") from error
        self.newest_written_ms: int | None = None
        """UTC ms; None before the first checkpoint."""
        self._opened: dict[Path, Checkpoint] = {}
        """The head of a large one takes long to read, and late readings ask for all of them."""

    def newest(self) -> Checkpoint | None:
        """The newest that is whole; damaged ones are said in the log and taken away."""
        for rung in self.rungs():
            try:
                rung.verify()
            except JournalError as error:
                self._take_away(rung.path, error)
                continue
            self.newest_written_ms = rung.written_ms
            return rung
        return None

    def rungs(self) -> Iterator[Checkpoint]:
        """Newest first. Of damaged ones only those are noticed, and taken away, that cannot be opened."""
        return filter(None, map(self._open, reversed(self._paths())))

    def forget(self) -> None:
        """Lets go of opened files: what was read of one whole counts as memory as long as it is open."""
        self._opened.clear()

    def oldest(self) -> Checkpoint:
        """Raises JournalError if there is none."""
        for rung in filter(None, map(self._open, self._paths())):
            return rung
        raise JournalError(f"{self._directory}: no checkpoint")

    def _open(self, path: Path) -> Checkpoint | None:
        if path in self._opened:
            return self._opened[path]
        try:
            return self._opened.setdefault(path, open_checkpoint(path))
        except JournalError as error:
            self._take_away(path, error)
            return None

    def _take_away(self, path: Path, error: JournalError) -> None:
        log.error("damaged checkpoint; an older one is taken", error=str(error))
        self._opened.pop(path, None)
        with contextlib.suppress(OSError):
            path.rename(path.with_suffix(".damaged"))

    def write(self, position: int, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any], now_ms: int) -> None:
        """Adds the newest one. Raises JournalError (retryable)."""
        write_checkpoint(self._directory / f"checkpoint-{position:020d}-{now_ms:016d}.mmc", arrays, meta)
        self.newest_written_ms = now_ms

    def replace(self, rung: Checkpoint, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        """Puts other contents in the place of a checkpoint. Raises JournalError (retryable)."""
        write_checkpoint(rung.path, arrays, meta)
        self._opened.pop(rung.path, None)

    def delete(self, rung: Checkpoint) -> None:
        self._opened.pop(rung.path, None)
        try:
            rung.path.unlink(missing_ok=True)
            fsync_directory(self._directory)
        except OSError as error:
            raise JournalError(f"{rung.path}: cannot be deleted: {error.strerror}", retryable=True) from error

    def superfluous(self, now_ms: int) -> list[Checkpoint]:
        """Those to let go of, oldest first."""
        paths = self._paths()
        stays = {0, *range(max(0, len(paths) - 2), len(paths))}
        buckets: set[int] = set()
        for n, path in enumerate(paths):
            age_ms = max(0, now_ms - _written_ms(path))
            bucket = (age_ms // _FIRST_BUCKET_MS).bit_length()
            if age_ms <= self._keep_ms and bucket not in buckets:  # the oldest of each
                buckets.add(bucket)
                stays.add(n)
        return [rung for n, path in enumerate(paths) if n not in stays and (rung := self._open(path)) is not None]

    def _paths(self) -> list[Path]:
        """Oldest first: by position, then by time."""
        return sorted(path for path in self._directory.iterdir() if _NAME.fullmatch(path.name))


def _written_ms(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[2]) if found else 0
