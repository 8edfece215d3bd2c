"""What the formats of plugs and sub-meters (Shelly, Tasmota, Zigbee2MQTT) have in common: ids and single values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monitor.decoders.payloads import shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.values import OUT_OF_ORDER_MS, Found, Measured, Value

__all__ = ["TEMPERATURES", "add_number", "is_id", "keep_phases", "merged_sum", "number_of"]

_LONGEST_ID = 200
TEMPERATURES = frozenset({"room_c", "setpoint_c"})
"""Quantities that `Found.add` looks at; others need not its call."""
_NUMBERS = frozenset({int, float})
_LARGEST = 1e12
"""[W, Wh] Integers beyond 64 bits cannot be kept."""


def is_id(raw: object) -> bool:
    """Whether a payload's value can name a meter: text of reasonable length, that can be written down (JSON allows half
    a surrogate pair, UTF-8 does not)."""
    if not isinstance(raw, str) or not 0 < len(raw) <= _LONGEST_ID:
        return False
    if raw.isascii():
        return True
    try:
        raw.encode()
    except UnicodeEncodeError:
        return False
    return True


def number_of(found: Found, raw: object, source_id: str, name: str) -> float | None:
    """The number; None where there is none, which is then ignored, or where it is wrong, which is then rejected."""
    if type(raw) is int and -_LARGEST < raw < _LARGEST:
        return float(raw)
    try:
        number = to_number(raw)
    except ValueError:
        found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is no number")
        return None
    if number is None:
        found.ignore("no_value")
    return number


def add_number(
    found: Found, source_id: str, quantity: Measured, raw: object, divisor: float, ts_ms: int | None, name: str
) -> None:
    """One reading of raw / divisor, if there is a value."""
    number = raw if type(raw) is float and raw == raw else number_of(found, raw, source_id, name)
    if number is None:
        return
    if quantity in TEMPERATURES:
        found.add(source_id, quantity, number / divisor, ts_ms, name)
    else:
        found.values.append(Value(source_id, quantity, number / divisor, ts_ms, name))


def keep_phases(state: SourceState, key: str, a: Any, b: Any, c: Any, ts_ms: int | None) -> None:
    """What `merged_sum` is to know of phases that came with their total. What is no number is not kept."""
    if type(a) in _NUMBERS and type(b) in _NUMBERS and type(c) in _NUMBERS:
        if not (-_LARGEST < a < _LARGEST and -_LARGEST < b < _LARGEST and -_LARGEST < c < _LARGEST):
            return
        known = state.get(key)
        if known is None:
            state.put(key, [a, b, c, ts_ms])
            return
        last_ms = known[3]
        if ts_ms is None:
            ts_ms = last_ms
        elif last_ms is not None and 0 < last_ms - ts_ms <= OUT_OF_ORDER_MS:
            return
        known[:] = a, b, c, ts_ms
        state.put_back(key)


def merged_sum(
    found: Found,
    state: SourceState,
    key: str,
    phases: Iterable[object],
    ts_ms: int | None,
    source_id: str,
    name: str,
) -> float | None:
    """The sum over the phases of a device that may send some of them, the others as they were last. Ellipsis stands for
    a phase that the message does not have. None, and ignored, as long as one of them is not known, and where what is
    known is as new: a sum of that time was said already."""
    now = [... if raw is ... else number_of(found, raw, source_id, name) for raw in phases]
    is_whole = ... not in now
    known: list[Any] = state.get(key) or [None] * (len(now) + 1)
    *before, last_ms = known
    since_ms = None if ts_ms is None or last_ms is None else ts_ms - last_ms
    is_late = since_ms is not None and -OUT_OF_ORDER_MS <= since_ms < 0
    if is_late and not is_whole:
        found.ignore("out_of_order")
        return None
    merged = [old if new is ... else new for old, new in zip(before, now, strict=True)]
    if not is_late:
        state.put(key, [*merged, last_ms if ts_ms is None else ts_ms])
    if since_ms == 0 and not is_whole and None not in before:
        found.ignore("repeated")
        return None
    total = 0.0
    for number in merged:
        if number is None:
            if None not in now:  # else it is said already
                found.ignore("waits_for_phases")
            return None
        total += number
    return total
