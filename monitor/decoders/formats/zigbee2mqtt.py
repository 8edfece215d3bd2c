"""Zigbee2MQTT: the state of each device as one object, or each of its attributes under a topic of its own.

Meaning: Zigbee2MQTT's documentation, "MQTT Topics and Messages" and "Exposes"; of the values see `zigbee2mqtt_values`.

`<base>/<friendly name>` with spaces and slashes as the installer likes them. `last_seen` is the time of a message,
where it is switched on. Under `output: attribute` each member is a message of plain text, `<base>/<name>/<member>`;
under `attribute_and_json` both are sent, and the object counts. `/set` and `/get` are commands, `bridge` tells of the
bridge itself; its list of devices (`bridge/devices`) says which units volumes have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.decoders.formats.plug_values import is_id
from monitor.decoders.formats.zigbee2mqtt_values import VOLUMES, Values
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, text_of
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, LocalClock, epoch_ms, parse_iso
from monitor.decoders.units import UNITS
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["Zigbee2Mqtt", "check_options"]

_CACHED = 5000
_DAY_MS = 86_400_000
_BASE = "zigbee2mqtt"
_DEVICES = "bridge/devices"
_DEEPEST = 3
_COMMANDS = frozenset({"set", "get"})


def check_options(more: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of a source's own options, `base_topic` alone: what is wrong."""
    problems = [(key, "unknown key for this format; it has base_topic") for key in more if key != "base_topic"]
    base = more.get("base_topic", _BASE)
    if not isinstance(base, str) or not base.strip("/"):
        problems.append(("base_topic", f"found {base!r}, expected Zigbee2MQTT's base topic, as zigbee2mqtt"))
    return problems


class Zigbee2Mqtt:
    """Format `zigbee2mqtt`. The id is the device's ieeeAddr where the payload has it (include_device_information),
    else the friendly name; of one of several outlets it is `<id>/<endpoint>`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._state = state
        self._clock = LocalClock(options.timezone, state)
        self._values = Values(options, state)
        base = options.more.get("base_topic")
        self._base = base.strip("/").split("/") if isinstance(base, str) else None
        self._topics: dict[str, tuple[str, str]] = {}

    def read(self, message: Message, found: Found) -> None:
        name, ignored = self._topics.get(message.topic) or self._remember(message.topic)
        payload = message.payload
        if ignored:
            found.ignore(ignored)
            if message.topic.endswith(_DEVICES):
                self._learn_units(message.payload)
        elif payload[:1] == b"{":
            self._object(message, name, found)
        elif not payload:  # what the broker had kept of a device was deleted
            found.ignore("no_value")
        else:
            self._attribute(message, name, found)

    def _remember(self, topic: str) -> tuple[str, str]:
        parts = self._parts(topic)
        if len(self._topics) >= _CACHED:
            self._topics.clear()
        if is_id(topic):
            self._topics[topic] = parts
        return parts

    def _parts(self, topic: str) -> tuple[str, str]:
        """The friendly name, perhaps with an attribute behind it, and why the topic is not read."""
        levels = topic.split("/")
        base = self._base
        if base is not None:
            if levels[: len(base)] != base:
                return "", "other_topic"
            rest = levels[len(base) :]
        else:
            start = next((at for at, level in enumerate(levels[:-1]) if level.startswith(_BASE)), 0)
            rest = levels[start + 1 :]
        name = "/".join(rest)
        if not is_id(name):
            return "", "other_topic"
        if rest[0] == "bridge":
            return "", "bridge"
        if not _COMMANDS.isdisjoint(rest[-2:]):
            return "", "command"
        return name, "status" if rest[-1] == "availability" else ""

    def _object(self, message: Message, name: str, found: Found) -> None:
        body = read_json(message.payload)
        if not isinstance(body, dict):
            raise UnreadableError(f"expected an object, found {shown(body)}")
        self._note_object(name, message.received_ms)
        source_id = name
        device = body.get("device")
        if device is not None and isinstance(device, dict):
            address = device.get("ieeeAddr") or device.get("ieee_address")
            if is_id(address):
                source_id = str(address)
        last_seen = body.get("last_seen")
        ts_ms = None if last_seen is None else self._time_of(last_seen, source_id, message, found)
        self._values.read(body, source_id, ts_ms, message, found)

    def _learn_units(self, payload: bytes) -> None:
        devices = read_json(payload)
        for device in devices if isinstance(devices, list) else ():
            definition = device.get("definition") if isinstance(device, dict) else None
            units = _units_of(definition.get("exposes")) if isinstance(definition, dict) else {}
            for source_id in (device.get("friendly_name"), device.get("ieee_address")) if units else ():
                if is_id(source_id):
                    self._values.learn_units(source_id, units)

    def _note_object(self, name: str, received_ms: int) -> None:
        key = "json/" + name
        day = received_ms // _DAY_MS
        if self._state.get(key) != day:
            self._state.put(key, day)

    def _attribute(self, message: Message, name: str, found: Found) -> None:
        name, _, attribute = name.rpartition("/")
        if not name:
            raise UnreadableError(f"expected an object, found {shown(message.payload)}")
        day = self._state.get("json/" + name)
        if day is not None and message.received_ms // _DAY_MS - day <= 1:
            found.ignore("duplicate")
        elif message.payload[:1] == b"[":
            found.ignore("other_quantity")
        else:
            self._values.read_attribute(attribute, text_of(message.payload), name, found)

    def _time_of(self, raw: Any, source_id: str, message: Message, found: Found) -> int | None:
        if isinstance(raw, str):
            if not raw:
                return None
            return self._clock.ms(parse_iso(raw), source_id, message.received_ms, found)
        if not isinstance(raw, int | float):
            raise BadTimeError(f"last_seen: {shown(raw)} is no time")
        return epoch_ms(raw)


def _units_of(exposes: Any, depth: int = 0) -> dict[str, str]:
    """Member → unit of the volumes that a device exposes."""
    units: dict[str, str] = {}
    for each in exposes if isinstance(exposes, list) else ():
        if not isinstance(each, dict):
            continue
        member, unit = each.get("property"), each.get("unit")
        if isinstance(member, str) and member in VOLUMES and isinstance(unit, str) and unit in UNITS:
            units[member] = unit
        if depth < _DEEPEST:
            units |= _units_of(each.get("features"), depth + 1)
    return units
