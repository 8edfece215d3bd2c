"""What gateways put on the wire: the native format as different makes write it, and things that are wrong."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from monitor.readings import MODE_NAMES
from monitor.registry import Registry
from monitor.simulate.seeds import generator
from monitor.simulate.stream import Reading
from monitor.simulate.tables import format_ts

__all__ = ["BATCH_LEVEL", "REASON_BY_KIND", "Style", "bad_message", "dump", "encode", "style_of"]

BATCH_LEVEL = "batch"
"""Stands in the topic where a message of several devices names none."""
_TOO_LARGE_BYTES = 300_000
_NESTING = 20_000
_FIVE_YEARS_MS = 5 * 365 * 86_400_000

REASON_BY_KIND: dict[str, str] = {
    "not_json": "malformed",
    "truncated": "malformed",
    "nan": "malformed",
    "nesting": "malformed",
    "invalid_utf8": "malformed",
    "too_large": "payload_too_large",
    "wrong_type": "bad_value",
    "unknown_device": "unknown_device",
    "foreign_device": "foreign_device",
    "unknown_quantity": "unknown_quantity",
    "far_future": "bad_time",
}
"""Kinds of bad message, and the reason under which each belongs in quarantine, once."""


class Style(NamedTuple):
    """How a make of gateway writes. times: iso, iso_local or epoch_ms."""

    batches: bool
    times: str
    mode_names: bool


def style_of(seed: int, gateway: str) -> Style:
    rng = generator(seed, "style", gateway)
    times = ("iso", "iso_local", "epoch_ms")[int(rng.integers(0, 3))]
    return Style(bool(rng.random() < 0.5), times, bool(rng.random() < 0.5))


def dump(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _ts(ts_ms: int, style: Style) -> str | int:
    if style.times == "epoch_ms":
        return ts_ms
    if style.times == "iso":
        return format_ts(ts_ms)
    local = dt.datetime.fromtimestamp(ts_ms // 1000, dt.timezone(dt.timedelta(hours=7)))
    return local.replace(microsecond=ts_ms % 1000 * 1000).isoformat(timespec="milliseconds")


def _set(readings: Sequence[Reading], style: Style) -> dict[str, Any]:
    """One set: readings of one device with one ts."""
    body: dict[str, Any] = {"ts": _ts(readings[0].ts_ms, style)}
    for reading in readings:
        value: float | int | str = reading.value
        if reading.quantity == "mode":
            value = MODE_NAMES[int(reading.value)] if style.mode_names else int(reading.value)
        elif reading.quantity == "on":
            value = int(reading.value)
        body[reading.quantity] = value
    return body


def encode(gateway: str, sets: Sequence[Sequence[Reading]], style: Style) -> tuple[str, bytes]:
    """Topic and payload of one message. A single set of a device that can be a topic level goes to its own topic."""
    device = sets[0][0].device
    if len(sets) == 1 and not style.batches and not set(device) & set("/+#\0"):
        return f"meters/{gateway}/{device}", dump(_set(sets[0], style))
    bodies = [{"device": own[0].device, **_set(own, style)} for own in sets]
    return f"meters/{gateway}/{BATCH_LEVEL}", dump({"readings": bodies})


def _body(registry: Registry, device: str, ts_ms: int, value: object) -> dict[str, object]:
    is_ac = registry.devices[registry.device_row[device]].kind == "ac"
    return {"device": device, "ts": ts_ms, "setpoint_c" if is_ac else "register": value}


def bad_message(
    registry: Registry,
    devices_by_gateway: Mapping[str, Sequence[str]],
    gateway: str,
    ts_ms: int,
    rng: np.random.Generator,
) -> tuple[str, str, bytes]:
    """(kind, topic, payload) of a message without one good reading, and with exactly one entry for quarantine."""
    kinds = list(REASON_BY_KIND)
    # The large one is rare: at a few per cent of all messages it would be most of the traffic.
    weights = np.array([0.1 if kind in ("too_large", "nesting") else 1.0 for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    own = devices_by_gateway[gateway]
    device = own[int(rng.integers(0, len(own)))]
    body = _body(registry, device, ts_ms, round(float(rng.uniform(16.0, 30.0)), 1))
    topic = f"meters/{gateway}/{BATCH_LEVEL}"
    if kind == "foreign_device":
        # Only a device that is registered to a gateway of its own is foreign to the others.
        others = [
            other
            for name, theirs in devices_by_gateway.items()
            for other in theirs
            if name != gateway and registry.devices[registry.device_row[other]].gateway
        ]
        if others:
            body["device"] = others[int(rng.integers(0, len(others)))]
            body = _body(registry, str(body["device"]), ts_ms, 21.5)
        else:
            kind = "unknown_device"
    if kind == "unknown_device":
        return kind, topic, dump(body | {"device": f"{device}-unregistered"})
    if kind == "foreign_device":
        return kind, topic, dump(body)
    if kind == "far_future":
        return kind, topic, dump(body | {"ts": ts_ms + _FIVE_YEARS_MS})
    if kind == "unknown_quantity":
        return kind, topic, dump({"device": device, "ts": ts_ms, "humidity": 61.0})
    if kind == "wrong_type":
        wrong: tuple[object, ...] = ("broken", [21.5], {"value": 21.5}, None)
        return kind, topic, dump(_body(registry, device, ts_ms, wrong[int(rng.integers(0, len(wrong)))]))
    good = dump(body)
    broken = {
        "not_json": b"ERR 0x1F sensor bus timeout",
        "truncated": good[: int(rng.integers(1, len(good) - 1))],
        "nan": good.replace(good.rsplit(b":", 1)[1], b"NaN}"),
        "nesting": b'{"readings":' + b"[" * _NESTING + b"]" * _NESTING + b"}",
        "invalid_utf8": good.replace(b'"ts"', b'"\xff\xfe"'),
        "too_large": good[:-1] + b',"pad":"' + b"x" * _TOO_LARGE_BYTES + b'"}',
    }
    return kind, topic, broken[kind]
