"""EMQX Neuron and NeuronEX: what their MQTT applications upload.

    {"timestamp": ms, "node": "modbus", "group": "grp", "values": {"tag0": 1}, "errors": {"tag1": 2014}, "metas": {}}
    {"timestamp": ms, "node": "modbus", "group": "grp", "tags": [{"name": "tag0", "value": 1, "type": 2}]}

Documented in Neuron's "Upstream/Downstream Data Format". The second is also its ECP format; in the custom format the
names of the members are the installer's and may lie in objects. `timestamp` is when the tags were collected, also when
the gateway's cache sends them much later. Tags have the installer's names and no units: usual names are read, and
addresses in DL/T 645 meters. The gateway has applied a tag's `decimal` already; for one that has none, the option
`dlt645: raw` says that values are the meter's own digits. What answers a read or a write request is no upload: it says
neither when nor, of a read, of which device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monitor.decoders.formats.dlt645 import Address, address_of
from monitor.decoders.formats.lenient_json import lenient_json
from monitor.decoders.formats.plain_values import UNIT_KEYS, PlainValues, as_id, as_unit, first
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["Neuron"]

_NODE_KEYS = ("node", "node_name", "node_id")
_GROUP_KEYS = ("group", "group_name", "group_config_name")
_TIME_KEYS = ("timestamp", "ts", "time")
_NO_TAGS = frozenset({"metas", "meta", "static", "static_tags", "static_tag_values"})
_COMMANDS = ("/write/req", "/read/req", "/write/resp", "/read/resp", "/action/req", "/action/resp", "/scan/req")
_DEEPEST = 3
_CACHED_SHAPES = 300
_LARGEST_SHAPE = 4000
"""[characters]"""


class Neuron:
    """Format `neuron_gateway`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._plain = PlainValues(options, state)
        self._fields = options.fields
        self._is_raw = options.more.get("dlt645") == "raw"
        self._addresses: dict[tuple[str, ...], tuple[tuple[str, Address], ...]] = {}

    def read(self, message: Message, found: Found) -> None:
        document = lenient_json(message.payload)
        if type(document) is not dict:
            raise UnreadableError(f"expected an object, found {shown(document)}")
        if "uuid" in document or message.topic.endswith(_COMMANDS):
            if not ("timestamp" in document and first(document, _NODE_KEYS) is not None):  # 2.0 uploaded as `read/resp`
                found.ignore("command")
                return
        elif "states" in document:
            found.ignore("status")
            return
        head = document if "values" in document or "tags" in document else _head(document)
        device = _device(head) or message.topic
        raw_time = first(head, _TIME_KEYS)
        if raw_time is None:
            raw_time = first(document, _TIME_KEYS)
        ts_ms = self._plain.time_ms(message, found, raw_time, device)
        if head.get("errors") or head.get("tag_error_values") or head.get("tag_errors"):
            found.ignore("no_value")
        metas = document.get("metas")
        for tags in _tags_in(head):
            if isinstance(tags, dict):
                self._read_values(message, found, tags, device, ts_ms, metas if type(metas) is dict else {})
            else:
                self._read_tags(message, found, tags, device, ts_ms)

    def _read_values(
        self,
        message: Message,
        found: Found,
        values: dict[str, Any],
        device: str,
        ts_ms: int | None,
        metas: dict[str, Any],
    ) -> None:
        if metas:
            units = {tag: as_unit(first(meta, UNIT_KEYS)) for tag, meta in metas.items() if type(meta) is dict}
            values = {
                tag: {"value": raw, "unit": units[tag]} if units.get(tag) and type(raw) is not dict else raw
                for tag, raw in values.items()
            }
        self._plain.read(message, found, values, device, ts_ms)
        addresses = self._addresses_in(values)
        if addresses:
            forward = {address.meter for _, address in addresses if address.kind == "forward"}
            for tag, address in addresses:
                if address.kind != "combined" or address.meter not in forward:
                    self._read_address(found, tag, address, values[tag], ts_ms)

    def _read_tags(self, message: Message, found: Found, tags: list[Any], device: str, ts_ms: int | None) -> None:
        values: dict[str, Any] = {}
        for tag in tags:
            if type(tag) is dict and len(tag) == 2 and "value" in tag and type(tag.get("name")) is str:
                values[tag["name"]] = tag["value"]
            elif type(tag) is not dict:
                found.reject("malformed", f"{shown(device)}: expected a tag, found {shown(tag)}")
            elif (name := as_id(tag.get("name", tag.get("id")))) is None:
                found.reject("malformed", f"{shown(device)}: a tag without a name")
            elif tag.get("error") or "value" not in tag:
                found.ignore("no_value")
            else:
                unit = as_unit(first(tag, UNIT_KEYS))
                values[name] = tag["value"] if unit is None else {"value": tag["value"], "unit": unit}
        self._read_values(message, found, values, device, ts_ms, {})

    def _addresses_in(self, values: dict[str, Any]) -> tuple[tuple[str, Address], ...]:
        shape = tuple(values)
        known = self._addresses.get(shape)
        if known is None:
            pairs = [(tag, address_of(tag)) for tag in shape if "#" in tag and tag not in self._fields]
            known = tuple((tag, address) for tag, address in pairs if address is not None)
            if sum(map(len, shape)) + 8 * len(shape) <= _LARGEST_SHAPE:
                if len(self._addresses) >= _CACHED_SHAPES:
                    self._addresses.clear()
                self._addresses[shape] = known
        return known

    def _read_address(self, found: Found, tag: str, address: Address, raw: object, ts_ms: int | None) -> None:
        try:
            number = to_number(raw)
        except ValueError:
            found.reject("bad_value", f"{shown(tag)}: {shown(raw)} is no number")
            return
        if number is None:
            found.ignore("no_value")
            return
        value = number * address.resolution if self._is_raw else number
        if address.tariff:
            # Total and tariffs may come in groups of their own: only what one message has is put together.
            found.add_part(address.meter, address.quantity, address.tariff, value, ts_ms, tag)
        else:
            found.add(address.meter, address.quantity, value, ts_ms, tag)


def _head(document: dict[str, Any]) -> dict[str, Any]:
    """The object in which node and group stand: the document, or in the custom format an object inside it."""
    head = document
    for _ in range(_DEEPEST):
        if first(head, _NODE_KEYS) is not None or "values" in head or "tags" in head:
            return head
        inner = [value for key, value in head.items() if type(value) is dict and key not in _NO_TAGS]
        if len(inner) != 1:
            break
        head = inner[0]
    return head if first(head, _NODE_KEYS) is not None else document


def _device(head: dict[str, Any]) -> str:
    """`node/group`, or what there is of it."""
    node, group = as_id(first(head, _NODE_KEYS)), as_id(first(head, _GROUP_KEYS))
    if node is not None and group is not None:
        return f"{node}/{group}"
    return node or group or ""


def _tags_in(head: dict[str, Any]) -> Iterator[dict[str, Any] | list[Any]]:
    """The objects and lists of tags, under their usual names or those of a custom format."""
    values, tags = head.get("values"), head.get("tags")
    if values is not None or tags is not None:
        for each in (values, tags):
            if type(each) is dict or type(each) is list:
                yield each
            elif each is not None:
                raise UnreadableError(f"values or tags: expected an object or a list, found {shown(each)}")
        return
    for key, value in head.items():
        if key in _NO_TAGS or "error" in key:
            continue
        if type(value) is dict or (type(value) is list and value and type(value[0]) is dict and "name" in value[0]):
            yield value
