"""What Wiren Board's controls are called, by the templates of its Modbus driver (github.com/wirenboard/wb-mqtt-serial).

`Total AP energy` is what was drawn (active, positive), `AN` what was fed in, `RP`, `RN`, `Q` are reactive, `L1` to `L3`
phases of a total. Devices with several meters or units put a number before or behind: `Ch 2 Total P`, `7 - Mode`,
`AP energy 3`: each is a meter of its own then.

Meters that speak DLMS (Energomera CE308, Mercury 234) have the standard's descriptions as names: `Ch. 0 Sum Li Active
power_plus_ (QI_plus_QIV) Time integral 1 Rate 0 (0 is total)` is the total register, rates above 0 are tariffs, `Active
power-` was fed in. The driver tells no unit for them; DLMS has Wh and W alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from monitor.decoders.formats.climate import Role, role_of
from monitor.decoders.names import Names, words_of
from monitor.decoders.values import Measured

__all__ = ["UNIT_OF_TYPE", "Control", "control_of"]

UNIT_OF_TYPE: dict[str, str] = {
    "power_consumption": "kWh",
    "power": "W",
    "temperature": "°C",
    "water_consumption": "m3",
    "heat_energy": "Gcal",
}
"""Type of a control → its unit, where no units are told (Wiren Board's MQTT conventions)."""
_USUAL: dict[str, str] = {
    "total_ap_energy": "total_active_energy", "ap_energy": "active_energy", "total_a_energy": "total_active_energy",
    "a_energy": "active_energy", "total_an_energy": "active_energy_export", "an_energy": "active_energy_export",
    "active_energy_in": "active_energy_import", "active_energy_out": "active_energy_export",
    "active_power_in": "active_power_import", "active_power_out": "active_power_export", "total_p": "total_power",
    "ps": "total_power",
    "indoor_air_temperature": "room_temperature", "actual_temperature_setpoint": "setpoint",
}  # fmt: skip
_TARIFF = re.compile(r"(?:^|_)(?:t|tariff_?)([1-8])(?=_|$)")
_OF_TARIFFS: dict[str, Measured] = {
    **dict.fromkeys(
        ("", "a_energy", "total_a_energy", "ap_energy", "total_ap_energy", "power_consumption", "energy", "total",
         "consumption", "total_consumption", "active_energy", "total_active_energy", "active_energy_in"), "register"),
    **dict.fromkeys(("an_energy", "total_an_energy", "active_energy_out"), "export_register"),
}  # fmt: skip
"""What is left of a name without its tariff."""
_CHANNEL = re.compile(r"(?:Ch\.? ?(\d{1,3})|(\d{1,3}) -) (.+)")
_DLMS = re.compile(
    r"Sum Li Active power(_plus_|\+|-) \([^()]*\) (?:Inst\. value|Time integral 1 Rate ([0-8])(?: \(0 is total\))?)"
)
"""Behind its channel: a direction; the rate of a register, none of a power."""
_NUMBERED = re.compile(r"(.+)_(\d{1,2})")
_NAMES = Names()


class Control(NamedTuple):
    channel: str
    """Number of the meter or unit in its device, or nothing."""
    usual: str
    """The usual name of the control; empty where it has none."""
    role: Role | None = None
    """Of an air conditioner."""
    quantity: Measured | None = None
    tariff: str = ""
    unit: str = ""
    """Where neither units nor a type tell it."""


def control_of(name: str) -> Control:
    """What a control's name means."""
    channel = ""
    if (match := _CHANNEL.fullmatch(name)) is not None:
        channel, name = match[1] or match[2], match[3]
    if (match := _DLMS.fullmatch(name)) is not None:
        return _of_dlms(channel.strip("0"), match[1] == "-", match[2])
    words = words_of(name)
    if (tariff := _TARIFF.search(words)) is not None:
        rest = (words[: tariff.start()] + words[tariff.end() :]).strip("_")
        quantity = _OF_TARIFFS.get(rest)
        return Control(channel, words, None, quantity, tariff[1]) if quantity else Control(channel, "")
    found = _known(channel, words)
    if not found.usual and not channel and (numbered := _NUMBERED.fullmatch(words)) is not None:
        return _known(numbered[2], numbered[1])
    return found


def _of_dlms(channel: str, is_out: bool, rate: str | None) -> Control:
    direction = "export" if is_out else "import"
    if rate is None:
        return Control(channel, f"active_power_{direction}", None, "power_kw", "", "W")
    quantity: Measured = "export_register" if is_out else "register"
    return Control(channel, f"active_energy_{direction}", None, quantity, rate.strip("0"), "Wh")


def _known(channel: str, words: str) -> Control:
    if words == "active":
        return Control(channel, words, "on", "on")
    role = role_of(words)
    if role in ("mode", "on") and words != "power":
        return Control(channel, words, role, "mode" if role == "mode" else "on")
    usual = _USUAL.get(words, words)
    meaning = _NAMES.meaning(usual)
    if meaning is None or meaning.tariff:
        return Control(channel, "")
    return Control(channel, usual, role, meaning.quantity)
