"""AMS reader (amsleser.no): what Norwegian, Swedish, Danish and other meters say at their HAN or P1 port.

A meter sends lists: 1 has nothing but the power drawn [W], 2 and 4 power both ways, 3 and 4 the registers [kWh],
usually once an hour. The firmware writes them as JSON with the values under `data`, or beside the envelope, or for Home
Assistant in topics `power` and `energy`, or each value in a topic of its own (`meter/import/active`); see its src/mqtt
folder, github.com/UtilitechAS/amsreader-firmware. Traps:

- Only lists 2 to 4 name the meter: list 1 and the registers of Home Assistant's form belong to the meter that the same
  reader named last.
- List 1 says 0 while power flows out.
- `t` and `rtc` are 0 (or null) where the meter sent no time. Registers that are all 0 then were not read yet.
- `realtime` holds the firmware's own sums of this hour and day, `temp` is that of the reader's board.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, text_of, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, epoch_ms, iso_ms
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["AmsHan"]

_LONGEST_ID = 128
_CACHED_TOPICS = 1000
_LONGEST_TOPIC = 200
_W = 1000
"""In a kW."""
_LAST_LEVELS = frozenset(
    {"list1", "list2", "list3", "list4", "power", "energy", "realtime", "prices", "temperatures", "state", "sensor"}
)
"""What the firmware appends to the topic that it is given."""
_PLAIN = {
    "id": "meter",
    "import/active": "in",
    "export/active": "out",
    "import/active/accumulated": "register",
    "export/active/accumulated": "export_register",
}
"""Topics of single values, below `<topic>/meter/`."""
_OF_THE_READER = re.compile(
    r"/(?:realtime/.+|temperature(?:/[0-9A-Fa-f]{16})?|price/.+|id|uptime|vcc|mem|rssi|status|data)$"
)
"""Topics of the other single values: the firmware's own sums, probes, prices, the reader itself, frames as they are."""
_Place = tuple[str, str]


class _Values(
    msgspec.Struct,
    rename={
        "meter_id": "meterId",
        "drawn": "P",
        "fed": "PO",
        "total_in": "tPI",
        "total_in_1": "tPIT1",
        "total_in_2": "tPIT2",
        "total_out": "tPO",
        "total_out_1": "tPOT1",
        "total_out_2": "tPOT2",
    },
):
    """The names that are looked at, of anything that a device may send."""

    meter_id: Any = None
    lv: Any = None
    id: Any = None
    t: Any = None
    drawn: Any = None
    fed: Any = None
    total_in: Any = None
    total_in_1: Any = None
    total_in_2: Any = None
    total_out: Any = None
    total_out_1: Any = None
    total_out_2: Any = None
    rtc: Any = None


class _Body(_Values):
    data: _Values | str | None = None


_decode = msgspec.json.Decoder(_Body).decode


class AmsHan:
    """Format `ams_han`. State, by reader: the meter that it named last, and whether power flowed out."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._state = state
        self._places: dict[str, _Place] = {}

    def read(self, message: Message, found: Found) -> None:
        base, what = self._place(message.topic)
        if what:
            self._read_plain(base, what, message, found)
            return
        try:
            body = _decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if message.payload[:1] != b"{" and _OF_THE_READER.search(message.topic):
                found.ignore("status")
                return
            body = _slowly(message.payload)
        values = body.data
        if values is None:
            values = body
        if isinstance(values, str):
            found.ignore("raw_frame")
            return
        key, source_id, is_out = self._reader(base, body, values)
        has_power = values.drawn is not None or values.fed is not None
        has_register = not (values.total_in is values.total_out is values.total_in_1 is values.total_out_1 is None)
        if not (has_power or has_register):
            found.ignore("status")
            return
        if has_power:
            self._add_power(key, source_id, is_out, values, body.t, found)
        if has_register:
            _add_registers(source_id, values, body.t, found)

    def _place(self, topic: str) -> _Place:
        place = self._places.get(topic)
        if place is None:
            base, _, last = topic.rpartition("/")
            head, meter, rest = topic.rpartition("/meter/")
            if meter:
                place = head, _PLAIN.get(rest, "nothing")
            else:
                place = (base if base and last in _LAST_LEVELS else topic), ""
            if len(topic) <= _LONGEST_TOPIC:
                if len(self._places) >= _CACHED_TOPICS:
                    self._places.clear()
                self._places[topic] = place
        return place

    def _reader(self, base: str, body: _Body, values: _Values) -> tuple[str, str, bool]:
        """Key of the reader's memory, the id of the meter, whether power flowed out."""
        named = values.meter_id
        reader = body.id
        if named is None and values is not body:
            named = values.id  # as older firmware calls it
        elif named is None and body.lv is not None:
            named, reader = reader, None  # Home Assistant's form calls the meter's number `id`
        if type(reader) is not str or not 0 < len(reader) <= _LONGEST_ID:
            reader = None
        key = "reader/" + (reader or base)
        known = self._state.get(key)
        meter, is_out = ("", False) if known is None else known
        if type(named) is int and 0 <= named < 10**20:
            named = str(named)
        if type(named) is str and 0 < len(named) <= _LONGEST_ID and named != meter:
            meter = named
            self._state.put(key, [meter, is_out])
        return key, meter or reader or base, is_out

    def _note_out(self, key: str, is_out: bool) -> None:
        meter, was_out = self._state.get(key) or ("", False)
        if was_out != is_out:
            self._state.put(key, [meter, is_out])

    def _add_power(self, key: str, source_id: str, was_out: bool, values: _Values, raw_t: object, found: Found) -> None:
        drawn = _number(values.drawn, "P", source_id, found)
        fed = None if values.fed is None else _number(values.fed, "PO", source_id, found)
        if fed is not None:
            if (fed > 0) != was_out:
                self._note_out(key, fed > 0)
        elif drawn == 0 and (was_out or values.fed is not None):
            found.ignore("partial")
            return
        if drawn is None and not fed:
            return
        try:
            ts_ms = _time_ms(raw_t)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(source_id)} P: t: {error.detail}")
            return
        found.add(source_id, "power_kw", ((drawn or 0.0) - (fed or 0.0)) / _W, ts_ms, "P")

    def _read_plain(self, base: str, what: str, message: Message, found: Found) -> None:
        text = text_of(message.payload)
        key = "reader/" + base
        meter, was_out = self._state.get(key) or ("", False)
        if what == "meter":
            if 0 < len(text) <= _LONGEST_ID and text != meter:
                self._state.put(key, [text, was_out])
            found.ignore("status")
            return
        if what == "nothing":
            found.ignore("no_reading")
            return
        source_id = meter or base
        number = _number(text, what, source_id, found)
        if number is None:
            return
        name = message.topic[len(base) + 1 :]
        if what in ("register", "export_register"):
            quantity: Literal["register", "export_register"] = "register" if what == "register" else "export_register"
            found.add(source_id, quantity, number, None, name)
            return
        # Total active power flows one way at a time. The zero of the other way is no news.
        if number == 0 and was_out == (what == "in"):
            found.ignore("partial")
            return
        is_out = what == "out" and number > 0
        if is_out != was_out:
            self._state.put(key, [meter, is_out])
        power_kw = (number if what == "in" else -number) / _W
        found.add(source_id, "power_kw", power_kw, None, name)


def _slowly(payload: bytes) -> _Body:
    """What the typed decoder does not take: NaN, `data` of another type, more than one mark of the end."""
    whole = read_json(payload)
    if not isinstance(whole, dict):
        raise UnreadableError(f"expected an object, found {shown(whole)}")
    body = _Body(**_members(whole))
    data = whole.get("data")
    if isinstance(data, dict):
        body.data = _Values(**_members(data))
    elif data is not None:
        body.data = str(data)[:1]
    return body


def _members(values: dict[str, Any]) -> dict[str, Any]:
    names = zip(_Values.__struct_fields__, _Values.__struct_encode_fields__, strict=True)
    return {field: values.get(name) for field, name in names}


def _number(raw: object, name: str, source_id: str, found: Found) -> float | None:
    try:
        number = to_number(raw)
    except ValueError:
        found.reject("bad_value", f"{shown(source_id)} {name}: {shown(raw)} is no number")
        return None
    if number is None and raw is not None:
        found.ignore("no_value")
    return number


def _time_ms(raw: object) -> int | None:
    if type(raw) is int:
        return epoch_ms(raw) if raw else None
    if raw is None or raw == 0 or raw == "" or raw == "0":
        return None
    if isinstance(raw, float):
        return epoch_ms(raw)
    if isinstance(raw, str):
        return iso_ms(raw)
    raise BadTimeError(f"{shown(raw)} is no time")


def _add_registers(source_id: str, values: _Values, raw_t: object, found: Found) -> None:
    name = "rtc" if values.rtc else "t"
    try:
        ts_ms = _time_ms(values.rtc or raw_t)
    except BadTimeError as error:
        found.reject(error.reason, f"{shown(source_id)} tPI: {name}: {error.detail}")
        return
    total_in = _number(values.total_in, "tPI", source_id, found)
    total_out = _number(values.total_out, "tPO", source_id, found)
    tariffs_in = [("tPIT1", values.total_in_1), ("tPIT2", values.total_in_2)]
    tariffs_out = [("tPOT1", values.total_out_1), ("tPOT2", values.total_out_2)]
    is_read = bool(values.rtc or total_in or total_out)
    _add_register(source_id, "register", "tPI", total_in, tariffs_in, is_read, ts_ms, found)
    _add_register(source_id, "export_register", "tPO", total_out, tariffs_out, is_read, ts_ms, found)


def _add_register(
    source_id: str,
    quantity: Literal["register", "export_register"],
    name: str,
    total_kwh: float | None,
    tariffs: list[tuple[str, Any]],
    is_read: bool,
    ts_ms: int | None,
    found: Found,
) -> None:
    if total_kwh:
        found.add(source_id, quantity, total_kwh, ts_ms, name)
        return
    parts = [(each, _number(raw, each, source_id, found)) for each, raw in tariffs]
    if any(number for _, number in parts):
        if any(number is None and raw is not None for (_, number), (_, raw) in zip(parts, tariffs, strict=True)):
            found.ignore("partial")  # the sum of the others would look like a register set back
            return
        for each, number in parts:
            if number is not None:
                found.add_part(source_id, quantity, each[-2:].lower(), number, ts_ms, each)
    elif total_kwh is not None and is_read:
        found.add(source_id, quantity, total_kwh, ts_ms, name)
    elif total_kwh is not None:
        found.ignore("no_value")
