"""The protocol buffer of Sparkplug B, as far as it is read: `org.eclipse.tahu.protobuf.Payload`.

Field numbers and types are those of the Sparkplug specification, 6.4 "Google Protocol Buffers"; what is not described
here (data sets, metadata, extensions) is skipped as unknown. The class is built on first use, in a pool of its own, so
that it meets no other description of the same name.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["BOOLEAN", "payload_class"]

BOOLEAN = 11
"""Data type."""

_PACKAGE = "monitor.sparkplug"
_FIELD = descriptor_pb2.FieldDescriptorProto
_U32, _U64, _BOOL, _STRING, _BYTES = (
    _FIELD.TYPE_UINT32,
    _FIELD.TYPE_UINT64,
    _FIELD.TYPE_BOOL,
    _FIELD.TYPE_STRING,
    _FIELD.TYPE_BYTES,
)
_FLOAT, _DOUBLE = _FIELD.TYPE_FLOAT, _FIELD.TYPE_DOUBLE

_MESSAGES: dict[str, tuple[tuple[str, int, int | str, str], ...]] = {
    "Payload": (
        ("timestamp", 1, _U64, ""),
        ("metrics", 2, "Metric", "repeated"),
        ("seq", 3, _U64, ""),
        ("uuid", 4, _STRING, ""),
        ("body", 5, _BYTES, ""),
    ),
    "Metric": (
        ("name", 1, _STRING, ""),
        ("alias", 2, _U64, ""),
        ("timestamp", 3, _U64, ""),
        ("datatype", 4, _U32, ""),
        ("is_historical", 5, _BOOL, ""),
        ("is_null", 7, _BOOL, ""),
        ("properties", 9, "PropertySet", ""),
        ("int_value", 10, _U32, "value"),
        ("long_value", 11, _U64, "value"),
        ("float_value", 12, _FLOAT, "value"),
        ("double_value", 13, _DOUBLE, "value"),
        ("boolean_value", 14, _BOOL, "value"),
        ("string_value", 15, _STRING, "value"),
        ("template_value", 18, "Template", "value"),
    ),
    "PropertySet": (("keys", 1, _STRING, "repeated"), ("values", 2, "PropertyValue", "repeated")),
    "PropertyValue": (
        ("type", 1, _U32, ""),
        ("is_null", 2, _BOOL, ""),
        ("int_value", 3, _U32, "value"),
        ("long_value", 4, _U64, "value"),
        ("string_value", 8, _STRING, "value"),
    ),
    "Template": (("metrics", 2, "Metric", "repeated"), ("is_definition", 5, _BOOL, "")),
}
"""Message → its fields: name, number, type or message, and `repeated` or the choice that it is one of."""


@functools.cache
def payload_class() -> Any:
    """The class of a payload: `FromString` reads bytes, `SerializeToString` writes them."""
    file = descriptor_pb2.FileDescriptorProto(name="monitor/sparkplug.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, rule in fields:
            label = _FIELD.LABEL_REPEATED if rule == "repeated" else _FIELD.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = kind  # type: ignore[assignment]  # one of the types above
            if rule == "value":
                if not message.oneof_decl:
                    message.oneof_decl.add(name=rule)
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))
