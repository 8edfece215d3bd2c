"""Lists of the meters behind a P1 port, as bridges make them of a telegram's channels.

HomeWizard: `external`, of `{"unique_id", "type", "timestamp", "value", "unit"}`. dsmr_parser: `MBUS_DEVICES`, objects
of its names, the reading with `datetime`, `value`, `unit`, the device type as EN 13757-3 numbers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from monitor.decoders.values import Measured

__all__ = ["External", "external_meters"]

_MOST = 16
_TYPES: dict[str, Measured] = {
    "gas_meter": "gas_m3",
    "water_meter": "water_m3",
    "warm_water_meter": "water_m3",
    "heat_meter": "heat_kwh",
    "inlet_heat_meter": "heat_kwh",
}
_NUMBERS: dict[int, Measured] = {
    2: "register",
    3: "gas_m3",
    4: "heat_kwh",
    6: "water_m3",
    7: "water_m3",
    12: "heat_kwh",
    13: "heat_kwh",
}
_READINGS = ("MBUS_METER_READING", "HOURLY_GAS_METER_READING", "GAS_METER_READING")
_NUMBERED = ("MBUS_EQUIPMENT_IDENTIFIER", "EQUIPMENT_IDENTIFIER_GAS")
_TYPED = ("MBUS_DEVICE_TYPE", "DEVICE_TYPE")


class External(NamedTuple):
    quantity: Measured | None
    """None: a medium that is nothing for us."""
    number: Any
    """The meter's, as the bridge gives it."""
    channel: int
    value: Any
    unit: Any
    time: Any
    name: str


def external_meters(body: dict[str, Any]) -> Iterator[External]:
    """Meters with a reading, in the order of the lists."""
    for channel, meter in enumerate(_list(body.get("external")), 1):
        kind = meter.get("type")
        name = kind if isinstance(kind, str) else ""
        yield External(
            _TYPES.get(name), meter.get("unique_id"), channel, meter.get("value"), meter.get("unit"),
            meter.get("timestamp"), name,
        )  # fmt: skip
    for channel, meter in enumerate(_list(body.get("MBUS_DEVICES")), 1):
        for name in _READINGS:
            reading = meter.get(name)
            if isinstance(reading, dict):
                number = _of(meter, _TYPED)
                quantity = _NUMBERS.get(number) if type(number) is int else None if "MBUS" in name else "gas_m3"
                place = meter.get("CHANNEL_ID")
                yield External(
                    quantity, _of(meter, _NUMBERED), place if type(place) is int else channel, reading.get("value"),
                    reading.get("unit"), reading.get("datetime"), name,
                )  # fmt: skip
                break


def _list(raw: Any) -> list[dict[str, Any]]:
    return [meter for meter in raw[:_MOST] if isinstance(meter, dict)] if isinstance(raw, list) else []


def _of(meter: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        raw = meter.get(name)
        if isinstance(raw, dict) and raw.get("value") is not None:
            return raw["value"]
    return None
