"""Times as gateways write them, to UTC milliseconds. Parts of a millisecond are cut off."""

from __future__ import annotations

import datetime as dt
from typing import Protocol
from zoneinfo import ZoneInfo

from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.values import UnreadableError

__all__ = ["BadTimeError", "LocalClock", "epoch_ms", "iso_ms", "parse_iso", "to_ms"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_WALL_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # of a wall clock's own count
_from_iso = dt.datetime.fromisoformat
_MILLISECOND = dt.timedelta(milliseconds=1)
_S_BELOW, _MS_BELOW, _US_BELOW = 10**11, 10**14, 10**17
"""Whole numbers: most times are, and are compared with others in a third of the time that a float takes."""
_NS_BELOW = 4 * 10**18
"""2096; what is beyond is no time."""
_QUARTER_MIN = 15


class BadTimeError(UnreadableError):
    """A time that is none, or that cannot be told."""

    def __init__(self, detail: str, reason: str = "bad_time") -> None:
        super().__init__(detail, reason)


class _Flags(Protocol):
    def flag(self, reason: str) -> None: ...


def epoch_ms(number: float) -> int:
    """UTC ms of an epoch time in s, ms, µs or ns, told apart by its size. Raises BadTimeError."""
    if isinstance(number, bool) or not -_S_BELOW < number < _NS_BELOW:
        raise BadTimeError(f"{shown(number)} is no time")
    if number < _S_BELOW:
        # A double holds 0.2 µs here: rounded to µs first, so that 1757059829.08 s keeps its 80 ms.
        return number * 1000 if isinstance(number, int) else round(number * 1e6) // 1000
    if number < _MS_BELOW:
        return int(number)
    return int(number) // (1000 if number < _US_BELOW else 1_000_000)


def parse_iso(text: str) -> dt.datetime:
    """ISO 8601, with a zone or without, any number of decimals. Raises BadTimeError, also for what is no text."""
    try:
        return dt.datetime.fromisoformat(text if text[-1:] != "z" else text[:-1] + "Z")
    except (TypeError, ValueError):
        raise BadTimeError(f"{shown(text)} is no time in ISO 8601") from None


def to_ms(moment: dt.datetime) -> int:
    """UTC ms of a time that knows its zone."""
    return _ms_of(moment - _EPOCH)


def _ms_of(span: dt.timedelta) -> int:
    """span // 1 ms, in half its time."""
    return span.days * 86_400_000 + span.seconds * 1000 + span.microseconds // 1000


def iso_ms(text: str) -> int:
    """UTC ms of ISO 8601 with a zone. Raises BadTimeError."""
    try:  # what parse_iso and to_ms do, without their calls: 0.8 and 0.5 µs
        moment = _from_iso(text)
    except (TypeError, ValueError):
        moment = parse_iso(text)
    if moment.tzinfo is None:
        raise BadTimeError(f"{shown(text)} names no zone", "no_timezone")
    span = moment - _EPOCH
    return span.days * 86_400_000 + span.seconds * 1000 + span.microseconds // 1000


class LocalClock:
    """Local times without a zone. Of an hour that comes twice in autumn the order of readings says which, flagged."""

    def __init__(self, zone: ZoneInfo | None, state: SourceState) -> None:
        self._zone = zone
        self._state = state
        self._offsets: dict[tuple[int, int], tuple[int, int]] = {}

    def ms(self, naive: dt.datetime, key: str, received_ms: int, found: _Flags) -> int:
        """UTC ms. key: whose readings are in order (a device). Raises BadTimeError where no zone is configured."""
        if naive.tzinfo is not None:
            return to_ms(naive)
        if self._zone is None:
            raise BadTimeError(f"{naive.isoformat()} names no zone: give the source a timezone", "no_timezone")
        first, second = self._offset_ms(naive)
        wall_ms = _ms_of(naive - _WALL_EPOCH)
        ts_ms = wall_ms - first
        if first == second:
            return ts_ms
        if first < second:  # the hour that spring leaves out: taken as if the clock had not been put forward yet
            found.flag("nonexistent_time")
            return ts_ms
        found.flag("ambiguous_time")
        later_ms = wall_ms - second
        memory = f"clock/{key}"
        last_ms = self._state.get(memory)
        if last_ms is not None and ts_ms < last_ms and later_ms <= received_ms + 600_000:
            ts_ms = later_ms
        if last_ms is None or ts_ms > last_ms:
            self._state.put(memory, ts_ms)
        return ts_ms

    def _offset_ms(self, naive: dt.datetime) -> tuple[int, int]:
        """UTC offset [ms] of the wall clock's time, when it comes first and when it comes again."""
        # Zones change at quarters of an hour.
        key = naive.toordinal(), naive.hour * 60 + naive.minute // _QUARTER_MIN * _QUARTER_MIN
        offsets = self._offsets.get(key)
        if offsets is None:
            local = naive.replace(tzinfo=self._zone)
            first, second = (
                (local.replace(fold=fold).utcoffset() or dt.timedelta()) // _MILLISECOND for fold in (0, 1)
            )
            if len(self._offsets) > 1000:
                self._offsets.clear()
            offsets = self._offsets[key] = first, second
        return offsets
