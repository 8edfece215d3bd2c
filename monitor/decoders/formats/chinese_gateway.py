"""Gateways as they are sold in China: EdgeLogger's batches, Alink, and loggers with rows of names and values."""

from __future__ import annotations

from monitor.decoders.formats.alink import Alink, is_alink_topic
from monitor.decoders.formats.edgelogger import EdgeLogger
from monitor.decoders.formats.lenient_json import lenient_json
from monitor.decoders.formats.named_rows import NamedRows
from monitor.decoders.formats.plain_values import PlainValues
from monitor.decoders.formats.topics import is_command
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["ChineseGateway"]


class ChineseGateway:
    """Format `chinese_gateway`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        plain = PlainValues(options, state)
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
        elif type(document) is not list:
            raise UnreadableError(f"expected an object, found {shown(document)}")
        self._rows.read(message, found, document)
