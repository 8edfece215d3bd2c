"""Values that come one a message, each on a topic of its own, under usual names or the installer's.

What belongs together arrives in turns then: tariffs add up once a second one is known, and power that is told as two
figures, drawn and fed in, is their difference as of the latest of both.
"""

from __future__ import annotations

from monitor.decoders.names import Meaning, Names, words_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, Measured

__all__ = ["SingleValues"]

_DRAWN = frozenset({"import", "imported", "in", "plus", "positive", "forward", "consumed", "delivered", "from"})
"""Words of a power that is only what is drawn. Without one it is the difference already."""
_CACHED = 10_000


class SingleValues:
    def __init__(self, options: Options, state: SourceState) -> None:
        self._names = Names(options)
        self._state = state
        self._sides: dict[str, str] = {}

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
        meant = usual or name
        meaning = self._names.meaning(meant, unit)
        if meaning is None:
            return False
        if meaning.tariff and meaning.is_unit_known:
            self._add_tariff(found, source_id, name, raw, ts_ms, meaning)
        elif meaning.quantity == "power_kw" and meaning.is_unit_known and self._side(meant, meaning):
            self._add_side(found, source_id, self._side(meant, meaning), name, raw, ts_ms, meaning)
        else:
            before = len(found.values)
            self._names.add(found, source_id, meant, raw, ts_ms, unit)
            if usual:
                found.values[before:] = [value._replace(name=name) for value in found.values[before:]]
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

    def _add_tariff(
        self, found: Found, source_id: str, name: str, raw: object, ts_ms: int | None, meaning: Meaning
    ) -> None:
        number = _number(found, source_id, name, raw)
        if number is not None:
            value = number * meaning.factor + meaning.offset
            found.add_part(source_id, meaning.quantity, meaning.tariff, value, ts_ms, name, alone=False)

    def _side(self, name: str, meaning: Meaning) -> str:
        """`in` or `out` of a power that is one of two figures, else nothing."""
        side = self._sides.get(name)
        if side is None:
            words = words_of(name).split("_")
            side = "out" if meaning.factor < 0 else "in" if not _DRAWN.isdisjoint(words) else ""
            if len(self._sides) >= _CACHED:
                self._sides.clear()
            if len(name) <= 120:
                self._sides[name] = side
        return side

    def _add_side(
        self, found: Found, source_id: str, side: str, name: str, raw: object, ts_ms: int | None, meaning: Meaning
    ) -> None:
        number = _number(found, source_id, name, raw)
        if number is None:
            return
        kilowatts = number * meaning.factor  # what is fed in has a negative factor
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


def _number(found: Found, source_id: str, name: str, raw: object) -> float | None:
    try:
        number = to_number(raw)
    except ValueError:
        found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is no number")
        return None
    if number is None:
        found.ignore("no_value")
    return number
