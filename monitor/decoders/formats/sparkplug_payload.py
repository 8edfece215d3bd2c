"""Sparkplug B payloads to metrics: protocol buffers, the same compressed, or the same content as JSON.

Sources: the Sparkplug specification 3.0, chapter 6 "Payloads", for the fields and data types; for JSON the pictures it
draws of them (`dataType` and `value`), protocol buffers' own JSON (`floatValue`), and what cloud injectors publish (a
`topic` and a `payload`).

Traps: signed integers stand in unsigned fields as two's complement, of the width of their data type, which DATA
usually leaves out. A Float is 32 bits wide: it is taken as the shortest decimal that gives it, 12.1 and not
12.100000381469727. A text may be no UTF-8: protocol buffers hand it on as bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Container, Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from monitor.decoders.formats.sparkplug_schema import BOOLEAN, payload_class
from monitor.decoders.payloads import read_json, shown
from monitor.decoders.times import BadTimeError, parse_iso, to_ms
from monitor.decoders.values import UnreadableError

__all__ = ["TEMPLATE", "Metric", "Payload", "inside", "number_of", "read", "rebirth_request"]

_DATA_TYPES = {
    name: number
    for number, name in enumerate(
        ("unknown", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double",
         "boolean", "string", "datetime", "text", "uuid", "dataset", "bytes", "file", "template")
    )
}  # fmt: skip
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
"""Data type → its bits."""
_FLOAT, _DATETIME = 9, 13
TEMPLATE = 19
_WIDTHS = {"int_value": 32, "long_value": 64}
_JSON_VALUES = {
    "intValue": "int_value", "int_value": "int_value", "longValue": "long_value", "long_value": "long_value",
    "floatValue": "float_value", "float_value": "float_value", "doubleValue": "double_value",
    "double_value": "double_value", "booleanValue": "boolean_value", "boolean_value": "boolean_value",
    "stringValue": "string_value", "string_value": "string_value", "templateValue": "template_value",
    "template_value": "template_value",
}  # fmt: skip
_UNIT_PROPERTIES = frozenset(
    {"engunit", "engunits", "unit", "units", "uom", "eu", "engineeringunit", "engineeringunits", "unitofmeasure"}
)
_GOOD_QUALITY = range(192, 256)
"""OPC's quality, as the specification's property `Quality` has it: 0 is bad, 192 good, 500 stale."""
_COMPRESSED = "SPBV1.0_COMPRESSED"
_MAX_RATIO = 64
_UINT32 = (1 << 32) - 1
_UINT64 = 1 << 64
"""Integers of JSON are of any size, those of a protocol buffer are below this."""
_MAX_DEPTH = 4
_MAX_UNIT = 40
_MAX_TIME = 40
_FLOAT32_FORMS = ("%.6g", "%.7g", "%.8g", "%.9g")
"""Six digits always survive 32 bits, nine always tell them."""
_new = tuple.__new__
"""Makes a named tuple at a third of its own constructor's price: a message may have hundreds of metrics."""
_pack, _unpack = struct.Struct("<f").pack, struct.Struct("<f").unpack


class Metric(NamedTuple):
    name: str
    """Empty: it has an alias only."""
    alias: int | None
    timestamp: Any
    """As it was sent; 0 or None: none."""
    datatype: int
    """0: not said."""
    unit: str | None
    is_good: bool
    kind: str
    """Which of the payload's value fields; `null`; `undated` for a late value that does not say of when it is; `plain`
    for a value that JSON shows; `template` for one whose name only its alias tells, see `inside`; empty for others."""
    value: Any


class Payload(NamedTuple):
    timestamp: Any
    seq: int | None
    raw: Any
    """The metrics: made already, as a list, or as the protocol buffer has them."""
    topic: str = ""
    """The topic that a JSON envelope gives."""

    def metrics(self, dull: Container[int] = ()) -> Iterable[Metric]:
        """Those of templates among them, under `template/metric`.

        dull: aliases that mean nothing. Metrics that say nothing else of what they are may be passed over, in a quarter
        of the time (0.4 µs).
        """
        return self.raw if type(self.raw) is list else _metrics(self.raw, dull=dull)

    def bd_seq(self) -> int | None:
        """Which of its sessions a node means."""
        for metric in self.metrics():
            if metric.name == "bdSeq" and isinstance(metric.value, int) and 0 <= metric.value < _UINT64:
                return int(metric.value)
        return None


def read(payload: bytes) -> Payload:
    """What a payload holds. Raises UnreadableError."""
    if (payload[:1] == b"{" or payload[:1].isspace()) and (found := _read_json(payload)) is not None:
        return found
    return _read_protobuf(payload)


def _read_protobuf(payload: bytes, *, is_inflated: bool = False) -> Payload:
    try:
        message = payload_class().FromString(payload)
    except DecodeError:
        raise UnreadableError("neither a Sparkplug B payload nor JSON") from None
    if message.uuid == _COMPRESSED and not is_inflated:
        return _read_protobuf(_inflate(message.body), is_inflated=True)
    seq = message.seq if message.HasField("seq") else None
    return Payload(message.timestamp, seq, message.metrics)


def _inflate(body: bytes) -> bytes:
    """A compressed body (gzip or zlib), unless it claims to be far more than such payloads are."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        inflated = unpacker.decompress(body, _MAX_RATIO * len(body) + 1024)
    except zlib.error as error:
        raise UnreadableError(f"no compressed payload: {error}") from None
    if not unpacker.eof:
        raise UnreadableError("a compressed payload that is cut off, or too long")
    return inflated


def _metrics(
    messages: Any, folder: str = "", stamp: int = 0, depth: int = 0, dull: Container[int] = ()
) -> Iterator[Metric]:
    for message in messages:
        name = message.name
        alias = message.alias
        if alias in dull and not (name or message.HasField("properties") or message.HasField("template_value")):
            continue
        if type(name) is not str:
            name = name.decode("utf-8", "replace")
        if not alias and not message.HasField("alias"):
            alias = None
        kind = message.WhichOneof("value")
        if folder:
            name, alias = f"{folder}/{name}", None
        stamped = message.timestamp or stamp
        if kind == "template_value":
            template = message.template_value
            if depth < _MAX_DEPTH and not template.is_definition:
                yield from _template(name, alias, stamped, template.metrics)
                if name:
                    yield from _metrics(template.metrics, name, stamped, depth + 1)
            continue
        unit, is_good = _properties(message.properties) if message.HasField("properties") else (None, True)
        if message.is_null:
            kind, value = "null", None
        elif kind is None:
            kind = value = ""
        elif not stamped and message.is_historical:
            kind, value = "undated", None
        else:
            value = getattr(message, kind)
        yield _new(Metric, (name, alias, stamped, message.datatype, unit, is_good, kind, value))


def _template(name: str, alias: int | None, stamp: Any, members: Any) -> Iterator[Metric]:
    """What stands for a template beside its members: in a birth its alias, in what comes later the members that this
    alias must give their names."""
    if alias is not None:
        yield Metric(name, alias, stamp, TEMPLATE, None, True, "" if name else "template", "" if name else members)


def inside(metric: Metric, name: str) -> list[Metric]:
    """The members of a metric of kind `template`, now that its name is known."""
    is_json = isinstance(metric.value, list)
    return list((_json_metrics if is_json else _metrics)(metric.value, name, metric.timestamp, 1))


def _properties(properties: Any) -> tuple[str | None, bool]:
    """The unit, and whether the value is said to be good."""
    unit, is_good = None, True
    for key, value in zip(properties.keys, properties.values, strict=False):
        kind = value.WhichOneof("value")
        if kind is not None and not value.is_null:
            unit, is_good = _property(key, getattr(value, kind), unit, is_good)
    return unit, is_good


def _property(key: Any, value: Any, unit: str | None, is_good: bool) -> tuple[str | None, bool]:
    if not isinstance(key, str) or len(key) > _MAX_UNIT:
        return unit, is_good
    key = key.lower().replace("_", "").replace(" ", "")
    if key in _UNIT_PROPERTIES and isinstance(value, str):
        unit = value.strip()[:_MAX_UNIT] or None
    elif key == "quality" and isinstance(value, int) and not isinstance(value, bool):
        is_good = value in _GOOD_QUALITY
    return unit, is_good


def _read_json(payload: bytes) -> Payload | None:
    """None: these bytes are no JSON, which a protocol buffer's may begin like."""
    try:
        raw = read_json(payload)
    except UnreadableError:
        return None
    topic = ""
    if isinstance(raw, dict) and isinstance(raw.get("payload"), dict):
        topic, raw = _json_topic(raw.get("topic")), raw["payload"]
    if not isinstance(raw, dict):
        raise UnreadableError(f"expected an object, found {shown(raw)}")
    metrics = raw.get("metrics")
    if not isinstance(metrics, list):
        metrics = []
    seq = raw.get("seq")
    if isinstance(seq, dict):
        seq = _json_long(seq)
    if isinstance(seq, str) and seq.isascii() and seq.isdigit() and len(seq) < _MAX_UNIT:
        seq = int(seq)
    is_seq = isinstance(seq, int) and not isinstance(seq, bool) and 0 <= seq < _UINT64
    return Payload(_json_time(raw.get("timestamp")), seq if is_seq else None, list(_json_metrics(metrics)), topic)


def _json_topic(raw: Any) -> str:
    if not isinstance(raw, dict):
        return raw if isinstance(raw, str) else ""
    parts = [raw.get(key) for key in ("namespace", "groupId", "type", "edgeNodeId", "deviceId")]
    return "/".join(part for part in parts if isinstance(part, str))


def _json_time(raw: Any) -> Any:
    if isinstance(raw, str) and raw.isascii() and raw.isdigit() and len(raw) < _MAX_UNIT:
        return int(raw)
    if isinstance(raw, dict):
        return _json_long(raw)
    if isinstance(raw, str) and "T" in raw[:11] and len(raw) <= _MAX_TIME:
        try:
            at = parse_iso(raw)
            return raw if at.tzinfo is None else to_ms(at)
        except BadTimeError:
            return raw
    return raw


def _json_long(raw: dict[str, Any]) -> Any:
    """A number of 64 bits as JavaScript's libraries take it apart: `{"low": 1, "high": 0, "unsigned": true}`."""
    low, high = raw.get("low"), raw.get("high")
    if type(low) is not int or type(high) is not int:
        return raw
    number = (high & _UINT32) << 32 | low & _UINT32
    return number if raw.get("unsigned") is True or number >> 63 == 0 else number - _UINT64


def _json_metrics(metrics: list[Any], folder: str = "", stamp: Any = 0, depth: int = 0) -> Iterator[Metric]:
    for raw in metrics:
        if not isinstance(raw, dict):
            yield Metric(folder, None, stamp, 0, None, True, "malformed", raw)
            continue
        name, alias = raw.get("name"), _json_time(raw.get("alias"))
        name = name if isinstance(name, str) else ""
        alias = alias if isinstance(alias, int) and not isinstance(alias, bool) and 0 <= alias < _UINT64 else None
        if folder:
            name, alias = f"{folder}/{name}", None
        own_stamp = _json_time(raw.get("timestamp")) or stamp
        kind, value = "plain", raw.get("value")
        for key in raw.keys() & _JSON_VALUES.keys():
            kind, value = _JSON_VALUES[key], raw[key]
        if isinstance(value, dict) and isinstance(long := _json_long(value), int):
            value = long
        if isinstance(value, dict):
            children = value.get("metrics")
            if isinstance(children, list) and depth < _MAX_DEPTH and not value.get("isDefinition"):
                yield from _template(name, alias, own_stamp, children)
                if name:
                    yield from _json_metrics(children, name, own_stamp, depth + 1)
            continue
        if kind == "long_value" and isinstance(value, str):
            value = _json_time(value)
        if raw.get("isNull") is True or raw.get("is_null") is True or value is None:
            kind, value = "null", None
        elif not own_stamp and (raw.get("isHistorical") is True or raw.get("is_historical") is True):
            kind, value = "undated", None
        elif kind in _WIDTHS and (not isinstance(value, int) or value < 0):
            kind = "plain"
        datatype = raw.get("dataType", raw.get("datatype", raw.get("type")))
        if isinstance(datatype, str):
            datatype = _DATA_TYPES.get(datatype.lower(), 0)
        elif not isinstance(datatype, int) or isinstance(datatype, bool) or not 0 <= datatype < _UINT64:
            datatype = 0
        unit, is_good = _json_properties(raw.get("properties"))
        yield Metric(name, alias, own_stamp, datatype, unit, is_good, kind, value)


def _json_properties(raw: Any) -> tuple[str | None, bool]:
    unit, is_good = None, True
    if not isinstance(raw, dict):
        return unit, is_good
    keys, values = raw.get("keys"), raw.get("values")
    pairs = zip(keys, values, strict=False) if isinstance(keys, list) and isinstance(values, list) else raw.items()
    for key, value in pairs:
        if isinstance(value, dict):
            value = next((value[name] for name in ("value", *_JSON_VALUES) if name in value), None)
        unit, is_good = _property(key, value, unit, is_good)
    return unit, is_good


def number_of(kind: str, value: Any, datatype: int) -> Any:
    """What a metric's value says: a number, a truth value, a text. Raises ValueError where that cannot be told."""
    if kind == "float_value" or (datatype == _FLOAT and isinstance(value, float)):
        return _shortest(value) if isinstance(value, float) else value
    if kind in _WIDTHS:
        bits = _SIGNED_BITS.get(datatype)
        if bits is not None:
            value &= (1 << bits) - 1
            return value - (1 << bits) if value >> (bits - 1) else value
        if datatype == BOOLEAN:
            return bool(value)
        if not datatype and value >> (_WIDTHS[kind] - 1):
            raise ValueError("an integer that may be negative, of a data type that is not known")
    return value


def _shortest(value: float) -> float:
    """The double that is nearest to the shortest decimal of a 32 bit float."""
    if value != value or not -1e38 < value < 1e38 or (value.is_integer() and -(1 << 24) < value < 1 << 24):
        return value
    for form in _FLOAT32_FORMS:
        short = float(form % value)
        if _unpack(_pack(short))[0] == value:
            return short
    return value


def rebirth_request(now_ms: int) -> bytes:
    """What asks an edge node for its BIRTH messages (specification 3.0, 6.4.20 "NCMD")."""
    message = payload_class()(timestamp=now_ms)
    message.metrics.add(name="Node Control/Rebirth", timestamp=now_ms, datatype=BOOLEAN, boolean_value=True)
    return bytes(message.SerializeToString())
