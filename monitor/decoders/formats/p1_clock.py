"""Times as P1 telegrams write them, and what is made of telegrams: `YYMMDDhhmmss` with a letter for the season.

S says summer and W winter: of Central Europe, or of the source's timezone where there is one. Some meters of version 4
write the letter small. Times of versions 2 and 3 have none.
"""

from __future__ import annotations

import datetime as dt

from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, LocalClock
from monitor.decoders.values import Found

__all__ = ["P1Clock"]

_TIME_CHARS = 12
_CACHED_TIMES = 500
_CENTRAL_EUROPE_MS = 3_600_000
_HOURS = {b"": 0, b"W": 0, b"S": 1, b"w": 0, b"s": 1}
"""Letter of the season → hours ahead of winter."""


class P1Clock:
    """Times as P1 telegrams write them: `YYMMDDhhmmss`, and S or W for summer and winter."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._clock = LocalClock(options.timezone, state)
        self._winter_ms = _CENTRAL_EUROPE_MS
        if options.timezone is not None:
            moment = dt.datetime(2026, 1, 1, tzinfo=options.timezone)
            offset = (moment.utcoffset() or dt.timedelta()) - (moment.dst() or dt.timedelta())
            self._winter_ms = offset // dt.timedelta(milliseconds=1)
        self._known: dict[bytes, int] = {}

    def ms(self, raw: bytes, key: str, received_ms: int, found: Found) -> int:
        """UTC ms. key: whose times are in order, for those without a letter. Raises BadTimeError."""
        ts_ms = self._known.get(raw)
        if ts_ms is not None:
            return ts_ms
        digits, letter = raw[:_TIME_CHARS], raw[_TIME_CHARS:]
        if len(digits) != _TIME_CHARS or not digits.isdigit() or letter not in _HOURS:
            raise BadTimeError(f"{shown(raw)} is no time of a telegram")
        year, month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(0, _TIME_CHARS, 2))
        try:
            naive = dt.datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001  # the letter is the zone
        except ValueError:
            raise BadTimeError(f"{shown(raw)} is no time of a telegram") from None
        if not letter:
            return self._clock.ms(naive, key, received_ms, found)
        wall_ms = (naive - dt.datetime(1970, 1, 1)) // dt.timedelta(milliseconds=1)  # noqa: DTZ001  # the wall clock's own count
        ts_ms = wall_ms - self._winter_ms - _HOURS[letter] * 3_600_000
        if len(self._known) >= _CACHED_TIMES:
            self._known.clear()
        self._known[raw] = ts_ms
        return ts_ms
