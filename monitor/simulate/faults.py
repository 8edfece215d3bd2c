"""The faults that can be turned on, each with its rate."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from monitor.errors import InputError

__all__ = ["SOME_FAULTS", "Faults"]


@dataclass(frozen=True, slots=True)
class Faults:
    """All 0: a perfect world. The first four change only how readings arrive; `resets` to `skew` change the readings
    themselves, before the truth is taken."""

    duplicates: float = 0.0
    """Share of messages that are sent twice, the second some seconds or minutes later. 0..1."""
    reordering: float = 0.0
    """Share of messages that are held back by up to 30 s. 0..1."""
    outages: float = 0.0
    """Silences of 10 min to 3 h for each gateway and day, with backfill afterwards. 0..20."""
    malformed: float = 0.0
    """Bad messages for each good one, over and above them. 0..1."""
    resets: float = 0.0
    """Meters replaced by one that begins at 0, for each register and day. 0..20."""
    rollovers: float = 0.0
    """Share of the registers with a register_max that pass it during the run. 0..1."""
    spikes: float = 0.0
    """Share of a meter's readings that are far too high. 0..1."""
    skew: float = 0.0
    """Share of the gateways whose clock is wrong, by up to 60 s. 0..1."""

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            rate = getattr(self, entry.name)
            highest = 20.0 if entry.name in ("outages", "resets") else 1.0
            if not 0.0 <= rate <= highest:
                raise InputError(f"fault {entry.name}={rate}: give a rate from 0 to {highest:g}")

    @classmethod
    def parse(cls, text: str) -> Faults:
        """`duplicates=0.02,outages=1`; `some` for a bit of each; empty for none. InputError for anything else."""
        if text.strip() in ("", "none"):
            return cls()
        if text.strip() == "some":
            return SOME_FAULTS
        known = [entry.name for entry in dataclasses.fields(cls)]
        rates: dict[str, float] = {}
        for part in text.split(","):
            name, _, rate = (piece.strip() for piece in part.partition("="))
            if name not in known:
                raise InputError(f"fault {name!r} is not known; known: {', '.join(known)}, or `some`")
            try:
                rates[name] = float(rate)
            except ValueError:
                raise InputError(f"fault {name}: found {rate!r}, expected a rate, as {name}=0.02") from None
        return cls(**rates)


SOME_FAULTS = Faults(
    duplicates=0.02, reordering=0.05, outages=0.3, malformed=0.01, resets=0.02, rollovers=0.1, spikes=0.001, skew=0.1
)
