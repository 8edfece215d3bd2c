"""What LoRaWAN network servers have in common: a device's codec object or its raw frame → readings.

A server hands on what a codec made of the frame, or the frame alone, in base64. Whose codec it is decides what names
mean: Milesight's and Yobiiq's are known, others are read by the usual names and need a unit, in the name or beside the
value. A raw frame is read if its layout is known and fits to the last byte (`no_codec` otherwise): nothing is guessed.

What is nested is flattened by one level (`air.temperature`); a list of records that name their time is read, each with
its own. A mode counts where it is a word, since most LoRaWAN devices call some setting of theirs `mode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from monitor.decoders.formats import yobiiq
from monitor.decoders.formats.balance import balance
from monitor.decoders.formats.lorawan_devices import Device, device_of
from monitor.decoders.formats.lorawan_uplinks import SeenUplinks, frame_of
from monitor.decoders.formats.milesight_codec import NEEDS_UNIT, MilesightCodec, Plan, time_ms
from monitor.decoders.formats.milesight_frames import MilesightFrames
from monitor.decoders.formats.yobiiq_frames import YobiiqFrames
from monitor.decoders.names import Meaning, Names
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, iso_ms
from monitor.decoders.values import Found
from monitor.decoders.words import mode_number

__all__ = ["LorawanReader"]

_MILESIGHT_PORT = 85
_ALIASES = {
    "TempC_SHT": "temperature", "TempC_SHT31": "temperature", "TempC_SHT41": "temperature",  # Dragino, inside the case
    "sensorTemperature": "temperature", "targetTemperature": "target_temperature",  # MClimate
    "operationalMode": "mode", "operational_mode": "mode",
    "temperatureSensor": "temperature", "temperature_sensor": "temperature",  # ChirpStack's examples
    "roomSetpointTemperature": "room_setpoint",  # OpenTherm
}  # fmt: skip
_NEUTRAL = frozenset(
    {"data", "values", "value", "object", "payload", "decoded", "measurements", "readings", "telemetry"}
)
"""What says nothing of what is inside."""
_RETURN = frozenset({"return_temperature", "returnTemperature", "return_temp", "returnTemp", "temperature_return"})
_FORWARD = frozenset(
    {
        "forward_temperature", "forwardTemperature", "forward_temp", "forwardTemp", "flow_temperature",
        "flowTemperature", "flow_temp", "flowTemp", "supply_temperature", "supplyTemperature", "temperature_flow",
    }
)  # fmt: skip
"""Beside both an energy is heat, and a power nothing that the monitor computes with."""
_CAYENNE_TEMPERATURES = frozenset({"temperatureSensor", "temperature_sensor"})
_TOTAL_WATER, _LITRES = "metering.water.total", Meaning("water_m3", 0.001)
"""Of the Things Stack's normalized payloads [l]."""
_TEMPERATURE = Meaning("room_c")
_ELECTRIC = frozenset({"register", "export_register", "power_kw"})
_TOO_COMMON = frozenset({"state", "total"})
"""Doors and counters say so, too."""
_LONGEST_NAME, _CACHED = 120, 10_000
_CACHED_SHAPES, _LARGEST_SHAPE = 500, 4000
"""Kinds of objects, and the characters of the largest's keys."""
_UNSEEN = Meaning("on")
"""Not looked up yet."""
_PLAIN = frozenset(
    {"register", "export_register", "power_kw", "setpoint_c", "room_c", "water_m3", "gas_m3", "heat_kwh"}
)


class _Kind(msgspec.Struct, frozen=True):
    """What the keys of a codec's object say."""

    is_yobiiq: bool
    needs_unit: bool
    """Some names mean nothing with another make's device."""
    has_alias: bool
    """Some names are of another make."""
    plan: Plan
    """How it is read as one of Milesight's."""


class LorawanReader:
    """Reads the uplinks of one source, whatever server hands them on."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._options = options
        self.seen = SeenUplinks(state)
        self._names = Names(options)
        self._milesight = MilesightCodec(options, self._names)
        self._milesight_frames = MilesightFrames(self._milesight)
        self._is_frame = self._milesight_frames.is_frame
        self._yobiiq_frames = YobiiqFrames()
        self._meanings: dict[str, Meaning | None] = {}
        self._kinds: dict[tuple[str, ...], _Kind] = {}
        """By an object's keys."""
        self._has_parts = False
        """Whether the uplink that is being read has registers that add up."""
        self._is_heat = False
        """Whether it is a heat meter's."""
        self._dated: set[str] = set()
        """Names that a list in it gives with times of their own."""

    def read(
        self, found: Found, source_id: str, codec: object, data: object, port: object, ts_ms: int | None, model: str
    ) -> None:
        """Put the readings of one uplink into `found`.

        codec: the codec's object, or None; data: the frame in base64, or None; ts_ms: when it was received, None: at
        its arrival; model: what the server calls the device's profile, in lower case.
        """
        self.read_of(found, device_of(source_id, model), codec, data, port, ts_ms)

    def read_of(
        self, found: Found, device: Device, codec: object, data: object, port: object, ts_ms: int | None
    ) -> None:
        """`read` of a device that is known."""
        source_id = device.source_id
        if type(codec) is dict and codec:
            before, others = len(found.values), len(found.rejected) + len(found.ignored)
            self._has_parts = False
            keys = tuple(codec)
            kind = self._kinds.get(keys) or self._kind_of(keys)
            if kind.is_yobiiq:
                self._has_parts = True
                yobiiq.read_codec_object(found, source_id, codec, ts_ms)
            elif device.is_milesight or (port == _MILESIGHT_PORT and self._is_milesight(kind, data, device.model)):
                self._milesight.read(found, source_id, codec, ts_ms, device.model, kind.plan)
                if kind.has_alias and len(found.values) == before:
                    self._read_usual(found, source_id, codec, ts_ms, "", depth=0)  # a device of another make
            else:
                self._read_object(found, source_id, codec, ts_ms)
            if (
                len(found.values) == before
                and data
                and not self._has_parts
                and len(found.rejected) + len(found.ignored) == others
            ):
                # A codec that says nothing of use, such as the bytes that it was given.
                self._read_frame(found, device, data, port, ts_ms, is_alone=False)
        elif isinstance(codec, list) and codec:
            start = len(found.values)
            self._read_list(found, source_id, codec, ts_ms, is_outside=True)
            if self._names.has_outward:
                balance(found, self._names, start)
        elif data:
            self._read_frame(found, device, data, port, ts_ms, is_alone=True)
        else:
            found.ignore("no_value")

    def _is_milesight(self, kind: _Kind, data: object, model: str) -> bool:
        """Whether an object on Milesight's port is of theirs; where names need it, their frame has to say so."""
        return not kind.needs_unit or ((frame := frame_of(data)) is not None and self._is_frame(frame, model))

    def _read_object(self, found: Found, source_id: str, codec: dict[str, Any], ts_ms: int | None) -> None:
        start = len(found.values)
        self._is_heat = False
        self._dated.clear()
        self._read_usual(found, source_id, codec, ts_ms, "", depth=0)
        if self._is_heat:
            self._take_for_heat(found, start)
        if self._dated:
            self._take_dated(found, start, ts_ms)
        if self._names.has_outward:
            balance(found, self._names, start)

    def _kind_of(self, keys: tuple[str, ...]) -> _Kind:
        kind = _Kind(
            yobiiq.is_codec_object(keys),
            not NEEDS_UNIT.isdisjoint(keys),
            not _ALIASES.keys().isdisjoint(keys),
            self._milesight.plan(keys),
        )
        if sum(map(len, keys)) <= _LARGEST_SHAPE:
            if len(self._kinds) >= _CACHED_SHAPES:
                self._kinds.clear()
            self._kinds[keys] = kind
        return kind

    def _take_for_heat(self, found: Found, start: int) -> None:
        kept = []
        for value in found.values[start:]:
            if value.name in self._options.fields or value.quantity not in _ELECTRIC:
                kept.append(value)
            elif value.quantity == "register":
                kept.append(replace(value, quantity="heat_kwh"))
        found.values[start:] = kept

    def _take_dated(self, found: Found, start: int, ts_ms: int | None) -> None:
        """A batch gives its last value once more, without its time."""
        values = list(dict.fromkeys(found.values[start:]))
        older = {value.name for value in values if value.name in self._dated and value.ts_ms != ts_ms}
        found.values[start:] = [value for value in values if value.ts_ms != ts_ms or value.name not in older]

    def _read_frame(
        self, found: Found, device: Device, data: object, port: object, ts_ms: int | None, *, is_alone: bool
    ) -> None:
        source_id = device.source_id
        frame = frame_of(data)
        if frame is None:
            if is_alone:
                found.reject("malformed", f"{source_id}: {shown(data)} is no frame in base64")
            return
        if device.is_milesight or port == _MILESIGHT_PORT:
            if self._milesight_frames.read_plain(found, source_id, frame, ts_ms):
                return
            codec = self._milesight_frames.codec_object(frame, device.model)
            if codec is not None:
                if codec:
                    keys = tuple(codec)
                    plan = (self._kinds.get(keys) or self._kind_of(keys)).plan
                    self._milesight.read(found, source_id, codec, ts_ms, device.model, plan)
                elif is_alone:
                    found.ignore("status")
                return
        if not device.is_milesight:
            codec = self._yobiiq_frames.codec_object(frame)
            if codec is not None:
                yobiiq.read_codec_object(found, source_id, codec, ts_ms)
                return
        if is_alone:
            found.ignore("no_codec")

    def _read_usual(
        self, found: Found, source_id: str, codec: Mapping[Any, Any], ts_ms: int | None, prefix: str, *, depth: int
    ) -> None:
        meanings = self._meanings
        if not _RETURN.isdisjoint(codec) and not _FORWARD.isdisjoint(codec):
            self._is_heat = True
        for key, raw in codec.items():
            if not isinstance(key, str) or len(key) > _LONGEST_NAME:
                continue
            name = prefix + key if prefix else key
            meaning = meanings.get(name, _UNSEEN)
            if meaning is _UNSEEN:
                meaning = self._look_up(name)
            kind = type(raw)
            if kind is dict:
                self._read_inside(found, source_id, name, key, raw, ts_ms, depth)
                continue
            if kind is list:
                if depth == 0:
                    self._read_list(found, source_id, raw, ts_ms, is_outside=False)
                continue
            if meaning is None:
                continue
            quantity, factor, offset, tariff, is_unit_known = meaning
            if kind is float and raw == raw and is_unit_known and not tariff and quantity in _PLAIN:
                found.add(source_id, quantity, raw * factor + offset, ts_ms, name)
            else:
                self._add(found, source_id, name, meaning, raw, ts_ms, codec)

    def _look_up(self, name: str) -> Meaning | None:
        if len(self._meanings) >= _CACHED:
            self._meanings.clear()
        meaning = self._names.meaning(name)
        if name not in self._options.fields:
            if meaning is None:
                meaning = _LITRES if name == _TOTAL_WATER else self._names.meaning(_usual(name))
            elif name in _TOO_COMMON:
                meaning = None
        self._meanings[name] = meaning
        return meaning

    def _add(
        self,
        found: Found,
        source_id: str,
        name: str,
        meaning: Meaning,
        raw: object,
        ts_ms: int | None,
        codec: Mapping[Any, Any],
    ) -> None:
        quantity, factor, offset, tariff, is_unit_known = meaning
        if name in self._options.fields:
            self._names.add(found, source_id, name, raw, ts_ms)
        elif tariff and self._is_heat:
            return
        elif quantity == "mode":
            if (
                isinstance(raw, str)
                and (mode := mode_number(raw, self._options.modes)) is not None
                and not raw.isdigit()
            ):
                found.add(source_id, "mode", float(mode), ts_ms, name)
        elif quantity == "on" or tariff or isinstance(raw, bool | str):
            self._has_parts = self._has_parts or tariff != ""
            start = len(found.values)
            if not self._names.add(found, source_id, name, raw, ts_ms):
                self._names.add(found, source_id, _usual(name), raw, ts_ms)
                found.values[start:] = [replace(value, name=name) for value in found.values[start:]]
        elif not is_unit_known:
            unit = codec.get(name + "_unit") or codec.get(name + "Unit")
            self._names.add(found, source_id, name, raw, ts_ms, unit if isinstance(unit, str) else None)
        elif (number := to_number(raw)) is None:
            found.ignore("no_value")
        else:
            found.add(source_id, quantity, number * factor + offset, ts_ms, name)

    def _read_inside(
        self,
        found: Found,
        source_id: str,
        name: str,
        key: str,
        inside: dict[str, Any],
        ts_ms: int | None,
        depth: int,
    ) -> None:
        raw = inside.get("value", inside.get("data"))
        if raw is not None and not isinstance(raw, dict | list):
            unit = inside.get("unit")
            known = self._names.meaning(name, unit[:_LONGEST_NAME]) if isinstance(unit, str) and unit else None
            if known is not None and isinstance(unit, str):
                if not (known.tariff and self._is_heat and name not in self._options.fields):
                    self._names.add(found, source_id, name, raw, ts_ms, unit[:_LONGEST_NAME])
            elif (meaning := self._look_up(name)) is not None:
                self._add(found, source_id, name, meaning, raw, ts_ms, inside)
        elif key in _CAYENNE_TEMPERATURES:
            for channel, degrees in inside.items():
                if not isinstance(degrees, dict | list) and len(channel) <= _LONGEST_NAME:
                    self._add(found, source_id, f"{name}.{channel}", _TEMPERATURE, degrees, ts_ms, inside)
        elif depth == 0 or (depth == 1 and key not in _NEUTRAL):
            prefix = "" if key in _NEUTRAL else name + "."
            self._read_usual(found, source_id, inside, ts_ms, prefix, depth=depth + 1)

    def _read_list(
        self, found: Found, source_id: str, records: list[Any], ts_ms: int | None, *, is_outside: bool
    ) -> None:
        """is_outside: the list is all that there is, so records that name no time are of the uplink's; elsewhere they
        may be anything."""
        for record in records:
            if not isinstance(record, dict):
                continue
            try:
                own_ms = time_ms(record)
            except BadTimeError as error:
                found.reject(error.reason, f"{source_id}: {error.detail}")
                continue
            name = record.get("name") or record.get("variable")
            if isinstance(name, str) and len(name) <= _LONGEST_NAME and "value" in record:
                self._read_named(found, source_id, name, record, own_ms, ts_ms)
            elif is_outside or own_ms is not None:
                self._read_usual(found, source_id, record, own_ms or ts_ms, "", depth=0 if is_outside else 1)

    def _read_named(
        self, found: Found, source_id: str, name: str, record: dict[str, Any], own_ms: int | None, ts_ms: int | None
    ) -> None:
        """`{"variable": "temperature", "value": 21.5, "date": "2026-06-28T09:00:00Z"}`, of which batches have many."""
        date = record.get("date")
        if own_ms is None and isinstance(date, str) and self._look_up(name) is not None:
            try:
                own_ms = iso_ms(date)
            except BadTimeError as error:
                found.reject(error.reason, f"{source_id}: {error.detail}")
                return
        if own_ms is not None:
            self._dated.add(name)
        self._read_inside(found, source_id, name, name, record, own_ms or ts_ms, 1)


def _usual(name: str) -> str:
    """A name of one make's, or one with the number of a probe, as the usual name."""
    alias = _ALIASES.get(name)
    if alias is not None:
        return alias
    head, _, number = name.rpartition("_")
    return head if head in ("temperature", "temp") and number.isdigit() else name
