"""Loggers that post what they polled: `{"imei", "msg": "log", "time": s, "tz": "+00:00", "modbus": [{"sid": 1, …}]}`.

A logger says `login` when it starts, and `log` with the registers of one slave or of several; some wrap all of it in
`data`, and give `dtm` (yyyyMMddHHmmss) instead of `time`. Documented in TrackSo's "Posting JSON Data to Cloud Servers".
The id is the IMEI and the slave's number, joined by `/`. The names of registers say nothing: the source's `fields` give
them a meaning (`reg1`, or `data.0` for the first of a list).
"""

from __future__ import annotations

from typing import Any

from monitor.decoders.formats.plain_values import PlainValues, as_id, first
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.times import BadTimeError, parse_iso, to_ms
from monitor.decoders.values import Found
from monitor.ingest.message import Message

__all__ = ["ModbusLogger", "is_of_logger"]

_SLAVE_KEYS = ("sid", "slave", "slaveId", "slave_id", "slaveid", "id")
_SLAVES_KEYS = ("modbus", "slaves", "mdb", "log")
_HEARTBEATS = frozenset({"heartbeat", "hb", "ping", "status", "keepalive", "alive"})


def is_of_logger(document: dict[str, Any]) -> bool:
    body = document.get("data")
    body = body if type(body) is dict else document
    return type(body.get("msg")) is str and "imei" in body


class ModbusLogger:
    """Reads such loggers' messages of one source."""

    def __init__(self, options: Options, plain: PlainValues) -> None:
        self._fields = options.fields
        self._plain = plain

    def read(self, message: Message, found: Found, document: dict[str, Any]) -> None:
        body: dict[str, Any] = document["data"] if type(document.get("data")) is dict else document
        kind = body["msg"]
        if kind != "log":
            found.ignore("login" if kind == "login" else "heartbeat" if kind in _HEARTBEATS else "other_message")
            return
        imei = as_id(body["imei"]) or message.topic
        try:
            ts_ms = self._time_ms(message, found, body, imei)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(imei)}: {error.detail}")
            return
        slaves = first(body, _SLAVES_KEYS)
        for slave in slaves if type(slaves) is list else (slaves if type(slaves) is dict else body,):
            if type(slave) is not dict:
                found.reject("malformed", f"{shown(imei)}: expected a slave, found {shown(slave)}")
            elif slave.get("rcnt") == 0:
                found.ignore("no_value")
            else:
                number = as_id(first(slave, _SLAVE_KEYS))
                device = imei if number is None else f"{imei}/{number}"
                self._plain.read(message, found, self._with_lists(slave), device, ts_ms)

    def _time_ms(self, message: Message, found: Found, body: dict[str, Any], imei: str) -> int | None:
        raw = first(body, ("time", "dtm", "ts", "timestamp"))
        zone = body.get("tz")
        if type(raw) is str and len(raw) == 14 and raw.isdigit() and type(zone) is str and zone:
            moment = parse_iso(f"{raw[:8]}T{raw[8:]}{zone[:6]}")
            if moment.tzinfo is not None:
                return to_ms(moment)
        return self._plain.time_ms(message, found, raw, imei)

    def _with_lists(self, slave: dict[str, Any]) -> dict[str, Any]:
        """With the members of its lists as its own, named after their place, if `fields` know such names."""
        lists = [key for key, value in slave.items() if type(value) is list]
        if not lists or not self._fields:
            return slave
        flat = {key: value for key, value in slave.items() if key not in lists}
        for key in lists:
            for place, value in enumerate(slave[key]):
                name = f"{key}.{place}"
                if name in self._fields:
                    flat[name] = value
        return flat
