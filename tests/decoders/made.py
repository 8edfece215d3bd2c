"""A registry with gateways, and messages, for the tests of decoders and ingest."""

from __future__ import annotations

import numpy as np

from monitor.ingest.message import Message
from monitor.registry import Building, Device, Policy, Registry

ARRIVAL_MS = 1_782_638_200_000
"""2026-06-28T09:16:40Z."""

DEVICES = (
    Device("M-1", "B-1", "meter", gateway="gw-1"),
    Device("M-2", "B-1", "meter", gateway="gw-1", source="power"),
    Device("AC-01", "B-1", "ac", gateway="gw-1", item=""),
    Device("AC-02", "B-1", "ac", item=""),
    Device("Đồng hồ/2", "B-1", "meter", gateway="gw-1"),
    Device("M-9", "B-1", "meter", gateway="gw-2"),
)


def registry(devices: tuple[Device, ...] = DEVICES) -> Registry:
    """All in one building."""
    count = len(devices)
    return Registry(
        buildings=(Building("B-1", "UTC", "p"),),
        devices=devices,
        policies={"p": Policy("p")},
        items=(),
        device_row={device.id: row for row, device in enumerate(devices)},
        building_row={"B-1": 0},
        device_building=np.zeros(count, np.int32),
        device_start=np.array([0, count], np.int32),
        item_start=np.array([0, 0], np.int32),
        period_names=("normal",),
    )


def message(
    payload: bytes | str, topic: str = "meters/gw-1/M-1", *, retain: bool = False, token: object = None
) -> Message:
    data = payload.encode() if isinstance(payload, str) else payload
    return Message(topic, data, retain, ARRIVAL_MS, "test", token)
