"""teleinfo2mqtt: what French meters say at their customer's port (téléinformation client, TIC).

Labels and their units are Enedis' (NOI-CPT_54E for Linky meters, NOI-CPT_02E for older ones). Registers are in Wh:
historic mode has one by tariff (`BASE`; `HCHC` and `HCHP`; …), standard mode the total `EAST` and, fed in, `EAIT`.
`PAPP` and `SINSTS` are apparent power (VA), `CCASN` is the mean of a past interval: no readings. The bridge sends an
object `{"raw", "value"}` for each label (github.com/fmartinou/teleinfo2mqtt); plain values, and a topic for each label,
as other bridges send them, are read, too. The meter's number (`ADCO`, `ADSC`) is taken as it was sent: as a number it
has lost its leading zeros.

Standard mode has a clock, `DATE`: legal time of metropolitan France with its season's letter, H for winter, E for
summer. The bridge writes that local time as if it were UTC (`…Z`) and gives the season beside it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec

from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown, text_of, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, LocalClock, parse_iso, to_ms
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["FAMILIES", "Teleinfo"]

_LONGEST_ID = 64
_ID_DIGITS = 12
_CACHED_TOPICS = 1000
_LONGEST_TOPIC = 200
_WH = 1000
"""In a kWh. Divided by, since a product with 0.001 is not the nearest number to the decimal one."""
_SEASONS = {"h": 1, "winter": 1, "e": 2, "summer": 2}
"""Letter or word of the season → hours ahead of UTC. Small letters: the meter doubts its clock."""
_DATE_CHARS = 13
_LONGEST_LABEL = 9

FAMILIES: tuple[tuple[str, ...], ...] = (
    ("BASE",),
    ("HCHC", "HCHP"),
    ("EJPHN", "EJPHPM"),
    ("BBRHCJB", "BBRHPJB", "BBRHCJW", "BBRHPJW", "BBRHCJR", "BBRHPJR"),
)
"""Registers of historic mode: those of one contract add up."""
_SUPPLIER = tuple(f"EASF{tariff:02d}" for tariff in range(1, 11))
_DISTRIBUTOR = tuple(f"EASD{tariff:02d}" for tariff in range(1, 5))
_STANDARD = (_SUPPLIER, _DISTRIBUTOR)
"""The same energy, twice divided."""
_FAMILY_OF = {label: family for family in (*FAMILIES, *_STANDARD) for label in family}
_TOTALS: dict[str, Literal["register", "export_register"]] = {"EAST": "register", "EAIT": "export_register"}
_IDS = ("ADCO", "ADSC")
_OTHER_TOPICS = {
    "status": "status",
    "tempo": "status",
    "config": "discovery",
    "LWT": "status",
    "availability": "status",
}
"""Last level of a topic → why it holds no reading."""
_FRAME_TOPICS = frozenset({"SENSOR", "RESULT"})
"""Last level of Tasmota's topics, which is no label: `tele/<name>/SENSOR`."""
_LABELS = frozenset({*_FAMILY_OF, *_TOTALS, *_IDS, "DATE"})

_SAFE = 10**12


class _Line(msgspec.Struct):
    raw: Any = None
    value: Any = None


class _Frame(msgspec.Struct):
    """The few of a frame's forty labels that say it all in most contracts, as the bridge writes them."""

    ADCO: _Line | None = None
    ADSC: _Line | None = None
    DATE: Any = None
    EAST: _Line | None = None
    EAIT: _Line | None = None
    BASE: _Line | None = None
    HCHC: _Line | None = None
    HCHP: _Line | None = None


_decode = msgspec.json.Decoder(_Frame).decode


class Teleinfo:
    """Format `teleinfo2mqtt`. State: of bridges with a topic for each label, the meter's number and its tariffs."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._state = state
        self._clock = LocalClock(options.timezone, state)
        self._places: dict[str, tuple[str, str, str]] = {}

    def read(self, message: Message, found: Found) -> None:
        base, last, label = self._place(message.topic)
        if last in _OTHER_TOPICS:
            found.ignore(_OTHER_TOPICS[last])
            return
        if label:
            self._read_label(base, label, message, found)
            return
        if self._read_usual(message, found):
            return
        body = read_json(message.payload)
        frame = body.get("TIC", body) if isinstance(body, dict) else None
        if not isinstance(frame, dict):
            raise UnreadableError("expected an object with the labels of a frame")
        self._read_frame(frame, base if last in _FRAME_TOPICS else last or base, message, found)

    def _read_usual(self, message: Message, found: Found) -> bool:
        """A whole frame of a usual contract, without the detours of `_read_frame`; False: it is something else."""
        try:
            frame = _decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        line = frame.ADSC or frame.ADCO
        source_id = None if line is None else line.raw
        if type(source_id) is not str or not 0 < len(source_id) <= _LONGEST_ID or " " in source_id:
            return False
        first, second = frame.EAST or frame.BASE, None
        if first is None:
            first, second = frame.HCHC, frame.HCHP
            if second is None:
                return False
        lines = [each for each in (first, second, frame.EAIT) if each is not None]
        if first is None or any(type(each.value) is not int or not 0 <= each.value < _SAFE for each in lines):
            return False
        try:
            ts_ms = None if frame.DATE is None else self._time_ms(frame.DATE, source_id, message, found)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(source_id)} DATE: {error.detail}")
            return True
        name = "EAST" if first is frame.EAST else "BASE" if second is None else "HCHC+HCHP"
        energy_wh = first.value if second is None else first.value + second.value
        found.add(source_id, "register", energy_wh / _WH, ts_ms, name)
        if frame.EAIT is not None:
            found.add(source_id, "export_register", frame.EAIT.value / _WH, ts_ms, "EAIT")
        return True

    def _place(self, topic: str) -> tuple[str, str, str]:
        """What stands before the last level, the last level, and the label that it is."""
        place = self._places.get(topic)
        if place is None:
            base, _, last = topic.rpartition("/")
            is_label = (
                base
                and last not in _FRAME_TOPICS
                and last[:1].isalpha()
                and last.isupper()
                and len(last) <= _LONGEST_LABEL
            )
            place = base, last, last if is_label else ""
            if len(topic) <= _LONGEST_TOPIC:
                if len(self._places) >= _CACHED_TOPICS:
                    self._places.clear()
                self._places[topic] = place
        return place

    def _read_frame(self, frame: dict[str, Any], of_topic: str, message: Message, found: Found) -> None:
        frame = {label: value for label, value in frame.items() if value is not None}
        source_id = of_topic
        for name in _IDS:
            if name in frame:
                source_id = _id_of(frame[name]) or of_topic
        family = next((family for label, family in _FAMILY_OF.items() if label in frame), ())
        if not family and "EAST" not in frame and "EAIT" not in frame:
            found.ignore("no_reading")
            return
        try:
            ts_ms = self._time_ms(frame.get("DATE"), source_id, message, found)
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(source_id)} DATE: {error.detail}")
            return
        total_kwh = None
        if "EAST" in frame:
            total_kwh = _energy_kwh(frame["EAST"], "EAST", source_id, found)
        if total_kwh is not None:
            found.add(source_id, "register", total_kwh, ts_ms, "EAST")
        elif family:
            _add_family(family, frame, source_id, ts_ms, found)
        if "EAIT" in frame and (fed_kwh := _energy_kwh(frame["EAIT"], "EAIT", source_id, found)) is not None:
            found.add(source_id, "export_register", fed_kwh, ts_ms, "EAIT")

    def _read_label(self, base: str, label: str, message: Message, found: Found) -> None:
        if label not in _LABELS:
            found.ignore("no_reading")
            return
        raw: Any = text_of(message.payload)
        if raw.startswith("{"):
            raw = read_json(message.payload)
        memory = "tic/" + base
        known: dict[str, Any] = self._state.get(memory) or {}
        if label in _IDS:
            number = _id_of(raw)
            if number and known.get("id") != number:
                self._state.put(memory, {**known, "id": number})
            found.ignore("status")
            return
        family = _FAMILY_OF.get(label, ())
        if label == "DATE" or family in _STANDARD:  # standard mode always has its total, EAST
            found.ignore("no_reading")
            return
        source_id = known.get("id") or base.rpartition("/")[2] or base
        energy_kwh = _energy_kwh(raw, label, source_id, found)
        if energy_kwh is None:
            return
        if len(family) <= 1:
            found.add(source_id, _TOTALS.get(label, "register"), energy_kwh, None, label)
            return
        if known.get(label) != energy_kwh:
            known = {**known, label: energy_kwh}
            self._state.put(memory, known)
        if all(each in known for each in family):
            found.add(source_id, "register", sum(known[each] for each in family), None, label)
        else:
            found.ignore("partial")

    def _time_ms(self, raw: object, source_id: str, message: Message, found: Found) -> int | None:
        if raw is None:
            return None
        if isinstance(raw, dict):
            stamp = raw.get("timestamp")
            if isinstance(stamp, dict):
                moment = parse_iso(stamp.get("date"))  # type: ignore[arg-type]  # it rejects what is no text
                hours = _SEASONS.get(str(stamp.get("dst"))[:8].lower())
                if hours is not None and not moment.utcoffset():
                    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)) - hours * 3_600_000
                return self._clock.ms(moment, source_id, message.received_ms, found)
            raw = raw.get("raw") or raw.get("value")
        if raw is None or raw == "":
            return None
        if not isinstance(raw, str):
            raise BadTimeError(f"{shown(raw)} is no time")
        hours = _SEASONS.get(raw[:1].lower())
        digits = raw if hours is None and len(raw) == _DATE_CHARS - 1 else raw[1:]
        if len(digits) != _DATE_CHARS - 1 or not (digits.isascii() and digits.isdigit()):
            raise BadTimeError(f"{shown(raw)} is no time of a meter")
        try:
            naive = dt.datetime(2000 + int(digits[:2]), *(int(digits[at : at + 2]) for at in range(2, 12, 2)))  # type: ignore[arg-type]  # noqa: DTZ001  # five numbers; the season stands for the zone
        except ValueError:
            raise BadTimeError(f"{shown(raw)} is no time of a meter") from None
        if hours is None:
            return self._clock.ms(naive, source_id, message.received_ms, found)
        return to_ms(naive.replace(tzinfo=dt.UTC)) - hours * 3_600_000


def _add_family(
    family: tuple[str, ...], frame: dict[str, Any], source_id: str, ts_ms: int | None, found: Found
) -> None:
    """The sum of a contract's tariffs. A line that was lost on the way to the bridge is missing in the frame."""
    given = [label for label in family if label in frame]
    parts = [
        (label, energy_kwh)
        for label in given
        if (energy_kwh := _energy_kwh(frame[label], label, source_id, found)) is not None
    ]
    if len(parts) == len(family):
        name = "+".join(family) if len(family) <= 2 else family[0]
        found.add(source_id, "register", sum(energy_kwh for _, energy_kwh in parts), ts_ms, name)
    elif family in _STANDARD and len(parts) == len(given):
        for label, energy_kwh in parts:
            found.add_part(source_id, "register", label, energy_kwh, ts_ms, label, alone=len(parts) > 1)
    else:
        found.ignore("partial")


def _energy_kwh(raw: object, label: str, source_id: str, found: Found) -> float | None:
    if isinstance(raw, dict):
        value = raw.get("value")
        raw = raw.get("raw") if value is None else value
    try:
        number = to_number(raw)
    except ValueError:
        found.reject("bad_value", f"{shown(source_id)} {label}: {shown(raw)} is no number")
        return None
    if number is None:
        found.ignore("no_value")
        return None
    return number / _WH


def _id_of(raw: object) -> str:
    """The meter's number as it was sent; "" where there is none."""
    if isinstance(raw, dict):
        raw = raw.get("raw") or raw.get("value")
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 10**_ID_DIGITS:
        return f"{raw:0{_ID_DIGITS}d}"
    return raw.strip() if isinstance(raw, str) and len(raw) <= _LONGEST_ID else ""
