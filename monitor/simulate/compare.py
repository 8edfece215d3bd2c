"""What was found against what is true."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from monitor.results import Event
from monitor.simulate.truth import IntervalRow

__all__ = ["Comparison", "compare_events", "compare_intervals"]

RowT = TypeVar("RowT", bound=tuple[Any, ...])
REL_TOL = 1e-6
ABS_TOL = 1e-9
"""Sums of terms that cancel (0 against 1e-13) have no relative error worth the name."""


@dataclass(frozen=True, slots=True)
class Comparison(Generic[RowT]):
    """Rows by what became of them; `wrong` as (found, true). twice: found more than once under one key."""

    right: list[RowT]
    missing: list[RowT]
    unexpected: list[RowT]
    wrong: list[tuple[RowT, RowT]]
    twice: list[RowT]

    @property
    def equal(self) -> bool:
        return not (self.missing or self.unexpected or self.wrong or self.twice)


def _same(found: object, true: object) -> bool:
    if isinstance(found, float) and isinstance(true, float):
        return math.isclose(found, true, rel_tol=REL_TOL, abs_tol=ABS_TOL)
    return found == true


def _compare(found: Iterable[RowT], true: Iterable[RowT], key: Callable[[RowT], Hashable]) -> Comparison[RowT]:
    true_by_key = {key(row): row for row in true}
    out: Comparison[RowT] = Comparison([], [], [], [], [])
    seen: set[Hashable] = set()
    for row in found:
        name = key(row)
        expected = true_by_key.get(name)
        if name in seen:
            out.twice.append(row)
        elif expected is None:
            out.unexpected.append(row)
        elif len(row) == len(expected) and all(map(_same, row, expected)):
            out.right.append(row)
        else:
            out.wrong.append((row, expected))
        seen.add(name)
    out.missing.extend(row for name, row in true_by_key.items() if name not in seen)
    return out


def compare_events(found: Iterable[Event], true: Iterable[Event]) -> Comparison[Event]:
    """By event_id; withdrawn ones are left out. Figures agree within 1e-6 relative, everything else exactly."""
    standing = (event for event in found if event.state != "withdrawn")
    return _compare(standing, true, lambda event: event.event_id)


def compare_intervals(found: Iterable[IntervalRow], true: Iterable[IntervalRow]) -> Comparison[IntervalRow]:
    """By (building, item, start). Figures agree within 1e-6 relative, everything else exactly."""
    return _compare(found, true, lambda row: (row.building, row.item, row.start_ms))
