"""From what a payload calls a meter to the device that the registry knows (devices.csv: source_id, field, gateway)."""

from __future__ import annotations

from monitor.decoders.values import Measured
from monitor.ingest.message import Message
from monitor.readings import Quantity

__all__ = ["MONITORED", "arrival_ms"]

MONITORED: dict[Measured, tuple[Quantity, bool]] = {
    "register": (Quantity.REGISTER, False),
    "export_register": (Quantity.REGISTER, False),
    "power_kw": (Quantity.POWER_KW, False),
    "on": (Quantity.ON, True),
    "mode": (Quantity.MODE, True),
    "setpoint_c": (Quantity.SETPOINT_C, True),
    "room_c": (Quantity.ROOM_C, True),
    "water_m3": (Quantity.REGISTER, False),
    "gas_m3": (Quantity.REGISTER, False),
    "heat_kwh": (Quantity.REGISTER, False),
}
"""What a gateway measures → the quantity of ours that it becomes, and whether that is one of an ac (else a meter)."""


def arrival_ms(message: Message) -> int | None:
    """The time of a reading whose message says nothing of it: its arrival; None if the broker had kept the message,
    for then its arrival says nothing."""
    return None if message.retain else message.received_ms
