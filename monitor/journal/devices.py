"""Stable numbers of devices: what the journal stores in place of registry rows, which change with every reload.

The file is text, one line for each device that was ever registered: the CRC-32 of number and id in eight hexadecimal
digits, a space, the id as a JSON string. The line's number, from 0, is the device's number.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from monitor.errors import JournalError
from monitor.journal.atomic import fsync_directory, write_all

__all__ = ["DeviceNumbers"]

_log = structlog.get_logger(__name__)


class DeviceNumbers:
    """An append-only file. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Raises JournalError naming file and line if a line in the middle is broken. A last line that was not
        written to its end is cut off: no reading can be stored under its number yet."""
        self._path = path
        self._number: dict[str, int] = {}
        try:
            is_new = not path.exists()
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            if is_new:
                fsync_directory(path.parent)
            raw = path.read_bytes()
        except OSError as error:
            raise JournalError(f"{path}: cannot be opened: {error.strerror}") from error
        self._size = raw.rfind(b"\n") + 1
        for number, line in enumerate(raw[: self._size].splitlines()):
            device_id = _parse(number, line)
            if device_id is None or device_id in self._number:
                self.close()
                raise JournalError(
                    f"{path}:{number + 1}: broken: readings in the journal can no longer be told apart by device; "
                    "restore the file from a backup of the same state directory"
                )
            self._number[device_id] = number
        if self._size < len(raw):
            _log.warning(
                "the last line was not written to its end: cut off", file=str(path), bytes=len(raw) - self._size
            )

    def __len__(self) -> int:
        return len(self._number)

    def numbers(self, device_ids: Sequence[str]) -> NDArray[np.int32]:
        """int32[devices]: the number of each. New ones are on the disk when this returns.

        Raises JournalError (retryable) if they cannot be written; then none of them has a number yet.
        """
        new = [device_id for device_id in dict.fromkeys(device_ids) if device_id not in self._number]
        if new:
            first = len(self._number)
            text = b"".join(_line(first + place, device_id) for place, device_id in enumerate(new))
            try:
                os.ftruncate(self._descriptor, self._size)  # a torn tail, or what a failed attempt left
                write_all(self._descriptor, text, self._size)
                os.fsync(self._descriptor)
            except OSError as error:
                raise JournalError(
                    f"{self._path}: {len(new)} new devices cannot be written: {error.strerror}", retryable=True
                ) from error
            self._size += len(text)
            self._number.update((device_id, first + place) for place, device_id in enumerate(new))
        return np.array([self._number[device_id] for device_id in device_ids], np.int32)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _checksum(number: int, text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(b"%d %s" % (number, text))


def _line(number: int, device_id: str) -> bytes:
    text = json.dumps(device_id).encode("ascii")
    return _checksum(number, text) + b" " + text + b"\n"


def _parse(number: int, line: bytes) -> str | None:
    checksum, _, text = line.partition(b" ")
    if checksum != _checksum(number, text):
        return None
    device_id: str = json.loads(text)
    return device_id
