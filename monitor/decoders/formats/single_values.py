"""Values that come one a message, each on a topic of its own, under usual names or the installer's.

What belongs together arrives in turns then: tariffs add up once a second one is known, and power that is told as two
figures, drawn and fed in, is their difference as of the latest of both.
"""

from __future__ import annotations

import math
from typing import Literal

from msgspec.structs import replace

from monitor.decoders.names import Meaning, Names, words_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, Measured

__all__ = ["SingleValues"]

_DRAWN = frozenset({"import", "imported", "in", "plus", "positive", "forward", "consumed", "delivered", "from"})
"""Words of a power that is only what is drawn. Without one it is the difference already."""
_CACHED = 10_000
_LONGEST = 120
_Side = Literal["in", "out", ""]


class SingleValues:
    def __init__(self, options: Options, state: SourceState) -> None:
        self._names = Names(options)
        self._state = state
        self._meant: dict[tuple[str, str | None], tuple[Meaning, _Side] | None] = {}

    def meaning(self, name: str, unit: str | None = None) -> Meaning | None:
        return self._names.meaning(name, unit)

    def add(
        self,
        found: Found,
        source_id: str,
        name: str,
        raw: object,
        ts_ms: int | None,
        unit: str | None = None,
        *,
        usual: str | None = None,
    ) -> bool:
        """Put a value into `found` if its name means something; true then. usual: what to look up, where that is not
        the name itself."""
        key = usual or name, unit
        meant = self._meant.get(key)
        if meant is None:
            meant = self._look_up(*key)
            if meant is None:
                return False
        (quantity, factor, offset, tariff, is_unit_known), side = meant
        if is_unit_known and quantity != "on" and quantity != "mode":
            try:
                number = to_number(raw)
            except ValueError:
                number = math.nan  # a power that is `ON`, or wrong
            if number is None:
                found.ignore("no_value")
                return True
            if number == number:
                value = number * factor + offset
                if tariff:
                    found.add_part(source_id, quantity, tariff, value, ts_ms, name, alone=False)
                elif side:
                    self._add_side(found, source_id, side, value, ts_ms, name)
                else:
                    found.add(source_id, quantity, value, ts_ms, name)
                return True
        before = len(found.values)
        self._names.add(found, source_id, key[0], raw, ts_ms, unit)
        if usual:
            found.values[before:] = [replace(value, name=name) for value in found.values[before:]]
        return True

    def add_number(
        self, found: Found, source_id: str, quantity: Measured, factor: float, raw: object, ts_ms: int | None, name: str
    ) -> None:
        """A number whose meaning is known already."""
        try:
            number = to_number(raw)
        except ValueError:
            found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is no number")
            return
        if number is None:
            found.ignore("no_value")
        else:
            found.add(source_id, quantity, number * factor, ts_ms, name)

    def _look_up(self, meant: str, unit: str | None) -> tuple[Meaning, _Side] | None:
        meaning = self._names.meaning(meant, unit)
        if meaning is None:
            return None
        side: _Side = ""
        if meaning.quantity == "power_kw" and not meaning.tariff:
            words = words_of(meant).split("_")
            side = "out" if meaning.factor < 0 else "in" if not _DRAWN.isdisjoint(words) else ""
        if len(self._meant) >= _CACHED:
            self._meant.clear()
        if len(meant) <= _LONGEST and len(unit or "") <= _LONGEST:
            self._meant[meant, unit] = meaning, side
        return meaning, side

    def _add_side(
        self, found: Found, source_id: str, side: _Side, kilowatts: float, ts_ms: int | None, name: str
    ) -> None:
        """One of two figures; what is fed in is negative already."""
        if kilowatts - kilowatts != 0.0:
            found.add(source_id, "power_kw", kilowatts, ts_ms, name)  # judged with the others, and not remembered
            return
        key = f"power/{source_id}"
        known: dict[str, float] = self._state.get(key) or {}
        if known.get(side) != kilowatts:
            known = known | {side: kilowatts}
            self._state.put(key, known)
        if side == "in" or "in" in known or kilowatts:
            found.add(source_id, "power_kw", known.get("in", 0.0) + known.get("out", 0.0), ts_ms, name)
        else:  # nothing fed in says nothing of what is drawn
            found.ignore("no_value")
