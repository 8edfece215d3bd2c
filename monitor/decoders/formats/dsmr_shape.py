"""P1 telegrams of a known shape: a meter sends the same lines at the same places, and few of their characters change.

A shape is learnt from a telegram that was read line by line. One of the same length that has a digit where that one
had a digit, a letter where that one had a letter, and else the same bytes, has the same lines: its values are cut out
of their places, in a third of the time (6 µs and 16). Whether it is so is one mask over the whole telegram, taken as an
integer. What is unusual, such as a code that comes twice or a value that is no number, makes no shape.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

from monitor.decoders.formats.dsmr_lines import BEHIND, LINE, OLD_GAS, ROLES, Channel, Telegram, parse

__all__ = ["Shapes"]

_LONGEST = 4096
_MAX_LENGTHS = 200
_MAX_SHAPES = 8
"""Of one length."""
_FORGET_AFTER = 200
"""Telegrams of a length that fit none of its shapes: then others are learnt."""

_DIGIT, _LETTER, _SAME = 0xF0, 0xC0, 0xFF
"""The bits of a byte that stay: 0x30 to 0x3F are digits and `:;<=>?`, 0x40 to 0x7F letters and some signs; no line end,
bracket or star is among them."""
_MASKS = bytes(
    _DIGIT if character.isdigit() else _LETTER if character.isalpha() else _SAME
    for character in (bytes([byte]) for byte in range(256))
)
_CODE = re.compile(rb"\n[^(\n]*")
_NO_TEXT = -1
"""Place of a text that the shape does not have: behind the last one."""
_NO_NUMBERS = bytes(set(range(256)) - set(b"0123456789.+-"))


class _Reading(NamedTuple):
    """A number of a shape: what it is, its code, its place among the numbers, its unit."""

    what: str
    name: str
    at: int
    unit: bytes


class _Channel(NamedTuple):
    key: str
    kind_at: int
    number_at: int
    time_at: int
    reading: _Reading | None


class _Shape(NamedTuple):
    """Places are those in the tuples that `cut_texts` and `cut_numbers` make of a telegram."""

    mask: int
    fixed: int
    """What a telegram is under the mask."""
    cut_texts: Callable[[bytes], tuple[bytes, ...]]
    cut_numbers: Callable[[bytes], tuple[bytes, ...]]
    number_at: int
    time_at: int
    totals: list[_Reading]
    tariffs: dict[str, list[_Reading]]
    channels: list[_Channel]

    def read(self, body: bytes) -> Telegram | None:
        """What a telegram that fits says; None: a value is no number."""
        try:
            numbers = [*map(float, self.cut_numbers(body))]
        except ValueError:
            return None
        texts = (*self.cut_texts(body), b"")
        return Telegram(
            texts[self.number_at],
            texts[self.time_at],
            {what: (name, numbers[at], unit) for what, name, at, unit in self.totals},
            {
                register: {tariff: (name, numbers[at], unit) for tariff, name, at, unit in parts}
                for register, parts in self.tariffs.items()
            },
            {
                key: Channel(
                    texts[kind_at].lstrip(b"0"),
                    texts[number_at],
                    texts[time_at],
                    reading and (reading.name, numbers[reading.at], reading.unit),
                )
                for key, kind_at, number_at, time_at, reading in self.channels
            },
        )


class _OfLength:
    """What is known of the telegrams of one length."""

    __slots__ = ("misses", "shapes")

    def __init__(self) -> None:
        self.shapes: list[_Shape] = []
        self.misses = 0


class Shapes:
    """Those that a source's meters have shown, within a bound. They are no state: all is read the same without them."""

    def __init__(self) -> None:
        self._of_length: dict[int, _OfLength] = {}

    def read(self, body: bytes) -> Telegram:
        """What a telegram says, from `/` to `!`."""
        known = self._of_length.get(len(body))
        if known is not None:
            number = int.from_bytes(body, "little")
            for shape in known.shapes:
                if number & shape.mask == shape.fixed:
                    return shape.read(body) or parse(body)
        telegram = parse(body)
        if len(body) <= _LONGEST:
            self._learn(body, telegram)
        return telegram

    def _learn(self, body: bytes, telegram: Telegram) -> None:
        known = self._of_length.get(len(body))
        if known is None:
            if len(self._of_length) >= _MAX_LENGTHS:
                self._of_length.clear()
            known = self._of_length[len(body)] = _OfLength()
        if known.misses >= _FORGET_AFTER:
            known.shapes.clear()
            known.misses = 0
        known.misses += 1
        if known.misses <= _MAX_SHAPES and (shape := _shape(body, telegram)) is not None:
            known.shapes.append(shape)


def _shape(body: bytes, telegram: Telegram) -> _Shape | None:
    """The shape of a telegram that says this; None: it is unusual."""
    if OLD_GAS in body:
        return None
    mask = bytearray(body.translate(_MASKS))
    for code in _CODE.finditer(body):
        _keep(mask, code.start(), code.end())
    texts = _Places()
    numbers = _Places()
    totals: list[_Reading] = []
    tariffs: dict[str, list[_Reading]] = {}
    channels: dict[str, _Reading | None] = {}
    seen: set[tuple[str, str]] = set()
    for line in LINE.finditer(body):
        role = ROLES.get(line[1])
        if role is None:
            continue
        kind, what, tariff, name = role
        if (kind, what + tariff) in seen:
            return None
        seen.add((kind, what + tariff))
        start, rest = line.start(2), (line[2] or b"").rstrip(BEHIND)
        if kind in ("kind", "channel_number", "reading"):
            channels.setdefault(what)
        if kind in ("time", "number", "kind", "channel_number"):
            texts.add((kind, what), start, rest)
            continue
        time, _, value = rest.rpartition(b")(") if kind == "reading" else (b"", b"", rest)
        texts.add(("time", what), start, time)
        digits, _, unit = value.partition(b"*")
        if not digits or digits.translate(None, _NO_NUMBERS) != digits:
            return None
        start += len(rest) - len(value)
        _keep(mask, start + len(digits), start + len(value))
        reading = _Reading(tariff or what, name, numbers.add((kind, what + tariff), start, digits), unit)
        if kind == "total":
            totals.append(reading)
        elif kind == "tariff":
            tariffs.setdefault(what, []).append(reading)
        else:
            channels[what] = reading
    bits = int.from_bytes(mask, "little")
    shape = _Shape(
        bits,
        int.from_bytes(body, "little") & bits,
        texts.cutter(),
        numbers.cutter(),
        texts.at(max((key for key in texts.order if key[0] == "number"), default=("number", ""))),
        texts.at(("time", "")),
        totals,
        tariffs,
        [
            _Channel(key, texts.at(("kind", key)), texts.at(("channel_number", key)), texts.at(("time", key)), reading)
            for key, reading in channels.items()
        ],
    )
    return shape if shape.read(body) == telegram else None


def _keep(mask: bytearray, start: int, end: int) -> None:
    mask[start:end] = bytes([_SAME]) * (end - start)


class _Places:
    """Where in a telegram something stands, in its order."""

    def __init__(self) -> None:
        self.order: dict[tuple[str, str], int] = {}
        self._format = ""
        self._end = 0

    def add(self, key: tuple[str, str], start: int, text: bytes) -> int:
        """Returns its place; what is empty has none."""
        if not text:
            return _NO_TEXT
        self._format += f"{start - self._end}x{len(text)}s"
        self._end = start + len(text)
        return self.order.setdefault(key, len(self.order))

    def at(self, key: tuple[str, str]) -> int:
        return self.order.get(key, _NO_TEXT)

    def cutter(self) -> Callable[[bytes], tuple[bytes, ...]]:
        return struct.Struct(self._format).unpack_from
