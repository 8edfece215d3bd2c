"""Protobuf messages taken apart by their wire format alone, changed somewhere inside, and put together again."""

from __future__ import annotations

from random import Random
from typing import Any

__all__ = ["changed"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_Fields = list[tuple[int, int, Any]]
"""(number, wire type, value)"""


def changed(payload: bytes, random: Random) -> bytes:
    """As it is where it is no message."""
    fields = _fields(payload)
    if not fields:
        return payload
    at = random.randrange(len(fields))
    number, kind, value = fields[at]
    what = random.random()
    if what < 0.1:
        del fields[at]
    elif what < 0.2:
        fields.insert(random.randrange(len(fields) + 1), fields[at])
    elif what < 0.27:
        random.shuffle(fields)
    elif what < 0.35:
        fields[at] = random.choice([number + 1, max(1, number - 1), 14, 500]), kind, value
    else:
        fields[at] = _other(number, kind, value, random)
    return _written(fields)


def _other(number: int, kind: int, value: Any, random: Random) -> tuple[int, int, Any]:
    if kind == _BYTES and random.random() < 0.75:
        inner = changed(value, random)
        if inner != value:
            return number, kind, inner
    if kind == _BYTES:
        return (
            number,
            kind,
            random.choice([b"", value[:-1], value * 2, value[::-1], b"\xff", b"\0" * 300, b"energy_kwh"]),
        )
    if kind == _VARINT:
        return number, kind, random.choice([0, 1, value + 1, 255, 2**31, 2**63, 2**64 - 1, 10, 12, 1_782_638_100_000])
    odd = [bytes(len(value)), b"\xff" * len(value), b"\0" * (len(value) - 2) + b"\xf0\x7f", value[::-1]]
    return number, kind, random.choice(odd)


def _fields(payload: bytes) -> _Fields:
    """Empty where the bytes are no message."""
    fields: _Fields = []
    at = 0
    while at < len(payload):
        key, at = _varint(payload, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(payload, at)
            fields.append((number, kind, value))
            continue
        if kind == _BYTES:
            size, at = _varint(payload, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind, -1)
        if size < 0 or at < 0 or at + size > len(payload) or number == 0:
            return []
        fields.append((number, kind, payload[at : at + size]))
        at += size
    return fields


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if not 0 <= at < len(payload):
            break
        number |= (payload[at] & 0x7F) << shift
        at += 1
        if payload[at - 1] < 0x80:
            return number, at
    return 0, len(payload) + 1


def _written(fields: _Fields) -> bytes:
    parts = []
    for number, kind, value in fields:
        parts.append(_varint_of(number << 3 | kind))
        if kind == _VARINT:
            parts.append(_varint_of(value))
        elif kind == _BYTES:
            parts += [_varint_of(len(value)), value]
        else:
            parts.append(value)
    return b"".join(parts)


def _varint_of(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
