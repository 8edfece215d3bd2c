"""HeishaMon: Panasonic's air-to-water heat pumps, one text value a topic.

Names and numbers: the topic table `MQTT-Topics.md` of github.com/Egyras/HeishaMon. Traps: what the pump consumes comes
in three parts (heating, cooling, hot water), in steps of 200 W in `main` and finer in `extra`; what it produces is
heat; targets are water temperatures, or a shift of a curve by -5 to 5, and no set-point of a room; 0 and what is below
-60 °C is a sensor that is not there; -1 is an unknown state; a consumption below 0 is not known (-200 in `main` where
the pump, of the K or L series, tells it in `extra` alone; -1 in `extra`).
"""

from __future__ import annotations

from monitor.decoders.names import Names
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, text_of, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found
from monitor.ingest.message import Message

__all__ = ["GROUPS", "HeishaMon"]

GROUPS = frozenset({"main", "extra", "optional", "sdc"})
"""The level before a value's name."""
_MODES: dict[float, int] = {0: 2, 1: 1, 2: 5, 3: 0, 4: 2, 5: 1, 6: 5, 7: 5, 8: 5}
"""Operating_Mode_State → mode. 3 is hot water alone: for the rooms the pump is off."""
_CONSUMED = {
    f"{what}_{word}{end}": what
    for what in ("Heat", "Cool", "DHW")
    for word in ("Power", "Energy")  # older firmware called the power an energy, and wrote it in two ways
    for end in ("_Consumption", "_Consumption_Extra", "_Consumtion")
}
_SHIFT_TO = 10.0
"""[°C] A request below is a shift of the curve."""


class HeishaMon:
    def __init__(self, options: Options, state: SourceState) -> None:
        self._names = Names(options)
        self._fields = options.fields
        self._state = state

    def read(self, message: Message, root: str, group: str, name: str, found: Found) -> None:
        """group: the level before the name; `s0` for `s0/<name>/<port>`, whose root then ends in the port."""
        text = text_of(message.payload)
        try:
            number = to_number(text)
        except ValueError:
            if name in _CONSUMED or name in _READ or group == "s0":
                found.reject("bad_value", f"{shown(root)} {shown(name)}: {shown(text)} is no number")
            return
        if group == "s0":
            self._add_pulses(found, root, name, number)
        elif name in self._fields:
            rule = self._fields[name]
            if rule.quantity == "setpoint_c" and number is not None and number < _SHIFT_TO:
                found.ignore("no_value")
            else:
                self._names.add(found, root, name, text, None)
        elif name not in _CONSUMED and name not in _READ:
            return
        elif number is None:
            found.ignore("no_value")
        elif name in _CONSUMED:
            self._add_consumed(found, root, group, name, number)
        else:
            _add_state(found, root, name, number)

    def _add_consumed(self, found: Found, root: str, group: str, name: str, watts: float) -> None:
        key = f"heishamon/{root}"
        if watts < 0.0:
            found.ignore("no_value")
            return
        if group == "extra":
            if not self._state.get(key):
                self._state.put(key, True)
        elif self._state.get(key):
            found.ignore("duplicate")
            return
        found.add_part(root, "power_kw", _CONSUMED[name], watts / 1000, None, name)

    def _add_pulses(self, found: Found, root: str, name: str, number: float | None) -> None:
        if number is None:
            found.ignore("no_value")
        elif name == "Watt":
            found.add(root, "power_kw", number / 1000, None, name)
        elif name == "WatthourTotal":
            found.add(root, "register", number / 1000, None, name)


_ON = frozenset({"Heatpump_State", "Power_State"})
_ROOM = frozenset({"Room_Thermostat_Temp", "Roomthermostat_Temp"})
_READ = _ON | _ROOM | {"Operating_Mode_State", "OperatingMode_State", "OpMode_State"}
"""Names of today and, in the group `sdc`, of the first firmware."""


def _add_state(found: Found, root: str, name: str, number: float) -> None:
    if name in _ROOM:
        if number == 0.0:
            found.ignore("no_value")
        else:
            found.add(root, "room_c", number, None, name)
    elif number == -1.0:
        found.ignore("no_value")
    elif name in _ON:
        if number in (0.0, 1.0):
            found.add(root, "on", number, None, name)
        else:
            found.reject("bad_value", f"{shown(root)} {name}: {number!r} is neither on nor off")
    elif (mode := _MODES.get(number)) is not None:
        found.add(root, "mode", float(mode), None, name)
    else:
        found.reject("bad_value", f"{shown(root)} {name}: {number!r} is no mode")
