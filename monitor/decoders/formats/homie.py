"""The Homie convention: devices with nodes with properties, one text value a topic.

homieiot.github.io, versions 3 and 4 (`<root>/<device>/<node>/<property>`, its unit in `…/$unit`) and 5
(`<root>/5/<device>/<node>/<property>`, units in the JSON of `<device>/$description`). Everything is retained and has no
time. Traps: `set` and `$target` are wishes; an empty text is sent as one zero byte; a device that is `lost` makes no
reading wrong that it sent before. A figure that needs a unit waits for its description: what arrives before it is not
guessed, and not kept either, since only retained values come that early, and their time is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from monitor.decoders.formats.single_values import SingleValues
from monitor.decoders.formats.topics import Levels, levels_of
from monitor.decoders.names import Meaning, words_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, text_of
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["Homie", "check_homie"]

_ROOT = "homie"
_GENERIC = frozenset({"degrees", "value", "measurement", "reading", "measure", "current-value"})
"""Property ids that say nothing: the node's id is the name then."""
_CACHED = 2000
_MAX_PROPERTIES = 500
_MAX_NAME = 100
_MAX_UNIT = 20


class _Place(NamedTuple):
    kind: str
    """value, description, unit or datatype; else why the topic is ignored."""
    device: str = ""
    source_id: str = ""
    key: str = ""
    """Of the property, within its device: `node/property`."""
    name: str = ""
    usual: str = ""
    """What to look the name up as; empty: the name itself."""


def check_homie(more: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Option `root`: the levels before the devices, where these are not `homie`."""
    problems = [(key, "unknown key for this format; it has root") for key in more if key != "root"]
    root = more.get("root", _ROOT)
    if not isinstance(root, str) or not root.strip("/") or "#" in root or "+" in root:
        problems.append(("root", f"found {root!r}, expected the first levels of the topics, as {_ROOT}"))
    return problems


class Homie:
    """Format `homie`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._values = SingleValues(options, state)
        self._fields = options.fields
        self._state = state
        root = options.more.get("root", _ROOT)
        self._root = tuple((root if isinstance(root, str) else _ROOT).strip("/").split("/"))
        self._places: dict[str, _Place] = {}

    def read(self, message: Message, found: Found) -> None:
        place = self._places.get(message.topic)
        if place is None:
            place = self._place(levels_of(message.topic))
            if len(self._places) >= _CACHED:
                self._places.clear()
            self._places[message.topic] = place
        kind = place.kind
        if kind == "value":
            self._read_value(text_of(message.payload), place, found)
        elif kind == "description":
            self._learn(message.payload, place.device)
            found.ignore("description")
        elif kind in ("unit", "datatype"):
            self._learn_attribute(place, kind, text_of(message.payload))
            found.ignore("description")
        else:
            found.ignore(kind)

    def _read_value(self, text: str, place: _Place, found: Found) -> None:
        described = self._described(place)
        unit, datatype = described or ("", "")
        name, usual = place.name, place.usual
        meaning = self._values.meaning(usual or name, unit or None)
        if meaning is None:
            return
        if not text:
            found.ignore("no_value")
        elif datatype == "boolean" or text in ("true", "false"):
            self._add_boolean(found, place, text, meaning)
        elif not meaning.is_unit_known and described is None:
            found.ignore("waits_for_description")
        else:
            self._values.add(found, place.source_id, name, text, None, unit or None, usual=usual or None)

    def _add_boolean(self, found: Found, place: _Place, text: str, meaning: Meaning) -> None:
        """A switch, whatever it is called: `power`; a `heat` that is true is no energy."""
        if meaning.quantity not in ("on", "power_kw"):
            return
        if text in ("true", "false"):
            found.add(place.source_id, "on", float(text == "true"), None, place.name)
        else:
            found.reject("bad_value", f"{shown(place.source_id)} {shown(place.name)}: {shown(text)} is no boolean")

    def _described(self, place: _Place) -> tuple[str, str] | None:
        """Unit and data type of a property; None while nothing is known of its device."""
        properties: dict[str, list[str]] | None = self._state.get(f"device/{place.device}")
        if properties is None:
            return None
        told = properties.get(place.key)
        return (told[0], told[1]) if told else ("", "")

    def _learn(self, payload: bytes, device: str) -> None:
        """Version 5: the whole device in one JSON text."""
        key = f"device/{device}"
        if not payload.strip(b" \t\r\n\0"):
            self._state.discard(key)
            return
        nodes = _nodes_of(payload)
        properties: dict[str, list[str]] = {}
        for node, described in nodes.items():
            told = described.get("properties") if isinstance(described, dict) else None
            for name, attributes in told.items() if isinstance(told, dict) else ():
                if isinstance(attributes, dict) and len(properties) < _MAX_PROPERTIES:
                    unit, datatype = attributes.get("unit"), attributes.get("datatype")
                    _put(properties, f"{node}/{name}", unit, datatype)
        if self._state.get(key) != properties:
            self._state.put(key, properties)

    def _learn_attribute(self, place: _Place, kind: str, text: str) -> None:
        """Versions 3 and 4: one topic for each attribute of a property."""
        key = f"device/{place.device}"
        known: dict[str, list[str]] = self._state.get(key) or {}
        unit, datatype = known.get(place.key) or ("", "")
        told = [text, datatype] if kind == "unit" else [unit, text]
        if known.get(place.key) == told or (place.key not in known and len(known) >= _MAX_PROPERTIES):
            return
        properties = dict(known)
        _put(properties, place.key, *told)
        self._state.put(key, properties)

    def _place(self, levels: Levels) -> _Place:
        root = self._root
        if levels[: len(root)] == root:
            rest = levels[len(root) :]
        elif root == (_ROOT,):  # a root of the installer's own, of one level
            rest = levels[1:]
        else:
            raise UnreadableError(f"topic {shown('/'.join(levels))}: expected {'/'.join(root)}/…; see the option root")
        if rest[:1] == ("5",) and (len(rest) != 3 or rest[-1].startswith("$")):
            rest = rest[1:]
        if rest and (rest[-1] == "set" or rest[-1] == "$target"):
            return _Place("command")
        if len(rest) == 2 and rest[1] == "$description":
            return _Place("description", rest[0])
        if any(level.startswith("$") for level in rest[:3]) or len(rest) < 3:
            return _Place("status")  # of a device or a node: state, name, alerts, log, …
        device, node, name = rest[:3]
        key = f"{node}/{name}"
        if len(rest) == 4:
            kind = {"$unit": "unit", "$datatype": "datatype"}.get(rest[3], "status")
            return _Place(kind, device, key=key)
        if len(rest) > 4:
            return _Place("status")
        usual = ""
        if name not in self._fields:
            usual = words_of(node) if name in _GENERIC else f"{words_of(node)}_volume" if name == "volume" else ""
        return _Place("value", device, f"{device}/{node}", key, name, usual)


class _Description(msgspec.Struct):
    nodes: Any = None


_decode = msgspec.json.Decoder(_Description).decode


def _nodes_of(payload: bytes) -> dict[str, Any]:
    try:
        nodes = _decode(payload).nodes
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = read_json(payload)
        if not isinstance(body, dict):
            raise UnreadableError(f"expected an object, found {shown(body)}") from None
        nodes = body.get("nodes")
    return nodes if isinstance(nodes, dict) else {}


def _put(properties: dict[str, list[str]], key: str, unit: object, datatype: object) -> None:
    """Only what can be used later is remembered."""
    told = [raw if isinstance(raw, str) and len(raw) <= _MAX_UNIT else "" for raw in (unit, datatype)]
    if len(key) <= _MAX_NAME:
        properties[key] = told
