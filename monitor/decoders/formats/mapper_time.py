"""Times by the format that the mapping names: a word, or a pattern of strptime's directives compiled once.

strptime itself takes 8 µs a time, knows months in the process's locale only and seconds to six decimals: its patterns
are turned into one regular expression here instead. What has no zone is the source's local time.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from monitor.decoders.payloads import shown, to_number
from monitor.decoders.times import BadTimeError, LocalClock, epoch_ms, parse_iso, to_ms
from monitor.decoders.values import Found

__all__ = ["EPOCH_UNITS", "FORMATS", "Clock", "compile_pattern"]

EPOCH_UNITS: dict[str, float] = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "ns": 1e-6}
"""Unit of an epoch time → ms."""
FORMATS = ("auto", "iso", *EPOCH_UNITS)
_LONGEST = 64
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DIRECTIVES: dict[str, tuple[str, str]] = {
    "Y": ("year", r"\d{4}"), "y": ("year", r"\d\d"), "m": ("month", r"\d{1,2}"), "d": ("day", r"\d{1,2}"),
    "j": ("day_of_year", r"\d{1,3}"), "H": ("hour", r"\d{1,2}"), "I": ("hour", r"\d{1,2}"), "M": ("minute", r"\d{1,2}"),
    "S": ("second", r"\d{1,2}"), "f": ("fraction", r"\d{1,9}"), "p": ("half", r"[AaPp]\.?[Mm]\.?"),
    "z": ("zone", r"Z|[+-]\d\d:?\d\d"), "b": ("month", r"[A-Za-z]{3}"), "B": ("month", r"[A-Za-z]{3,9}"),
    "a": ("weekday", r"[A-Za-z]{2,3}"), "A": ("weekday", r"[A-Za-z]{2,9}"),
}  # fmt: skip
"""Directive → what it gives and how it looks. Names of months and days are English whatever the locale."""
_CALENDAR_DIGITS = (14, 17)
"""Digits of a whole time written without separators: yyyymmddHHMMSS, and with ms. As an epoch they would be in 2600."""

Parse = Callable[[Any], dt.datetime | int]
"""A time that knows its zone or is local, or UTC ms. Raises BadTimeError."""


def compile_pattern(pattern: str) -> tuple[Parse | None, str]:
    """What reads texts of this pattern; or None and why it cannot be."""
    regex, seen, years_short, is_half = "", set[str](), False, False
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char.isspace():
            regex += r"\s+" if not regex.endswith(r"\s+") else ""
        elif char != "%":
            regex += re.escape(char)
        elif pattern[position : position + 1] == "%":
            regex += "%"
            position += 1
        else:
            directive = pattern[position : position + 1]
            position += 1
            if directive not in _DIRECTIVES:
                known = " ".join(f"%{each}" for each in _DIRECTIVES)
                return None, f"found %{directive} at character {position - 1}, expected one of {known}"
            part, look = _DIRECTIVES[directive]
            if part in seen:
                return None, f"%{directive} at character {position - 1} gives the {part} a second time"
            seen.add(part)
            years_short |= directive == "y"
            is_half |= directive == "I"
            regex += f"(?P<{part}>{look})"
    if "year" not in seen or not ({"month", "day"} <= seen or "day_of_year" in seen):
        return None, f"found {pattern!r}, which gives no date: expected %Y (or %y) with %m and %d, or with %j"
    if is_half != ("half" in seen):
        return None, f"found {pattern!r}: %I and %p belong together"
    if "hour" not in seen:
        return None, f"found {pattern!r}, which gives no hour: expected %H, or %I with %p"
    return _Pattern(pattern, re.compile(regex, re.ASCII), years_short).parse, ""


class _Pattern:
    """One pattern, two ways: texts with all digits that it allows are cut at fixed places and read by datetime itself,
    in a fifth of the time; all others go through the regular expression."""

    def __init__(self, pattern: str, regex: re.Pattern[str], years_short: bool) -> None:
        self._pattern = pattern
        self._match = regex.fullmatch
        self._century = 2000 if years_short else 0
        self._cuts: dict[str, slice] = {}
        self._literals: list[tuple[slice, str]] = []
        self._length = 0
        at = 0
        position = 0
        while position < len(pattern):
            width = 1
            if pattern[position] == "%":
                directive = pattern[position + 1]
                width = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}.get(directive, 0)
                if directive == "f" and position + 2 == len(pattern):
                    self._cuts["f"] = slice(at, None)
                elif not width:
                    return
                else:
                    self._cuts[directive] = slice(at, at + width)
                position += 1
            else:
                self._literals.append((slice(at, at + 1), pattern[position]))
            at += width
            position += 1
        if {"Y", "m", "d", "H"} <= self._cuts.keys() and ("S" not in self._cuts or "M" in self._cuts):
            self._length = at - ("f" in self._cuts)

    def parse(self, raw: Any) -> dt.datetime:
        text = raw if type(raw) is str else _text(raw)
        if self._length and (len(text) == self._length or ("f" in self._cuts and 0 < len(text) - self._length < 10)):
            moment = self._cut(text)
            if moment is not None:
                return moment
        match = self._match(text.strip()) if len(text) <= _LONGEST else None
        if match is None:
            raise BadTimeError(f"{shown(text)} is no time as {self._pattern}")
        try:
            return self._by_name(match.groupdict())
        except (OverflowError, ValueError) as error:
            raise BadTimeError(f"{shown(text)} is no time: {error}") from None

    def _cut(self, text: str) -> dt.datetime | None:
        """None where it is otherwise than with all its digits."""
        cut = self._cuts
        for place, literal in self._literals:
            if text[place] != literal:
                return None
        iso = f"{text[cut['Y']]}-{text[cut['m']]}-{text[cut['d']]}T{text[cut['H']]}"
        iso += f":{text[cut['M']]}" if "M" in cut else ":00"
        if "S" in cut:
            iso += f":{text[cut['S']]}"
            if "f" in cut:
                iso += "." + text[cut["f"]]
        try:
            moment = dt.datetime.fromisoformat(iso)
        except ValueError:
            return None
        return moment if moment.tzinfo is None else None  # a sign among the digits is no zone

    def _by_name(self, part: dict[str, str]) -> dt.datetime:
        hour = int(part["hour"])
        if "half" in part:
            if not 1 <= hour <= 12:
                raise ValueError("the hour must be in 1..12")
            hour = hour % 12 + (12 if part["half"][0] in "Pp" else 0)
        month = part.get("month", "1")
        if month.isalpha():
            month = str(_MONTHS.index(month[:3].lower()) + 1)
        moment = dt.datetime(  # noqa: DTZ001  # the zone is put on below, where there is one
            int(part["year"]) + self._century,
            int(month),
            int(part.get("day", "1")),
            hour,
            int(part.get("minute", "0")),
            int(part.get("second", "0")),
            _microseconds(part.get("fraction", "0")),
        )
        if "day_of_year" in part:
            number = int(part["day_of_year"])
            if not 1 <= number <= 366:
                raise ValueError("the day of the year must be in 1..366")
            moment = moment.replace(month=1, day=1) + dt.timedelta(days=number - 1)
        zone = part.get("zone")
        if zone:
            moment = moment.replace(tzinfo=dt.datetime.strptime(zone, "%z").tzinfo)
        return moment


def _microseconds(digits: str) -> int:
    return int(digits[:6].ljust(6, "0"))


def _text(raw: Any) -> str:
    """Gateways write 20260628091500 as a number, too."""
    if isinstance(raw, str):
        return raw.strip()
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 10**18:
        return str(raw)
    raise BadTimeError(f"a {type(raw).__name__} where a time belongs: {shown(raw)}")


def _epoch(raw: Any, ms: float | None) -> int:
    try:
        number = to_number(raw)
    except ValueError:
        raise BadTimeError(f"{shown(raw)} is no time") from None
    if number is None or not -1e20 < number < 1e20:
        raise BadTimeError(f"{shown(raw)} is no time")
    exact = raw if type(raw) is int else int(raw) if isinstance(raw, str) and raw.strip().isdigit() else number
    if ms is None:
        return epoch_ms(exact)
    if ms >= 1:
        # Doubles hold parts of a second to 0.2 µs: to µs first, so that 1782638100.08 s keeps its 80 ms.
        return exact * int(ms) if isinstance(exact, int) else int(round(exact * ms * 1000) // 1000)
    return int(exact) // round(1 / ms)


def _iso(raw: Any) -> dt.datetime:
    text = _text(raw)
    if len(text) > _LONGEST:
        raise BadTimeError(f"{shown(text)} is no time in ISO 8601")
    return parse_iso(text)


def _auto(raw: Any) -> dt.datetime | int:
    if type(raw) is str:
        text = raw.strip()
        if text[4:5] == "-":
            return _iso(text)
        if text[4:5] == "/":
            return _iso(text.replace("/", "-", 2))
        if text.isascii() and text.isdigit():
            if len(text) > 20:
                raise BadTimeError(f"{shown(text)} is no time")
            return _digits(text) if len(text) in _CALENDAR_DIGITS else epoch_ms(int(text))
        try:
            float(text)
        except ValueError:
            return _iso(text)
        return _epoch(text, None)
    if type(raw) is float or (type(raw) is int and raw < 19e12):
        return epoch_ms(raw)
    if type(raw) is int and 19e12 < raw < 22e15 and len(str(raw)) in _CALENDAR_DIGITS and str(raw)[:2] in ("19", "20"):
        return _digits(str(raw))
    return _epoch(raw, None)


def _digits(text: str) -> dt.datetime:
    try:
        return dt.datetime(  # noqa: DTZ001  # local, LocalClock knows where
            *(int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:12]), int(text[12:14])),
            int(text[14:].ljust(6, "0")),
        )
    except ValueError:
        raise BadTimeError(f"{shown(text)} is no time") from None


class Clock:
    """Raw times of one source to UTC ms."""

    def __init__(self, form: str, local: LocalClock) -> None:
        """form: one of FORMATS or a pattern. Raises ValueError for a pattern that gives no time."""
        self._local = local
        if form == "auto":
            self._parse: Parse = _auto
        elif form == "iso":
            self._parse = _iso
        elif form in EPOCH_UNITS:
            ms = EPOCH_UNITS[form]
            self._parse = lambda raw: _epoch(raw, ms)
        else:
            parse, problem = compile_pattern(form)
            if parse is None:
                raise ValueError(problem)
            self._parse = parse
        self._last: tuple[Any, dt.datetime | int] = (object(), 0)

    def ms(self, raw: Any, source_id: str, received_ms: int, found: Found) -> int:
        """Raises BadTimeError."""
        # All elements of a message tend to have one time. `is`, since 1 == True == 1.0.
        last_raw, moment = self._last
        if raw is not last_raw:
            moment = self._parse(raw)
            if isinstance(moment, dt.datetime) and moment.tzinfo is not None:
                moment = to_ms(moment)
            self._last = raw, moment
        if not isinstance(moment, dt.datetime):
            return moment
        if not 1990 <= moment.year < 2200:  # the zone's rules reach no further
            raise BadTimeError(f"{shown(raw)} is no time")
        return self._local.ms(moment, source_id, received_ms, found)
