"""The columns that flow from a gateway to a verdict, and their units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AC_QUANTITIES",
    "METER_QUANTITIES",
    "MODE_NAMES",
    "QUANTITY_BY_NAME",
    "QUANTITY_NAMES",
    "Quantity",
    "ReadingColumns",
]


class Quantity(IntEnum):
    """What a reading measures. The numbers are written to the journal: never renumber one."""

    REGISTER = 0
    """Meter: cumulative counter [kWh; m3 for water and gas; kWh for heat and cooling], before the multiplier."""
    POWER_KW = 1
    """Meter: power [kW], import positive, before the multiplier."""
    ON = 2
    """AC: 0 or 1."""
    MODE = 3
    """AC: 0 off, 1 cool, 2 heat, 3 dry, 4 fan, 5 auto."""
    SETPOINT_C = 4
    """AC: set-point [°C]."""
    ROOM_C = 5
    """AC: room temperature [°C]."""


QUANTITY_NAMES: tuple[str, ...] = tuple(quantity.name.lower() for quantity in Quantity)
QUANTITY_BY_NAME: dict[str, Quantity] = {quantity.name.lower(): quantity for quantity in Quantity}
METER_QUANTITIES = frozenset({Quantity.REGISTER, Quantity.POWER_KW})
AC_QUANTITIES = frozenset({Quantity.ON, Quantity.MODE, Quantity.SETPOINT_C, Quantity.ROOM_C})
MODE_NAMES: tuple[str, ...] = ("off", "cool", "heat", "dry", "fan", "auto")


@dataclass(frozen=True, slots=True)
class ReadingColumns:
    """A batch of readings, one row each, in order of arrival. All arrays have the same length n.

    device: int32[n], a row of `Registry.devices`. quantity: int8[n], a `Quantity`.
    ts_ms: int64[n], UTC milliseconds since the epoch. value: float64[n], as reported, before any multiplier.
    """

    device: NDArray[np.int32]
    quantity: NDArray[np.int8]
    ts_ms: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ts_ms)

    @classmethod
    def empty(cls) -> ReadingColumns:
        return cls.of([], [], [], [])

    @classmethod
    def of(
        cls,
        device: Sequence[int] | NDArray[np.int32],
        quantity: Sequence[int] | NDArray[np.int8],
        ts_ms: Sequence[int] | NDArray[np.int64],
        value: Sequence[float] | NDArray[np.float64],
    ) -> ReadingColumns:
        """The one boundary that coerces dtype and contiguity: an odd input would compile another kernel."""
        return cls(
            np.ascontiguousarray(device, dtype=np.int32),
            np.ascontiguousarray(quantity, dtype=np.int8),
            np.ascontiguousarray(ts_ms, dtype=np.int64),
            np.ascontiguousarray(value, dtype=np.float64),
        )

    @classmethod
    def concat(cls, batches: Sequence[ReadingColumns]) -> ReadingColumns:
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return cls.empty()
        return cls.of(
            np.concatenate([batch.device for batch in batches]),
            np.concatenate([batch.quantity for batch in batches]),
            np.concatenate([batch.ts_ms for batch in batches]),
            np.concatenate([batch.value for batch in batches]),
        )

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> ReadingColumns:
        """The rows that an index or a mask selects, in its order."""
        return ReadingColumns.of(self.device[rows], self.quantity[rows], self.ts_ms[rows], self.value[rows])
