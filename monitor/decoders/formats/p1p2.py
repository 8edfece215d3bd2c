"""P1P2MQTT: Daikin's Altherma and VRV on their P1/P2 bus, one text value a topic.

Topic `P1P2/P/<device>/<bridge>/<category>/<source>/<key>`; keys and units: `doc/P1P2MQTT.md` and `doc/HomeAssistant.md`
of github.com/Arnold-n/P1P2MQTT. Hundreds of keys are known to it; read are those that are certain. Water temperatures
are not the room's; set-points come one for heating and one for cooling; what is under `W`, `R`, `S`, … is no value.
"""

from __future__ import annotations

from monitor.decoders.formats.climate import Climate, Role
from monitor.decoders.names import Names
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, text_of, to_number
from monitor.decoders.values import Found, Measured
from monitor.ingest.message import Message

__all__ = ["P1P2"]

_ROLES: dict[str, Role] = {
    "Altherma_On": "on",
    "Temperature_Room": "room_c",
    "Room_Setpoint": "setpoint_c",
    "Setpoint_Temperature": "setpoint_c",
    "Room_Heating_Setpoint": "low",
    "Setpoint_Heating": "low",
    "Room_Cooling_Setpoint": "high",
    "Setpoint_Cooling": "high",
}
_FIGURES: dict[str, tuple[Measured, float]] = {
    "Electricity_Consumed_Total": ("register", 1.0),  # [kWh]
    "Electricity_Power": ("power_kw", 0.001),  # [W], of a meter that somebody feeds to the bridge
    "Consumption_Heatpump": ("power_kw", 0.001),
}
_CHOSEN = {"0": "heat", "1": "cool", "2": "auto"}
_TARGETS = {
    "0": "off",
    **{str(96 + number): word for number, word in ((0, "fan"), (1, "heat"), (2, "cool"), (3, "auto"), (7, "dry"))},
}
_MODES: dict[str, dict[str, str]] = {
    "Heating_Cooling_Auto": _CHOSEN,
    "Target_Operating_Mode": _TARGETS,
    "Target_Operating_Mode_HA": _TARGETS,
}


class P1P2:
    def __init__(self, options: Options, climate: Climate) -> None:
        self._climate = climate
        self._names = Names(options)
        self._fields = options.fields

    def read(self, message: Message, source_id: str, name: str, found: Found) -> None:
        if name in self._fields:
            self._names.add(found, source_id, name, text_of(message.payload), None)
        elif (role := _ROLES.get(name)) is not None:
            self._climate.add(found, source_id, role, text_of(message.payload), None, name, is_fahrenheit=False)
        elif (modes := _MODES.get(name)) is not None:
            text = text_of(message.payload)
            self._climate.add(found, source_id, "mode", modes.get(text, text), None, name)
        elif (figure := _FIGURES.get(name)) is not None:
            text = text_of(message.payload)
            quantity, factor = figure
            try:
                number = to_number(text)
            except ValueError:
                found.reject("bad_value", f"{shown(source_id)} {name}: {shown(text)} is no number")
                return
            if number is None:
                found.ignore("no_value")
            else:
                found.add(source_id, quantity, number * factor, None, name)
