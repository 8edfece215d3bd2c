"""Controllers of air conditioners, each with topics of its own: which one it is, by topic and payload.

Faikin and Faikout, CN105 bridges, Gree's and Mitsubishi Heavy's bridges, HeishaMon, P1P2MQTT and Tasmota have a file
each. None of their topics names its maker, so the shape of the topic decides, and where that says nothing, whether the
payload is an object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitor.decoders.formats import cn105, faikin, gree, heishamon, miel_hvac, tasmota_ir
from monitor.decoders.formats.climate import Climate
from monitor.decoders.formats.p1p2 import P1P2
from monitor.decoders.formats.topics import COMMAND_LEVELS, Levels, levels_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["AcControllers"]

_Reader = Callable[[Message, Found], None]
_CACHED = 2000
_TASMOTA_LAST = frozenset({"RESULT", "STATE", "SENSOR", "LWT", "INFO1", "INFO2", "INFO3", "STATUS", "LOGGING"})
_OTHER_GROUPS = frozenset({"OpData", "ErrOpData", "1wire", "opentherm", "raw"})
"""Level before values of MHI-AC-Ctrl and HeishaMon that are not read."""
_OTHERS = frozenset(
    {"connected", "synced", "raw", "cmd_received", "Fan", "Vanes", "VanesLR", "3Dauto", "Toutdoor", "Errorcode", "RSSI",
     "RSSI1", "APMAC", "WIFI_LOST", "MQTT_LOST", "Version", "fVersion", "TDS1820", "log", "ip"}
)  # fmt: skip
"""Last level of such values."""
_P1P2_LEVELS = 7
_P1P2_CATEGORIES = frozenset("TCSMAFEU")


class AcControllers:
    """Format `ac_controllers`. Options: `wishes` (what a remote control sends is taken as the unit's state),
    `temperature_unit` (C or F: of controllers that name none)."""

    def __init__(self, options: Options, state: SourceState) -> None:
        climate = Climate(options, state)
        self._modes = options.modes
        self._faikin = faikin.Faikin(Climate(options, state, faikin.MODES), state)
        self._heishamon = heishamon.HeishaMon(options, state)
        self._p1p2 = P1P2(options, climate)
        self._tasmota_ir = tasmota_ir.TasmotaIr(options, climate, state)
        self._gree = gree.Gree(options, state)
        self._cn105 = cn105.Cn105(climate)
        self._readers: dict[str, _Reader] = {}

    def read(self, message: Message, found: Found) -> None:
        reader = self._readers.get(message.topic)
        if reader is None:
            reader = self._reader(levels_of(message.topic))
            if len(self._readers) >= _CACHED:
                self._readers.clear()
            self._readers[message.topic] = reader
        reader(message, found)

    def _reader(self, levels: Levels) -> _Reader:
        first, last = levels[0], levels[-1]
        before = levels[-2] if len(levels) > 1 else ""
        if first == "P1P2" or (len(levels) == _P1P2_LEVELS and levels[1] == "P" and levels[-3] in _P1P2_CATEGORIES):
            return self._of_p1p2(levels)
        if first in faikin.PREFIXES and len(levels) > 1:
            return lambda message, found: self._faikin.read(message, levels, found)
        if last in COMMAND_LEVELS or "cmnd" in levels or before in ("commands", "set", "cmnd", "control"):
            return _ignoring("command")
        is_value = before in heishamon.GROUPS and last[:1].isupper() and last not in gree.MHI
        if len(levels) > 2 and (is_value or levels[-3] == "s0"):  # a unit may be called `main`, too
            group, name = ("s0", before) if levels[-3] == "s0" else (before, last)
            root = "/".join((*levels[:-2], last) if group == "s0" else levels[:-2])
            return lambda message, found: self._heishamon.read(message, root, group, name, found)
        unit = "/".join(level for level in levels[:-1] if level not in tasmota_ir.PREFIXES)
        if last in _TASMOTA_LAST and last != "LWT":
            return lambda message, found: self._tasmota_ir.read(message, _object_of(message), unit, found)
        if last.upper() == miel_hvac.SETTINGS:
            return lambda message, found: miel_hvac.add_unit(found, unit, _object_of(message), None, self._modes)
        if last in cn105.STATUSES:
            return _ignoring("status")
        if before in _OTHER_GROUPS or "opentherm" in levels[:-1]:
            return _ignoring("other_quantity")
        if last == "get" and len(levels) > 2:
            unit = "/".join(levels[:-2])
            return lambda message, found: self._gree.read(message, unit, before, found)
        if last in gree.MHI and len(levels) > 1:
            unit = "/".join(levels[:-1])
            return lambda message, found: self._gree.read(message, unit, last, found)
        return self._of_object(levels)

    def _of_p1p2(self, levels: Levels) -> _Reader:
        # P: parameters. The rest is hex, log lines, and W, which is where people write.
        kind = levels[1] if len(levels) > 1 else ""
        if kind != "P" or len(levels) < _P1P2_LEVELS - 1:
            return _ignoring("command" if kind == "W" else "status")
        unit, name = "/".join(levels[2:-3]), levels[-1]
        return lambda message, found: self._p1p2.read(message, unit, name, found)

    def _of_object(self, levels: Levels) -> _Reader:
        if levels[-1] in cn105.STATES and len(levels) > 1:
            is_before = len(levels) > 2 and levels[-2] in cn105.BEFORE_STATES
            unit = "/".join(levels[: -2 if is_before else -1])
        else:
            unit = "/".join(levels)

        def read(message: Message, found: Found) -> None:
            payload = message.payload
            if payload[:1] != b"{":
                payload = payload[:200].lstrip()
                if payload in (b"online", b"offline", b"Online", b"Offline"):
                    found.ignore("status")
                    return
                if payload[:1] != b"{" and levels[-1] in _OTHERS:
                    found.ignore("other_quantity")
                    return
                if payload[:1] != b"{":
                    raise UnreadableError(f"no controller known here sends {shown(payload)} on {shown(levels[-1])}")
            body = _object_of(message)
            if "IrReceived" in body or "IRHVAC" in body:
                self._tasmota_ir.read(message, body, unit, found)
            else:
                self._cn105.read(body, unit, found)

        return read


def _object_of(message: Message) -> dict[str, Any]:
    body = read_json(message.payload)
    if not isinstance(body, dict):
        raise UnreadableError(f"expected an object, found {shown(body)}")
    return body


def _ignoring(reason: str) -> _Reader:
    return lambda _, found: found.ignore(reason)
