"""DSMR P1: telegrams of Dutch, Belgian and other smart meters as they are, or what bridges make of them.

A telegram with a wrong checksum is rejected whole. The equipment identifier is the id, as it was sent (hexadecimal
digits); gas, water, heat and further electricity meters on the channels have their own id and time. Tariffs add up, so
it does not matter that tariff 1 is the low one in the Netherlands and the high one in Belgium. The letter behind a time
says summer (S) or winter (W): of Central Europe, or of the source's timezone where there is one. Times of versions 2
and 3 have no letter and need a timezone. For what bridges make of telegrams see `dsmr_bridges`.
"""

from __future__ import annotations

from monitor.decoders.formats.dsmr_bridges import Bridges
from monitor.decoders.formats.dsmr_lines import Channel, Number, Telegram
from monitor.decoders.formats.dsmr_shape import Shapes
from monitor.decoders.formats.dsmr_telegram import telegrams
from monitor.decoders.formats.p1_clock import P1Clock
from monitor.decoders.names import DIMENSIONS
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError
from monitor.decoders.units import UNITS, Unit, unit_of
from monitor.decoders.values import Found, Measured, UnreadableError
from monitor.ingest.message import Message

__all__ = ["DsmrP1"]

_LONGEST_ID = 128
_NEVER = b"63252525252", b"700101"
"""How meters write the time of a channel that has never been read."""
_UNITS: dict[bytes, Unit] = {unit.encode(): UNITS[unit] for unit in ("kWh", "Wh", "kW", "W", "m3", "GJ", "MJ", "MWh")}
_USUAL_UNITS: dict[Measured, bytes] = {
    "register": b"kWh",
    "export_register": b"kWh",
    "power_kw": b"kW",
    "gas_m3": b"m3",
    "water_m3": b"m3",
}
_KINDS: dict[bytes, Measured] = {
    b"2": "register",
    b"3": "gas_m3",
    b"4": "heat_kwh",
    b"6": "water_m3",
    b"7": "water_m3",
    b"12": "heat_kwh",
    b"13": "heat_kwh",
    b"21": "water_m3",
    b"22": "water_m3",
}
"""Device types of EN 13757-3 (0-n:24.1.0), in decimal. Those of heat also count cold in some houses."""
_GAS_CODES = "24.3.0", "24.2.3"
"""Of gas where the telegram names no device type: versions 2 and 3, and Belgium."""


_POWERS = ("import", 1.0), ("export", -1.0), ("net", 1.0)
_ENERGIES: tuple[Measured, ...] = ("register", "export_register")


class DsmrP1:
    """Format `dsmr_p1`. State: tariffs and meters' numbers that come in topics of their own, a local clock's order."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._clock = P1Clock(options, state)
        self._shapes = Shapes()
        self._bridges = Bridges(options, state, self._clock, self._read_telegrams)

    def read(self, message: Message, found: Found) -> None:
        payload = message.payload
        if payload[:1] == b"/" or (b"{" not in payload[:200] and b"\n" in payload):
            self._read_telegrams(payload, message, found)
        else:
            self._bridges.read(message, found)

    def _read_telegrams(self, payload: bytes, message: Message, found: Found) -> None:
        wrong: UnreadableError | None = None
        number = 0
        for telegram in telegrams(payload, self._shapes):
            if isinstance(telegram, UnreadableError):
                wrong = telegram
                found.reject(telegram.reason, telegram.detail)
                continue
            number += 1
            self._take(telegram, message, found)
        if not number:
            raise wrong or UnreadableError("no telegram in it")

    def _take(self, telegram: Telegram, message: Message, found: Found) -> None:
        source_id = _id(telegram.number) or message.topic
        if telegram.totals or telegram.tariffs:
            try:
                ts_ms = self._clock.ms(telegram.time, source_id, message.received_ms, found) if telegram.time else None
            except BadTimeError as error:
                found.reject(error.reason, f"{shown(source_id)}: {error.detail}")
            else:
                _add_electricity(telegram, source_id, ts_ms, found)
        for key, channel in telegram.channels.items():
            self._add_channel(f"{source_id}/{key}", channel, message, found)
        if not (telegram.totals or telegram.tariffs or telegram.channels):
            found.ignore("no_reading")

    def _add_channel(self, of_place: str, channel: Channel, message: Message, found: Found) -> None:
        reading = channel.reading
        if reading is None:
            return
        code, number, _ = reading
        if number is None or channel.time.startswith(_NEVER):
            found.ignore("no_value")
            return
        quantity = _KINDS.get(channel.kind)
        if quantity is None and not channel.kind and code.endswith(_GAS_CODES):
            quantity = "gas_m3"
        if quantity is None:
            found.ignore("unknown_media")
            return
        source_id = _id(channel.number) or of_place
        try:
            ts_ms = self._clock.ms(channel.time, source_id, message.received_ms, found) if channel.time else None
        except BadTimeError as error:
            found.reject(error.reason, f"{shown(source_id)} {code}: {error.detail}")
            return
        value = _in_unit(reading, quantity, source_id, found)
        if value is not None:
            found.add(source_id, quantity, value, ts_ms, code)


def _id(raw: bytes) -> str:
    if len(raw) > _LONGEST_ID:
        return ""
    return raw.decode() if raw.isascii() else raw.decode("ascii", "replace")  # UTF-8's decoder is the quicker one


def _in_unit(number: Number, quantity: Measured, source_id: str, found: Found) -> float | None:
    code, value, raw_unit = number
    if value is not None and value == value and _USUAL_UNITS.get(quantity) == raw_unit:
        return value
    if value is None:
        found.ignore("no_value")
        return None
    if value != value:
        found.reject("bad_value", f"{shown(source_id)} {code}: no number")
        return None
    unit = _UNITS.get(raw_unit) or unit_of(shown(raw_unit))
    if unit is None or unit.dimension != DIMENSIONS[quantity]:
        found.reject("unknown_unit", f"{shown(source_id)} {code}: {value!r} with unit {shown(raw_unit)}")
        return None
    return value * unit.factor


def _add_electricity(telegram: Telegram, source_id: str, ts_ms: int | None, found: Found) -> None:
    totals = telegram.totals
    for measured in _ENERGIES:
        total = totals.get(measured)
        value = None if total is None else _in_unit(total, measured, source_id, found)
        if total is not None and value is not None:
            found.add(source_id, measured, value, ts_ms, total[0])
            continue
        tariffs = telegram.tariffs.get(measured)
        if not tariffs:
            continue
        parts: dict[str, float] = {}
        for part, number in tariffs.items():
            _, energy_kwh, unit = number
            if unit != b"kWh" or energy_kwh is None or energy_kwh != energy_kwh:
                energy_kwh = _in_unit(number, measured, source_id, found)
            if energy_kwh is not None:
                parts[part] = energy_kwh
        # Whole telegrams need no memory of their tariffs; one with a single register may be one of several.
        if len(parts) < len(tariffs):  # the sum of the others would look like a register set back
            found.ignore("partial")
        elif len(parts) > 1:
            found.add(source_id, measured, sum(parts.values()), ts_ms, next(iter(tariffs.values()))[0])
        else:
            for part, energy_kwh in parts.items():
                found.add_part(source_id, measured, part, energy_kwh, ts_ms, tariffs[part][0])
    _add_power(totals, source_id, ts_ms, found)


def _add_power(totals: dict[str, Number], source_id: str, ts_ms: int | None, found: Found) -> None:
    """Import minus export; net power where the meter has nothing else."""
    power_kw: float | None = None
    code = ""
    for name, sign in _POWERS:
        if name not in totals or (code and name == "net"):
            continue
        number = totals[name]
        of_name, value, unit = number
        if unit != b"kW" or value is None or value != value:  # the usual unit without a call: 0.2 µs each
            value = _in_unit(number, "power_kw", source_id, found)
        if value is None:
            return
        power_kw = sign * value + (power_kw or 0.0)
        code = code or of_name
    if power_kw is not None:
        found.add(source_id, "power_kw", power_kw, ts_ms, code)
