"""SenML, in JSON and in CBOR (RFC 8428): a list of records whose base values hold for what follows them.

A record's name is `bn` + `n`. Where that ends in a usual name (`…:power`, `…/temperature`), or in the resource of an
LwM2M object (`/3305/0/5805`), the rest is the device and the end says what is measured, so that one device has one id
however many records it sends. Where it does not, the whole name is the id and the unit alone says what is measured: W
is a power, Wh a register, Cel a room's temperature. No unit means water.

Traps: a resolved time below 2^28 s is relative to now, which for a retained message is unknown. `s` is the integral
over time: of W it is in J. Units are those of SenML, the secondary ones (RFC 8798) with them. A pack of a later
version, or with a label that ends in `_` and is not known, may mean something else altogether and is refused whole;
version 26 is version 10 with the secondary units (RFC 9100). A wrong base value spoils what comes after it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from msgspec import UNSET

from monitor.decoders.formats.balance import balance
from monitor.decoders.formats.senml_pack import members, records_of, usual_members, usual_records
from monitor.decoders.formats.topics import is_command
from monitor.decoders.names import Names, words_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, epoch_ms
from monitor.decoders.units import Dimension, unit_of
from monitor.decoders.values import Found, Measured, UnreadableError
from monitor.decoders.words import SAYS_OTHERWISE
from monitor.ingest.message import Message

__all__ = ["SenML"]

_RELATIVE_BELOW_S = 1 << 28
_EARLIEST_S = -1e10
_PLAIN_BELOW_S = 4e9
_VERSION = 10
_VERSION_SECONDARY_UNITS = 26
_SEPARATORS = "/:.-_#"
_BETWEEN_PARTS = ("/", ":", ".", "#")
_OF_UNIT: dict[Dimension, Measured] = {"energy": "register", "power": "power_kw"}
"""What a unit alone says."""
_OTHER_UNITS = frozenset(
    {
        "m", "kg", "g", "s", "A", "cd", "mol", "Hz", "rad", "sr", "N", "Pa", "C", "V", "F", "Ohm", "S", "Wb",
        "T", "H", "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m/s", "m/s2", "m3/s", "l/s", "W/m2", "cd/m2",
        "bit", "bit/s", "lat", "lon", "pH", "dB", "dBW", "Bspl", "count", "/", "%", "%RH", "%EL", "EL", "1/s",
        "1/min", "beat/min", "beats", "S/m", "B", "VA", "VAs", "var", "vars", "J/m", "kg/m3", "deg", "NTU",
        "ms", "min", "h", "MHz", "kVA", "kVAh", "kvar", "kvarh", "varh", "Ah", "Wh/km", "KiB", "GB", "Mbit/s",
        "B/s", "MB/s", "mV", "mA", "dBm", "ug/m3", "mm/h", "m/h", "ppm", "/100", "/1000", "hPa", "mm", "cm",
        "km", "km/h",
    }
)  # fmt: skip
"""SenML's other units: a name of ours with one of them is something else (`heat` with `/`), no mistake."""
_LWM2M = {
    "5800": ("active_power", "W"),
    "5805": ("active_energy", "Wh"),
    "5850": ("on_off", None),
    "5900": ("setpoint", "Cel"),
}
"""Resource of any object → name and unit: instantaneous active power, cumulative active power, on/off, set point."""
_LWM2M_SENSORS = {"3303": ("temperature", "Cel"), "3328": ("power", "W"), "3331": ("energy", "Wh")}
"""Object whose resource 5700 (sensor value) is of ours."""
_FLOWS = {"m3/s": "m3", "l/s": "l"}
_LONGEST = 300
_LONGEST_NAME = 120
_CACHED = 10_000


class _Target(NamedTuple):
    """What records of one name and unit are."""

    source_id: str
    name: str
    unit: str | None
    quantity: Measured | None
    """None: the usual names add it, and judge what it holds."""
    factor: float = 1.0
    offset: float = 0.0


class SenML:
    """Format `senml`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._names = Names(options)
        self._fields = options.fields
        self._known: dict[tuple[str, str], dict[tuple[str, str | None], _Target | None]] = {}
        """By topic and base name, then by name and unit."""
        self._count = 0

    def read(self, message: Message, found: Found) -> None:
        if is_command(message.topic):
            found.ignore("command")
            return
        values, ignored = len(found.values), len(found.ignored)
        if not self._read_usual(message, found):
            del found.values[values:], found.ignored[ignored:]
            self._read_any(message, found)
        if self._names.has_outward:
            balance(found, self._names, values)

    def _read_usual(self, message: Message, found: Found) -> bool:
        """Read a pack of numbers with names, units and times: 10.1 and 7.0 µs for five records. False: it holds
        something else, and what was put into `found` does not count."""
        records = usual_records(message.payload)
        if records is None:
            return False
        topic = message.topic
        base_name, base_unit, base_s = "", None, 0.0
        bare_ms: int | None = None
        known = self._of_base(topic, base_name)
        for bn, bt, bu, name, u, v, t in map(usual_members, records):
            if bn is not UNSET:
                if len(bn) > _LONGEST:
                    return False
                base_name, known = bn, self._of_base(topic, bn)
            if bu is not UNSET:
                if len(bu) > _LONGEST:
                    return False
                base_unit = bu or None
            if bt is not UNSET:
                if not _RELATIVE_BELOW_S <= bt < _PLAIN_BELOW_S:
                    return False
                base_s, bare_ms = bt, round(bt * 1e6) // 1000  # as epoch_ms has it
            if v is UNSET:
                continue
            unit = base_unit if u is UNSET else u or base_unit
            key = name, unit
            if key in known:
                target = known[key]
            elif len(name) > _LONGEST or len(unit or "") > _LONGEST:
                return False
            else:
                target = self._remember(topic, base_name, name, unit)
            if target is None:
                continue
            ts_ms = bare_ms
            if t is not UNSET:
                seconds = base_s + t
                if not _RELATIVE_BELOW_S <= seconds < _PLAIN_BELOW_S:
                    return False
                ts_ms = round(seconds * 1e6) // 1000
            source_id, shown_name, unit, quantity, factor, offset = target
            if quantity is None or unit in _FLOWS:
                return False
            found.add(source_id, quantity, v * factor + offset, ts_ms, shown_name)
        return True

    def _read_any(self, message: Message, found: Found) -> None:
        records = records_of(message.payload)
        for record in records:
            if record.bver is not UNSET:
                _check_version(record.bver)
        topic = message.topic
        base_name, base_unit, base_s, base_value, base_sum = "", None, 0.0, 0.0, 0.0
        bare_ms: int | None = None
        ts_ms: int | None
        is_bare_known = False
        known = self._of_base(topic, base_name)
        for bn, bt, bu, bv, bs, _, n, u, v, vs, vb, sum_, t in map(members, records):
            if bn is not UNSET or bt is not UNSET or bu is not UNSET or bv is not UNSET or bs is not UNSET:
                try:
                    base_name = base_name if bn is UNSET else _text(bn, "bn")
                    base_unit = base_unit if bu is UNSET else _text(bu, "bu") or None
                    base_s = base_s if bt is UNSET else _figure(bt, "bt")
                    base_value = base_value if bv is UNSET else _figure(bv, "bv")
                    base_sum = base_sum if bs is UNSET else _figure(bs, "bs")
                except UnreadableError as error:
                    found.reject(error.reason, f"{error.detail}; what comes after it is lost")
                    return
                is_bare_known = False
                known = known if bn is UNSET else self._of_base(topic, base_name)
            if v is UNSET and vs is UNSET and vb is UNSET and sum_ is UNSET and (bs is UNSET or n is UNSET):
                continue  # base values for others, or data
            try:
                name = n if type(n) is str else "" if n is UNSET else _text(n, "n")
                unit = base_unit if u is UNSET else _text(u, "u") or base_unit
                key = name, unit
                target = known[key] if key in known else self._remember(topic, base_name, _text(name, "n"), unit)
                if target is None:
                    continue
                if t is not UNSET:
                    seconds = base_s + (t if type(t) is float else _figure(t, "t"))
                    if _RELATIVE_BELOW_S <= seconds < _PLAIN_BELOW_S:  # as epoch_ms has it, without asking what it is
                        ts_ms = round(seconds * 1e6) // 1000
                    else:
                        ts_ms = _ms(seconds, message)
                else:
                    if not is_bare_known:
                        bare_ms, is_bare_known = _ms(base_s, message), True
                    ts_ms = bare_ms
            except UnreadableError as error:
                found.reject(error.reason, error.detail)
                continue
            source_id, shown_name, unit, quantity, factor, offset = target
            if quantity is not None and type(v) is float:
                value = (v + base_value) * factor + offset
                if value == value:
                    found.add(source_id, quantity, value, ts_ms, shown_name)
                else:
                    found.ignore("no_value")
            elif v is not UNSET and unit not in _FLOWS:
                self._add(found, target, v, base_value, ts_ms)
            elif vs is not UNSET or vb is not UNSET:
                self._names.add(found, source_id, shown_name, vb if vs is UNSET else vs, ts_ms, unit)
            if sum_ is not UNSET or (bs is not UNSET and v is UNSET and n is not UNSET):
                if v is not UNSET and quantity != "power_kw" and unit not in _FLOWS:
                    continue  # an integral of what is no rate
                self._add_sum(found, target, 0.0 if sum_ is UNSET else sum_, base_sum, ts_ms)

    def _add(self, found: Found, target: _Target, raw: object, base_value: float, ts_ms: int | None) -> None:
        """A value that is no float, or of a name that the usual names must judge."""
        source_id, name, unit, quantity, factor, offset = target
        if base_value and not isinstance(raw, bool):
            try:
                number = to_number(raw)
            except ValueError:
                number = None
            raw = raw if number is None else number + base_value
        if quantity is None or isinstance(raw, bool):
            self._names.add(found, source_id, name, raw, ts_ms, unit)
            return
        try:
            number = to_number(raw)
        except ValueError:
            found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is no number")
            return
        if number is None:
            found.ignore("no_value")
        else:
            found.add(source_id, quantity, number * factor + offset, ts_ms, name)

    def _add_sum(self, found: Found, target: _Target, raw: object, base_sum: float, ts_ms: int | None) -> None:
        """The integral of a power is energy: a register. Of an energy it is taken as that energy: it makes no other
        sense, and devices send it."""
        source_id, name, unit, quantity, factor, _ = target
        per_unit = factor
        if unit in _FLOWS:
            meaning = self._names.meaning(name, _FLOWS[unit])
            quantity, per_unit = (meaning.quantity, meaning.factor) if meaning else (None, 1.0)
        elif quantity == "power_kw":
            quantity = "register" if factor > 0 else "export_register"
            per_unit = abs(factor) / 3600
        if quantity is None or quantity in ("room_c", "setpoint_c"):
            return
        try:
            number = to_number(raw)
        except ValueError:
            found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is no number")
            return
        if number is None:
            found.ignore("no_value")
        else:
            found.add(source_id, quantity, (number + base_sum) * per_unit, ts_ms, name)

    def _of_base(self, topic: str, base_name: str) -> dict[tuple[str, str | None], _Target | None]:
        key = topic, base_name
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = {}
            self._count += 1
        if self._count >= _CACHED:
            self._known, self._count = {key: known}, 1
            known.clear()
        return known

    def _remember(self, topic: str, base_name: str, name: str, unit: str | None) -> _Target | None:
        known = self._of_base(topic, base_name)
        target = known[name, unit] = self._target(topic, base_name, name, unit)
        self._count += 1
        return target

    def _target(self, topic: str, base_name: str, name: str, unit: str | None) -> _Target | None:
        """What records of a name and a unit are; None: nothing for us."""
        whole = base_name + name
        head, last = _apart(whole)
        candidates = [(last, head)]
        if base_name and name:
            candidates.insert(0, (name, base_name.rstrip(_SEPARATORS)))
        if whole in self._fields:
            candidates.insert(0, (whole, whole))
        if lwm2m := _lwm2m(whole):
            device, resource, usual, resource_unit = lwm2m
            if resource not in self._fields:
                device = f"{topic}/{device}" if device[0].isdigit() else device
                return self._usual(device, usual, unit or resource_unit)
        for each, source_id in candidates:
            if len(each) <= _LONGEST_NAME and self._names.meaning(each, unit) is not None:
                return self._usual(source_id or topic, each, unit)
        measured = unit_of(unit) if unit else None
        if measured is None or not whole or not SAYS_OTHERWISE.isdisjoint(words_of(last).split("_")):
            return None
        if last in self._fields or name in self._fields:  # the installer ignores it
            return None
        quantity: Measured | None = "room_c" if unit == "Cel" else _OF_UNIT.get(measured.dimension)
        return None if quantity is None else _Target(whole, last, unit, quantity, measured.factor, measured.offset)

    def _usual(self, source_id: str, name: str, unit: str | None) -> _Target | None:
        meaning = self._names.meaning(name, unit)
        if meaning is None:
            return None
        if not meaning.is_unit_known and unit in _OTHER_UNITS and unit not in _FLOWS:
            return None
        if not meaning.is_unit_known or meaning.tariff or meaning.quantity in ("on", "mode"):
            return _Target(source_id, name, unit, None)
        return _Target(source_id, name, unit, meaning.quantity, meaning.factor, meaning.offset)


def _apart(whole: str) -> tuple[str, str]:
    """What stands before the last part of a name, and the last part."""
    whole = whole.rstrip(_SEPARATORS)
    cut = max(whole.rfind(separator) for separator in _BETWEEN_PARTS)
    return whole[: cut + 1].rstrip(_SEPARATORS), whole[cut + 1 :]


def _lwm2m(whole: str) -> tuple[str, str, str, str | None] | None:
    """Of an LwM2M path `…/object/instance/resource`: what stands before the resource, the resource, its usual name and
    its unit; None: it is none, or nothing for us."""
    parts = whole.rsplit("/", 3)
    if len(parts) < 3 or not all(part.isdecimal() for part in parts[-3:]):
        return None
    object_id, _, resource = parts[-3:]
    usual = _LWM2M_SENSORS.get(object_id) if resource == "5700" else _LWM2M.get(resource)
    return None if usual is None else (whole[: -len(resource) - 1].lstrip("/"), resource, *usual)


def _ms(seconds: float, message: Message) -> int | None:
    """A resolved time in UTC ms; None: it is the arrival. Raises BadTimeError."""
    if seconds >= _RELATIVE_BELOW_S:
        return epoch_ms(seconds)
    if not seconds > _EARLIEST_S:
        raise BadTimeError(f"{shown(seconds)} s is no time")
    if message.retain or not seconds:
        return None
    return message.received_ms + math.floor(seconds * 1000)


def _check_version(version: object) -> None:
    if isinstance(version, bool) or not isinstance(version, int | float):
        raise UnreadableError(f"bver: expected a number, found {shown(version)}")
    if version > _VERSION and version != _VERSION_SECONDARY_UNITS:
        raise UnreadableError(f"bver {shown(version)}: written for a later version of SenML", "unsupported_version")


def _text(raw: object, label: str) -> str:
    if not isinstance(raw, str):
        raise UnreadableError(f"{label}: expected a text, found {shown(raw)}")
    if len(raw) > _LONGEST:
        raise UnreadableError(f"{label}: {len(raw)} characters, expected at most {_LONGEST}")
    return raw


def _figure(raw: object, label: str) -> float:
    if isinstance(raw, float) or (isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < 1 << 64):
        return raw
    raise UnreadableError(
        f"{label}: expected a number, found {shown(raw)}", "bad_time" if label[-1] == "t" else "malformed"
    )
