"""Gateways from Modbus to MQTT: mbmd's topics, loggers' packets, rows and plain objects of templates, single
values.

What a router with a request topic is asked (`0 <cookie> <ip type> <ip> <port> …`) is a command; what it answers are
registers without their address, which nobody but the one who asked can tell.
"""

from __future__ import annotations

from typing import Any

from monitor.decoders.formats.lenient_json import lenient_json
from monitor.decoders.formats.mbmd import Mbmd
from monitor.decoders.formats.modbus_logger import ModbusLogger, is_of_logger
from monitor.decoders.formats.named_rows import NamedRows
from monitor.decoders.formats.plain_values import TIME_KEYS, UNIT_KEYS, VALUE_KEYS, PlainValues, as_unit, first
from monitor.decoders.formats.topics import STATUS_LEVELS, is_command
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, text_of
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["ModbusGateway"]

_CONFIG = "/config", "/configuration"
"""Ends of topics under which tables of registers are kept, with the units of what is in them."""
_REQUEST_FIELDS = 9


class ModbusGateway:
    """Format `modbus_gateway`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._plain = PlainValues(options, state)
        self._mbmd = Mbmd(options, state, self._plain.names)
        self._logger = ModbusLogger(options, self._plain)
        self._rows = NamedRows(options, self._plain)

    def read(self, message: Message, found: Found) -> None:
        if is_command(message.topic):
            found.ignore("command")
            return
        if message.topic.endswith(_CONFIG):
            found.ignore("status")
            return
        if message.payload.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
            self._read_text(message, found, text_of(message.payload))
            return
        document = lenient_json(message.payload)
        if type(document) is dict and is_of_logger(document):
            self._logger.read(message, found, document)
        else:
            self._rows.read(message, found, document)
            if type(document) is dict and not (found.values or found.rejected or found.ignored):
                self._read_value(message, found, document)
        if not (found.values or found.rejected or found.ignored):
            found.ignore("no_mapping")

    def _read_value(self, message: Message, found: Found, document: dict[str, Any]) -> None:
        """An object of one value, whose name is the topic's last level: `{"value": 12.5, "unit": "kWh"}`."""
        device, _, name = message.topic.rpartition("/")
        value_key = next((key for key in VALUE_KEYS if key in document), None)
        if value_key is None:
            return
        raw = document[value_key]
        unit = as_unit(first(document, UNIT_KEYS))
        if (
            type(raw) in (dict, list)
            or name in STATUS_LEVELS
            or not device
            or self._plain.names.meaning(name, unit) is None
        ):
            return
        try:
            ts_ms = self._plain.time_ms(message, found, first(document, TIME_KEYS), device)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(device)} {shown(name)}: {error.detail}")
            return
        self._plain.names.add(found, device, name, raw, ts_ms, unit)

    def _read_text(self, message: Message, found: Found, text: str) -> None:
        if self._mbmd.read(message, found, text):
            return
        levels = message.topic.split("/")
        fields = text.split(maxsplit=_REQUEST_FIELDS)
        if len(fields) >= _REQUEST_FIELDS:
            found.ignore("command")
        elif len(fields) > 1 and fields[1] == "OK":
            found.ignore("no_mapping")
        elif len(fields) > 1 and fields[1].startswith("ERROR"):
            found.ignore("no_value")
        elif len(fields) == 1 and self._plain.names.meaning(levels[-1]) is not None and levels[-1] != "state":
            device = "/".join(levels[:-1]) or message.topic
            self._plain.names.add(found, device, levels[-1], text, None)
        elif levels[-1] in STATUS_LEVELS:
            found.ignore("status")
        elif len(fields) == 1:
            found.ignore("no_mapping")
        else:
            raise UnreadableError("neither JSON nor a number nor a request")
