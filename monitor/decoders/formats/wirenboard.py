"""Wiren Board: `/devices/<device>/controls/<control>`, one text value a topic.

Conventions: github.com/wirenboard/conventions. Type, units, the words of an enumeration and errors come in `…/meta`
(JSON) and `…/meta/<key>` (plain); everything is retained and has no time. Traps: the driver publishes 0 before it has
polled a meter for the first time, so a register of 0 is never believed, and a power of 0 only when the device has told
something else or has kept to it; `error` with an `r` says that the value is the
last good one; tariffs may have a total beside them or not; a meter's temperature is its own; `…/on` is a wish.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.decoders.formats.climate import Climate
from monitor.decoders.formats.single_values import SingleValues
from monitor.decoders.formats.topics import Levels, levels_of
from monitor.decoders.formats.wirenboard_names import UNIT_OF_TYPE, Control, control_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, text_of, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.units import unit_of
from monitor.decoders.values import Found, Measured, UnreadableError
from monitor.ingest.message import Message

__all__ = ["WirenBoard"]

_SILENT_TYPES = frozenset({
    "voltage", "current", "rel_humidity", "atmospheric_pressure", "pressure", "resistance", "concentration", "lux",
    "sound_level", "wind_speed", "rainfall", "water_flow", "heat_power", "pushbutton", "rgb", "alarm",
})  # fmt: skip
_NEVER_ZERO = frozenset({"register", "export_register", "water_m3", "gas_m3", "heat_kwh", "room_c"})
"""Counters stand at 0 only where nothing was ever consumed; what is lost then is nothing."""
_POLLED = _NEVER_ZERO | {"power_kw"}
"""What is told by polling; a switch or a mode may be a setting."""
_METERED = frozenset({"register", "export_register", "power_kw"})
_CACHED = 4000
_MAX_TEXT = 40
_MAX_TITLES = 32
_MAX_TOTALS = 64
_SETTLED_MS = 300_000
"""A tariff, or a power, that stands at 0 for so long was polled: it is 0, and not just not known yet."""


class _Place(NamedTuple):
    kind: str
    """value, meta, device; else why the topic is ignored."""
    device: str = ""
    name: str = ""
    control: Control = Control("", "")
    source_id: str = ""
    attribute: str = ""
    """Last level of a plain meta topic; empty: the JSON one."""


class WirenBoard:
    """Format `wirenboard`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._values = SingleValues(options, state)
        self._climate = Climate(Options(modes=options.modes), state)
        self._fields = options.fields
        self._state = state
        self._places: dict[str, _Place] = {}

    def read(self, message: Message, found: Found) -> None:
        place = self._places.get(message.topic)
        if place is None:
            place = self._place(levels_of(message.topic))
            if len(self._places) >= _CACHED:
                self._places.clear()
            self._places[message.topic] = place
        if place.kind == "value":
            if place.control.usual or place.name in self._fields:
                self._read_value(message, place, found)
        elif place.kind == "meta":
            found.ignore("meta")
            if place.control.usual or place.name in self._fields:
                self._learn(message.payload, place)
        elif place.kind == "device":
            found.ignore("meta")
            self._learn_device(message, place)
        else:
            found.ignore(place.kind)

    def _read_value(self, message: Message, place: _Place, found: Found) -> None:
        text = text_of(message.payload)
        meta: dict[str, Any] | None = self._state.get(f"control/{place.device}/{place.name}")
        unit_state: dict[str, Any] = self._state.get(f"device/{place.device}") or {}
        if not text:  # the control is being taken away
            found.ignore("no_value")
        elif meta is None and place.name not in self._fields:
            found.ignore("waits_for_meta")
        elif "r" in (meta or {}).get("error", "") or "r" in unit_state.get("error", ""):
            found.ignore("read_error")
        elif meta is not None and meta["type"] in _SILENT_TYPES:
            return
        elif place.name in self._fields:
            before = len(found.values)
            self._values.add(found, place.source_id, place.name, text, None, _unit(meta))
            self._drop_unpolled(found, before, place, unit_state, message.received_ms)
        elif meta is not None:
            self._read_known(message, place, text, meta, unit_state, found)

    def _read_known(
        self, message: Message, place: _Place, text: str, meta: dict[str, Any], unit_state: dict[str, Any], found: Found
    ) -> None:
        control, source_id, name = place.control, place.source_id, place.name
        unit = _unit(meta) or control.unit or None
        before = len(found.values)
        if control.tariff and control.quantity is not None:
            if control.channel in unit_state.get("totals", ()):
                found.ignore("tariff")
            else:
                self._add_tariff(found, place, control.quantity, text, unit, message.received_ms)
        elif control.role == "mode":
            self._climate.add(found, source_id, "mode", meta["enum"].get(text, text), None, name)
        elif meta["type"] == "switch" or control.role == "on":
            if control.quantity in ("on", "power_kw") and unit is None:
                self._climate.add(found, source_id, "on", text, None, name)
            else:
                self._values.add(found, source_id, name, text, None, unit, usual=control.usual)
        elif control.quantity == "room_c" and unit_state.get("meter") and control.usual == "temperature":
            found.ignore("own_temperature")
        else:
            usual = control.usual
            if meta["type"] == "water_consumption" and "consumption" in usual:
                usual = "water"
            elif control.quantity == "register" and (unit or "").lower() == "gcal":
                usual = "heat_energy"
            self._values.add(found, source_id, name, text, None, unit, usual=usual)
        self._drop_unpolled(found, before, place, unit_state, message.received_ms)

    def _drop_unpolled(
        self, found: Found, before: int, place: _Place, unit_state: dict[str, Any], received_ms: int
    ) -> None:
        """What stands there before the first poll: counters and rooms of exactly 0, and a power of 0 while its device
        has not told anything else."""
        is_polled = unit_state.get("polled") is True
        for value in found.values[before:]:
            if value.value:
                if not is_polled and value.quantity in _POLLED:
                    is_polled = True
                    self._state.put(f"device/{place.device}", unit_state | {"polled": True})
            elif value.quantity in _NEVER_ZERO or (
                value.quantity == "power_kw" and not is_polled and self._is_start(place.device, unit_state, received_ms)
            ):
                found.values.remove(value)
                found.ignore("start_value")

    def _is_start(self, device: str, unit_state: dict[str, Any], received_ms: int) -> bool:
        """Whether a device that has told nothing but 0 may not have been polled yet."""
        since_ms: int | None = unit_state.get("polled")
        if since_ms is None:
            self._state.put(f"device/{device}", unit_state | {"polled": received_ms})
            return True
        return received_ms - since_ms < _SETTLED_MS

    def _add_tariff(
        self, found: Found, place: _Place, quantity: Measured, text: str, unit: str | None, received_ms: int
    ) -> None:
        """The sum of all tariffs whose meta is known, once each has been polled. A `T1` may be a temperature."""
        measured = unit_of(unit or "")
        if measured is None:
            found.reject("unknown_unit", f"{shown(place.source_id)} {shown(place.name)}: energy without a unit")
            return
        if measured.dimension != "energy" or unit == "Gcal":
            return
        try:
            number = to_number(text)
        except ValueError:
            found.reject("bad_value", f"{shown(place.source_id)} {shown(place.name)}: {shown(text)} is no number")
            return
        if number is None or number - number != 0.0:
            found.ignore("no_value")
            return
        number *= measured.factor
        key = f"tariffs/{quantity}/{place.source_id}"
        known: dict[str, list[Any]] = self._state.get(key) or {}
        told = known.get(place.control.tariff)
        if number == 0.0 and told is not None and told[0]:
            found.ignore("start_value")
            return
        if told is None or told[0] != number:
            known = known | {place.control.tariff: [number, received_ms]}
            self._state.put(key, known)
        if all(value or (value == 0.0 and received_ms - since_ms >= _SETTLED_MS) for value, since_ms in known.values()):
            found.add(place.source_id, quantity, sum(value for value, _ in known.values()), None, place.name)
        else:
            found.ignore("waits_for_tariffs")

    def _learn(self, payload: bytes, place: _Place) -> None:
        key = f"control/{place.device}/{place.name}"
        known: dict[str, Any] | None = self._state.get(key)
        if place.attribute:
            if place.attribute not in ("type", "units", "error"):
                return
            text = text_of(payload)[:_MAX_TEXT]
            new = {**(known or _NOTHING), place.attribute: text}
            if known is None and not text:
                return
        elif not payload.strip():
            self._state.discard(key)
            return
        else:
            new = _meta_of(payload)
        if new != known:
            self._state.put(key, new)
        self._note_device(place, new)

    def _note_device(self, place: _Place, meta: dict[str, Any]) -> None:
        """That a device is a meter, and which of its meters have a total; the tariffs that there are."""
        control = place.control
        measured = unit_of(_unit(meta) or control.unit)
        if control.quantity not in _METERED or measured is None or measured.dimension not in ("energy", "power"):
            return
        if control.tariff:
            key = f"tariffs/{control.quantity}/{place.source_id}"
            parts: dict[str, list[Any]] = self._state.get(key) or {}
            if control.tariff not in parts:
                self._state.put(key, parts | {control.tariff: [None, 0]})
        key = f"device/{place.device}"
        known: dict[str, Any] = self._state.get(key) or {}
        totals: list[str] = known.get("totals", [])
        is_total = measured.dimension == "energy" and control.quantity != "export_register" and not control.tariff
        if is_total and control.channel not in totals and len(totals) < _MAX_TOTALS:
            totals = [*totals, control.channel]
        new = known | {"meter": True, "totals": totals}
        if new != known:
            self._state.put(key, new)

    def _learn_device(self, message: Message, place: _Place) -> None:
        """Of a whole device only whether it can be read is of use, and that its driver has started."""
        payload = message.payload
        if place.attribute == "error":
            error = text_of(payload)[:_MAX_TEXT]
        elif not payload.strip():
            error = ""
        else:
            body = read_json(payload)
            error = body.get("error", "") if isinstance(body, dict) else ""
            error = error[:_MAX_TEXT] if isinstance(error, str) else ""
        key = f"device/{place.device}"
        known: dict[str, Any] = self._state.get(key) or {}
        if "polled" in known and not place.attribute and not message.retain:  # the driver has started once more
            known = {name: told for name, told in known.items() if name != "polled"}
            self._state.put(key, known)
        if known.get("error", "") != error:
            self._state.put(key, known | {"error": error})

    def _place(self, levels: Levels) -> _Place:
        try:
            start = levels.index("devices") + 1
        except ValueError:
            return _Place("status")
        rest = levels[start:]
        if len(rest) > 1 and rest[1] == "meta":
            attribute = rest[2] if len(rest) > 2 else ""
            return _Place("device", rest[0], attribute=attribute) if attribute in ("", "error") else _Place("meta")
        if len(rest) < 3 or rest[1] != "controls":
            return _Place("status")
        device, name = rest[0], rest[2]
        control = Control("", "") if name in self._fields else control_of(name)
        source_id = f"{device}/{control.channel}" if control.channel else device
        if len(rest) == 3:
            return _Place("value", device, name, control, source_id)
        if rest[3] == "meta":
            return _Place("meta", device, name, control, source_id, rest[4] if len(rest) > 4 else "")
        return _Place("command" if rest[3] == "on" else "status")


_NOTHING: dict[str, Any] = {"type": "", "units": "", "error": "", "enum": {}}


def _meta_of(payload: bytes) -> dict[str, Any]:
    """What is of use of a control's meta. Raises UnreadableError."""
    body = read_json(payload)
    if not isinstance(body, dict):
        raise UnreadableError(f"expected an object, found {shown(body)}")
    told: dict[str, Any] = {key: _short(body.get(key)) for key in ("type", "units", "error")}
    told["enum"] = {}
    titles = body.get("enum")
    if isinstance(titles, dict):
        for value, title in list(titles.items())[:_MAX_TITLES]:
            word = title.get("en") if isinstance(title, dict) else title
            if len(value) <= _MAX_TEXT and (word := _short(word)):
                told["enum"][value] = word
    return told


def _short(raw: object) -> str:
    return raw[:_MAX_TEXT] if isinstance(raw, str) else ""


def _unit(meta: dict[str, Any] | None) -> str | None:
    return (meta["units"] or UNIT_OF_TYPE.get(meta["type"])) if meta else None
