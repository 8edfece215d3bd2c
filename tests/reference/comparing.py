"""Section 1: rounding decides nothing."""

from __future__ import annotations


def gt(a: float, b: float) -> bool:
    """a > b between measured values."""
    return a - b > 1e-9 * max(1.0, abs(a), abs(b))


def lt(a: float, b: float) -> bool:
    return gt(b, a)


def ge(a: float, b: float) -> bool:
    return not lt(a, b)


def le(a: float, b: float) -> bool:
    return not gt(a, b)
