"""What flows in, what flows out, and what is made of both, where one message tells several of them of one meter."""

from __future__ import annotations

import functools
from collections.abc import Callable

from monitor.decoders.names import Names, words_of
from monitor.decoders.values import Found, Value

__all__ = ["IMPORT_WORDS", "balance", "take_net_power", "totals_beside_import"]

IMPORT_WORDS = frozenset({"import", "imported", "consumed", "delivered", "plus", "positive", "in", "from", "forward"})


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
        values = take_net_power(group, lambda name: names.is_outward(usual(name)))
        if any(value.quantity == "export_register" for value in values):
            registers = tuple(value.name for value in values if value.quantity == "register")
            totals = totals_beside_import(registers) - names.own
            values = [value for value in values if value.quantity != "register" or value.name not in totals]
        kept += values
    found.values[start:] = kept


def take_net_power(values: list[Value], is_outward: Callable[[str], bool]) -> list[Value]:
    """Of power in, power out and their difference of one meter at one time: the difference alone."""
    powers = [value for value in values if value.quantity == "power_kw"]
    out = [value for value in powers if is_outward(value.name)]
    if not out or len(powers) == len(out):
        return values
    into = [value for value in powers if not is_outward(value.name)]
    total = [value for value in into if IMPORT_WORDS.isdisjoint(words_of(value.name).split("_"))]
    kept = total or [into[0]._replace(value=into[0].value + out[0].value)]
    return [value for value in values if value.quantity != "power_kw"] + kept


@functools.lru_cache(maxsize=256)
def totals_beside_import(registers: tuple[str, ...]) -> frozenset[str]:
    """Of the names of one meter's registers those that do not say import, if others do: beside export some
    meters add up in them what flowed in and what flowed out."""
    totals = frozenset(name for name in registers if IMPORT_WORDS.isdisjoint(words_of(name).split("_")))
    return totals if totals < set(registers) else frozenset()
