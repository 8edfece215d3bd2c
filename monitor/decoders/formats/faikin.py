"""Faikin and Faikout: Daikin units behind the RevK firmware.

Topics and keys: the manual `Advanced.md` of github.com/revk/ESP32-Faikin. Traps: `temp` on `state/<host>` is the room,
on `state/<host>/status` it is the set-point; heartbeats come on the same topic and tell nothing of the unit; a bare
`false` is the last will; `energy` is in Wh; the mode is a word, or one letter on older firmware.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from monitor.decoders.formats.climate import Climate
from monitor.decoders.formats.topics import Levels
from monitor.decoders.payloads import read_json, shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import epoch_ms, iso_ms
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["MODES", "PREFIXES", "Faikin"]

MODES: Mapping[str, int] = {"c": 1, "h": 2, "d": 3, "f": 4, "a": 5}
"""One letter for each mode, as the firmware has them in its settings."""
PREFIXES = frozenset({"state", "command", "setting", "info", "event", "error", "Faikin", "Faikout"})
"""First levels of the firmware's topics."""
_MAX_ID = 100
_UNSET: Any = msgspec.UNSET


class _Body(msgspec.Struct):
    ts: Any = _UNSET
    id: Any = _UNSET
    power: Any = _UNSET
    mode: Any = _UNSET
    target: Any = _UNSET
    temp: Any = _UNSET
    achome: Any = _UNSET
    home: Any = _UNSET
    energy: Any = _UNSET
    online: Any = _UNSET


_decode = msgspec.json.Decoder(_Body).decode
_KEYS = frozenset(_Body.__struct_fields__)


class Faikin:
    """`state/<host>` is the unit and its module, `state/<host>/status` what Home Assistant is shown of it."""

    def __init__(self, climate: Climate, state: SourceState) -> None:
        self._climate = climate
        self._state = state

    def read(self, message: Message, levels: Levels, found: Found) -> None:
        kind = levels[0]
        if kind in ("command", "setting"):
            found.ignore("command")
            return
        if kind in ("Faikin", "Faikout"):  # minima, means and maxima of a period
            found.ignore("statistics")
            return
        is_status = len(levels) == 3 and levels[2] == "status"
        if kind != "state" or not (is_status or len(levels) == 2):
            found.ignore("status")
            return
        body = _body(message.payload)
        if body is None:
            found.ignore("offline")
            return
        temperature = body.temp if is_status else body.target
        if body.power is body.mode is body.target is body.temp is _UNSET:
            found.ignore("heartbeat")
        elif body.online is False:  # the module is there, its unit does not answer: old values
            found.ignore("offline")
        else:
            room = body.temp
            if is_status or room is _UNSET:
                room = body.achome if body.home is _UNSET else body.home
            if is_status and temperature is _UNSET:
                temperature = body.target
            self._add(found, self._id(levels[1], body), body, temperature, room)

    def _id(self, host: str, body: _Body) -> str:
        """The module's own id; the status has none, so the host's last known one, so that both are one unit."""
        key = f"faikin/{host}"
        known: str | None = self._state.get(key)
        own = body.id
        if isinstance(own, str) and 0 < len(own) <= _MAX_ID:
            if own != known:
                self._state.put(key, own)
            return own
        return known or host

    def _add(self, found: Found, source_id: str, body: _Body, setpoint: Any, room: Any) -> None:
        ts_ms = _ts_ms(body.ts)
        climate = self._climate
        if body.power is not _UNSET:
            climate.add(found, source_id, "on", body.power, ts_ms, "power", is_fahrenheit=False)
        if body.mode is not _UNSET:
            climate.add(found, source_id, "mode", body.mode, ts_ms, "mode", is_fahrenheit=False)
        if isinstance(setpoint, list):  # a range that the module aims at by itself
            found.ignore("no_value")
        elif setpoint is not _UNSET:
            climate.add(found, source_id, "setpoint_c", setpoint, ts_ms, "target", is_fahrenheit=False)
        if room is not _UNSET:
            climate.add(found, source_id, "room_c", room, ts_ms, "temp", is_fahrenheit=False)
        if body.energy is not _UNSET:
            try:
                watt_hours = to_number(body.energy)
            except ValueError:
                found.reject("bad_value", f"{shown(source_id)} energy: {shown(body.energy)} is no number")
                return
            if watt_hours is None:
                found.ignore("no_value")
            else:
                found.add(source_id, "register", watt_hours / 1000, ts_ms, "energy")


def _body(payload: bytes) -> _Body | None:
    """None: the module is off line. Raises UnreadableError."""
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    document = read_json(payload)
    if document is False:
        return None
    if not isinstance(document, dict):
        raise UnreadableError(f"expected an object, found {shown(document)}")
    return _Body(**{key: document[key] for key in _KEYS & document.keys()})


def _ts_ms(raw: Any) -> int | None:
    if raw is _UNSET or raw is None:
        return None
    return iso_ms(raw) if isinstance(raw, str) else epoch_ms(raw) if isinstance(raw, int | float) else iso_ms(str(raw))
