"""Bridges with one text value a topic: Gree's units (gree-hvac-mqtt-bridge) and Mitsubishi Heavy's (MHI-AC-Ctrl).

Topics of Gree's: `<prefix>/<name>/get`, written by `<prefix>/<name>/set`; its `temperature` is the set-point, its mode
is `off` (`none` before) while the unit is switched off (README of github.com/arthurkrupa/gree-hvac-mqtt-bridge). Topics
of the other: `<prefix>/<name>`, written by `<prefix>/set/<name>` (`MQTT.md` of github.com/absalom-muc/MHI-AC-Ctrl).
"""

from __future__ import annotations

from monitor.decoders.formats.climate import Climate, Role
from monitor.decoders.options import Options
from monitor.decoders.payloads import text_of
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found
from monitor.ingest.message import Message

__all__ = ["MHI", "Gree"]

MHI: dict[str, Role] = {"Power": "on", "Mode": "mode", "Tsetpoint": "setpoint_c", "Troom": "room_c"}
"""Last level of a topic of MHI-AC-Ctrl → what it is."""


class Gree:
    def __init__(self, options: Options, state: SourceState) -> None:
        self._climate = Climate(options, state, {"none": 0})

    def read(self, message: Message, source_id: str, name: str, found: Found) -> None:
        role = MHI.get(name) or self._climate.role(name)
        if role is not None:
            self._climate.add(found, source_id, role, text_of(message.payload), None, name)
