"""Rows of (channel, type, value) in a raw frame, taken apart once for frames that look alike.

Channel and type say how long a value is, and a device sends the same row again and again. So a layout is kept by the
frame's length: if all its headers stand where they stood, one `struct` says so, instead of a walk from value to value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Layout", "Layouts", "LengthOf", "walk"]

LengthOf = Callable[[int], int | None]
"""Header, its two bytes big-endian → length of the value behind it [bytes]; None or 0: not known."""

_KEPT, _PER_LENGTH = 256, 4

T = TypeVar("T")
_Known = tuple[Callable[[bytes], tuple[int, ...]], tuple[int, ...], T]
"""How the headers of a frame are found, what they have to be, and what was made of them."""


class Layout(NamedTuple):
    """headers: channel and type of each value; values: where each value starts."""

    headers: tuple[int, ...]
    values: tuple[int, ...]


def walk(frame: bytes, length_of: LengthOf, at: int = 0) -> tuple[Layout, int]:
    """The values from `at` on, and where a header without known length stands; the frame's length if there is none,
    -1 if the last value is cut off."""
    headers: list[int] = []
    values: list[int] = []
    last = len(frame) - 2
    while at <= last:
        header = frame[at] << 8 | frame[at + 1]
        length = length_of(header)
        if not length:
            return Layout(tuple(headers), tuple(values)), at
        headers.append(header)
        values.append(at + 2)
        at += 2 + length
    return Layout(tuple(headers), tuple(values)), at if at == last + 2 else -1


class Layouts(Generic[T]):
    """What is made of the layouts of one make's frames that have been met. Which ones are kept changes no result, only
    its price."""

    def __init__(self, length_of: LengthOf, make: Callable[[Layout], T | None]) -> None:
        """make: what frames with a layout are to be read by, None where that is no layout of theirs."""
        self._length_of = length_of
        self._make = make
        self._known: dict[int, list[_Known[T]]] = {}

    def of(self, frame: bytes) -> T | None:
        """What was made of the frame's layout, None if it has none, or none that is accepted."""
        alike = self._known.get(len(frame), ())
        for unpack, headers, made in alike:
            if unpack(frame) == headers:
                return made
        layout, end = walk(frame, self._length_of)
        accepted = self._make(layout) if end == len(frame) else None
        if accepted is None:
            return None
        if len(self._known) >= _KEPT:
            self._known.clear()
        starts = (*(at - 2 for at in layout.values[1:]), end)
        pattern = "".join(f"H{next_ - at}x" for at, next_ in zip(layout.values, starts, strict=True))
        newest = (struct.Struct(">" + pattern).unpack, layout.headers, accepted)
        self._known[len(frame)] = [newest, *alike[: _PER_LENGTH - 1]]
        return accepted
