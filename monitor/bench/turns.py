"""What the bench's made-up messages have in common: which device, which minute, which values."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from zoneinfo import ZoneInfo

from monitor.bench.workload import MORNING_MS
from monitor.decoders.options import Options
from monitor.ingest.message import Message

__all__ = ["ZONE", "Shape", "Turn", "as_json", "as_message", "utc_text"]

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
_MINUTE_MS = 60_000


class Turn(NamedTuple):
    """One device's message of one minute."""

    device: int
    round: int

    @property
    def ms(self) -> int:
        return MORNING_MS + self.round * _MINUTE_MS + self.device * 37

    @property
    def utc(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.ms / 1000, dt.UTC)

    @property
    def local(self) -> dt.datetime:
        return self.utc.astimezone(ZONE)

    @property
    def kwh(self) -> float:
        return round(1000.0 * self.device + 0.083 * self.round + 0.117, 3)

    @property
    def watt(self) -> float:
        return round(400 + (self.device * 7919 + self.round * 104_729) % 50_000 / 10, 1)

    @property
    def degrees(self) -> float:
        return round(22 + (self.device * 31 + self.round) % 60 / 10, 1)

    def hexadecimal(self, digits: int) -> str:
        """The device's number as part of an address."""
        return f"{0xA1B2C3D4E5F60000 + self.device:x}"[-digits:]


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of message of a format."""

    format: str
    name: str
    make: Callable[[Turn], tuple[str, bytes]]
    """Topic and payload."""
    options: Options = field(default_factory=Options)
    before: Callable[[int], Iterator[tuple[str, bytes]]] | None = None
    """What a device says once before all else: births, descriptions, units."""


def as_message(topic: str, payload: bytes, ms: int) -> Message:
    """As a link hands it on, half a second after its time."""
    return Message(topic, payload, False, ms + 500, "bench")


def as_json(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def utc_text(moment: dt.datetime, digits: str = "") -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + digits + "Z"
