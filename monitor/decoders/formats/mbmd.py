"""mbmd, the ModBus Measurement Daemon: one number a topic, `mbmd/<device>/<reading>[/L1…]`.

Names and units are those of its list of measurements. Documented in the project's README. Only what is of the whole
meter is read: phases (L1 to L3), tariffs (T1, T2) and strings (S1…) are parts of it. `Sum` adds what was drawn and what
was fed in on some meters, and not on others; so it is a register only where the source's `fields` say so.
"""

from __future__ import annotations

from typing import NamedTuple

from monitor.decoders.names import Names
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, Measured
from monitor.ingest.message import Message

__all__ = ["Mbmd"]

_READ: dict[str, tuple[Measured, float]] = {
    "Power": ("power_kw", 0.001),
    "Import": ("register", 1.0),
    "Export": ("export_register", 1.0),
}
"""Reading → quantity, and what its unit (W, kWh) is in ours."""
_ONE_WAY = {"ImportPower": 0.001, "ExportPower": -0.001}
"""Power [W] each way: the meter's is their difference, unless it sends `Power` as well."""
_UNITS = {"Sum": "kWh", "Import": "kWh", "Export": "kWh", "Power": "W", "ImportPower": "W", "ExportPower": "W"}
_OTHERS = frozenset(
    {"Frequency", "Current", "Voltage", "ReactivePower", "ApparentPower", "Cosphi", "THD", "Sum", "ReactiveSum",
     "ReactiveImport", "ReactiveExport", "DCCurrent", "DCVoltage", "DCPower", "DCEnergy", "HeatSinkTemp", "PhaseAngle",
     "ChargeState", "BatteryVoltage", "ApparentImportPower", "ApparentExportPower"}
)  # fmt: skip
_PARTS = frozenset({"L1", "L2", "L3", "S1", "S2", "S3", "S4", "T1", "T2", "T3", "T4"})


_CACHED_TOPICS = 5000


class _Topic(NamedTuple):
    action: str
    """read, one_way, field, or why its messages are no readings; empty: the topic is none of mbmd's."""
    device: str
    reading: str
    name: str
    """The reading with its part."""


_NONE = _Topic("", "", "", "")


class Mbmd:
    """Reads mbmd's messages of one source."""

    def __init__(self, options: Options, state: SourceState, names: Names) -> None:
        self._fields = options.fields
        self._names = names
        self._state = state
        self._topics: dict[str, _Topic] = {}

    def read(self, message: Message, found: Found, text: str) -> bool:
        """False: the topic is none of mbmd's."""
        topic = self._topics.get(message.topic)
        if topic is None:
            topic = self._classified(message.topic)
            if len(self._topics) >= _CACHED_TOPICS:
                self._topics.clear()
            self._topics[message.topic] = topic
        action, device, reading, name = topic
        if action == "read":
            self._read(found, device, reading, text)
        elif action == "one_way":
            self._read_one_way(found, device, reading, text)
        elif action == "field":
            self._names.add(found, device, name, text, None, _UNITS.get(reading))
        elif action:
            found.ignore(action)
        return action != ""

    def _classified(self, topic: str) -> _Topic:
        levels = topic.split("/")
        part = levels.pop() if levels[-1] in _PARTS else ""
        if len(levels) < 2 or not levels[-2]:
            return _NONE
        reading, device = levels[-1], levels[-2]
        if reading not in _READ and reading not in _ONE_WAY and reading not in _OTHERS:
            return _NONE
        name = f"{reading}/{part}" if part else reading
        rule = self._fields.get(name) or FieldRule()
        if rule.ignore:
            action = "other_quantity"
        elif rule.quantity is not None or rule.unit is not None or rule.scale != 1.0:
            action = "field"
        elif part:
            action = "phase" if part[0] == "L" else "part"
        elif reading in _READ or reading in _ONE_WAY:
            action = "read" if reading in _READ else "one_way"
        else:
            action = "sum_of_both_ways" if reading == "Sum" else "other_quantity"
        return _Topic(action, device, reading, name)

    def _read(self, found: Found, device: str, reading: str, text: str) -> None:
        number = _number(found, device, reading, text)
        if number is None:
            return
        quantity, factor = _READ[reading]
        found.add(device, quantity, number * factor, None, reading)
        if reading == "Power":
            key = f"mbmd/power/{device}"
            if self._state.get(key) is None:
                self._state.put(key, True)

    def _read_one_way(self, found: Found, device: str, reading: str, text: str) -> None:
        number = _number(found, device, reading, text)
        if number is None:
            return
        if self._state.get(f"mbmd/power/{device}"):
            found.ignore("part")
        else:
            found.add_part(device, "power_kw", reading, number * _ONE_WAY[reading], None, "ImportPower", alone=False)


def _number(found: Found, device: str, reading: str, text: str) -> float | None:
    try:
        number = to_number(text)
    except ValueError:
        found.reject("bad_value", f"{shown(device)} {reading}: {shown(text)} is no number")
        return None
    if number is None:
        found.ignore("no_value")
    return number
