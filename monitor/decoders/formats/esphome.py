"""ESPHome's MQTT component: one text value a topic, `<prefix>/<component>/<object id>/state`.

Topics: esphome.io/components/mqtt and /components/climate. No unit and no time is sent; the unit is learnt from the
discovery message (`…/sensor/…/config`, retained) or comes with the source's `fields`. Traps: everything is retained by
default; `nan` is published as text; a sensor of today's or yesterday's energy is no register; text sensors share
`/sensor/`; temperatures of climate entities are in °C always.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.decoders.formats.climate import Climate, Role, role_of
from monitor.decoders.formats.single_values import SingleValues
from monitor.decoders.formats.topics import Levels, levels_of
from monitor.decoders.names import words_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, text_of
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, Measured, UnreadableError
from monitor.decoders.words import switch_value
from monitor.ingest.message import Message

__all__ = ["Esphome"]

_FIGURES = frozenset({"sensor", "number"})
_SWITCHES = frozenset({"switch", "binary_sensor"})
_WORDS = frozenset({"select", "text_sensor"})
_PERIODS = frozenset({
    "today", "yesterday", "daily", "day", "weekly", "week", "monthly", "month", "yearly", "year", "hourly", "hour",
    "session",
})  # fmt: skip
"""Words of an energy that starts anew, or of a period."""
_CLASSES: dict[str, Measured] = {"energy": "register", "power": "power_kw", "water": "water_m3", "gas": "gas_m3"}
"""Discovery's device classes → what a value is whose name says nothing."""
_NAME_OF: dict[Measured, str] = {"register": "energy", "power_kw": "power", "water_m3": "water", "gas_m3": "gas"}
_FED_IN = frozenset({"export", "exported", "returned", "produced", "reverse", "injected", "einspeisung"})
_OTHER_POWER = frozenset({"factor", "apparent", "reactive"})
_PLACES = frozenset({
    "bathroom", "bedroom", "classroom", "conference", "corridor", "dining", "hall", "hallway", "indoor", "inside",
    "kitchen", "library", "living", "lobby", "meeting", "office", "room", "aht10", "aht20", "am2302", "am2320",
    "bme280", "bme680", "dht", "dht11", "dht22", "hdc1080", "htu21d", "scd30", "scd40", "scd41", "sht20", "sht30",
    "sht31", "sht3x", "sht40", "sht4x", "si7021",
})  # fmt: skip
"""Before `temperature`: rooms, and probes that measure the humidity of air as well."""
_TELLING = frozenset({"energy", "power", "kwh", "wh", "electricity"})
"""One of these must be in the end of an object id that is taken for a usual name: `requests_total` is no register."""
_CACHED = 2000
_MAX_UNIT = 20
_MAX_TOPIC = 400


class _Place(NamedTuple):
    source_id: str
    name: str
    """The object id."""
    usual: str = ""
    """The usual name that the object id is, or ends in."""
    role: Role | None = None
    """Of an attribute of a climate entity."""
    component: str = ""
    words: frozenset[str] = frozenset()
    """Of the object id."""
    quantity: Measured | None = None
    """What the usual name is of."""
    ignored: str = ""


class Esphome:
    """Format `esphome`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._values = SingleValues(options, state)
        self._climate = Climate(Options(modes=options.modes), state)
        self._fields = options.fields
        self._state = state
        self._places: dict[str, _Place] = {}

    def read(self, message: Message, found: Found) -> None:
        topic = message.topic
        place = self._places.get(topic)
        if place is None:
            place = self._place(levels_of(topic))
            if len(self._places) >= _CACHED:
                self._places.clear()
            self._places[topic] = place
        if place.ignored:
            found.ignore(place.ignored)
        elif place.component == "config":
            self._learn(message, found)
        elif place.role is not None:
            self._climate.add(found, place.source_id, place.role, text_of(message.payload), None, place.name)
        elif place.component:
            self._read_value(topic, text_of(message.payload), place, found)

    def _read_value(self, topic: str, text: str, place: _Place, found: Found) -> None:
        name, source_id = place.name, place.source_id
        if name in self._fields:
            self._values.add(found, source_id, name, text, None, self._unit(topic)[0])
            return
        usual = place.usual
        quantity = place.quantity
        if place.component not in _FIGURES:
            is_switch = place.component in _SWITCHES
            if is_switch and quantity in ("on", "power_kw"):
                self._climate.add(found, source_id, "on", text, None, name)
            elif not is_switch and quantity == "mode":
                self._climate.add(found, source_id, "mode", text, None, name)
            return
        if quantity == "mode" or quantity == "on":  # a text sensor, of an inverter as likely as of a unit
            if (self._climate.mode(text) if quantity == "mode" else switch_value(text)) is not None:
                self._climate.add(found, source_id, quantity, text, None, name)
            return
        unit, device_class = self._unit(topic)
        words = place.words
        is_energy = device_class == "energy" or (not device_class and "energy" in words)
        if is_energy and not _PERIODS.isdisjoint(words):
            found.ignore("period")
        elif usual:
            self._values.add(found, source_id, name, text, None, unit, usual=usual)
        elif unit and device_class in _CLASSES:
            self._add_by_class(found, place, text, unit, _CLASSES[device_class])
        elif not device_class and words & {"energy", "power"} and not words & _OTHER_POWER:
            found.reject("unknown_unit", f"{shown(source_id)} {shown(name)}: {shown(text)} with no unit, no usual name")

    def _add_by_class(self, found: Found, place: _Place, text: str, unit: str, quantity: Measured) -> None:
        source_id, name = place.source_id, place.name
        meaning = self._values.meaning(_NAME_OF[quantity], unit)
        if meaning is None or not meaning.is_unit_known:
            found.reject("unknown_unit", f"{shown(source_id)} {shown(name)}: {shown(text)} with unit {shown(unit)}")
        elif meaning.quantity == "register" and not _FED_IN.isdisjoint(place.words):
            self._values.add_number(found, source_id, "export_register", meaning.factor, text, None, name)
        else:
            is_fed_in = meaning.quantity == "power_kw" and not _FED_IN.isdisjoint(place.words)
            factor = -meaning.factor if is_fed_in else meaning.factor
            self._values.add_number(found, source_id, meaning.quantity, factor, text, None, name)

    def _unit(self, topic: str) -> tuple[str | None, str]:
        """What discovery says of a topic: unit and device class."""
        told: list[str] | None = self._state.get(f"unit/{topic}")
        return (told[0] or None, told[1]) if told else (None, "")

    def _learn(self, message: Message, found: Found) -> None:
        found.ignore("discovery")
        config = f"config/{message.topic}"
        if not message.payload.strip():
            if (topic := self._state.get(config)) is not None:
                self._state.discard(f"unit/{topic}")
                self._state.discard(config)
            return
        body = read_json(message.payload)
        if not isinstance(body, dict):
            raise UnreadableError(f"expected an object, found {shown(body)}")
        topic = _text(body, "state_topic", "stat_t", _MAX_TOPIC)
        base = body.get("~")
        if topic.startswith("~") and isinstance(base, str):
            topic = (base + topic[1:])[:_MAX_TOPIC]
        told = [
            _text(body, "unit_of_measurement", "unit_of_meas", _MAX_UNIT),
            _text(body, "device_class", "dev_cla", _MAX_UNIT),
        ]
        if not topic or not any(told):
            return
        if self._state.get(config) != topic:
            self._state.put(config, topic)
        if self._state.get(f"unit/{topic}") != told:
            self._state.put(f"unit/{topic}", told)

    def _place(self, levels: Levels) -> _Place:
        last = levels[-1]
        if last == "config":
            is_sensor = "sensor" in levels or "number" in levels
            return _Place("", "", component="config") if is_sensor else _Place("", "", ignored="discovery")
        if last in ("command", "set"):
            return _Place("", "", ignored="command")
        if last != "state" or len(levels) < 4:
            return _Place("", "", ignored="status")  # status, debug and what else a node says of itself
        component, name = levels[-3], levels[-2]
        if len(levels) > 4 and levels[-4] == "climate":
            source_id = "/".join((*levels[:-4], component))
            role = role_of(name)
            # `action`, the fan and presets are no readings.
            return _Place(source_id, name, role=role) if role else _Place(source_id, name)
        prefix = "/".join(levels[:-3])
        if component not in _FIGURES | _SWITCHES | _WORDS:
            return _Place(prefix, name)
        if name in self._fields:
            return _Place(f"{prefix}/{name}", name, component=component)
        words = words_of(name)
        usual, source_id = words, prefix
        if self._values.meaning(words) is None and self._values.meaning(words.replace("produced", "returned")):
            usual = words.replace("produced", "returned")  # as the component for P1 meters calls it
        elif self._values.meaning(words) is None:
            source_id = f"{prefix}/{name}"
            is_other = component not in _FIGURES or not _OTHER_POWER.isdisjoint(words.split("_"))
            usual = "" if is_other else self._ending(words)
        meaning = self._values.meaning(usual) if usual else None
        quantity = meaning.quantity if meaning else None
        return _Place(source_id, name, usual, None, component, frozenset(words.split("_")), quantity)

    def _ending(self, words: str) -> str:
        """The longest end of an object id that is a usual name: `fridge_energy_kwh`. One word for a temperature says
        too little, `cpu_temperature`, but after a room's."""
        parts = words.split("_")
        for start in range(1, len(parts)):
            end = "_".join(parts[start:])
            meaning = self._values.meaning(end, None)
            if meaning is None:
                continue
            is_temperature = meaning.quantity in ("room_c", "setpoint_c") and start < len(parts) - 1
            is_room = parts[start:] == ["temperature"] and parts[start - 1] in _PLACES
            if is_temperature or is_room or not _TELLING.isdisjoint(parts[start:]):
                return end
        return ""


def _text(body: dict[str, Any], key: str, short: str, longest: int) -> str:
    raw = body.get(key, body.get(short))
    return raw if isinstance(raw, str) and len(raw) <= longest else ""
