"""Tasmota's infrared bridge: what a remote control sent, or what the bridge was asked to send.

Messages `IrReceived` and `IRHVAC` of tasmota.github.io/docs/Tasmota-IR. A wish, and no state of the unit: it may not
have been in reach. It is a command therefore, unless the source says `wishes: true` because nothing better is to be
had. `Celsius` says the unit of `Temp`.
"""

from __future__ import annotations

from typing import Any

from monitor.decoders.formats.climate import Climate
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
        self._takes_wishes = options.more.get("wishes") is True
        self._clock = LocalClock(options.timezone, state)

    def read(self, message: Message, body: dict[str, Any], source_id: str, found: Found) -> None:
        received = body.get("IrReceived")
        wish = received.get("IRHVAC") if isinstance(received, dict) else body.get("IRHVAC")
        if isinstance(wish, dict) and self._takes_wishes:
            self._add(found, source_id, wish, self._ts_ms(body, source_id, message.received_ms, found))
        elif received is not None or wish is not None:
            found.ignore("command")
        else:
            found.ignore("status")

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
