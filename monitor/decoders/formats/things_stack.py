"""The Things Stack, version 3: uplinks of LoRaWAN devices as JSON.

Topic `v3/<application>@<tenant>/devices/<device>/up`, without `@<tenant>` on an open source server (data formats in
thethingsindustries.com/docs). What is empty, 0 or false is left out. The time is when the network server had the
uplink, else the application server; `rx_metadata[].timestamp` is a counter of the gateway, never a time.
`decoded_payload` is what the payload formatter made, `normalized_payload` the same in the Stack's own names, read where
the formatter's are unknown. Uplinks that were simulated in the console are no readings. The Storage Integration and the
console's events put the same message into `result` and into `data`.
"""

from __future__ import annotations

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

__all__ = ["ThingsStack", "read_uplink"]

_RX_TIMES = ("time", "gps_time", "received_at")
_COMMANDS = frozenset({"push", "replace"})
_FORWARDED = "as.up.data.forward"
"""The one of the console's events that has what the MQTT server sends."""


class _ApplicationIds(msgspec.Struct):
    application_id: Any = None


class _DeviceIds(msgspec.Struct):
    dev_eui: Any = None
    device_id: Any = None
    application_ids: _ApplicationIds | None = None


class _Version(msgspec.Struct):
    brand_id: Any = None
    model_id: Any = None


class _Uplink(msgspec.Struct):
    f_port: Any = None
    f_cnt: Any = None
    session_key_id: Any = None
    frm_payload: Any = None
    decoded_payload: Any = None
    normalized_payload: Any = None
    received_at: Any = None
    version_ids: _Version | None = None
    rx_metadata: msgspec.Raw = msgspec.Raw()


class _Document(msgspec.Struct):
    end_device_ids: _DeviceIds | None = None
    received_at: Any = None
    simulated: Any = None
    uplink_message: _Uplink | None = None
    uplink_normalized: _Uplink | None = None
    name: Any = None
    data: Any = None
    result: Any = None


_decode = msgspec.json.Decoder(_Document).decode


def _plain_document(payload: bytes) -> _Document:
    document = read_json(payload)
    if not isinstance(document, dict):
        raise UnreadableError(f"expected an object, found {shown(document)}")
    return _of_object(document)


def _of_object(document: dict[str, Any]) -> _Document:
    members = _members(_Document, document)
    members["end_device_ids"] = ids = _struct(_DeviceIds, document.get("end_device_ids"))
    if ids is not None:
        ids.application_ids = _struct(_ApplicationIds, ids.application_ids)
    for name in ("uplink_message", "uplink_normalized"):
        members[name] = uplink = _struct(_Uplink, document.get(name))
        if uplink is not None:
            uplink.version_ids = _struct(_Version, uplink.version_ids)
    return _Document(**members)


def _members(struct: type[msgspec.Struct], document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in struct.__struct_fields__ if name in document}


def _struct(struct: type[Any], raw: object) -> Any:
    """The members of an object, None for what is no object."""
    return struct(**_members(struct, raw)) if isinstance(raw, dict) else None


def read_uplink(document: object, reader: LorawanReader, found: Found, received_ms: int) -> bool:
    """Put the readings of an uplink into `found` that came inside another envelope; false if it is none.

    document: the Stack's message as plain objects; reader: the source's own.
    """
    if not isinstance(document, dict) or not isinstance(document.get("uplink_message"), dict):
        return False
    _read(_of_object(document), reader, Devices(), found, received_ms)
    return True


class ThingsStack:
    """Format `tts_v3`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._reader = LorawanReader(options, state)
        self._devices = Devices()

    def read(self, message: Message, found: Found) -> None:
        topic = message.topic
        if not topic.endswith("/up") and _is_command(topic):
            found.ignore("command")
            return
        try:
            document = _decode(message.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            document = _plain_document(message.payload)
        if document.uplink_message is None and document.uplink_normalized is None:
            inside = document.data if document.name == _FORWARDED else document.result
            if isinstance(inside, dict):
                document = _of_object(inside)
        _read(document, self._reader, self._devices, found, message.received_ms)


def _is_command(topic: str) -> bool:
    levels = topic.split("/")
    return len(levels) > 1 and levels[-1] in _COMMANDS and levels[-2] == "down"


def _read(document: _Document, reader: LorawanReader, devices: Devices, found: Found, received_ms: int) -> None:
    is_normalized = document.uplink_message is None
    uplink = document.uplink_normalized if is_normalized else document.uplink_message
    if uplink is None:
        found.ignore("other_event")
        return
    if document.simulated is True:
        found.ignore("simulated")
        return
    device = _device(document.end_device_ids, uplink.version_ids, devices)
    source_id = device.source_id
    count, received_at = uplink.f_cnt, uplink.received_at
    ts_ms: int | None
    once: str
    if type(received_at) is str and received_at:
        ts_ms, once = iso_ms(received_at), received_at
    else:
        ts_ms, once = _other_times(document, uplink, received_ms)
    if not once:
        frame = uplink.frm_payload
        repeated = reader.seen.is_retransmitted(source_id, count, frame, received_ms if ts_ms is None else ts_ms)
    else:
        count = count if isinstance(count, int) and 0 <= count < 1 << 32 else 0
        repeated = not is_normalized and reader.seen.is_repeated(source_id, f"{count} {once}")
    if repeated:
        found.ignore("duplicate")
        return
    codec, normalized = uplink.decoded_payload, uplink.normalized_payload
    if not codec or (type(codec) is not dict and type(codec) is not list):
        codec, normalized = _listed(normalized), None
    before = len(found.values), len(found.rejected)
    reader.read_of(found, device, codec, uplink.frm_payload, uplink.f_port, ts_ms)
    if normalized and (len(found.values), len(found.rejected)) == before:
        reader.read_of(found, device, _listed(normalized), None, uplink.f_port, ts_ms)


def _listed(normalized: object) -> object:
    return [normalized] if isinstance(normalized, dict) else normalized


def _device(ids: _DeviceIds | None, version: _Version | None, devices: Devices) -> Device:
    if ids is None:
        raise UnreadableError("no end_device_ids")
    model = "" if version is None else _model(version)
    device = devices.of(ids.dev_eui, model)
    if device is not None:
        return device
    name = device_id(ids.device_id)
    if name is None:
        raise UnreadableError("end_device_ids names no device")
    application = None if ids.application_ids is None else device_id(ids.application_ids.application_id)
    return device_of(name if application is None else f"{application}/{name}", model)


def _other_times(document: _Document, uplink: _Uplink, received_ms: int) -> tuple[int | None, str]:
    """When the uplink was received by others than the network server, None if nothing says so, and the text that says
    it."""
    for raw in (uplink.received_at, document.received_at):
        if isinstance(raw, str) and raw:
            return iso_ms(raw), raw
        if raw:
            raise BadTimeError(f"received_at: {shown(raw)}")
    return first_time_ms(_gateway_times(uplink.rx_metadata), received_ms), ""


def _gateway_times(entries: object) -> Iterator[object]:
    """What gateways say of the time; the entries may not have been read yet."""
    if isinstance(entries, msgspec.Raw):
        try:
            entries = msgspec.json.decode(entries)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            yield from map(entry.get, _RX_TIMES)


def _model(version: _Version) -> str:
    """Brand and model, of a device of the repository."""
    return " ".join(name.lower()[:100] for name in (version.brand_id, version.model_id) if isinstance(name, str))
