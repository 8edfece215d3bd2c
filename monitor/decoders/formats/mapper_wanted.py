"""Reads of a JSON payload only what a mapping's paths lead to: the rest is skipped, no objects are made of it.

What it gives are plain dicts and lists with fewer members, so whoever follows the paths cannot tell. A payload that is
otherwise than the paths expect (an object where a list belongs, NaN, …) is read whole instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import msgspec

from monitor.decoders.formats.mapper_path import Every, Step
from monitor.decoders.payloads import read_json

__all__ = ["reader_of"]


class _Node:
    """What is wanted of one place. Nothing below it, or things of two kinds: all of it, as it is."""

    def __init__(self) -> None:
        self.members: dict[str, _Node] = {}
        self.items: _Node | None = None
        self.every_member: _Node | None = None
        self.is_whole = False

    def add(self, steps: Sequence[Step]) -> None:
        if not steps:
            self.is_whole = True
            return
        step = steps[0]
        if isinstance(step, str):
            below = self.members.setdefault(step, _Node())
        elif step is Every.MEMBER:
            below = self.every_member = self.every_member or _Node()
        else:
            below = self.items = self.items or _Node()
        below.add(steps[1:])

    def type(self, name: str = "Wanted") -> Any:
        kinds = bool(self.members) + (self.items is not None) + (self.every_member is not None)
        if self.is_whole or kinds != 1:
            return Any
        if self.items is not None:
            return list[self.items.type(name)] | None  # type: ignore[misc]  # the type is made here
        if self.every_member is not None:
            return dict[str, self.every_member.type(name)] | None  # type: ignore[misc]  # the same
        # Names of their own: msgspec tells types of one name apart, people reading an error do not.
        members = {key: node.type(f"{name}_{number}") for number, (key, node) in enumerate(self.members.items())}
        made: Any = TypedDict(name, members, total=False)  # type: ignore[misc]  # name and keys are the mapping's
        return made | None


def reader_of(paths: Sequence[Sequence[Step]], *, is_list_split: bool) -> Callable[[bytes], Any]:
    """Reads payloads as `read_json` does, as far as the paths, from the root, can tell. is_list_split: a list at the
    root may stand for its items."""
    root = _Node()
    for path in paths:
        root.add(path)
    wanted = root.type()
    if wanted is Any:
        return read_json
    if is_list_split and root.items is None:
        wanted = wanted | list[wanted]  # type: ignore[valid-type]  # one that is made here
    decode = msgspec.json.Decoder(wanted).decode

    def read(payload: bytes) -> Any:
        try:
            return decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # a wrong type is one of them
            return read_json(payload)

    return read
