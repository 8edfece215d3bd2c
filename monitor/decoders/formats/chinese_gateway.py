"""Gateways as they are sold in China: EdgeLogger's batches, Alink, and loggers with rows of names and values.

Those of Acrel (`{"type": "data", "gwSN": …, "meterSN": …, "meterStatus": "normal", "ct": 40, "wh": 8.98, "p": 6}`) call
`wh` what is in kWh before the current transformer, and send 0 for a meter that does not answer: their values are
readings by `fields` only.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from monitor.decoders.formats.alink import Alink, is_alink_topic
from monitor.decoders.formats.edgelogger import EdgeLogger
from monitor.decoders.formats.lenient_json import lenient_json
from monitor.decoders.formats.named_rows import NamedRows
from monitor.decoders.formats.plain_values import PlainValues, as_id
from monitor.decoders.formats.topics import is_command
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["ChineseGateway"]

_ACREL_UNKNOWN = frozenset({"wh", "p"})
_HUAWEI = "$oc/devices/"
"""First levels of Huawei's topics: the next is the device."""


class ChineseGateway:
    """Format `chinese_gateway`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        plain = PlainValues(options, state)
        self._fields = options.fields
        self._plain = plain
        self._alink = Alink(options, plain)
        self._edgelogger = EdgeLogger(plain)
        self._rows = NamedRows(options, plain)

    def read(self, message: Message, found: Found) -> None:
        if is_alink_topic(message.topic):
            self._alink.read(message, found)
            return
        if self._edgelogger.read_usual(message, found):
            return
        if is_command(message.topic):
            found.ignore("command")
            return
        document = lenient_json(message.payload)
        if type(document) is dict:
            if "batch" in document or "msgType" in document:
                if "batch" not in document:
                    found.ignore("other_message")
                    return
                self._edgelogger.read(message, found, document)
                return
            method = document.get("method")
            if (type(method) is str and method.startswith("thing.")) or (
                "productKey" in document and "deviceName" in document
            ):
                self._alink.read(message, found, document)
                return
            if "gwSN" in document and ("meterSN" in document or "type" in document):
                self._read_acrel(message, found, document)
                return
        elif type(document) is not list:
            raise UnreadableError(f"expected an object, found {shown(document)}")
        if message.topic.startswith(_HUAWEI) and (device := message.topic[len(_HUAWEI) :].partition("/")[0]):
            message = replace(message, topic=device)
        self._rows.read(message, found, document)

    def _read_acrel(self, message: Message, found: Found, document: dict[str, Any]) -> None:
        meter = as_id(document.get("meterSN"))
        if document.get("type") != "data" or meter is None:
            found.ignore("status")
            return
        if document.get("meterStatus") not in ("normal", None):
            found.ignore("no_value")
            return
        gateway = as_id(document["gwSN"])
        source_id = meter if gateway is None else f"{gateway}/{meter}"
        for name in sorted(_ACREL_UNKNOWN - self._fields.keys()):
            if name in document:
                found.reject("unknown_unit", f"{shown(source_id)} {name}: {shown(document[name])} with no unit")
        body = {key: value for key, value in document.items() if key in self._fields or key == "time"}
        self._plain.read_body(message, found, body, source_id, is_id_known=True)
