"""From what a payload calls a meter to the device that the registry knows (devices.csv: source_id, field, gateway)."""

from __future__ import annotations

from monitor.decoders.decoded import Limits
from monitor.decoders.values import Measured, UnreadableError
from monitor.ingest.message import Message
from monitor.readings import Quantity

__all__ = ["MONITORED", "arrival_ms", "check_size"]

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


def check_size(message: Message, limits: Limits) -> None:
    """Raises UnreadableError for a payload that is not looked at."""
    if len(message.payload) > limits.max_payload_bytes:
        found = f"{len(message.payload)} bytes, expected at most {limits.max_payload_bytes}"
        raise UnreadableError(found, "payload_too_large")
