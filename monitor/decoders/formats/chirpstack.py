"""ChirpStack, versions 4 and 3: uplinks of LoRaWAN devices as JSON.

Version 4 (chirpstack.io/docs, integrations, events): topic `application/<id>/device/<devEui>/event/<event>`; `time` is
when the network server had it, `deduplicationId` stands for one uplink, `object` is what the codec made of `data`.
Version 3: `devEUI` in hex, or in base64 from the Protobuf marshaler, which puts the codec's object into `objectJSON` as
text; no time but that of gateways that know it (`rxInfo[].time`); of a retransmission nothing tells but the same frame
counter with the same content. Both leave out what is 0, false or empty.
"""

from __future__ import annotations

import base64
import binascii
import operator
from collections.abc import Iterator
from typing import Any

import msgspec

from monitor.decoders.formats.lorawan import LorawanReader
from monitor.decoders.formats.lorawan_devices import Device, Devices, device_of
from monitor.decoders.formats.lorawan_uplinks import device_id, first_time_ms
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, iso_ms
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["ChirpStackV3", "ChirpStackV4", "read_v3", "uplink_v3"]

_EVENT_LEVELS = 6
_UP = frozenset({"up", "rx"})
_EVENTS = frozenset(
    {"join", "status", "ack", "txack", "log", "error", "location", "integration", "stats", "proprietary"}
)
_V4_TIMES = ("nsTime", "time", "gwTime")
_BASE64_EUI_CHARS, _EUI_BYTES = 12, 8


class _DeviceInfo(msgspec.Struct):
    devEui: Any = None  # noqa: N815  # ChirpStack's own name
    deviceProfileName: Any = None  # noqa: N815


class _UplinkV4(msgspec.Struct):
    deduplicationId: Any = None  # noqa: N815
    time: Any = None
    deviceInfo: _DeviceInfo | None = None  # noqa: N815
    fCnt: Any = None  # noqa: N815
    fPort: Any = None  # noqa: N815
    data: Any = None
    object: Any = None
    rxInfo: msgspec.Raw = msgspec.Raw()  # noqa: N815


class RxInfo(msgspec.Struct):
    """What a gateway says of its reception."""

    time: Any = None


class UplinkV3(msgspec.Struct):
    """An uplink of version 3."""

    devEUI: Any = None  # noqa: N815
    deviceProfileName: Any = None  # noqa: N815
    fCnt: Any = None  # noqa: N815
    fPort: Any = None  # noqa: N815
    data: Any = None
    object: Any = None
    objectJSON: Any = None  # noqa: N815
    rxInfo: list[RxInfo] | None = None  # noqa: N815
    time: Any = None
    publishedAt: Any = None  # noqa: N815


_time_of = operator.attrgetter("time")
_decode_v4 = msgspec.json.Decoder(_UplinkV4).decode
_decode_v3 = msgspec.json.Decoder(UplinkV3).decode


def _object(payload: bytes) -> dict[str, Any]:
    document = read_json(payload)
    if not isinstance(document, dict):
        raise UnreadableError(f"expected an object, found {shown(document)}")
    return document


def _members(struct: type[msgspec.Struct], document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in struct.__struct_fields__ if name in document}


def _uplink_v4(document: dict[str, Any]) -> _UplinkV4:
    members = _members(_UplinkV4, document)
    info = members.get("deviceInfo")
    members["deviceInfo"] = _DeviceInfo(**_members(_DeviceInfo, info)) if isinstance(info, dict) else None
    return _UplinkV4(**members)


def uplink_v3(document: dict[str, Any]) -> UplinkV3:
    """The uplink that plain objects hold."""
    members = _members(UplinkV3, document)
    entries = members.pop("rxInfo", None)
    if isinstance(entries, list):
        members["rxInfo"] = [RxInfo(entry.get("time")) for entry in entries if isinstance(entry, dict)]
    return UplinkV3(**members)


def _is_up(topic: str, found: Found) -> bool:
    """Whether the topic is one of uplinks; a topic of another shape (a bridge's) says nothing against it."""
    _, _, event = topic.rpartition("/")
    if event in _UP:
        return True
    levels = topic.split("/")
    if len(levels) >= 2 and levels[-2] == "event":
        found.ignore(f"event_{event}" if event in _EVENTS else "other_event")
        return False
    if levels[-2:-1] == ["command"]:
        found.ignore("command")
        return False
    if len(levels) == _EVENT_LEVELS - 1 and levels[0] == "application" and event in _EVENTS:  # version 3 before 3.11
        found.ignore(f"event_{event}")
        return False
    return True


def _id_of(topic: str) -> str | None:
    levels = topic.split("/")
    for position, level in enumerate(levels[:-1]):
        if level == "device":
            return device_id(levels[position + 1])
    return None


def _times_v4(entries: object) -> Iterator[object]:
    """What gateways say of the time; the entries may not have been read yet."""
    if isinstance(entries, msgspec.Raw):
        try:
            entries = msgspec.json.decode(entries)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            yield from map(entry.get, _V4_TIMES)


class ChirpStackV4:
    """Format `chirpstack_v4`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._reader = LorawanReader(options, state)
        self._devices = Devices()

    def read(self, message: Message, found: Found) -> None:
        topic = message.topic
        if not topic.endswith("/event/up") and not _is_up(topic, found):
            return
        try:
            uplink = _decode_v4(message.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            uplink = _uplink_v4(_object(message.payload))
        info = uplink.deviceInfo
        if uplink.object is None and uplink.data is None and uplink.fPort is None:
            # A status, a join or a log entry on a topic of one's own.
            found.ignore("other_event")
            return
        profile = None if info is None else info.deviceProfileName
        device = None if info is None else self._devices.of(info.devEui, profile)
        if device is None:
            source_id = _id_of(topic)
            if source_id is None:
                raise UnreadableError("neither payload nor topic names a devEui")
            device = device_of(source_id, profile)
        ts_ms: int | None
        if isinstance(uplink.time, str) and uplink.time:
            ts_ms = iso_ms(uplink.time)
        elif uplink.time:
            raise BadTimeError(f"time: {shown(uplink.time)}")
        else:
            ts_ms = first_time_ms(_times_v4(uplink.rxInfo), message.received_ms)
        reader = self._reader
        once = uplink.deduplicationId
        if isinstance(once, str) and once:
            repeated = reader.seen.is_repeated(device.source_id, once)
        else:
            at_ms = message.received_ms if ts_ms is None else ts_ms
            repeated = reader.seen.is_retransmitted(device.source_id, uplink.fCnt, uplink.data, at_ms)
        if repeated:
            found.ignore("duplicate")
            return
        reader.read_of(found, device, uplink.object, uplink.data, uplink.fPort, ts_ms)


class ChirpStackV3:
    """Format `chirpstack_v3`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._reader = LorawanReader(options, state)
        self._devices = Devices(_eui_v3)

    def read(self, message: Message, found: Found) -> None:
        topic = message.topic
        if not topic.endswith("/event/up") and not _is_up(topic, found):
            return
        try:
            uplink = _decode_v3(message.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            uplink = uplink_v3(_object(message.payload))
        if uplink.object is None and uplink.objectJSON is None and uplink.data is None and uplink.fPort is None:
            found.ignore("other_event")
            return
        device = self._devices.of(uplink.devEUI, uplink.deviceProfileName)
        if device is None:
            source_id = _id_of(topic)
            if source_id is None:
                raise UnreadableError("neither payload nor topic names a devEUI")
            device = device_of(source_id, uplink.deviceProfileName)
        read_v3(uplink, device, self._reader, found, message.received_ms)


def read_v3(uplink: UplinkV3, device: Device, reader: LorawanReader, found: Found, received_ms: int) -> None:
    """The readings of one uplink in the form of version 3, which network servers inside gateways send, too."""
    ts_ms = first_time_ms(map(_time_of, uplink.rxInfo), received_ms) if uplink.rxInfo else None
    if ts_ms is None:
        ts_ms = first_time_ms((uplink.time, uplink.publishedAt), received_ms)
    codec = uplink.object
    if codec is None and isinstance(uplink.objectJSON, str) and uplink.objectJSON:
        try:
            codec = read_json(uplink.objectJSON.encode("utf-8", "replace"))
        except UnreadableError as error:
            found.reject("malformed", f"{device.source_id} objectJSON: {error.detail}")
    content, at_ms = uplink.data or uplink.objectJSON, received_ms if ts_ms is None else ts_ms
    if reader.seen.is_retransmitted(device.source_id, uplink.fCnt, content, at_ms):
        found.ignore("duplicate")
        return
    reader.read_of(found, device, codec, uplink.data, uplink.fPort, ts_ms)


def _eui_v3(raw: object) -> str | None:
    """A device's id in hex, of one in base64, too."""
    eui = device_id(raw)
    if eui is not None and len(eui) == _BASE64_EUI_CHARS and eui.endswith("="):
        try:
            bytes_ = base64.b64decode(eui, validate=True)
        except (binascii.Error, ValueError):
            return eui
        if len(bytes_) == _EUI_BYTES:
            return bytes_.hex()
    return eui
