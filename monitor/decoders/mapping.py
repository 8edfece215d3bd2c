"""From what a payload calls a meter to the device that the registry knows (devices.csv: source_id, field, gateway)."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.decoders.values import Measured
from monitor.ingest.message import Message
from monitor.readings import Quantity
from monitor.registry import MEDIA, Device, Registry

__all__ = [
    "FOREIGN",
    "MAX_ID_CHARS",
    "METERED",
    "MONITORED",
    "NOT_MONITORED",
    "UNMAPPED",
    "DeviceMap",
    "arrival_ms",
    "claims",
    "fields_of",
    "nearest_decimal",
]

MONITORED: dict[Measured, tuple[Quantity, bool]] = {
    "register": (Quantity.REGISTER, False),
    "export_register": (Quantity.REGISTER, False),
    "power_kw": (Quantity.POWER_KW, False),
    "on": (Quantity.ON, True),
    "mode": (Quantity.MODE, True),
    "setpoint_c": (Quantity.SETPOINT_C, True),
    "room_c": (Quantity.ROOM_C, True),
    "water_m3": (Quantity.REGISTER, False),
    "gas_m3": (Quantity.REGISTER, False),
    "heat_kwh": (Quantity.REGISTER, False),
}
"""What a gateway measures → the quantity of ours that it becomes, and whether that is one of an ac (else a meter)."""
_ITEMS: dict[Measured, frozenset[str] | None] = {
    "water_m3": frozenset({"water"}),
    "gas_m3": frozenset({"gas"}),
    "heat_kwh": frozenset({"heat", "cooling"}),
    "export_register": frozenset(),
    "register": None,
    "power_kw": None,
}
"""Items of the meters that take a quantity without naming it in `field`; None: all that are electricity. What is fed
into the grid is nobody's consumption: only a device that asks for it by name gets it."""

METERED = tuple(quantity for quantity, (_, is_ac) in MONITORED.items() if not is_ac)

UNMAPPED = -1
"""In place of a device's row: no device has this source_id."""
FOREIGN = -2
"""A device has it, but is registered to another gateway."""
NOT_MONITORED = -3
"""The devices that have it do not want this value."""
_CACHED = 200_000
MAX_ID_CHARS = 1000
"""A longer id, or name of a value, is nobody's: who looks for it remembers nothing of it."""
_DECIMALS = 9
_LARGEST_ROUNDED = 9e6
"""With so many decimals it has as many digits as a double holds."""


class _Candidate(NamedTuple):
    row: int
    device: Device
    fields: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]


class DeviceMap:
    """Which device a value is of. Keeps what it has found out, within a bound."""

    def __init__(self, registry: Registry) -> None:
        self._candidates: dict[str, list[_Candidate]] = {}
        for row, device in enumerate(registry.devices):
            known_as = device.source_id or device.id
            fields = fields_of(device)
            candidate = _Candidate(row, device, fields, tuple(map(_pattern, fields)))
            self._candidates.setdefault(known_as, []).append(candidate)
        self._found: dict[tuple[str, str, Measured, str], int] = {}

    def row(self, source: str, source_id: str, quantity: Measured, name: str) -> int:
        """Row of the registry; UNMAPPED, FOREIGN or NOT_MONITORED. name: how the payload calls the value."""
        key = source, source_id, quantity, name
        row = self._found.get(key)
        if row is None:
            if len(source_id) + len(name) > MAX_ID_CHARS:
                return self._look_up(source, source_id, quantity, name)
            if len(self._found) >= _CACHED:
                self._found.clear()
            row = self._found[key] = self._look_up(source, source_id, quantity, name)
        return row

    def _look_up(self, source: str, source_id: str, quantity: Measured, name: str) -> int:
        # Cells of devices.csv have no blanks at their ends.
        known = self._candidates.get(source_id) or self._candidates.get(source_id.strip())
        if not known:
            return UNMAPPED
        mine = [each for each in known if each.device.gateway in ("", source)]
        if not mine:
            return FOREIGN
        is_ac = MONITORED[quantity][1]
        fitting = [each for each in mine if (each.device.kind == "ac") == is_ac]
        for each in fitting:
            if quantity in each.fields or any(pattern.fullmatch(name) for pattern in each.patterns):
                return each.row
        for each in fitting:
            if not each.fields and (is_ac or claims(quantity, each.device.item)):
                return each.row
        return NOT_MONITORED


def claims(quantity: Measured, item: str) -> bool:
    """Whether a meter of this item takes the quantity without naming it in `field`."""
    items = _ITEMS[quantity]
    return item not in MEDIA if items is None else item in items


def fields_of(device: Device) -> tuple[str, ...]:
    """The names in its column `field`."""
    return tuple(name.strip() for name in device.field.split(";") if name.strip())


def nearest_decimal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values without the noise of a change of units: 26121 Wh times 0.001 is 26.121000000000002 in binary.

    A value within two units in the last place of a number with at most nine decimals becomes that number; others, and
    values of nine million and more, stay as they are."""
    rounded = np.round(np.clip(values, -_LARGEST_ROUNDED, _LARGEST_ROUNDED), _DECIMALS)
    return np.where(np.abs(rounded - values) <= 2 * np.spacing(np.abs(values)), rounded, values)


def _pattern(field: str) -> re.Pattern[str]:
    """`*` stands for anything and all else for itself: names like `power[1]` are usual."""
    return re.compile(".*".join(map(re.escape, field.split("*"))), re.DOTALL)


def arrival_ms(message: Message) -> int | None:
    """The time of a reading whose message says nothing of it: its arrival; None if the broker had kept the message,
    for then its arrival says nothing."""
    return None if message.retain else message.received_ms
