"""Tasmota: telemetry of plugs, energy meters and meter heads, and the state of relays.

Meaning: Tasmota's documentation, "MQTT", "JSON Status Responses" and "Commands"; of the values see `tasmota_values`.

`tele/<topic>/SENSOR` is a reading, `tele/<topic>/STATE` and `stat/<topic>/POWER<n>` say which relay is on, and `stat/
<topic>/STATUS8` and `STATUS10` hold in StatusSNS what SENSOR holds. The installer may put the levels in another order
(FullTopic), so the prefix is looked for. Firmware of before 2018 sends the members of ENERGY alone, to
`tele/<topic>/ENERGY`, and as StatusPWR of STATUS8. `Time` is the wall clock's without a zone, unless the commands Time
2 to 4 have added or put an epoch there. What stands under `cmnd`, and what an IR remote has been seen to send, are
wishes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from monitor.decoders.formats import miel_hvac
from monitor.decoders.formats.plug_values import is_id
from monitor.decoders.formats.tasmota_values import Sections
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, text_of
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, LocalClock, epoch_ms, parse_iso
from monitor.decoders.values import Found, UnreadableError
from monitor.decoders.words import switch_value
from monitor.ingest.message import Message

__all__ = ["Tasmota"]

_CACHED = 2000
_PREFIXES = frozenset({"tele", "stat", "cmnd"})
_REPLIES = frozenset({"STATUS", "STATUS0", "STATUS8", "STATUS10", "STATUS11"})
"""Answers to the command Status that may hold a reading."""
_WISHES = frozenset({"IRHVAC", "IrReceived", "RfReceived"})


class Tasmota:
    """Format `tasmota`. A meter's id is `<topic>`, one of several channels `<topic>#<n>`, a sensor `<topic>/<sensor>`,
    a meter that is read by an optical head the number that it tells."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._clock = LocalClock(options.timezone, state)
        self._modes = options.modes
        self._sections = Sections(options)
        self._minutes: dict[str, int] = {}
        """Beginnings of times, as `2026-06-28T16:14:` → UTC ms."""
        self._topics: dict[str, tuple[str, str]] = {}
        self._readers: Mapping[str, Callable[[Message, str, Found], None]] = {
            "sensor": self._sensor,
            "energy": self._energy,
            "state": self._state,
            "result": self._result,
            "reply": self._reply,
            "unit": self._unit,
        }

    def read(self, message: Message, found: Found) -> None:
        what, device = self._topics.get(message.topic) or self._remember(message.topic)
        if what[0] == "#":
            _add_switch(found, device + what[1:], text_of(message.payload), None, "POWER")
            return
        reader = self._readers.get(what)
        if reader is None:
            found.ignore(what)
        elif not message.payload:
            found.ignore("no_value")
        else:
            reader(message, device, found)

    def _remember(self, topic: str) -> tuple[str, str]:
        parts = _parts(topic)
        if len(self._topics) >= _CACHED:
            self._topics.clear()
        if is_id(topic):
            self._topics[topic] = parts
        return parts

    def _sensor(self, message: Message, device: str, found: Found) -> None:
        body = _object(message.payload)
        inner = body.get("StatusSNS")
        self._read_sensor(inner if isinstance(inner, dict) else body, message, device, found)

    def _energy(self, message: Message, device: str, found: Found) -> None:
        body = _object(message.payload)
        self._sections.read({"ENERGY": body}, device, self._time_of(body, message, device, found), found)

    def _state(self, message: Message, device: str, found: Found) -> None:
        self._read_state(_object(message.payload), message, device, found)

    def _unit(self, message: Message, device: str, found: Found) -> None:
        miel_hvac.add_unit(found, device, _object(message.payload), None, self._modes)

    def _reply(self, message: Message, device: str, found: Found) -> None:
        body = _object(message.payload)
        sensor, state = body.get("StatusSNS"), body.get("StatusSTS")
        if isinstance(sensor, dict):
            self._read_sensor(sensor, message, device, found)
        if isinstance(state, dict):
            self._read_state(state, message, device, found)
        if sensor is None and isinstance(body.get("StatusPWR"), dict):
            self._sections.read({"ENERGY": body["StatusPWR"]}, device, None, found)
            return
        if not isinstance(sensor, dict) and not isinstance(state, dict):
            found.ignore("status")

    def _result(self, message: Message, device: str, found: Found) -> None:
        """What a command has changed. It has no time: it is sent at once."""
        body = _object(message.payload)
        if not _WISHES.isdisjoint(body):
            found.ignore("command")
        elif isinstance(body.get("ZbReceived"), dict):
            self._sections.read(body, device, None, found)
        elif not _add_switches(found, device, body, None):
            found.ignore("status")

    def _read_sensor(self, body: dict[str, Any], message: Message, device: str, found: Found) -> None:
        if not _WISHES.isdisjoint(body):
            found.ignore("command")
            return
        for section in body.values():
            if type(section) is dict:
                self._sections.read(body, device, self._time_of(body, message, device, found), found)
                return
        found.ignore("status")  # inputs that were pressed, and the like

    def _read_state(self, body: dict[str, Any], message: Message, device: str, found: Found) -> None:
        if not _add_switches(found, device, body, self._time_of(body, message, device, found)):
            found.ignore("status")

    def _time_of(self, body: dict[str, Any], message: Message, device: str, found: Found) -> int | None:
        raw = body.get("Epoch")
        if raw is None:
            raw = body.get("Time")
        if raw is None:
            return None
        if isinstance(raw, str):
            return self._local_ms(raw, message, device, found)
        if not isinstance(raw, int | float):
            raise BadTimeError(f"Time: {shown(raw)} is no time")
        return epoch_ms(raw)

    def _local_ms(self, text: str, message: Message, device: str, found: Found) -> int:
        """The clock's time. Devices report by the minute or so: the minutes that mean one time only are kept, at a
        fifth of the price."""
        minute, second = text[:17], text[17:]
        is_plain = len(second) == 2 and second in _SECONDS and minute[-1] == ":"
        if is_plain and minute in self._minutes:
            return self._minutes[minute] + _SECONDS[second]
        flags = len(found.flagged)
        ts_ms = self._clock.ms(parse_iso(text), device, message.received_ms, found)
        if is_plain and len(found.flagged) == flags:
            if len(self._minutes) >= _CACHED:
                self._minutes.clear()
            self._minutes[minute] = ts_ms - _SECONDS[second]
        return ts_ms


def _object(payload: bytes) -> dict[str, Any]:
    body = read_json(payload)
    if not isinstance(body, dict):
        raise UnreadableError(f"expected an object, found {shown(body)}")
    return body


def _parts(topic: str) -> tuple[str, str]:
    """What a topic carries, or why it is not read, and the device: all levels but the prefix and the last."""
    levels = topic.split("/")
    last = levels[-1].upper()
    before = levels[:-1]
    # %prefix%/%topic%/ is the usual order, %topic%/%prefix%/ the second; a device may be called "stat".
    places = [0, len(before) - 1, *range(len(before))] if before else []
    place = next((at for at in places if before[at] in _PREFIXES), None)
    prefix = "" if place is None else before.pop(place)
    if prefix == "cmnd":
        return "command", ""
    if levels[:2] == ["tasmota", "discovery"]:
        return "discovery", ""
    if len(before) > 1 and before[0] == "tasmota":
        del before[0]
    device = "/".join(before)
    if not is_id(device):
        return "other_topic", ""
    number = last.removeprefix("POWER")
    if number != last and prefix != "tele" and (not number or number in _CHANNELS):
        return f"##{number}" if number else "#", device
    if last in _REPLIES:
        return "reply", device
    if last in ("SENSOR", "STATE", "RESULT") or (last == "ENERGY" and prefix == "tele"):
        return last.lower(), device
    if last == miel_hvac.SETTINGS and prefix == "tele":
        return "unit", device
    return ("status" if prefix else "other_topic"), ""


_SECONDS = {f"{second:02}": second * 1000 for second in range(60)}
_CHANNELS = frozenset(str(number) for number in range(1, 33))


def _add_switches(found: Found, device: str, body: dict[str, Any], ts_ms: int | None) -> bool:
    """Which relays are on: POWER, or POWER1, POWER2, … False if nothing is said of any."""
    is_any = False
    for key, raw in body.items():
        if key.startswith("POWER"):
            number = key[5:]
            if not number:
                _add_switch(found, device, raw, ts_ms, key)
                is_any = True
            elif number in _CHANNELS:
                _add_switch(found, f"{device}#{number}", raw, ts_ms, key)
                is_any = True
    return is_any


def _add_switch(found: Found, source_id: str, raw: Any, ts_ms: int | None, name: str) -> None:
    state = switch_value(raw)
    if state is not None:
        found.add(source_id, "on", state, ts_ms, name)
    elif raw is None or raw == "":
        found.ignore("no_value")
    else:
        found.reject("bad_value", f"{shown(source_id)} {name}: {shown(raw)} is neither ON nor OFF")
