"""OBIS codes, which meters of all makes call their values by, and what they mean here.

A code `A-B:C.D.E*F` is: medium (1 electricity, 6 heat, 7 gas, 8 cold and 9 hot water), channel, what is measured,
how, tariff, and period of billing (255: now). See IEC 62056-6-1 and, for what is no electricity, EN 13757-1. What was
at the end of a billing period, of a single phase, reactive, or in both directions at once is no register here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from monitor.decoders.values import Measured

__all__ = ["ID_CODES", "TIME_CODE", "Code", "ObisMeaning", "code_of", "meaning_of"]

_LONGEST = 40
_FORM = re.compile(
    r"(?:(\d{1,3})-(\d{1,3}):)?(\d{1,3}|[CFL])\.(\d{1,3})\.(\d{1,3})(?:[*&.](\d{1,3}))?|"
    r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})",
    re.ASCII | re.IGNORECASE,
)
_HEX = re.compile(r"[0-9A-Fa-f]{10}(?:[Ff]{2})?", re.ASCII)
_ELECTRICITY = 1
_NOW = 255
_MAX_TARIFF = 9
_REGISTER = 8
"""D of a register; its E is the tariff."""
_WITH_PERIOD = 12
"""Hexadecimal digits of a code with F."""


class Code(NamedTuple):
    """A code taken apart. `medium` is None in the short form (`1.8.0`), which only electricity meters use."""

    medium: int | None
    channel: int
    measured: str
    how: int
    tariff: int
    period: int


class ObisMeaning(NamedTuple):
    quantity: Measured
    sign: float = 1.0
    """-1: power that flows out."""
    part: str = ""
    """Tariff: registers that add up where there is no total."""
    is_net: bool = False
    """Import minus export already."""


ID_CODES: tuple[tuple[str, int, int], ...] = (
    ("96", 1, 0),
    ("96", 1, 1),
    ("0", 0, 0),
    ("c", 1, 0),
    ("42", 0, 0),
    ("0", 0, 9),
)
"""Codes of the meter's number (C, D, E), the most usual first."""
TIME_CODE = ("1", 0, 0)
"""Code of the meter's clock (C, D, E), of medium 0."""

_MEANINGS: dict[tuple[int, str, int], ObisMeaning] = {
    (1, "1", 8): ObisMeaning("register"),
    (1, "2", 8): ObisMeaning("export_register"),
    (1, "1", 7): ObisMeaning("power_kw"),
    (1, "2", 7): ObisMeaning("power_kw", -1.0),
    (1, "16", 7): ObisMeaning("power_kw", is_net=True),
    (6, "1", 0): ObisMeaning("heat_kwh"),
    (6, "1", 8): ObisMeaning("heat_kwh"),
    (7, "3", 0): ObisMeaning("gas_m3"),
    (7, "3", 1): ObisMeaning("gas_m3"),
    (7, "3", 8): ObisMeaning("gas_m3"),
    (8, "1", 0): ObisMeaning("water_m3"),
    (8, "1", 8): ObisMeaning("water_m3"),
    (9, "1", 0): ObisMeaning("water_m3"),
    (9, "1", 8): ObisMeaning("water_m3"),
}
"""Medium, C, D → meaning of tariff 0."""


def code_of(text: str) -> Code | None:
    """`1-0:1.8.0`, `1-0:1.8.0*255`, `1.8.0`, `1.0.1.8.0.255` or `0100010800FF`; None for what is no code."""
    if len(text) > _LONGEST:
        return None
    if (match := _FORM.fullmatch(text)) is not None:
        if match[7] is not None:
            a, b, c, d, e, f = (int(match[group]) for group in range(7, 13))
            return Code(a, b, str(c), d, e, f)
        medium, channel, measured, how, tariff, period = match.group(1, 2, 3, 4, 5, 6)
        measured = measured.lower() if measured.isalpha() else str(int(measured))
        return Code(
            None if medium is None else int(medium),
            int(channel or 0),
            measured,
            int(how),
            int(tariff),
            _NOW if period is None else int(period),
        )
    if _HEX.fullmatch(text) and not text.isdigit():
        a, b, c, d, e, f = bytes.fromhex(text if len(text) == _WITH_PERIOD else text + "FF")
        return Code(a, b, str(c), d, e, f)
    return None


def meaning_of(code: Code) -> ObisMeaning | None:
    """What is measured, None where it is nothing for us."""
    if code.period != _NOW:
        return None
    medium = _ELECTRICITY if code.medium is None else code.medium
    meaning = _MEANINGS.get((medium, code.measured, code.how))
    if meaning is None or code.tariff == 0:
        return meaning
    if medium != _ELECTRICITY or code.how != _REGISTER or code.tariff > _MAX_TARIFF:
        return None
    return meaning._replace(part=f"t{code.tariff}")
