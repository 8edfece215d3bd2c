"""Climate entities as Home Assistant knows them, on topics that the installer chose.

Vocabulary: home-assistant.io/integrations/climate.mqtt. What a topic carries is said by the discovery message of its
entity where there is one (`<prefix>/climate/…/config`, retained, or that of its device, `<prefix>/device/…/config`,
which holds several), else by the words of the topic itself: `study/ac/mode/state` is the mode of `study/ac`. Values are
bare text, JSON strings or numbers, or one object for all.
Home Assistant's own statestream (`<base>/climate/<name>/state`: the mode) is read as well. What people write to
(`…/set`) is a command; what a unit does at the moment (`action`) is not its mode.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.decoders.formats.climate import ROLES, Climate, Role
from monitor.decoders.formats.ha_discovery import Told, told_of
from monitor.decoders.formats.plug_values import is_id
from monitor.decoders.formats.topics import COMMAND_LEVELS, Levels, levels_of
from monitor.decoders.names import words_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, text_of
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["HaClimate"]

_STATE_LEVELS = frozenset({"state", "status", "stat", "get", "value"})
"""Last levels that only say that the topic is no command."""
_STATUS_LEVELS = frozenset({"availability", "available", "online", "LWT", "avty", "connected"})
_QUALIFIERS = frozenset({"current", "target", "measured", "actual", "low", "high", "desired"})
"""Levels that belong to the one beside them: `temperature/current`, `target/temperature`."""
_OTHERS = frozenset(
    {
        "action",
        "hvac_action",
        "fan_mode",
        "fan",
        "fan_speed",
        "fanspeed",
        "preset_mode",
        "preset",
        "swing_mode",
        "swing",
        "swing_horizontal_mode",
        "aux",
        "aux_heat",
        "away",
        "away_mode",
        "hold",
        "hold_mode",
        "eco",
        "boost",
        "sleep",
        "humidity",
        "current_humidity",
        "target_humidity",
        "vane",
        "wide_vane",
        "hvac_modes",
        "attributes",
    }
)
"""What else a climate entity tells on a topic of its own: `<unit>/action/state` is no state of a unit `action`."""
_WITH_MODES = frozenset({"fan", "swing", "preset", "away", "hold", "aux"})
"""Levels whose `mode` is not the unit's: `<unit>/fan/mode/state`."""
_CACHED = 2000
_MAX_PER_TOPIC = 8
_MAX_PER_DEVICE = 32
_MAX_ID = 100


class _Place(NamedTuple):
    """What a topic says by its own words."""

    source_id: str
    role: Role | None
    name: str
    ignored: str = ""
    is_discovery: bool = False
    is_bundle: bool = False
    """Of a device, with its entities under `components`."""


class HaClimate:
    """Format `ha_mqtt_climate`. Option `temperature_unit`: C or F, where no discovery says it."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._climate = Climate(options, state)
        self._state = state
        self._places: dict[str, _Place] = {}

    def read(self, message: Message, found: Found) -> None:
        topic = message.topic
        place = self._places.get(topic)
        if place is None:
            place = _place(levels_of(topic))
            if len(self._places) >= _CACHED:
                self._places.clear()
            self._places[topic] = place
        if place.is_discovery:
            found.ignore("discovery")
            body = _object_of(message.payload) if message.payload.strip() else None
            if place.is_bundle:
                self._learn_bundle(topic, body, place.source_id)
            else:
                self._learn(topic, body, place.source_id)
            return
        told: list[list[Any]] | None = self._state.get(f"topic/{topic}")
        if told is not None:
            self._read_told(message, told, place, found)
        elif place.ignored:
            found.ignore(place.ignored)
        else:
            self._read_words(message, place, found)

    def _read_words(self, message: Message, place: _Place, found: Found) -> None:
        role = place.role
        if message.payload.lstrip()[:1] == b"{":
            body = _object_of(message.payload)
            if role is not None and "value" in body:
                self._climate.add(found, place.source_id, role, body["value"], None, place.name)
            else:
                self._climate.add_object(found, place.source_id, body, None)
        elif role is not None:
            self._climate.add(found, place.source_id, role, text_of(message.payload), None, place.name)

    def _read_told(self, message: Message, told: list[list[Any]], place: _Place, found: Found) -> None:
        """told: what discovery says of this topic, each as [role, path, source id, is Fahrenheit]."""
        if told[0][0] == "command":
            found.ignore("command")
            return
        body: Any = None
        if any(path for _, path, _, _ in told):
            body = read_json(message.payload)
        for role, path, source_id, is_fahrenheit in told:
            raw: Any = body
            if path is None:
                found.ignore("template")
                continue
            if not path:
                raw = text_of(message.payload)
            for key in path:
                raw = raw.get(key, _MISSING) if isinstance(raw, dict) else _MISSING
            if raw is _MISSING:  # updates of a part of the state are usual
                found.ignore("no_value")
            else:
                name = path[-1] if path else place.name
                self._climate.add(found, source_id, role, raw, None, name, is_fahrenheit=is_fahrenheit)

    def _learn_bundle(self, topic: str, body: dict[str, Any] | None, device: str) -> None:
        told = (body or {}).get("components", (body or {}).get("cmps"))
        climates: dict[str, dict[str, Any]] = {}
        for name, component in told.items() if isinstance(told, dict) else ():
            is_climate = isinstance(component, dict) and component.get("platform", component.get("p")) == "climate"
            if is_climate and is_id(name) and len(climates) < _MAX_PER_DEVICE:
                climates[name] = component
        key = f"bundle/{topic}"
        known: list[str] = self._state.get(key) or []
        for name in known:
            if name not in climates:
                self._forget(f"{topic}#{name}")
        if not climates:
            self._state.discard(key)
        elif known != list(climates):
            self._state.put(key, list(climates))
        for name, component in climates.items():
            self._learn(f"{topic}#{name}", {"~": (body or {}).get("~"), **component}, f"{device}/{name}")

    def _learn(self, topic: str, body: dict[str, Any] | None, entity: str) -> None:
        """topic: of the discovery message; None: the entity was taken back."""
        if body is None:
            self._forget(topic)
            return
        told, commands, is_fahrenheit = told_of(body)
        source_id, is_unit = self._source_id(topic, body, told, entity)
        by_topic: dict[str, list[list[Any]]] = {}
        for role, state_topic, path in told:
            by_topic.setdefault(state_topic, []).append([role, path, source_id, is_fahrenheit])
        for command_topic in commands:
            by_topic.setdefault(command_topic, [["command", [], source_id, None]])
        config = f"config/{topic}"
        known: dict[str, Any] = self._state.get(config) or {}
        new = {"id": source_id, "topics": sorted(by_topic)}
        if known != new:
            self._forget(topic)
            self._state.put(config, new)
            if is_unit:
                self._state.put(f"unit/{source_id}", topic)
        for each, roles in by_topic.items():
            key = f"topic/{each}"
            now: list[list[Any]] = self._state.get(key) or []
            others = [one for one in now if one[2] != source_id and one[0] != "command"]
            if [one for one in now if one[2] == source_id] == roles or (roles[0][0] == "command" and others):
                continue
            self._state.put(key, (others + roles)[:_MAX_PER_TOPIC])

    def _forget(self, topic: str) -> None:
        """An entity's discovery was taken back, or has changed."""
        config = f"config/{topic}"
        known = self._state.get(config)
        if known is None:
            return
        for each in known["topics"]:
            key = f"topic/{each}"
            left = [told for told in self._state.get(key) or [] if told[2] != known["id"]]
            if left:
                self._state.put(key, left)
            else:
                self._state.discard(key)
        if self._state.get(f"unit/{known['id']}") == topic:
            self._state.discard(f"unit/{known['id']}")
        self._state.discard(config)

    def _source_id(self, config: str, body: dict[str, Any], told: list[Told], entity: str) -> tuple[str, bool]:
        """What the topics' own words say, so that it is the same without discovery (True); where these disagree, or
        name another entity's unit, the entity's unique id."""
        units = {_place(tuple(each.topic.split("/"))).source_id for each in told if each.path is not None}
        if len(units) == 1 and all(len(each.path or []) < 2 for each in told):
            unit = units.pop()
            if unit and self._state.get(f"unit/{unit}") in (None, config):
                return unit, True
        own = body.get("unique_id", body.get("uniq_id"))
        return own if isinstance(own, str) and 0 < len(own) <= _MAX_ID else entity, False


_MISSING = object()


def _object_of(payload: bytes) -> dict[str, Any]:
    body = read_json(payload)
    if not isinstance(body, dict):
        raise UnreadableError(f"expected an object, found {shown(body)}")
    return body


def _place(levels: Levels) -> _Place:
    if levels[-1] == "config" and "climate" in levels[-4:-2]:
        return _Place("/".join(levels[levels.index("climate") + 1 : -1]), None, "", is_discovery=True)
    if levels[-1] == "config" and "device" in levels[-4:-2]:
        return _Place(levels[-2], None, "", is_discovery=True, is_bundle=True)
    if levels[-1] in COMMAND_LEVELS or "cmnd" in levels or (len(levels) > 1 and levels[-2] in COMMAND_LEVELS):
        return _Place("", None, "", "command")
    if levels[-1] in _STATUS_LEVELS:
        return _Place("", None, "", "status")
    if len(levels) > 2 and levels[-3] == "climate" and levels[-1] == "state" and levels[-2] not in ROLES:
        return _Place("/".join(levels[:-1]), "mode", "state")  # statestream
    rest = levels[:-1] if levels[-1] in _STATE_LEVELS and len(levels) > 1 else levels
    if rest[-1] == "mode" and len(rest) > 2 and rest[-2] in _WITH_MODES:
        return _Place("", None, "")
    for count in (2, 1):
        if len(rest) <= count or (count == 2 and _QUALIFIERS.isdisjoint(rest[-2:])):
            continue  # `ac/mode` is the mode of `ac`, but `temperature/current` is one name
        if (role := ROLES.get(words_of("_".join(rest[-count:])))) is not None:
            return _Place("/".join(rest[:-count]), role, rest[-1])
    if rest is not levels and levels[-1] == "state" and words_of(rest[-1]) not in _OTHERS:
        return _Place("/".join(rest), "state", "state")
    return _Place("/".join(rest), None, rest[-1])
