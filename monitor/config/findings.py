"""Collecting what is wrong with a configuration, and reading single values out of text."""

from __future__ import annotations

import difflib
import math
import re
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.errors import ConfigError, Problem

__all__ = ["Bounds", "Findings", "nearest", "number_of", "shown", "text_problem", "zone_problem"]

_DECIMAL = re.compile(r"[-+]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_LONGEST_SHOWN = 60
_ZONE_LIKENESS = 0.86
"""Above other names', for a wrong zone is believed: Mumbai is like Dubai by 0.857."""
_CITIES_OF_ZONES = {"asia/hanoi": "Asia/Ho_Chi_Minh", "asia/beijing": "Asia/Shanghai"}
"""Capitals that people name, and IANA does not."""


@dataclass(slots=True)
class Findings:
    """The problems of one configuration, in the order in which they were met."""

    problems: list[Problem] = field(default_factory=list)

    def error(self, file: str, found: str, *, line: int | None = None, column: str | None = None) -> None:
        self.problems.append(Problem(file, found, line, column))

    def warn(self, file: str, found: str, *, line: int | None = None, column: str | None = None) -> None:
        self.problems.append(Problem(file, found, line, column, warning=True))

    @property
    def warnings(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.warning]

    def raise_errors(self) -> None:
        """Raises `ConfigError` with every error, if there is one; warnings are left out."""
        errors = [problem for problem in self.problems if not problem.warning]
        if errors:
            raise ConfigError(errors)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which numbers are good: at least `low` (above it, if `above`), at most `high`, not 0 if `nonzero`."""

    low: float = 0.0
    high: float = math.inf
    above: bool = False
    nonzero: bool = False

    def __str__(self) -> str:
        if self.nonzero:
            return "a number other than 0"
        if self.high < math.inf:
            return f"a number from {self.low:g} to {self.high:g}"
        return f"a number above {self.low:g}" if self.above else f"a number of at least {self.low:g}"

    def hold(self, value: float) -> bool:
        if self.nonzero and value == 0.0:
            return False
        return self.low <= value <= self.high and not (self.above and value == self.low)


def shown(text: str) -> str:
    """The text as an error names it: quoted, and not longer than a line can bear."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")


def number_of(text: str, bounds: Bounds) -> float | str:
    """The number that a text writes, or what is wrong with it."""
    # float() alone would also take "nan", "infinity" and digits of other scripts.
    if _DECIMAL.fullmatch(text) is None:
        hint = "; write the decimal point as ." if re.fullmatch(r"[-+]?\d+,\d+", text, re.ASCII) else ""
        return f"found {shown(text)}, expected {bounds}{hint}"
    value = float(text)
    if not math.isfinite(value):
        return f"found {shown(text)}, which is too large, expected {bounds}"
    if not bounds.hold(value):
        return f"found {shown(text)}, expected {bounds}"
    return value


def text_problem(text: str) -> str | None:
    """What is wrong with an identifier or a name, or None."""
    if not text.isprintable() and any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
        return f"found {shown(text)}, which holds a control character; remove it"
    return None


def zone_problem(zone: str) -> str | None:
    """What is wrong with the name of a timezone, or None."""
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        name = _CITIES_OF_ZONES.get(zone.casefold(), zone)
        like = nearest(name, zoneinfo.available_timezones(), likeness=_ZONE_LIKENESS)
        return f"found {shown(zone)}, expected an IANA timezone as Asia/Ho_Chi_Minh{like}"
    return None


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """A half sentence that offers the known name most like this one; empty if none is like it.

    likeness: from 0 to 1, how much alike the two must be at least."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=likeness)
    return f"; did you mean {by_folded[close[0]]!r}?" if close else ""
