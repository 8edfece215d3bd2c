"""Points of machines, as the gateways of the large clouds send them: each with a name, a time and a value of its own.

- Azure IoT Edge's Modbus module: slaves (`HwId`) with blocks of rows, or rows alone in its older version.
- OPC UA in JSON, from OPC Publisher and Azure IoT Operations: samples of one node each, data sets with or without the
  messages of OPC UA part 14 around them.
- AWS IoT SiteWise: values of properties, by alias or by asset, and the notifications of them.

A name is the longest end of a path that is a usual name (`Hall.PM1.Energy.Total`); what stands before it is the device.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from monitor.decoders.formats.balance import balance
from monitor.decoders.formats.plain_values import PlainValues, as_id, first
from monitor.decoders.payloads import shown
from monitor.decoders.times import BadTimeError
from monitor.decoders.values import Found
from monitor.ingest.message import Message

__all__ = ["CloudPoints", "is_of_points"]

_MARKS = frozenset(
    {"Content", "HwId", "Messages", "Payload", "NodeId", "propertyValues", "propertyAlias", "entries", "propertyId"}
)
_WRITER_KEYS = frozenset({"DataSetWriterId", "DataSetWriterName", "MetaDataVersion", "MessageType"})
_NOTICE = "PropertyValueUpdate"
_SOURCE_TIMES = ("SourceTimestamp", "ServerTimestamp", "Timestamp")
_SERVER_KEYS = ("DataSetWriterName", "DataSetWriterId", "ApplicationUri")
_VARIANTS = ("doubleValue", "integerValue", "booleanValue", "stringValue")
_GOOD, _SEVERITY = "good", 30
"""A status of OPC UA is good if the two highest of its 32 bits are 0."""
_NO_DATA = frozenset({"ua-metadata", "ua-event", "ua-condition", "ua-keepalive", "ua-status", "ua-application"})
_NODE_ID = re.compile(r"(?:^|[;#])([isgb])=(.*)", re.DOTALL)
_SEPARATING = "./:|\\"
_SEPARATORS = re.compile(rf"[{re.escape(_SEPARATING)}]+")
_SECOND_NS = 1_000_000_000
_LONGEST_PATH = 200
_CACHED = 5000


def is_of_points(document: dict[str, Any]) -> bool:
    """Whether an object looks like one of these messages."""
    if _MARKS.isdisjoint(document):
        return document.get("type") == _NOTICE or _is_data_set(document)
    return (
        "HwId" in document
        or "NodeId" in document
        or "propertyValues" in document
        or ("propertyId" in document and "values" in document)
        or type(document.get("Messages")) in (list, dict)
        or (type(document.get("Payload")) is dict and not _WRITER_KEYS.isdisjoint(document))
        or _has(document.get("Content"), "HwId")
        or _has(document.get("entries"), "propertyValues")
    )


class CloudPoints:
    """Reads the points of one source."""

    def __init__(self, plain: PlainValues) -> None:
        self._plain = plain
        self._names = plain.names
        self._paths: dict[str, tuple[str, str]] = {}

    def read(
        self, message: Message, found: Found, documents: list[Any], source_id: str, ts_ms: int | None = None
    ) -> None:
        """All of a message; `source_id` and `ts_ms` are used for what has none of its own."""
        start = len(found.values)
        for document in documents:
            if type(document) is dict:
                self._read_document(message, found, document, source_id, ts_ms)
            else:
                found.reject("malformed", f"{shown(source_id)}: expected an object, found {shown(document)}")
        if self._names.has_outward:
            balance(found, self._names, start)

    def _read_document(
        self, message: Message, found: Found, document: dict[str, Any], source_id: str, ts_ms: int | None
    ) -> None:
        messages = document.get("Messages")
        if "HwId" in document:
            if "UId" in document:  # what is to be written
                found.ignore("command")
            else:
                self._read_rows(message, found, [document], document, source_id, ts_ms)
        elif _has(document.get("Content"), "HwId"):
            self._read_slaves(message, found, document, source_id, ts_ms)
        elif _word(document.get("MessageType")) in _NO_DATA:
            found.ignore("status")
        elif type(messages) in (list, dict):
            publisher = as_id(document.get("PublisherId"))
            for each in messages if type(messages) is list else (messages,):
                if type(each) is dict:
                    self._read_data_set_message(message, found, each, publisher, source_id, ts_ms)
        elif type(document.get("Payload")) is dict:
            self._read_data_set_message(message, found, document, None, source_id, ts_ms)
        elif "NodeId" in document:
            self._read_sample(message, found, document, source_id, ts_ms)
        elif _is_data_set(document):
            self._read_data_set(message, found, document, "", source_id, ts_ms)
        else:
            notice = document.get("payload")
            entries = document.get("entries", [notice if type(notice) is dict else document])
            for entry in entries if type(entries) is list else ():
                if type(entry) is dict:
                    self._read_property(message, found, entry, source_id)

    def _read_slaves(
        self, message: Message, found: Found, document: dict[str, Any], source_id: str, ts_ms: int | None
    ) -> None:
        for slave in document["Content"]:
            blocks = slave.get("Data") if type(slave) is dict else None
            for block in blocks if type(blocks) is list else ():
                rows = block.get("Values") if type(block) is dict else None
                if type(rows) is list:
                    about = {"HwId": slave.get("HwId"), "SourceTimestamp": document.get("PublishTimestamp"), **block}
                    self._read_rows(message, found, rows, about, source_id, ts_ms)

    def _read_rows(
        self,
        message: Message,
        found: Found,
        rows: list[Any],
        about: dict[str, Any],
        source_id: str,
        ts_ms: int | None,
    ) -> None:
        source_id = as_id(about.get("HwId")) or source_id
        try:
            ts_ms = self._plain.time_ms(message, found, about.get("SourceTimestamp"), source_id) or ts_ms
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(source_id)}: {error.detail}")
            return
        named = [row for row in rows if type(row) is dict and type(row.get("DisplayName")) is str and "Value" in row]
        names = Counter(row["DisplayName"] for row in named)
        for row in named:
            name = row["DisplayName"]
            if names[name] == 1:
                self._names.add(found, source_id, name, row["Value"], ts_ms)
            elif self._names.meaning(name) is not None:  # the registers of one value: nobody says in which order
                found.ignore("no_mapping")

    def _read_data_set_message(
        self,
        message: Message,
        found: Found,
        about: dict[str, Any],
        publisher: str | None,
        source_id: str,
        ts_ms: int | None,
    ) -> None:
        fields = about.get("Payload")
        if type(fields) is not dict or _word(about.get("MessageType")) in _NO_DATA:
            found.ignore("status")
            return
        number = about.get("DataSetWriterId")
        server = as_id(about.get("DataSetWriterName")) or as_id(number) or publisher or ""
        if publisher is not None and server == str(number) and server.isdigit():  # its number there
            server = f"{publisher}/{server}"
        try:
            ts_ms = self._plain.time_ms(message, found, about.get("Timestamp"), server or source_id) or ts_ms
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(server or source_id)}: {error.detail}")
            return
        self._read_data_set(message, found, fields, server, source_id, ts_ms)

    def _read_data_set(
        self,
        message: Message,
        found: Found,
        fields: dict[str, Any],
        server: str,
        source_id: str,
        ts_ms: int | None,
    ) -> None:
        for key, field in fields.items():
            name, device = self._apart(key)
            if name:
                about = field if type(field) is dict else {"Value": field}
                self._add(message, found, about, name, _joined(server, device) or source_id, ts_ms)

    def _read_sample(
        self, message: Message, found: Found, row: dict[str, Any], source_id: str, ts_ms: int | None
    ) -> None:
        item, more = row.get("MonitoredItem"), row.get("ExtensionFields")
        known = {**(more if type(more) is dict else {}), **(item if type(item) is dict else {}), **row}
        name, device = self._apart(known.get("DisplayName"))
        of_node, before = self._apart(row["NodeId"])
        if not name:
            name = of_node
        device = device or before
        server = as_id(first(known, _SERVER_KEYS)) or ""
        value = row.get("Value")
        about = {"Timestamp": row.get("Timestamp"), **value} if type(value) is dict else row
        if name:
            self._add(message, found, about, name, _joined(server, device) or source_id, ts_ms)

    def _read_property(self, message: Message, found: Found, entry: dict[str, Any], source_id: str) -> None:
        alias = entry.get("propertyAlias")
        name, device = self._apart(alias) if type(alias) is str else (str(as_id(entry.get("propertyId")) or ""), "")
        device = as_id(device) or as_id(entry.get("assetId")) or source_id
        values = entry.get("propertyValues", entry.get("values"))
        if not name or self._names.meaning(name) is None or type(values) is not list:
            return
        for each in values:
            if type(each) is not dict:
                continue
            variant, time = each.get("value"), each.get("timestamp")
            about: dict[str, Any] = {"Status": each.get("quality")}
            about["Value"] = first(variant, _VARIANTS) if type(variant) is dict else variant
            if type(time) is dict:
                about["SourceTimestamp"] = time.get("timeInSeconds")
                ns = time.get("offsetInNanos")
                later_ms = ns // 1_000_000 if type(ns) is int and 0 <= ns < _SECOND_NS else 0
                self._add(message, found, about, name, device, None, later_ms)
            else:
                found.reject("bad_time", f"{shown(device)} {shown(name)}: found {shown(time)}")

    def _add(
        self,
        message: Message,
        found: Found,
        about: dict[str, Any],
        name: str,
        source_id: str,
        ts_ms: int | None,
        later_ms: int = 0,
    ) -> None:
        """about: a value with its status and its time, which is `later_ms` later than it says."""
        if self._names.meaning(name) is None:
            return
        if not _is_good(about):
            found.ignore("bad_quality")
            return
        raw_time = next((about[key] for key in _SOURCE_TIMES if about.get(key) is not None), None)
        try:
            own_ms = self._plain.time_ms(message, found, raw_time, source_id)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(source_id)} {shown(name)}: {error.detail}")
            return
        self._names.add(found, source_id, name, about.get("Value"), ts_ms if own_ms is None else own_ms + later_ms)

    def _apart(self, path: object) -> tuple[str, str]:
        """A path, or the id of a node: its usual name and the device before it; no name: it has none."""
        if type(path) is not str or len(path) > _LONGEST_PATH:
            return "", ""
        apart = self._paths.get(path)
        if apart is None:
            if len(self._paths) >= _CACHED:
                self._paths.clear()
            apart = self._paths[path] = self._taken_apart(path)
        return apart

    def _taken_apart(self, path: str) -> tuple[str, str]:
        if path in self._names.own:
            return path, ""
        node = _NODE_ID.search(path)
        if node is not None:
            if node[1] != "s":
                return "", ""
            path = node[2]
        path = path.replace('"', "")
        cuts = [0, *(match.end() for match in _SEPARATORS.finditer(path))]
        for cut in cuts:
            if cut < len(path) and self._names.meaning(path[cut:]) is not None:
                return path[cut:], path[:cut].rstrip(_SEPARATING)
        return "", path[: cuts[-1]].rstrip(_SEPARATING)


def _has(node: Any, key: str) -> bool:
    """Whether it is a list of objects that have this key."""
    return type(node) is list and bool(node) and type(node[0]) is dict and key in node[0]


def _is_data_set(document: dict[str, Any]) -> bool:
    field = next(iter(document.values()), None)
    return type(field) is dict and "SourceTimestamp" in field


def _word(raw: object) -> str:
    return raw.lower() if type(raw) is str else ""


def _joined(server: str, device: str) -> str | None:
    return as_id(f"{server}/{device}" if server and device else server or device)


def _is_good(about: dict[str, Any]) -> bool:
    """By its status: a number, a word, an object of both, or none."""
    status = about.get("StatusCode", about.get("Status"))
    if type(status) is dict:
        status = first(status, ("Code", "Symbol"))
    if type(status) is int:
        return status >> _SEVERITY == 0
    return type(status) is not str or not status or status.lower().startswith(_GOOD)
