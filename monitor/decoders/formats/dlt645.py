"""Names that are addresses in a meter of DL/T 645-2007: `<meter>#DI3-DI2-DI1-DI0`.

The data identifiers are those of the standard's table A: DI3 00 are energies (DI2 00 combined, 01 forward, 02 reverse
active; DI1 the tariff, 00 their total; DI0 00 now, above it the end of an earlier month), 02-03-00-00 is the active
power of all phases. A meter writes energies in 0.01 kWh and power in 0.0001 kW.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from monitor.decoders.values import Measured

__all__ = ["Address", "address_of"]

_ADDRESS = re.compile(r"([0-9A-Za-z]{1,16})#([0-9A-Fa-f]{2})-([0-9A-Fa-f]{2})-([0-9A-Fa-f]{2})-([0-9A-Fa-f]{2})")
_ENERGIES: dict[str, Measured] = {"00": "register", "01": "register", "02": "export_register"}
_LAST_TARIFF = 0x3F


class Address(NamedTuple):
    """What stands at an address that the monitor knows."""

    meter: str
    quantity: Measured
    resolution: float
    """Of the meter's own digits [kWh, kW]."""
    tariff: str = ""
    """Not empty: one of the registers that add up."""
    kind: Literal["forward", "combined", ""] = ""
    """Of a register: forward is what was drawn; combined is drawn and fed in together, as the meter was told."""


def address_of(name: str) -> Address | None:
    """The address that a name is, or None: for all other names, and for values that are no readings."""
    match = _ADDRESS.fullmatch(name)
    if match is None:
        return None
    meter, *identifier = match.groups()
    di3, di2, di1, di0 = identifier
    if identifier == ["02", "03", "00", "00"]:
        return Address(meter, "power_kw", 0.0001)
    if di3 != "00" or di0 != "00" or di2 not in _ENERGIES or int(di1, 16) > _LAST_TARIFF:
        return None
    kind: Literal["forward", "combined", ""] = {"00": "combined", "01": "forward"}.get(di2, "")  # type: ignore[assignment]  # a dict's values are plain str
    return Address(meter, _ENERGIES[di2], 0.01, "" if di1 == "00" else di1.lower(), kind)
