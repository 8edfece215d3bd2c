"""Mitsubishi Electric's units behind Tasmota's own driver for their CN105 plug.

Names: `xdrv_44_miel_hvac.ino` of github.com/arendst/Tasmota. The section MiElHVAC of SENSOR had the room alone at first
(`Temperature`), then all as text, then numbers under clearer names; before that the rest came in `tele/<topic>/
HVACSettings`, which is still sent at each change. The mode stays what it was while the power is off. `Power` was on or
off and became W, which ENERGY tells as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.decoders.formats.plug_values import add_number, number_of
from monitor.decoders.payloads import shown
from monitor.decoders.values import Found, Measured
from monitor.decoders.words import mode_number, switch_value

__all__ = ["SECTION", "SETTINGS", "add_unit"]

SECTION = "MiElHVAC"
SETTINGS = "HVACSETTINGS"
"""Last level of its topic, which the firmware writes in capitals or not."""
_TEMPERATURES: tuple[tuple[Measured, tuple[str, str]], ...] = (
    ("setpoint_c", ("SetTemperature", "Temp")),
    ("room_c", ("RoomTemperature", "Temperature")),
)
_HOTTEST = 40.0
"""[°C] The settings do not tell their unit; 31 °C is the most that can be set, 50 °F the least."""


def add_unit(
    found: Found, source_id: str, body: dict[str, Any], ts_ms: int | None, modes: Mapping[str, int], unit: object = None
) -> None:
    """body: the section or the settings. unit: C or F, if it is told."""
    switch = body.get("PowerState", body.get("Power"))
    if isinstance(switch, str):
        on = switch_value(switch)
        if on is None:
            found.reject("bad_value", f"{shown(source_id)} Power: {shown(switch)} is neither on nor off")
        else:
            found.add(source_id, "on", on, ts_ms, "Power")
    if isinstance(word := body.get("Mode"), str):
        mode = mode_number(word.removesuffix("_isee"), modes)
        if mode is None:
            found.reject("bad_value", f"{shown(source_id)} Mode: {shown(word)} is no mode")
        else:
            found.add(source_id, "mode", float(mode), ts_ms, "Mode")
    for quantity, names in _TEMPERATURES:
        name = names[0] if names[0] in body else names[1]
        number = number_of(found, body[name], source_id, name) if name in body else None
        if number is not None:
            is_fahrenheit = unit == "F" or (unit is None and number > _HOTTEST)
            found.add(source_id, quantity, (number - 32.0) / 1.8 if is_fahrenheit else number, ts_ms, name)
    if body.get("OperationEnergy") not in (None, "0.0"):  # units that do not meter say 0
        add_number(found, source_id, "register", body["OperationEnergy"], 1.0, ts_ms, "OperationEnergy")
        if "OperationPower" in body:
            add_number(found, source_id, "power_kw", body["OperationPower"], 1000.0, ts_ms, "OperationPower")
