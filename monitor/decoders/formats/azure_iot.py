"""Azure IoT Hub and IoT Central: telemetry, device twins, and the envelopes in which the cloud passes them on.

Telemetry comes on `devices/<device>/messages/events/<properties>`; the properties of the topic name the component
(`$.sub`) and the time (`iothub-creation-time-utc`). Of a twin only what is `reported` is read, whose values may be
acknowledgements `{"value", "ac", "av", "ad"}`, and components `{"__t": "c", …}` with the id `<device>/<component>`.
Documented in "Communicate with your IoT hub using the MQTT protocol", "Understand and use device twins" and "IoT Plug
and Play conventions"; a temperature without a unit is °C there too.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote

from monitor.decoders.formats.cloud_points import CloudPoints, is_of_points
from monitor.decoders.formats.lenient_json import lenient_json
from monitor.decoders.formats.plain_values import PlainValues, as_id, first
from monitor.decoders.formats.reported import timed
from monitor.decoders.payloads import shown
from monitor.decoders.times import BadTimeError
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["AzureIot", "is_of_azure"]

_BODY_KEYS = ("body", "Body")
_SYSTEM_KEYS = ("systemProperties", "SystemProperties")
_DEVICE_KEYS = ("iothub-connection-device-id", "connectionDeviceId", "deviceId")
_TIMES = ("iothub-creation-time-utc", "creationTimeUtc")
_SYSTEM_TIMES = ("iothub-creation-time-utc", "iothub-enqueuedtime", "enqueuedTime", "enqueuedTimeUtc")
_COMPONENTS = ("dt-subject", "$.sub")
_BAG_NAMES = {**{name: name for name in (_TIMES[0], *_COMPONENTS)}, "%24.sub": "$.sub", "%24%2esub": "$.sub"}
_SOURCES = frozenset({"telemetry", "twinchangeevents", "properties"})
"""What of a hub's own messages has values; others tell of devices and connections."""
_WISHES = frozenset({"devicepropertydesiredchange", "cloudpropertychange"})
"""Properties that IoT Central, not the device, has set."""
_PENDING = 202
_REFUSED = 400
_DEEPEST = 3


def is_of_azure(document: dict[str, Any]) -> bool:
    """Whether an object looks like a twin, or like an envelope of Azure's."""
    return (
        "reported" in document
        or "desired" in document
        or (first(document, _BODY_KEYS) is not None and type(first(document, _SYSTEM_KEYS)) is dict)
        or ("data" in document and _event_type(document) is not None)
        or ("messageSource" in document and "deviceId" in document)
        or (type(document.get("properties")) is dict and "reported" in document["properties"])
        or (type(document.get("event")) is dict and "origin" in document["event"])
    )


class AzureIot:
    """Reads Azure's messages of one source."""

    def __init__(self, plain: PlainValues, points: CloudPoints) -> None:
        self._plain = plain
        self._points = points

    def read_twin_topic(self, message: Message, found: Found) -> None:
        """`$iothub/…`, as the device sees it: it has no id, unless a bridge puts the device's before it."""
        path, _, _ = message.topic.partition("/?")
        path = path.rstrip("/")
        before, _, operation = path.partition("$iothub/")
        device = before.rstrip("/").rpartition("/")[2] or path
        if operation.startswith("twin/PATCH/properties/reported"):
            self._read_reported(message, found, _object(message.payload), device)
        elif operation == "twin/res/200":
            self.read_document(message, found, _object(message.payload), device)
        elif operation.startswith(("twin/res", "methods/res")):
            found.ignore("reply")
        else:
            found.ignore("command" if operation.startswith(("twin", "methods")) else "status")

    def read_telemetry(self, message: Message, found: Found) -> None:
        """`devices/<device>[/modules/<module>]/messages/events/<properties>`."""
        before, _, after = message.topic.partition("/messages/")
        direction, _, bag = after.partition("/")
        if direction != "events":
            found.ignore("command")
            return
        device = before[len("devices/") :].replace("/modules/", "/") or message.topic
        properties = _bag(bag)
        component = first(properties, _COMPONENTS)
        if component:
            device = f"{device}/{component}"
        body = lenient_json(message.payload)
        try:
            ts_ms = self._plain.time_ms(message, found, first(properties, _TIMES), device)
        except BadTimeError as error:
            found.reject(error.reason, error.detail)
            return
        self._read_body(message, found, body, device, ts_ms)

    def read_document(self, message: Message, found: Found, document: Any, device: str, depth: int = 0) -> None:
        """A twin, or an envelope: `is_of_azure`."""
        if type(document) is list:
            for each in document:
                if depth < _DEEPEST:
                    try:
                        self.read_document(message, found, each, device, depth + 1)
                    except UnreadableError as error:
                        found.reject(error.reason, error.detail)
            return
        if type(document) is not dict:
            found.reject("malformed", f"expected an object, found {shown(document)}")
            return
        system, body = first(document, _SYSTEM_KEYS), first(document, _BODY_KEYS)
        event = _event_type(document)
        if event is not None and depth < _DEEPEST:
            if event.endswith("devicetelemetry"):
                self.read_document(message, found, document.get("data"), device, depth + 1)
            else:
                found.ignore("status")
        elif body is not None and type(system) is dict:
            self._read_hub(message, found, document, system, body, device)
        elif "messageSource" in document:
            self._read_central(message, found, document, device)
        elif type(document.get("event")) is dict:
            self._read_event(message, found, document["event"], device)
        else:
            self._read_twin(message, found, document, device)

    def _read_twin(self, message: Message, found: Found, document: dict[str, Any], device: str) -> None:
        device = as_id(document.get("deviceId")) or device
        properties = document.get("properties")
        twin = properties if type(properties) is dict else document
        reported = twin.get("reported")
        if type(reported) is dict:
            self._read_reported(message, found, reported, device)
        else:
            found.ignore("command" if "desired" in twin else "no_value")

    def _read_reported(
        self,
        message: Message,
        found: Found,
        reported: dict[str, Any],
        device: str,
        metadata: Any = None,
        depth: int = 0,
    ) -> None:
        metadata = reported.get("$metadata", metadata)
        values: dict[str, Any] = {}
        for name, value in reported.items():
            if name[:1] == "$" or name == "__t":
                continue
            if type(value) is dict and value.get("__t") == "c":
                if depth < _DEEPEST:
                    about = metadata.get(name) if type(metadata) is dict else None
                    self._read_reported(message, found, value, f"{device}/{name}", about, depth + 1)
            elif type(value) is dict and "value" in value and type(code := value.get("ac")) is int:
                if code == _PENDING or code >= _REFUSED:
                    found.ignore("command")  # still a wish, or a refused one
                else:
                    values[name] = value["value"]
            else:
                values[name] = value
        values, raw_time = timed(values, metadata, _time)
        try:
            ts_ms = self._plain.time_ms(message, found, raw_time, device)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(device)}: {error.detail}")
            return
        self._plain.read(message, found, values, device, ts_ms)

    def _read_hub(
        self, message: Message, found: Found, document: dict[str, Any], system: dict[str, Any], body: Any, device: str
    ) -> None:
        """What a hub passes on: the device's message as `body`, what the hub knows of it beside it."""
        device = as_id(first(system, _DEVICE_KEYS)) or device
        if _word(system.get("iothub-message-source", "telemetry")) not in _SOURCES:
            found.ignore("status")
            return
        component = as_id(first(system, _COMPONENTS))
        if component is not None:
            device = f"{device}/{component}"
        properties = document.get("properties", document.get("Properties"))
        raw_time = first(properties, _TIMES) if type(properties) is dict else None
        raw_time = raw_time or first(system, _SYSTEM_TIMES) or first(document, ("enqueuedTimeUtc", "EnqueuedTimeUtc"))
        try:
            ts_ms = self._plain.time_ms(message, found, raw_time, device)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(device)}: {error.detail}")
            return
        if type(body) is str:
            body = lenient_json(_decoded(body))
        if type(body) is dict and type(body.get("properties")) is dict:
            self._read_twin(message, found, body, device)
        else:
            self._read_body(message, found, body, device, ts_ms)

    def _read_central(self, message: Message, found: Found, document: dict[str, Any], device: str) -> None:
        device = as_id(document.get("deviceId")) or device
        if _word(document["messageSource"]) not in _SOURCES:
            found.ignore("status")
            return
        if _word(document.get("messageType")) in _WISHES:
            found.ignore("command")
            return
        component = as_id(document.get("component"))
        if component is not None:
            device = f"{device}/{component}"
        values = document.get("telemetry", document.get("properties"))
        if type(values) is list:
            values = {
                each["name"]: each.get("value")
                for each in values
                if type(each) is dict and type(each.get("name")) is str
            }
        try:
            ts_ms = self._plain.time_ms(message, found, document.get("enqueuedTime"), device)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(device)}: {error.detail}")
            return
        self._read_body(message, found, values, device, ts_ms)

    def _read_event(self, message: Message, found: Found, event: dict[str, Any], device: str) -> None:
        """As Azure's command line tool prints them."""
        device = as_id(event.get("origin")) or device
        component = as_id(event.get("component"))
        if component is not None:
            device = f"{device}/{component}"
        notes = event.get("annotations")
        try:
            ts_ms = self._plain.time_ms(
                message, found, first(notes, _SYSTEM_TIMES) if type(notes) is dict else None, device
            )
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(device)}: {error.detail}")
            return
        body = event.get("payload")
        self._read_body(message, found, lenient_json(body.encode()) if type(body) is str else body, device, ts_ms)

    def _read_body(self, message: Message, found: Found, body: Any, device: str, ts_ms: int | None) -> None:
        bodies = body if type(body) is list else [body]
        if bodies and type(bodies[0]) is dict and is_of_points(bodies[0]):
            self._points.read(message, found, bodies, device, ts_ms)
            return
        for each in bodies:
            if type(each) is dict:
                self._plain.read_body(message, found, each, device, ts_ms, is_id_known=True)
            else:
                found.reject("malformed", f"{shown(device)}: expected an object, found {shown(each)}")


def _event_type(document: dict[str, Any]) -> str | None:
    """Of an event of Event Grid, in its own schema or as a CloudEvent."""
    if "eventType" in document:
        return _word(document["eventType"])
    kind = _word(document.get("type")) if "specversion" in document else ""
    return kind if kind.startswith("microsoft.devices.") else None


def _object(payload: bytes) -> dict[str, Any]:
    document = lenient_json(payload)
    if type(document) is not dict:
        raise UnreadableError(f"expected an object, found {shown(document)}")
    return document


def _bag(text: str) -> dict[str, Any]:
    """What is of use in the property bag at the end of a topic: `a=b&c=d`, with both percent-encoded."""
    properties: dict[str, Any] = {}
    for pair in text.strip("/").lstrip("?").split("&") if "=" in text else ():
        name, _, value = pair.partition("=")
        known = _BAG_NAMES.get(name.lower())
        if known is not None:
            properties[known] = unquote(value)
    return properties


def _decoded(body: str) -> bytes:
    """A body that is a text: JSON, or Base64 of it where the device did not say that it sends JSON."""
    if body.lstrip()[:1] in ("{", "["):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableError("body: neither JSON nor Base64") from None


def _word(raw: object) -> str:
    return raw.lower() if isinstance(raw, str) else ""


def _time(about: dict[str, Any]) -> str | None:
    time = about.get("$lastUpdated")
    return time if isinstance(time, str) else None
