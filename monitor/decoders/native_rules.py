"""Rules of the native format that both of its readers keep, and the marks that they leave for the judge."""

from __future__ import annotations

import math

__all__ = [
    "BAD_TIME",
    "FOREIGN",
    "MAX_NUMBER_CHARS",
    "SECONDS_BELOW",
    "UNKNOWN",
    "epoch_ms",
]

UNKNOWN = -1
"""In place of a device's row: no such device."""
FOREIGN = -2
"""In place of a device's row: it is registered to another gateway."""
BAD_TIME = -(1 << 63)
"""In place of a time: there is one, but it cannot be read."""
MAX_NUMBER_CHARS = 64
"""A longer number makes a payload malformed: reading digits without end takes time without bound."""
SECONDS_BELOW = 1e11
"""An epoch time below this is in seconds (until the year 5138), from there on in milliseconds (since March 1973)."""


def epoch_ms(value: float) -> int:
    """UTC ms of an epoch time in s or ms; parts of a millisecond are cut off.

    Half a microsecond is added to seconds before that, because 1782638100.123 has no exact float64.
    """
    scaled = value * 1000.0 + 0.0005 if abs(value) < SECONDS_BELOW else value
    return math.floor(scaled) if abs(scaled) < 9e15 else BAD_TIME
