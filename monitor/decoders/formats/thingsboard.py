"""ThingsBoard's MQTT API, as gateways and devices publish it.

A gateway's message is an object of device names, each with a list of sets; a device's own is one set, or a list of
sets. A set is `{"ts": ms, "values": {name: value}}`, or the values alone. Documented in ThingsBoard's "MQTT Gateway
API" and "MQTT Device API" references. Names and units are the installer's: usual names are read, see
`monitor.decoders.names`. Attributes are settings and states that ThingsBoard keeps without their time, so they are no
readings; connect and disconnect say nothing of values, rpc is a command.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.decoders.formats.lenient_json import lenient_json
from monitor.decoders.formats.plain_values import PlainValues, as_id
from monitor.decoders.formats.topics import is_command
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["ThingsBoard"]

_CACHED_TOPICS = 2000
_IGNORED = {"attributes": "attributes", "rpc": "command", "a": "attributes", "r": "command"}
"""Level after the API's prefix → why it is no reading; all others but telemetry are `status`."""


class _Topic(NamedTuple):
    kind: str
    """gateway, device, any (tell by the payload), protobuf, or ignored."""
    detail: str
    """Of a device: its id; of ignored: why."""


class ThingsBoard:
    """Format `thingsboard_gateway`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._plain = PlainValues(options, state)
        self._topics: dict[str, _Topic] = {}

    def read(self, message: Message, found: Found) -> None:
        topic = self._topics.get(message.topic)
        if topic is None:
            if len(self._topics) >= _CACHED_TOPICS:
                self._topics.clear()
            topic = self._topics[message.topic] = _classified(message.topic)
        kind, detail = topic
        if kind == "ignored":
            found.ignore(detail)
            return
        if kind == "protobuf":
            raise UnreadableError("Protobuf: give the device's profile the payload type JSON")
        document = lenient_json(message.payload)
        if kind == "gateway" or (kind == "any" and _is_of_gateway(document)):
            if not isinstance(document, dict):
                raise UnreadableError(f"expected an object of devices, found {shown(document)}")
            for device, sets in document.items():
                self._read_sets(message, found, sets, as_id(device) or message.topic, is_named=True)
        else:
            self._read_sets(message, found, document, detail)

    def _read_sets(self, message: Message, found: Found, sets: Any, device: str, *, is_named: bool = False) -> None:
        for one in sets if type(sets) is list else (sets,):
            if type(one) is not dict:
                found.reject("malformed", f"{shown(device)}: expected an object, found {shown(one)}")
                continue
            values = one.get("values")
            if type(values) is not dict:
                self._plain.read_body(message, found, one, device, is_id_known=is_named)
                continue
            try:
                ts_ms = self._plain.time_ms(message, found, one.get("ts"), device)
            except BadTimeError as error:
                found.reject(error.reason, f"{shown(device)}: {error.detail}")
                continue
            # On a topic that names nobody the set may: there are readers of many meters behind one access token.
            own = self._plain.id_in(values) if device == message.topic else None
            self._plain.read(message, found, values, own or device, ts_ms)


def _classified(topic: str) -> _Topic:
    levels = topic.split("/")
    for at, level in enumerate(levels[:-1]):
        after = levels[at + 1 :]
        if level == "v1" and after[0] == "gateway" and len(after) > 1:
            return _api(after[1], "gateway", "")
        if level == "v1" and after[0] == "devices" and len(after) > 2:
            # `me` is whoever is connected: a name for nobody who listens in between.
            return _api(after[2], "device", topic if after[1] == "me" else after[1])
        if level == "v2" and len(after) <= 2:
            if after[0] == "t":
                return _Topic("protobuf", "") if after[-1] == "p" else _Topic("device", topic)
            return _Topic("ignored", _IGNORED.get(after[0], "status"))
    if is_command(topic):
        return _Topic("ignored", "command")
    return _Topic("ignored", "status") if levels[-1] == "provision" else _Topic("any", topic)


def _api(level: str, kind: str, device: str) -> _Topic:
    return _Topic(kind, device) if level == "telemetry" else _Topic("ignored", _IGNORED.get(level, "status"))


def _is_of_gateway(document: Any) -> bool:
    """An object of devices, by its look: nothing but lists in which objects stand."""
    return (
        isinstance(document, dict)
        and bool(document)
        and all(type(sets) is list and bool(sets) and type(sets[0]) is dict for sets in document.values())
    )
