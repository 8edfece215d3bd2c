"""Shelly devices of the first generation: one value a topic, as plain text.

Meaning: Shelly's documentation of Gen1, "MQTT support" and the page of each device.

`shellies/<device>/emeter/<n>/power` and so on. There is no time anywhere but in `info`. Powers are W; an emeter's
`total` and `total_returned` are Wh and outlive a power cut, its `energy` and `returned_energy` tell the same in
watt-minutes since the last one and are left out. A relay, light or roller has its `energy` in watt-minutes and nothing
else: it is the register, and begins at 0 again with each power cut. `temperature` is the chip's;
`ext_temperature/<n>` and `sensor/temperature` are the room's. Radiator valves tell everything in `info` and `status`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from monitor.decoders.formats.plug_values import add_number, is_id, number_of
from monitor.decoders.names import Names
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, text_of
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, epoch_ms
from monitor.decoders.values import Found, Measured, UnreadableError
from monitor.decoders.words import switch_value
from monitor.ingest.message import Message

__all__ = ["ShellyGen1"]

_WATT_MINUTES = 60_000.0
_KILO = 1000.0
_CACHED = 5000
_MAX_CHANNELS = 16

_VALUES: dict[str, tuple[Measured, float]] = {
    "emeter/power": ("power_kw", _KILO),
    "emeter/total": ("register", _KILO),
    "emeter/total_returned": ("export_register", _KILO),
    "ext_temperature": ("room_c", 1.0),
    "sensor/temperature": ("room_c", 1.0),
    "thermostat/target_t": ("setpoint_c", 1.0),
    "thermostat/tmp": ("room_c", 1.0),
    "thermostat/temperature": ("room_c", 1.0),
    **{f"{kind}/power": ("power_kw", _KILO) for kind in ("relay", "light", "white", "color", "roller", "meter")},
    **{
        f"{kind}/energy": ("register", _WATT_MINUTES)
        for kind in ("relay", "light", "white", "color", "roller", "meter")
    },
}
"""What follows the device in the topic, without the number → what it is, and what it is divided by."""
_SWITCHES = frozenset({"relay", "light", "white", "color"})
_IGNORED: dict[str, str] = {
    "emeter/energy": "duplicate",
    "emeter/returned_energy": "duplicate",
    "light/status": "duplicate",
    "white/status": "duplicate",
    "color/status": "duplicate",
    "temperature": "device_temperature",
    "temperature_f": "device_temperature",
    "ext_temperature_f": "duplicate",
    "ext_temperatures": "duplicate",
    "announce": "discovery",
}
_KINDS = frozenset({name.partition("/")[0] for name in (*_VALUES, *_IGNORED)} | _SWITCHES)


class _Info(msgspec.Struct):
    """What is looked at of `info`, which is what the device answers to /status, and of a valve's `status`."""

    unixtime: Any = None
    relays: Any = None
    lights: Any = None
    meters: Any = None
    emeters: Any = None
    thermostats: Any = None
    target_t: Any = None
    tmp: Any = None
    bat: Any = None
    ext_temperature: Any = None


_decode_info = msgspec.json.Decoder(_Info).decode


class _Topic(NamedTuple):
    name: str
    """What follows the device, without the number."""
    source_id: str
    ignored: str = ""
    """Not empty: why it is not read."""


class ShellyGen1:
    """Format `shelly_gen1`. A meter's id is `<device>/<n>`, of a room sensor `<device>`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._fields = options.fields
        self._names = Names(options)
        self._topics: dict[str, _Topic] = {}

    def read(self, message: Message, found: Found) -> None:
        topic = self._topics.get(message.topic) or self._remember(message.topic)
        name, source_id, ignored = topic
        if ignored:
            found.ignore(ignored)
        elif name == "info" or name == "status":
            self._info(message.payload, source_id, found)
        elif not message.payload:
            found.ignore("no_value")
        elif name in self._fields:
            self._names.add(found, source_id, name, text_of(message.payload), None)
        elif name in _SWITCHES:
            _add_switch(found, source_id, text_of(message.payload), name)
        else:
            quantity, divisor = _VALUES[name]
            add_number(found, source_id, quantity, text_of(message.payload), divisor, None, name)

    def _remember(self, topic: str) -> _Topic:
        parts = _parts(topic)
        rule = self._fields.get(parts.name)
        if rule is not None:
            parts = parts._replace(ignored="not_wanted" if rule.ignore else "")
        if len(self._topics) >= _CACHED:
            self._topics.clear()
        if is_id(topic):
            self._topics[topic] = parts
        return parts

    def _info(self, payload: bytes, device: str, found: Found) -> None:
        if not payload:
            found.ignore("no_value")
            return
        try:
            info = _decode_info(payload)
        except (ValueError, RecursionError):
            raw = read_json(payload)
            if not isinstance(raw, dict):
                raise UnreadableError(f"expected an object, found {shown(raw)}") from None
            info = msgspec.convert(raw, _Info)
        ts_ms = _time_of(info.unixtime)
        for number, each in _channels(found, info.emeters, "emeters"):
            _add_members(found, f"{device}/{number}", each, _EMETER, ts_ms)
        for number, each in _channels(found, info.meters, "meters"):
            _add_members(found, f"{device}/{number}", each, _METER, ts_ms)
        for switches, name in ((info.relays, "relay"), (info.lights, "light")):
            for number, each in _channels(found, switches, name):
                if each.get("ison") is not None:
                    _add_switch(found, f"{device}/{number}", each["ison"], name, ts_ms)
        if info.target_t is not None:  # a valve's `status`
            _add_valve(found, f"{device}/0", info.target_t, info.tmp, ts_ms)
        elif info.bat is not None and info.thermostats is None:  # a room sensor; what is on mains has its chip's here
            _add_temperature(found, device, "room_c", info.tmp, ts_ms, "sensor/temperature")
        for number, each in _channels(found, info.thermostats, "thermostats"):
            _add_valve(found, f"{device}/{number}", each.get("target_t"), each.get("tmp"), ts_ms)
        if isinstance(info.ext_temperature, dict):
            for number in range(_MAX_CHANNELS):
                probe = info.ext_temperature.get(str(number))
                _add_temperature(found, f"{device}/{number}", "room_c", probe, ts_ms, "ext_temperature")


def _parts(topic: str) -> _Topic:
    levels = topic.split("/")
    if "shellies" in levels:
        before = levels.index("shellies")
        start = before + 1
    else:  # a bridge may have put the device elsewhere
        start = before = next((at - 1 for at, level in enumerate(levels) if at and level in _KINDS), len(levels))
    rest = levels[start + 1 :]
    device = "/".join([*levels[:before], *levels[start : start + 1]])
    if "command" in levels[start:] or (rest and rest[-1] == "set"):
        return _Topic("", "", "command")
    if not is_id(device) or not rest:
        return _Topic("", "", "discovery" if device == "announce" else "other_topic")
    kind = rest[0].rstrip("0123456789")
    number = rest[0][len(kind) :]
    if not number and len(rest) > 1 and rest[1].isascii() and rest[1].isdecimal():
        number = rest.pop(1)
    name = "/".join([kind, *rest[1:]])
    source_id = f"{device}/{number}" if number else device
    is_read = name in _VALUES or name in _SWITCHES or name == "info" or name == "status"
    return _Topic(name, source_id, "" if is_read else _IGNORED.get(name, "status"))


_EMETER: tuple[tuple[str, Measured, float], ...] = (
    ("power", "power_kw", _KILO),
    ("total", "register", _KILO),
    ("total_returned", "export_register", _KILO),
)
_METER: tuple[tuple[str, Measured, float], ...] = (("power", "power_kw", _KILO), ("total", "register", _WATT_MINUTES))


def _channels(found: Found, raw: Any, name: str) -> list[tuple[int, dict[str, Any]]]:
    """The elements of a list of objects, with their positions, without those that call themselves invalid."""
    if raw is None:
        return []
    if not isinstance(raw, list) or len(raw) > _MAX_CHANNELS:
        found.reject("malformed", f"{name}: expected a list of at most {_MAX_CHANNELS}, found {shown(raw)}")
        return []
    channels = []
    for number, each in enumerate(raw):
        if not isinstance(each, dict):
            found.reject("malformed", f"{name}[{number}]: expected an object, found {shown(each)}")
        elif each.get("is_valid") is False:
            found.ignore("no_value")
        else:
            channels.append((number, each))
    return channels


def _add_members(
    found: Found,
    source_id: str,
    each: dict[str, Any],
    members: tuple[tuple[str, Measured, float], ...],
    ts_ms: int | None,
) -> None:
    for name, quantity, divisor in members:
        if name in each:
            add_number(found, source_id, quantity, each[name], divisor, ts_ms, name)


def _add_valve(found: Found, source_id: str, target: Any, room: Any, ts_ms: int | None) -> None:
    _add_temperature(found, source_id, "setpoint_c", target, ts_ms, "thermostat/target_t")
    _add_temperature(found, source_id, "room_c", room, ts_ms, "thermostat/tmp")


def _add_temperature(found: Found, source_id: str, quantity: Measured, raw: Any, ts_ms: int | None, name: str) -> None:
    """One of `{"value": 21.5, "units": "C", "is_valid": true}` or `{"tC": 21.5, "tF": 70.7}`."""
    if raw is None:
        return
    if not isinstance(raw, dict):
        found.reject("bad_value", f"{shown(source_id)} {name}: expected an object, found {shown(raw)}")
        return
    if raw.get("is_valid") is False:
        found.ignore("no_value")
        return
    value = raw["tC"] if "tC" in raw else raw.get("value")
    if "tC" in raw or raw.get("units", "C") == "C":
        add_number(found, source_id, quantity, value, 1.0, ts_ms, name)
    elif raw["units"] == "F":
        number = number_of(found, value, source_id, name)
        if number is not None:
            found.add(source_id, quantity, (number - 32.0) / 1.8, ts_ms, name)
    else:
        found.reject("unknown_unit", f"{shown(source_id)} {name}: {shown(value)} with unit {shown(raw['units'])}")


def _add_switch(found: Found, source_id: str, raw: Any, name: str, ts_ms: int | None = None) -> None:
    state = 0.0 if raw == "overpower" else switch_value(raw)  # it has switched itself off
    if state is None:
        found.reject("bad_value", f"{shown(source_id)} {name}: {shown(raw)} is neither on nor off")
    else:
        found.add(source_id, "on", state, ts_ms, name)


def _time_of(raw: Any) -> int | None:
    """UTC ms of `unixtime`; None where the device does not know the time, which it says by 0."""
    if raw is None or raw == 0:
        return None
    if not isinstance(raw, int | float):
        raise BadTimeError(f"unixtime: {shown(raw)} is no time")
    return epoch_ms(raw)
