"""Lists of rows, each with a name and a value: what loggers and gateways with a table of points send.

    {"sn": "G1", "ts": 1782637200, "devs": [{"dev": "pm3", "d": [{"name": "kwh", "value": "12.5"}]}]}

Keys differ between makes, the structure does not. The id is the gateway's and the device's, joined by `/`, as far as
the payload gives them, else the topic. Names are the installer's: usual names are read, with the unit of the row or of
the name. Objects beside the rows are read as plain ones.
"""

from __future__ import annotations

from typing import Any

from monitor.decoders.formats.plain_values import TIME_KEYS, UNIT_KEYS, PlainValues, as_id, as_unit, first
from monitor.decoders.times import BadTimeError
from monitor.decoders.values import Found
from monitor.ingest.message import Message

__all__ = ["NamedRows"]

_GATEWAY_KEYS = (
    "imei", "IMEI", "sn", "SN", "gatewayId", "gateway_id", "gateway", "gwId", "gw_id", "serial_number", "serialNumber",
    "serial", "mac", "MAC",
)  # fmt: skip
_DEVICE_KEYS = (
    "devId", "dev_id", "deviceId", "device_id", "devName", "dev_name", "deviceName", "device_name", "device", "dev",
    "meterId", "meter_id",
)  # fmt: skip
_SLAVE_KEYS = ("slaveId", "slave_id", "slaveid", "slave", "sid", "unit_id", "unitId")
"""Of a number that is unique at its gateway only."""
_NAME_KEYS = (
    "name", "tag", "tagName", "tag_name", "varName", "var_name", "var", "pointName", "point", "identifier", "key",
    "param", "metric", "flag", "m", "n",
)  # fmt: skip
_VALUE_KEYS = ("value", "val", "Value", "v", "data", "currentValue", "switcher")
_ERROR_KEYS = ("err", "error", "errCode", "error_code")
_NO_ERROR = frozenset({"", "0", "ok", "OK", "none", "no error"})
_WRITTEN = frozenset({"w_data", "write", "cmd", "command"})
"""Members that hold what is to be written."""
_DEEPEST = 5


class NamedRows:
    """Reads documents of one source."""

    def __init__(self, plain: PlainValues) -> None:
        self._plain = plain

    def read(
        self,
        message: Message,
        found: Found,
        node: Any,
        gateway: str = "",
        device: str = "",
        ts_ms: int | None = None,
        depth: int = 0,
    ) -> None:
        """All rows below `node`. The id and the time around it hold for what has none of its own."""
        if type(node) is list:
            for each in node:
                if depth < _DEEPEST and type(each) in (dict, list):
                    self.read(message, found, each, gateway, device, ts_ms, depth + 1)
            return
        if node.get("dir") == "down" or node.get("down") == "down":
            found.ignore("command")
            return
        gateway = as_id(first(node, _GATEWAY_KEYS)) or gateway
        device = as_id(first(node, _DEVICE_KEYS)) or device
        if not device and (slave := as_id(first(node, _SLAVE_KEYS))) is not None:
            device = slave
            gateway = gateway or message.topic
        source_id = f"{gateway}/{device}" if gateway and device else gateway or device or message.topic
        try:
            ts_ms = self._plain.time_ms(message, found, first(node, TIME_KEYS), source_id) or ts_ms
        except BadTimeError as error:
            found.reject(error.reason, error.detail)
            return
        name = first(node, _NAME_KEYS)
        if type(name) is str and any(key in node and type(node[key]) is not dict for key in _VALUE_KEYS):
            self._read_row(found, node, name, source_id, ts_ms)
            return
        below = [key for key, value in node.items() if type(value) in (dict, list) and _has_rows(value)]
        for key in below:
            if depth < _DEEPEST and key not in _WRITTEN:
                self.read(message, found, node[key], gateway, device, ts_ms, depth + 1)
        plain = {key: value for key, value in node.items() if key not in below} if below else node
        self._plain.read(message, found, plain, source_id, ts_ms)

    def _read_row(self, found: Found, row: dict[str, Any], name: str, source_id: str, ts_ms: int | None) -> None:
        error = first(row, _ERROR_KEYS)
        if error and not (type(error) is str and error in _NO_ERROR):
            found.ignore("no_value")
            return
        raw = first(row, _VALUE_KEYS)
        if type(raw) is str and raw[:1] == "[" and raw[-1:] == "]":  # of one register: "[215]"
            raw = raw[1:-1]
        if type(raw) is list and len(raw) == 1:
            raw = raw[0]
        self._plain.names.add(found, source_id, name, raw, ts_ms, as_unit(first(row, UNIT_KEYS)))


def _has_rows(node: Any, depth: int = 0) -> bool:
    """Whether there is a list of objects in it."""
    if type(node) is list:
        return any(type(each) is dict for each in node[:4])
    if type(node) is dict and depth < _DEEPEST:
        return any(_has_rows(value, depth + 1) for value in node.values() if type(value) in (dict, list))
    return False
