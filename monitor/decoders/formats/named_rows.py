"""Lists of rows, each with a name and a value: what loggers and gateways with a table of points send.

    {"sn": "G1", "ts": 1782637200, "devs": [{"dev": "pm3", "d": [{"name": "kwh", "value": "12.5"}]}]}

Keys differ between makes, the structure does not. The id is the gateway's and the device's, joined by `/`, as far as
the payload gives them, else the topic. Names are the installer's: usual names are read, with the unit of the row or of
the name. Objects beside the rows are read as plain ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.decoders.formats.balance import balance
from monitor.decoders.formats.plain_values import TIME_KEYS, UNIT_KEYS, PlainValues, as_id, as_unit
from monitor.decoders.formats.topics import is_order
from monitor.decoders.options import Options
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
    "meterId", "meter_id", "meterNo", "meter_no", "meterNumber", "meter_number", "meter", "deviceCode", "device_code",
    "server_name", "location_code",
)  # fmt: skip
_SLAVE_KEYS = ("slaveId", "slave_id", "slaveid", "slave", "sid", "unit_id", "unitId", "server_id")
"""Of a number that is unique at its gateway only."""
_NAME_KEYS = (
    "name", "tag", "tagName", "tag_name", "varName", "var_name", "var", "pointName", "point", "identifier", "key",
    "param", "metric", "flag", "m", "n",
)  # fmt: skip
_VALUE_KEYS = ("value", "val", "Value", "v", "data", "currentValue", "switcher")
_ROW_TIME_KEY = "t"
_ID_KEY = "id"
"""A row's name in some makes; of a whole message its own number, or the device."""
_BAD_QUALITY = frozenset({"false", "bad", "0"})
_ERROR_KEYS = ("err", "error", "errCode", "error_code")
_NO_ERROR = frozenset({"", "0", "ok", "OK", "none", "no error"})
_WRITTEN = frozenset({"w_data", "write", "cmd", "command"})
"""Members that hold what is to be written."""
_KINDS = (
    _GATEWAY_KEYS, _DEVICE_KEYS, _SLAVE_KEYS, TIME_KEYS, _NAME_KEYS, _VALUE_KEYS, _ERROR_KEYS, UNIT_KEYS,
)  # fmt: skip
"""In the order of `_Plan`."""
_NESTED = (dict, list)
_DEEPEST = 5
_LONGEST_NAME, _LONGEST_QUALITY, _UUID = 120, 8, 36
_CACHED_SHAPES, _CACHED_NAMES = 500, 5_000
_LARGEST_SHAPE = 4000
"""[characters]"""


class _Plan(NamedTuple):
    """The key that an object has of each kind, None if it has none."""

    gateway: str | None
    device: str | None
    slave: str | None
    time: str | None
    name: str | None
    value: str | None
    error: str | None
    unit: str | None


class NamedRows:
    """Reads documents of one source."""

    def __init__(self, options: Options, plain: PlainValues) -> None:
        self._fields = options.fields
        self._plain = plain
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._split: dict[str, tuple[str, str]] = {}

    def read(self, message: Message, found: Found, document: Any) -> None:
        """All rows of a document."""
        start = len(found.values)
        self._read_node(message, found, document, "", "", None, 0)
        if self._plain.names.has_outward:
            balance(found, self._plain.names, start)

    def _read_node(
        self, message: Message, found: Found, node: Any, gateway: str, device: str, ts_ms: int | None, depth: int
    ) -> None:
        """All rows below `node`. The id and the time around it hold for what has none of its own."""
        if type(node) is list:
            for each in node:
                if depth < _DEEPEST and type(each) in (dict, list):
                    self._read_node(message, found, each, gateway, device, ts_ms, depth + 1)
            return
        plan = self._plan(node)
        if node.get("dir") == "down" or node.get("down") == "down" or is_order(node):
            found.ignore("command")
            return
        if plan.gateway is not None:
            gateway = as_id(node[plan.gateway]) or gateway
        if plan.device is not None:
            device = as_id(node[plan.device]) or device
        if plan.slave is not None and not device:
            device = as_id(node[plan.slave]) or ""
            gateway = gateway or message.topic
        elif not depth and plan.name is None and (own := _id_of(node.get(_ID_KEY))) is not None:
            device = own
        source_id = f"{gateway}/{device}" if gateway and device else gateway or device or message.topic
        is_row = plan.value is not None and (plan.name is not None or (depth > 0 and _ID_KEY in node))
        time_key = plan.time or (_ROW_TIME_KEY if is_row and _ROW_TIME_KEY in node else None)
        if time_key is not None:
            try:
                ts_ms = self._plain.time_ms(message, found, node[time_key], source_id) or ts_ms
            except BadTimeError as error:
                found.reject(error.reason, error.detail)
                return
        if is_row:
            name = node[plan.name or _ID_KEY]
            if type(name) is str and type(node[plan.value or ""]) is not dict:
                if ":" in name or "." in name:
                    name, of_device = self._split.get(name) or self._apart(name)
                    if of_device:
                        source_id = f"{source_id}/{of_device}" if gateway or device else of_device
                self._read_row(found, node, plan, name, source_id, ts_ms)
                return
        below = [key for key, value in node.items() if type(value) in _NESTED and _has_rows(value)]
        for key in below:
            if depth < _DEEPEST and key not in _WRITTEN:
                self._read_node(message, found, node[key], gateway, device, ts_ms, depth + 1)
        plain = {key: value for key, value in node.items() if key not in below} if below else node
        self._plain.read(message, found, plain, source_id, ts_ms)

    def _read_row(
        self, found: Found, row: dict[str, Any], plan: _Plan, name: str, source_id: str, ts_ms: int | None
    ) -> None:
        error = None if plan.error is None else row[plan.error]
        quality = row.get("q", True)
        if (error and not (type(error) is str and error in _NO_ERROR)) or (
            quality is not True and str(quality)[:_LONGEST_QUALITY].lower() in _BAD_QUALITY
        ):
            found.ignore("no_value")
            return
        raw = row[plan.value or ""]
        if type(raw) is str and raw[:1] == "[" and raw[-1:] == "]":  # of one register: "[215]"
            raw = raw[1:-1]
        if type(raw) is list and len(raw) == 1:
            raw = raw[0]
        unit = None if plan.unit is None else as_unit(row[plan.unit])
        self._plain.names.add(found, source_id, name, raw, ts_ms, unit)

    def _apart(self, name: str) -> tuple[str, str]:
        """A name that begins with its device (`Meter 3:kWh`, `Channel1.Meter 3.kWh`): what it says, and the device."""
        meaning = self._plain.names.meaning
        cut = max(name.rfind(":"), name.rfind("."))
        if cut < 1 or len(name) > _LONGEST_NAME:
            return name, ""
        is_one = name in self._fields or meaning(name) is not None or meaning(name[cut + 1 :]) is None
        apart = (name, "") if is_one else (name[cut + 1 :], name[:cut])
        if len(self._split) >= _CACHED_NAMES:
            self._split.clear()
        self._split[name] = apart
        return apart

    def _plan(self, node: dict[str, Any]) -> _Plan:
        shape = tuple(node)
        plan = self._plans.get(shape)
        if plan is None:
            plan = _Plan(*(next((key for key in keys if key in node), None) for keys in _KINDS))
            if sum(map(len, shape)) + 8 * len(shape) <= _LARGEST_SHAPE:
                if len(self._plans) >= _CACHED_SHAPES:
                    self._plans.clear()
                self._plans[shape] = plan
        return plan


def _id_of(raw: object) -> str | None:
    """A device's id; None for what looks like a message's: a number, a UUID."""
    if type(raw) is not str or raw.isdigit() or (len(raw) == _UUID and raw.count("-") == 4):
        return None
    return as_id(raw)


def _has_rows(node: Any, depth: int = 0) -> bool:
    """Whether there is a list of objects in it."""
    if type(node) is list:
        return dict in map(type, node[:4])
    if depth < _DEEPEST:
        for value in node.values():
            if type(value) in _NESTED and _has_rows(value, depth + 1):
                return True
    return False
