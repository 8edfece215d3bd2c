"""Tasmota at an air conditioner: its infrared bridge, and its driver for Mitsubishi Electric's CN105 (`miel_hvac`).

Messages `IrReceived` and `IRHVAC` of tasmota.github.io/docs/Tasmota-IR. A wish, and no state of the unit: it may not
have been in reach. It is a command therefore, unless the source says `wishes: true` because nothing better is to be
had: what a remote control sent, or what the bridge was asked to send. `Celsius` says the unit of `Temp`.
"""

from __future__ import annotations

from typing import Any

from monitor.decoders.formats import miel_hvac
from monitor.decoders.formats.climate import Climate
from monitor.decoders.formats.plug_values import add_number
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, LocalClock, parse_iso
from monitor.decoders.values import Found
from monitor.decoders.words import switch_value
from monitor.ingest.message import Message

__all__ = ["PREFIXES", "TasmotaIr"]

PREFIXES = frozenset({"tele", "stat", "cmnd"})
"""Levels that say who speaks, wherever the installer's full topic puts them."""


class TasmotaIr:
    def __init__(self, options: Options, climate: Climate, state: SourceState) -> None:
        self._climate = climate
        self._modes = options.modes
        self._takes_wishes = options.more.get("wishes") is True
        self._clock = LocalClock(options.timezone, state)

    def read(self, message: Message, body: dict[str, Any], source_id: str, found: Found) -> None:
        received = body.get("IrReceived")
        wish = received.get("IRHVAC") if isinstance(received, dict) else body.get("IRHVAC")
        if isinstance(wish, dict) and self._takes_wishes:
            self._add(found, source_id, wish, self._ts_ms(body, source_id, message.received_ms, found))
        elif received is not None or wish is not None:
            found.ignore("command")
        elif isinstance(body.get(miel_hvac.SECTION), dict):
            self._add_sensor(found, source_id, body, self._ts_ms(body, source_id, message.received_ms, found))
        else:
            found.ignore("status")

    def _add_sensor(self, found: Found, source_id: str, body: dict[str, Any], ts_ms: int | None) -> None:
        miel_hvac.add_unit(found, source_id, body[miel_hvac.SECTION], ts_ms, self._modes, body.get("TempUnit"))
        energy = body.get("ENERGY")
        if isinstance(energy, dict):
            if "Total" in energy:
                add_number(found, source_id, "register", energy["Total"], 1.0, ts_ms, "Total")
            if "Power" in energy:
                add_number(found, source_id, "power_kw", energy["Power"], 1000.0, ts_ms, "Power")

    def _ts_ms(self, body: dict[str, Any], source_id: str, received_ms: int, found: Found) -> int | None:
        raw = body.get("Time")
        if raw is None:
            return None
        if not isinstance(raw, str):
            raise BadTimeError(f"{shown(raw)} is no time")
        return self._clock.ms(parse_iso(raw), source_id, received_ms, found)

    def _add(self, found: Found, source_id: str, wish: dict[str, Any], ts_ms: int | None) -> None:
        if "Power" in wish:
            self._climate.add(found, source_id, "on", wish["Power"], ts_ms, "Power")
        if "Mode" in wish:
            self._climate.add(found, source_id, "mode", wish["Mode"], ts_ms, "Mode")
        if "Temp" in wish:
            is_fahrenheit = switch_value(wish.get("Celsius", True)) == 0.0
            self._climate.add(found, source_id, "setpoint_c", wish["Temp"], ts_ms, "Temp", is_fahrenheit=is_fahrenheit)
