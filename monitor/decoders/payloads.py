"""Payloads to plain values, and plain values to numbers; whatever is wrong is said once, here."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from monitor.decoders.values import UnreadableError

__all__ = ["read_json", "shown", "text_of", "to_number"]

_NO_VALUE = frozenset({"", "nan", "null", "none", "unknown", "unavailable", "undefined", "n/a", "na", "-", "--", "---"})
_SHOWN = 60
_decode = msgspec.json.Decoder().decode


def read_json(payload: bytes) -> Any:
    """The payload as Python's dicts, lists, strings, numbers. Raises UnreadableError.

    NaN and Infinity, which are no JSON but are sent all the same, become the floats of that name: the field that has
    one is lost, not its neighbours. Halves of surrogate pairs, which no encoding can write down again, become `?`.
    Twice the same key: the last counts.
    """
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if not payload.strip(b" \t\r\n\0"):
        raise UnreadableError("no JSON: the payload is empty")
    try:
        document = json.loads(payload.decode("utf-8-sig").rstrip("\0"))
        if b"\\ud" in payload or b"\\uD" in payload:
            document = json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UnreadableError(f"no JSON: {what}") from None
    return document


def text_of(payload: bytes) -> str:
    """A payload of plain text, without the blanks around it and one pair of quotes. Raises UnreadableError."""
    try:
        text = payload.decode("utf-8-sig").strip(" \t\r\n\0")
    except UnicodeDecodeError:
        raise UnreadableError(f"no UTF-8 text: {shown(payload)}") from None
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def to_number(raw: object) -> float | None:
    """A number, or a text that is one; None for what says that there is no value. Raises ValueError for all else.

    NaN is None too; infinite values come out as they are, and are rejected where values are judged.
    """
    if raw is None:
        return None
    if isinstance(raw, bool):
        raise ValueError("a truth value where a number belongs")  # noqa: TRY004  # one kind of error for all
    if isinstance(raw, float):
        return raw if raw == raw else None  # NaN, at a third of isnan's price
    if isinstance(raw, int):
        try:
            return float(raw)
        except OverflowError:
            return math.inf
    if isinstance(raw, str):
        text = raw.strip()
        if text.lower() in _NO_VALUE:
            return None
        if len(text) > _SHOWN or "_" in text:
            raise ValueError("no number")
        number = float(text)
        return None if math.isnan(number) else number
    raise ValueError(f"a {type(raw).__name__} where a number belongs")


def shown(raw: object) -> str:
    """Something of a payload for an error text: short and printable."""
    try:
        text = raw[: 4 * _SHOWN].decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else str(raw)
    except (ValueError, RecursionError):  # thousands of digits, or of levels
        text = type(raw).__name__
    text = text[: _SHOWN + 1].encode("unicode_escape").decode() if not text[: _SHOWN + 1].isprintable() else text
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
