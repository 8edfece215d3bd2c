"""What the configuration says of a source, as formats know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from monitor.decoders.values import Measured

__all__ = ["FieldRule", "Options"]


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What one of the payload's names means, where the usual names do not say it, or say it wrong."""

    quantity: Measured | None = None
    """None: as the usual names say."""
    unit: str | None = None
    """One of the units that `monitor.decoders.units` knows; None: as the payload says."""
    scale: float = 1.0
    """The value is multiplied by it before its unit is looked at."""
    ignore: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one source that formats look at."""

    timezone: ZoneInfo | None = None
    """Zone of local times that do not name theirs."""
    fields: Mapping[str, FieldRule] = field(default_factory=dict)
    """By the payload's own name for a value."""
    modes: Mapping[str, int] = field(default_factory=dict)
    """The installer's words or numbers for a mode, in lower case, → mode 0 to 5; they come before the usual words."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Options of this format alone, checked by its entry in the table of formats."""
