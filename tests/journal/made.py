"""Readings and journals made for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from monitor.journal.segments import Journal
from monitor.readings import ReadingColumns

START_MS = 1_782_638_100_000


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


class Row(NamedTuple):
    """One reading by its device's id."""

    device: str
    quantity: int
    ts_ms: int
    value: float


def ids(count: int) -> list[str]:
    return [f"d{number}" for number in range(count)]


def readings(rng: np.random.Generator, count: int, devices: int, *, first: int = 0) -> ReadingColumns:
    """Random readings; the values count up from `first`, so that each can be told from all others."""
    return ReadingColumns.of(
        rng.integers(0, devices, count, np.int32),
        rng.integers(0, 6, count, np.int8),
        START_MS + rng.integers(-1000, 1000, count) * 1000,
        np.arange(first, first + count, dtype=np.float64),
    )


def rows_of(columns: ReadingColumns, device_ids: Sequence[str]) -> list[Row]:
    return [
        Row(device_ids[device], quantity, ts_ms, value)
        for device, quantity, ts_ms, value in zip(
            columns.device.tolist(),
            columns.quantity.tolist(),
            columns.ts_ms.tolist(),
            columns.value.tolist(),
            strict=True,
        )
    ]


def stored(journal: Journal, device_ids: Sequence[str], start: int = 0, stop: int | None = None) -> dict[int, Row]:
    """What the journal gives back, by position. Holds the chunks to their own promises on the way."""
    found: dict[int, Row] = {}
    reached = start
    for chunk in journal.chunks(start, stop):
        positions = chunk.position.tolist()
        assert chunk.start == reached
        assert chunk.start <= positions[0] <= positions[-1] < chunk.end
        assert positions == sorted(set(positions))
        for column in (chunk.columns.device, chunk.columns.quantity, chunk.columns.ts_ms, chunk.columns.value):
            assert column.flags.writeable
            assert column.flags.aligned
            assert column.flags.c_contiguous
        found.update(zip(positions, rows_of(chunk.columns, device_ids), strict=True))
        reached = chunk.end
    return found


def open_journal(
    path: Path,
    device_ids: Sequence[str],
    *,
    segment_max_bytes: int = 1 << 30,
    now: Callable[[], int] | None = None,
    min_free_bytes: int = 0,
) -> Journal:
    return Journal.open(
        path,
        device_ids=device_ids,
        segment_max_bytes=segment_max_bytes,
        now=now or Clock(),
        min_free_bytes=min_free_bytes,
    )


def write(journal: Journal, batches: Iterable[ReadingColumns]) -> None:
    """One commit for each batch."""
    for columns in batches:
        journal.append(columns)
        journal.commit()


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("journal-*.seg"))
