"""What Milesight's codec says of a CTH01: a meter of up to twelve circuits, [kWh] and [kW].

They are in four groups of three, two in each object: `forward_active_energy1.group1.chan2`, or, where three phases are
one circuit, `forward_active_energy1.group1_value`. Public codec: github.com/Milesight-IoT/SensorDecoders, cth-series.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.decoders.payloads import shown, to_number
from monitor.decoders.values import Found, Measured

__all__ = ["CIRCUITS", "read_circuits"]

_QUANTITIES: dict[str, Measured] = {
    "forward_active_energy": "register",
    "reverse_active_energy": "export_register",
    "active_power": "power_kw",
}
CIRCUITS: dict[str, Measured] = {f"{name}{half}": quantity for name, quantity in _QUANTITIES.items() for half in (1, 2)}
_GROUPS = ("group1_value", "group1", "group2_value", "group2")
_NOT_MEASURED = "error"
_CHANNELS = ("chan1", "chan2", "chan3")


def read_circuits(found: Found, source_id: str, key: str, groups: Mapping[Any, Any], ts_ms: int | None) -> None:
    """Put the circuits' values of one of `CIRCUITS` into `found`."""
    for group in _GROUPS:
        inside = groups.get(group)
        if isinstance(inside, dict):
            values = {f"{key}.{group}.{channel}": inside[channel] for channel in _CHANNELS if channel in inside}
        else:
            values = {f"{key}.{group}": inside} if group in groups else {}
        for name, raw in values.items():
            try:
                number = None if raw == _NOT_MEASURED else to_number(raw)
            except ValueError:
                found.reject("bad_value", f"{source_id} {name}: {shown(raw)} is no number")
                continue
            if number is None:
                found.ignore("no_value")
            else:
                found.add(source_id, CIRCUITS[key], number, ts_ms, name)
