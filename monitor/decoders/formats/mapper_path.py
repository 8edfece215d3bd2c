"""Paths into JSON as an installer writes them, and what they are compiled to.

    energy.total        member by member              "a.b".c      a key with a dot in it stands in quotes
    phases[0].p         position in a list, [-1] last  meters[*]    every item of a list
    meters{*}           every member of an object      meters{*}~   the keys of these members
    $.gateway           from the root of the payload   ^.group      in the object around the element (^^ around that)
    ~                   the element's own key or position

A message is followed along `each` into trails: (root, …, element), one slot for each step and one more for the key
where a step goes over all members or items. All other paths are bound to a slot of that trail once, when they are
compiled.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, NamedTuple

__all__ = ["ABSENT", "ROOT", "Every", "Get", "Path", "PathError", "Scope", "Step", "Trail", "getter", "parse", "spread"]

Trail = tuple[Any, ...]
Get = Callable[[Trail], Any]
"""What a path leads to, or ABSENT."""


class _Absent(enum.Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""Nothing stands where a path leads; null does."""
ROOT: Final = -1
_LONGEST = 200
_NO_NAME = frozenset('.[]{}~"')


class Every(enum.Enum):
    """A step to many."""

    ITEM = "[*]"
    MEMBER = "{*}"


_ITEM: Final = Every.ITEM
_MEMBER: Final = Every.MEMBER
"""Python 3.11 takes a tenth of a microsecond to find a member of an Enum."""
Step = str | int | Every


class PathError(ValueError):
    """A path that is none; says at which character, counted from 1."""

    def __init__(self, path: str, position: int, problem: str) -> None:
        super().__init__(f"found {path[:_LONGEST]!r}: at character {position + 1} {problem}")


class Path(NamedTuple):
    text: str
    ups: int
    """Objects to go outwards first; ROOT: to the root."""
    steps: tuple[Step, ...]
    is_key: bool = False
    """The key under which it stands is meant, not what stands there."""

    def last_every(self) -> int:
        """Index after the last step to many; 0 where there is none."""
        for index in range(len(self.steps), 0, -1):
            if isinstance(self.steps[index - 1], Every):
                return index
        return 0


def parse(text: str) -> Path:
    """Raises PathError."""
    if not text:
        raise PathError(text, 0, "expected a path such as energy.total")
    if len(text) > _LONGEST:
        raise PathError(text, _LONGEST, "it is too long")
    ups, at = 0, 0
    if text[0] == "$":
        ups, at = ROOT, 1
    while ups != ROOT and at < len(text) and text[at] == "^":
        at += 1
        ups += 1
    if ups and at < len(text) and text[at] not in ".[{~":
        raise PathError(text, at, f"expected a dot after {text[at - 1]}; a key that begins with {text[0]} needs quotes")
    steps: list[Step] = []
    while at < len(text):
        char = text[at]
        if char == "~":
            if at + 1 < len(text):
                raise PathError(text, at + 1, "expected the end: nothing stands in a key")
            return Path(text, ups, tuple(steps), is_key=True)
        if char == "[":
            step, at = _bracket(text, at)
        elif char == "{":
            if text[at : at + 3] != "{*}":
                raise PathError(text, at, "expected {*}")
            step, at = Every.MEMBER, at + 3
        elif char == "." or at == 0:
            step, at = _name(text, at + (char == "."))
        else:
            raise PathError(text, at, f"expected . [ {{ or the end, found {char!r}")
        steps.append(step)
    return Path(text, ups, tuple(steps))


def _bracket(text: str, at: int) -> tuple[Step, int]:
    end = text.find("]", at)
    if text[at + 1 : at + 2] in ("'", '"'):
        key, end = _quoted(text, at + 1)
        if text[end : end + 1] != "]":
            raise PathError(text, end, "expected ]")
        return key, end + 1
    if end < 0:
        raise PathError(text, len(text), "expected ]")
    inside = text[at + 1 : end]
    if inside == "*":
        return Every.ITEM, end + 1
    digits = inside.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise PathError(text, at + 1, "expected *, a position or a key in quotes")
    return int(inside), end + 1


def _name(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] in ("'", '"'):
        return _quoted(text, at)
    end = at
    while end < len(text) and text[end] not in _NO_NAME:
        end += 1
    name = text[at:end]
    if not name:
        raise PathError(text, at, "expected a key")
    if name != name.strip():
        raise PathError(text, at, "a blank stands at the edge of a key; if it is meant, put the key in quotes")
    return name, end


def _quoted(text: str, at: int) -> tuple[str, int]:
    end = text.find(text[at], at + 1)
    if end < 0:
        raise PathError(text, at, "the quote is not closed")
    return text[at + 1 : end], end + 1


def getter(slot: int, steps: tuple[Step, ...]) -> Get:
    """From a trail's slot along steps that lead to one place. The short ones are unrolled: they are nearly all."""
    if not steps:
        return lambda trail: trail[slot]
    if len(steps) == 1 and isinstance(first := steps[0], str):

        def one(trail: Trail) -> Any:
            node = trail[slot]
            return node.get(first, ABSENT) if type(node) is dict else ABSENT

        return one
    if len(steps) == 2 and isinstance(first := steps[0], str) and isinstance(second := steps[1], str):

        def two(trail: Trail) -> Any:
            node = trail[slot]
            if type(node) is dict:
                node = node.get(first)
                if type(node) is dict:
                    return node.get(second, ABSENT)
            return ABSENT

        return two

    def many(trail: Trail) -> Any:
        return _follow(trail[slot], steps)

    return many


def _follow(node: Any, steps: tuple[Step, ...]) -> Any:
    for step in steps:
        if isinstance(step, str):
            if type(node) is not dict:
                return ABSENT
            node = node.get(step, ABSENT)
        elif isinstance(step, int) and type(node) is list and -len(node) <= step < len(node):
            node = node[step]
        else:
            return ABSENT
    return node


def spread(trails: list[Trail], steps: tuple[Step, ...], misplaced: list[tuple[Every, Any]]) -> list[Trail]:
    """Trails made longer by steps of any kind, one for each place that they lead to. What cannot be gone over is added
    to `misplaced`; what is absent or null leads nowhere."""
    for step in steps:
        if step is _ITEM:
            longer: list[Trail] = []
            for trail in trails:
                node = trail[-1]
                if type(node) is list:
                    longer += [(*trail, position, child) for position, child in enumerate(node)]
                elif node is not None:
                    misplaced.append((step, node))
            trails = longer
        elif step is _MEMBER:
            longer = []
            for trail in trails:
                node = trail[-1]
                if type(node) is dict:
                    longer += [(*trail, key, child) for key, child in node.items()]
                elif node is not None:
                    misplaced.append((step, node))
            trails = longer
        elif len(trails) == 1 and type(step) is str:  # as nearly all begin
            trail = trails[0]
            node = trail[-1]
            if type(node) is not dict or (node := node.get(step, ABSENT)) is ABSENT:
                return []
            trails = [(*trail, node)]
        else:
            one = (step,)
            trails = [(*trail, node) for trail in trails if (node := _follow(trail[-1], one)) is not ABSENT]
    return trails


class Scope:
    """The slots of a trail: what the paths of one mapping can reach."""

    def __init__(self, each: Path | None = None) -> None:
        self.steps = each.steps if each else ()
        self.element = 0
        self.around: list[int] = []
        """Slots of the objects around the element, the nearest first."""
        self.keyed: set[int] = set()
        """Slots before which the key stands."""
        self.way: dict[int, tuple[Step, ...]] = {0: ()}
        """Slot → the steps that lead there from the root."""
        for count, step in enumerate(self.steps, 1):
            if isinstance(step, str) or step is Every.MEMBER:
                self.around.insert(0, self.element)
            self.element += 1
            if isinstance(step, Every):
                self.element += 1
                self.keyed.add(self.element)
            self.way[self.element] = self.steps[:count]

    def slot(self, path: Path) -> int:
        """Where a path starts. Raises PathError."""
        if path.ups == ROOT:
            return 0
        if path.ups > len(self.around):
            count = len(self.around)
            what = "no object stands around the element" if not count else f"only {count} stand around the element"
            raise PathError(path.text, count, f"it goes too far out: {what}")
        return self.around[path.ups - 1] if path.ups else self.element

    def bind(self, path: Path) -> Get:
        """For a path to one place. Raises PathError."""
        slot = self.slot(path)
        if path.last_every():
            raise PathError(path.text, 0, "it leads to many places, expected one")
        if not path.is_key:
            return getter(slot, path.steps)
        if path.steps or slot not in self.keyed:
            raise PathError(path.text, len(path.text) - 1, "this key is always the same: ~ belongs after [*] or {*}")
        return getter(slot - 1, ())
