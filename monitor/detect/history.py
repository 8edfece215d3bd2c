"""What the engine needs of the past, and the simplest one: everything in memory, as a replay has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.detect.state import NONE
from monitor.readings import ReadingColumns


class Anchor(Protocol):
    """An earlier state of the engine, and from where on the readings after it are to be read."""

    @property
    def arrays(self) -> Mapping[str, NDArray[np.generic]] | None:
        """The state's arrays by name, in today's layout; None: nothing had been seen yet."""

    @property
    def position(self) -> NDArray[np.int64]:
        """int64[buildings]: all readings before it are in the state, or are too old to be."""

    @property
    def cut_ms(self) -> NDArray[np.int64]:
        """int64[buildings]: readings from `position` on that are not after it are in the state as well; NONE: none of
        them is."""


class History(Protocol):
    """Earlier states and all readings since the oldest of them."""

    def anchors(self) -> Iterable[Anchor]:
        """Newest first. The last one is the oldest that there is."""

    def readings(self, buildings: NDArray[np.bool_], anchor: Anchor, end: int) -> ReadingColumns:
        """The readings of these buildings up to position end that are not in the anchor, in order of arrival."""


class Snapshot:
    """A state, and what is in it; see `Anchor`. `cut_ms` None: all of it NONE."""

    def __init__(
        self,
        arrays: Mapping[str, NDArray[np.generic]] | None,
        position: NDArray[np.int64],
        cut_ms: NDArray[np.int64] | None = None,
    ) -> None:
        self.arrays = arrays
        self.position = position
        self.cut_ms = np.full(len(position), NONE, np.int64) if cut_ms is None else cut_ms


def is_new(
    anchor: Anchor, building: NDArray[np.int32], position: NDArray[np.int64], ts_ms: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """bool[n]: which readings are not in the anchor."""
    return (position >= anchor.position[building]) & (ts_ms > anchor.cut_ms[building])


class MemoryHistory:
    """Keeps every batch. Positions count readings."""

    def __init__(self, device_building: NDArray[np.int32], buildings: int) -> None:
        self._of_device = device_building
        self._nothing = Snapshot(None, np.zeros(buildings, np.int64))
        self._batches: list[ReadingColumns] = []
        self.end = 0

    def append(self, columns: ReadingColumns) -> int:
        """Returns the position after it."""
        self._batches.append(columns)
        self.end += len(columns)
        return self.end

    def anchors(self) -> Iterable[Anchor]:
        return (self._nothing,)

    def readings(self, buildings: NDArray[np.bool_], anchor: Anchor, end: int) -> ReadingColumns:
        parts, first = [], 0
        for batch in self._batches:
            rows = np.arange(first, first + len(batch))
            of = self._of_device[batch.device]
            wanted = buildings[of] & is_new(anchor, of, rows, batch.ts_ms) & (rows < end)
            if wanted.any():
                parts.append(batch if wanted.all() else batch.take(wanted))
            first += len(batch)
        return ReadingColumns.concat(parts)
