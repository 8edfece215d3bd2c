"""vzlogger of volkszaehler.org: one topic a channel, a bare number or `{"timestamp", "value"}` in it.

`<topic>/<channel>/raw` is what the meter said, `…/agg` the same put together over an interval; with both, the second is
a duplicate. What a channel measures stands in no reading: vzlogger says it once after its start, in `…/id` (OBIS code)
and `…/uuid`, and the installer may say it in the source's `fields`. Registers are in Wh and power in W, whatever the
meter's own unit (src/mqtt.cpp and the OBIS notes of github.com/volkszaehler/vzlogger). Without a code or a field the
unit is not guessed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.decoders.formats.obis import Code, ObisMeaning, code_of, meaning_of
from monitor.decoders.names import DIMENSIONS, Names
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.payloads import read_json, shown, text_of, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, epoch_ms
from monitor.decoders.units import unit_of
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["Vzlogger"]

_KINDS = frozenset({"raw", "agg", "id", "uuid"})
_LONGEST_CODE = 40
_LONGEST_ID = 128
_CACHED = 2000
_LONGEST_TOPIC = 200
_OPEN = 255
_UNITS = {"energy": "Wh", "power": "W"}
_UNKNOWN = object()


class _Reading(msgspec.Struct):
    value: Any = None
    timestamp: Any = None
    uuid: Any = None
    unit: Any = None


_decode = msgspec.json.Decoder(_Reading).decode


class Vzlogger:
    """Format `vzlogger`. State, by channel: its OBIS code, and whether it has sent what the meter said."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._state = state
        self._fields = options.fields
        self._names = Names(options)
        self._places: dict[str, tuple[str, str, str, str]] = {}
        self._meanings: dict[str, ObisMeaning | None] = {}

    def read(self, message: Message, found: Found) -> None:
        base, channel, kind, own_code = self._place(message.topic)
        memory = "channel/" + base
        code, is_raw_sent = self._state.get(memory) or ("", False)
        if kind in ("id", "uuid"):
            text = text_of(message.payload)
            if kind == "id" and text != code and len(text) <= _LONGEST_CODE and code_of(text) is not None:
                self._state.put(memory, [text, is_raw_sent])
            found.ignore("discovery")
            return
        if kind == "agg" and is_raw_sent:
            found.ignore("duplicate")
            return
        if kind == "raw" and not is_raw_sent:
            self._state.put(memory, [code, True])
        raw, raw_time, uuid, unit = _parts(message.payload)
        source_id = uuid if type(uuid) is str and 0 < len(uuid) <= _LONGEST_ID else channel
        try:
            ts_ms = _time_ms(raw_time)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(source_id)}: {error.detail}")
            return
        name = source_id if source_id in self._fields else channel
        self._add(source_id, name, code or own_code, raw, ts_ms, unit if type(unit) is str else None, found)

    def _place(self, topic: str) -> tuple[str, str, str, str]:
        """What a channel's topics have in common, the channel, which topic this is, and the code that it is called."""
        place = self._places.get(topic)
        if place is None:
            base, _, last = topic.rpartition("/")
            if last not in _KINDS:
                base, last = topic, ""
            channel = base.rpartition("/")[2] or base
            place = base, channel, last, channel if code_of(channel) is not None else ""
            if len(topic) <= _LONGEST_TOPIC:
                if len(self._places) >= _CACHED:
                    self._places.clear()
                self._places[topic] = place
        return place

    def _meaning(self, code: str) -> ObisMeaning | None:
        meaning: Any = self._meanings.get(code, _UNKNOWN)
        if meaning is _UNKNOWN:
            parsed = code_of(code)
            meaning = None if parsed is None else meaning_of(_given(parsed))
            if len(self._meanings) >= _CACHED:
                self._meanings.clear()
            self._meanings[code] = meaning
        return meaning  # type: ignore[no-any-return]  # the table's own type

    def _add(
        self, source_id: str, name: str, code: str, raw: object, ts_ms: int | None, unit: str | None, found: Found
    ) -> None:
        rule = self._fields.get(name)
        meaning = self._meaning(code) if code else None
        if rule is not None and rule.ignore:
            found.ignore("no_reading")
        elif meaning is None or (rule is not None and rule.quantity is not None):
            if not self._names.add(found, source_id, name, raw, ts_ms, unit) and not code:
                found.reject(
                    "unknown_unit", f"{shown(source_id)}: {shown(raw)} of a channel without an OBIS code or field"
                )
        else:
            _add_measured(source_id, name, meaning, rule or FieldRule(), raw, ts_ms, unit, found)


def _given(code: Code) -> Code:
    """Without the 255 that vzlogger writes for a group that its configuration leaves open (`1.8.0`, `counter`)."""
    return code._replace(
        medium=None if code.medium == _OPEN else code.medium,
        tariff=0 if code.tariff == _OPEN else code.tariff,
    )


def _add_measured(
    source_id: str,
    name: str,
    meaning: ObisMeaning,
    rule: FieldRule,
    raw: object,
    ts_ms: int | None,
    unit: str | None,
    found: Found,
) -> None:
    dimension = DIMENSIONS[meaning.quantity] or ""
    written = rule.unit or unit or _UNITS.get(dimension, "")
    measured = unit_of(written) if written else None
    try:
        number = to_number(raw)
    except ValueError:
        found.reject("bad_value", f"{shown(source_id)}: {shown(raw)} is no number")
        return
    if number is None:
        found.ignore("no_value")
    elif measured is None or measured.dimension != dimension:
        found.reject("unknown_unit", f"{shown(source_id)}: {shown(raw)} with unit {shown(written)}")
    else:
        # Each tariff is a channel with an id of its own: nothing here says which belong together.
        found.add(source_id, meaning.quantity, number * rule.scale * measured.factor * meaning.sign, ts_ms, name)


def _parts(payload: bytes) -> tuple[Any, Any, Any, Any]:
    """Value, time, uuid, unit."""
    if b"{" not in payload:
        return text_of(payload), None, None, None
    try:
        reading = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = read_json(payload)
        if not isinstance(body, dict):
            raise UnreadableError(f"expected an object, found {shown(body)}") from None
        reading = _Reading(body.get("value"), body.get("timestamp"), body.get("uuid"), body.get("unit"))
    return reading.value, reading.timestamp, reading.uuid, reading.unit


def _time_ms(raw: object) -> int | None:
    if raw is None:
        return None
    if isinstance(raw, int | float):
        return epoch_ms(raw)
    raise BadTimeError(f"{shown(raw)} is no time")
