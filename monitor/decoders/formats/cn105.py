"""Mitsubishi Electric's units behind their CN105 plug, and whatever else sends a climate entity's state as one object.

The example of github.com/SwiCago/HeatPump publishes its settings (`power`, `mode`, `temperature`: the set-point) on
`<name>` and `{"roomTemperature", "operating"}` on `<name>/status`; mitsubishi2MQTT has both in `<prefix>/<name>/state`;
MitsuCon has them on `<name>/tele/stat` and `<name>/tele/curr`.
The mode stays what it was while the power is off, and is told so: whether a unit runs needs both.
"""

from __future__ import annotations

from typing import Any

from monitor.decoders.formats.climate import Climate
from monitor.decoders.payloads import shown
from monitor.decoders.values import Found, UnreadableError

__all__ = ["BEFORE_STATES", "STATES", "STATUSES", "Cn105"]

STATES = frozenset({"state", "settings", "status", "stat", "curr"})
"""Last levels of topics with a state: the unit is what stands before."""
BEFORE_STATES = frozenset({"tele"})
"""Levels before one of these that are no part of the unit."""
STATUSES = frozenset(
    {"timers", "debug", "availability", "attributes", "attr", "system", "packets", "logs", "stats", "LWT"}
)
"""Last levels of topics that say nothing of the unit, though `timers` has a `mode`."""


class Cn105:
    def __init__(self, climate: Climate) -> None:
        self._climate = climate

    def read(self, body: dict[str, Any], source_id: str, found: Found) -> None:
        if not self._climate.add_object(found, source_id, body, None):
            raise UnreadableError(f"an object of no controller that is known here, with {shown(', '.join(body))}")
