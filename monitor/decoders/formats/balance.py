"""What flows in, what flows out, and what is made of both, where one message tells several of them of one meter."""

from __future__ import annotations

import functools
from collections.abc import Callable

from msgspec.structs import replace

from monitor.decoders.names import Names, words_of
from monitor.decoders.values import Found, Value

__all__ = ["balance", "totals_beside_import"]

_IMPORT_WORDS = frozenset({"import", "imported", "consumed", "delivered", "plus", "positive", "in", "from", "forward"})
_LOAD_WORDS = frozenset({"load", "consumption", "usage", "draw"})
"""Of the power of what is behind the meter, where others tell what flows through it."""
_CACHED = 4096
_LONGEST_NAME = 200
"""What comes after is not looked at."""


def balance(found: Found, names: Names, start: int = 0, usual: Callable[[str], str] = str) -> None:
    """Of each meter and time among found.values[start:] one power, and one register beside the exported one. To be
    called where `names.has_outward`: else there is nothing to do. usual: what of a value's name `names` knows."""
    groups: dict[tuple[str, int | None], list[Value]] = {}
    for value in found.values[start:]:
        groups.setdefault((value.source_id, value.ts_ms), []).append(value)
    if all(len(group) < 2 for group in groups.values()):
        return
    kept: list[Value] = []
    for group in groups.values():
        values = _take_net_power(group, names, usual)
        if any(value.quantity == "export_register" for value in values):
            registers = tuple(value.name for value in values if value.quantity == "register")
            totals = totals_beside_import(registers) - names.own
            values = [value for value in values if value.quantity != "register" or value.name not in totals]
        kept += values
    if len(kept) < len(found.values) - start:  # else the order stays, too
        found.values[start:] = kept


def _take_net_power(values: list[Value], names: Names, usual: Callable[[str], str]) -> list[Value]:
    """Of power in, power out and their difference of one meter at one time: the difference alone. A load's power, and
    one that the installer has explained and whose name says neither in nor out, may be another meter's: it stays."""
    out: list[Value] = []
    into: list[Value] = []
    total: list[Value] = []
    others: list[Value] = []
    for value in values:
        name = usual(value.name)
        if value.quantity != "power_kw":
            others.append(value)
        elif names.is_outward(name):
            out.append(value)
        elif _has_word(name, _IMPORT_WORDS):
            into.append(value)
        elif value.name in names.own or _has_word(name, _LOAD_WORDS):
            others.append(value)
        else:
            total.append(value)
    if not out or not (into or total):
        return values
    return others + (total or [replace(into[0], value=into[0].value + out[0].value)])


def totals_beside_import(registers: tuple[str, ...]) -> frozenset[str]:
    """Of the names of one meter's registers those that do not say import, if others do: beside export some
    meters add up in them what flowed in and what flowed out."""
    totals = frozenset(name for name in registers if not _has_word(name, _IMPORT_WORDS))
    return totals if totals < set(registers) else frozenset()


def _has_word(name: str, words: frozenset[str]) -> bool:
    return _is_any_in(words, name[:_LONGEST_NAME])


@functools.lru_cache(maxsize=_CACHED)
def _is_any_in(words: frozenset[str], name: str) -> bool:
    return not words.isdisjoint(words_of(name).split("_"))
