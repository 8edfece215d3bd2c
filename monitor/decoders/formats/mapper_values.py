"""Values of the mapper: each entry of `values` compiled to one function that takes a trail and fills `Found`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from monitor.decoders.formats.mapper_path import ABSENT, Get, Step, Trail, spread
from monitor.decoders.names import Meaning, Names
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.units import Dimension, unit_of
from monitor.decoders.values import Found, Measured, Value
from monitor.decoders.words import mode_number, switch_value

__all__ = [
    "EXACT_BELOW",
    "Label",
    "Plain",
    "Read",
    "Rule",
    "compile_value",
    "is_plain",
    "over_many",
    "plain_of",
    "plain_text",
    "word_of",
]

Read = Callable[[Found, str, Trail, "int | None", Any], bool]
"""found, source_id, trail, ts_ms, topic → whether something stood there, be it good or bad."""
Label = Callable[[Trail, Any], Any]
"""trail, topic → text out of the message, or ABSENT."""
EXACT_BELOW = 10**18
"""Whole numbers below it are taken as they are."""
_LONGEST_NAME = 120
_COMMA = re.compile(r"\s*[-+]?\d+,\d+\b", re.ASCII)


class Rule(NamedTuple):
    """What an entry says of its value."""

    quantity: Measured | None
    """None: as its name says, which comes out of the message."""
    name: str | Label
    unit: str | None = None
    """For names out of the message; else `factor` holds it."""
    unit_at: Get | None = None
    """Where the message says the unit."""
    factor: float | None = None
    shift: float = 0.0
    """(value * scale + offset) * factor + shift is in the quantity's unit; factor None: only the message says it."""
    scale: float = 1.0
    offset: float = 0.0
    no_value: frozenset[str] = frozenset()
    """Words that stand for "nothing measured"."""
    switch: Mapping[str, float] = {}
    """Words for on and off, as `word_of` gives them."""
    has_usual_words: bool = True
    """Whether the usual words for on and off hold beside `switch`."""
    modes: Mapping[str, int] = {}
    part: str | None = None
    part_at: Get | None = None
    """Key that tells the parts apart which one path leads to."""
    decimal: str = "."


class Plain(NamedTuple):
    """A value any number of which is a reading by itself: number * factor + shift, in the quantity's unit."""

    quantity: Measured
    factor: float
    shift: float
    name: str


def plain_of(rule: Rule) -> Plain | None:
    """None: more than the number counts."""
    if (
        rule.quantity is None
        or rule.quantity in ("mode", "on")
        or rule.factor is None
        or not isinstance(rule.name, str)
    ):
        return None
    if rule.no_value or rule.part is not None or rule.unit_at is not None:
        return None
    return Plain(rule.quantity, rule.factor * rule.scale, rule.offset * rule.factor + rule.shift, rule.name)


def word_of(raw: object) -> str | None:
    """A value as a word to compare: texts in lower case, numbers as they are written, true and false; None for what
    cannot be one."""
    if type(raw) is str:
        return raw.strip().lower()
    if type(raw) is bool:
        return "true" if raw else "false"
    if type(raw) is float:
        return str(int(raw)) if -EXACT_BELOW < raw < EXACT_BELOW and raw == int(raw) else str(raw)
    if type(raw) is int:
        return str(raw) if -EXACT_BELOW < raw < EXACT_BELOW else None
    return "null" if raw is None else None


def compile_value(get: Get, rule: Rule, names: Names, dimension: Dimension | None) -> Read:
    """names: the source's. dimension: what the unit of the rule's quantity must measure."""
    if rule.quantity is None:
        return _usual(get, rule, names)
    if rule.quantity == "mode":
        return _mode(get, rule)
    if rule.quantity == "on":
        return _switch(get, rule)
    return _number(get, rule, dimension)


def over_many(read: Read, steps: tuple[Step, ...]) -> Read:
    """The same value at many places of an element; `read` sees trails made longer by `steps`."""

    def each(found: Found, source_id: str, trail: Trail, ts_ms: int | None, topic: Any) -> bool:
        results = [read(found, source_id, place, ts_ms, topic) for place in spread([trail], steps, [])]
        return any(results)

    return each


def _label(rule: Rule, trail: Trail, topic: Any) -> str:
    if isinstance(rule.name, str):
        return rule.name
    word = rule.name(trail, topic)
    return word if type(word) is str and len(word) <= _LONGEST_NAME else str(word) if type(word) is int else ""


def _say(source_id: str, name: str, raw: object, problem: str) -> str:
    return f"{shown(source_id)} {shown(name)}: {shown(raw)} {problem}"


def _mode(get: Get, rule: Rule) -> Read:
    def read(found: Found, source_id: str, trail: Trail, ts_ms: int | None, topic: Any) -> bool:
        raw = get(trail)
        if raw is ABSENT:
            return False
        name = _label(rule, trail, topic)
        if raw is None or raw == "" or (rule.no_value and word_of(raw) in rule.no_value):
            found.ignore("no_value")
        elif (mode := mode_number(raw, rule.modes)) is not None:
            found.add(source_id, "mode", float(mode), ts_ms, name)
        else:
            found.reject("bad_value", _say(source_id, name, raw, "is no mode"))
        return True

    return read


def _switch(get: Get, rule: Rule) -> Read:
    def read(found: Found, source_id: str, trail: Trail, ts_ms: int | None, topic: Any) -> bool:
        raw = get(trail)
        if raw is ABSENT:
            return False
        name = _label(rule, trail, topic)
        word = word_of(raw)
        state = rule.switch.get(word) if word is not None else None
        if state is None and rule.has_usual_words:
            state = switch_value(raw)
        if state is not None:
            found.add(source_id, "on", state, ts_ms, name)
        elif raw is None or raw == "" or word in rule.no_value:
            found.ignore("no_value")
        else:
            found.reject("bad_value", _say(source_id, name, raw, "is neither on nor off"))
        return True

    return read


def _number(get: Get, rule: Rule, dimension: Dimension | None) -> Read:
    assert rule.quantity is not None  # noqa: S101  # for the type checker
    quantity, no_value = rule.quantity, rule.no_value
    short = plain_of(rule)
    _, plain_factor, plain_shift, plain_name = short or Plain(quantity, 0.0, 0.0, "")
    is_degrees = dimension == "temperature"

    def plain(found: Found, source_id: str, trail: Trail, ts_ms: int | None, topic: Any) -> bool:
        raw = get(trail)
        kind = type(raw)
        if (kind is float and raw == raw) or (kind is int and -EXACT_BELOW < raw < EXACT_BELOW):
            value = raw * plain_factor + plain_shift
            if is_degrees:  # some say that there is none: `Found.add` knows; others without its call, 15.8 to 14.9 µs
                found.add(source_id, quantity, value, ts_ms, plain_name)
            else:
                found.values.append(Value(source_id, quantity, value, ts_ms, plain_name))
            return True
        return raw is not ABSENT and read(found, source_id, trail, ts_ms, topic)

    def read(found: Found, source_id: str, trail: Trail, ts_ms: int | None, topic: Any) -> bool:
        raw = get(trail)
        if raw is ABSENT:
            return False
        name = _label(rule, trail, topic)
        try:
            number, own_unit = _number_of(raw, rule.decimal)
        except ValueError:
            if no_value and word_of(raw) in no_value:
                found.ignore("no_value")
            else:
                found.reject("bad_value", _say(source_id, name, raw, _why_no_number(raw, rule.decimal)))
            return True
        if number is None or (no_value and (word_of(raw) in no_value or word_of(number) in no_value)):
            found.ignore("no_value")
            return True
        factor, shift = rule.factor, rule.shift
        unit = own_unit or (_unit_text(rule.unit_at(trail)) if rule.unit_at else None)
        if unit is not None:
            measured = unit_of(unit)
            factor = measured.factor if measured and measured.dimension == dimension else None
            shift = measured.offset if measured else 0.0
        if factor is None:
            what = f"with unit {shown(unit)}" if unit else "with no unit"
            found.reject("unknown_unit", _say(source_id, name, raw, what))
            return True
        # The very operations of the short way above, so that a text and a number give the same.
        value = number * (factor * rule.scale) + (rule.offset * factor + shift)
        if rule.part is None:
            found.add(source_id, quantity, value, ts_ms, name)
        else:
            part = rule.part if rule.part_at is None else f"{rule.part}/{rule.part_at(trail)}"
            found.add_part(source_id, quantity, part[:_LONGEST_NAME], value, ts_ms, name)
        return True

    return read if short is None else plain


def _unit_text(raw: object) -> str | None:
    return raw if type(raw) is str and len(raw) <= _LONGEST_NAME else None


def _number_of(raw: object, decimal: str) -> tuple[float | None, str | None]:
    """A number and the unit that stands behind it in the text, as in `21.5 °C`. Raises ValueError."""
    if type(raw) is not str:
        return to_number(raw), None
    text = raw.strip()
    if decimal == ",":
        if "." in text:
            raise ValueError("a point in a number with a decimal comma")
        text = text.replace(",", ".")
    try:
        return to_number(text), None
    except ValueError:
        number, _, unit = text.partition(" ")
        if not unit or len(unit) > _LONGEST_NAME:
            raise
        return to_number(number), unit


def _why_no_number(raw: object, decimal: str) -> str:
    if decimal != "," and type(raw) is str and _COMMA.match(raw) is not None:
        return 'is no number; where the comma is the decimal sign, say so in options: decimal: ","'
    return "is no number"


def plain_text(raw: str, unit: str | None, decimal: str) -> tuple[str | float | None, str | None]:
    """A text and its unit as the usual names take them: numbers with a decimal comma, or with a unit behind them, are
    taken apart."""
    try:
        number, own_unit = _number_of(raw, decimal)
    except ValueError:
        return raw, unit
    if own_unit is not None and unit_of(own_unit) is not None:
        return number, own_unit
    return (raw if own_unit is not None or number is None else number), unit


def _usual(get: Get, rule: Rule, names: Names) -> Read:
    def read(found: Found, source_id: str, trail: Trail, ts_ms: int | None, topic: Any) -> bool:
        raw = get(trail)
        if raw is ABSENT:
            return False
        name = _label(rule, trail, topic)
        if not name:
            return False
        unit = rule.unit
        if rule.unit_at is not None:
            unit = _unit_text(rule.unit_at(trail))
        if type(raw) is str:
            raw, unit = plain_text(raw, unit, rule.decimal)
        if rule.no_value and word_of(raw) in rule.no_value:
            found.ignore("no_value")
            return names.meaning(name, unit) is not None
        if type(raw) is float:  # nearly all of them, at half the price of the way that knows everything
            meaning = names.meaning(name, unit)
            if meaning is None:
                return False
            if is_plain(meaning):
                if raw == raw:
                    found.add(source_id, meaning.quantity, raw * meaning.factor + meaning.offset, ts_ms, name)
                else:
                    found.ignore("no_value")
                return True
        return names.add(found, source_id, name, raw, ts_ms, unit)

    return read


def is_plain(meaning: Meaning) -> bool:
    """Whether a number of this meaning is a reading by itself."""
    return meaning.is_unit_known and not meaning.tariff and meaning.quantity not in ("mode", "on")
