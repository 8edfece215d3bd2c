"""The readings that every stage works on: a town of buildings, each device reporting once a minute.

Half of a building's devices are meters of its total, which report their register; half are air conditioners, which
report one of on, mode, set-point and room temperature in turn. One unit in twenty cools below the minimum, and one
building in twenty exceeds its peak limit. All readings come in order of time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from monitor.ingest.message import Message
from monitor.readings import MODE_NAMES, QUANTITY_NAMES, Quantity, ReadingColumns
from monitor.registry import AcRules, Building, Device, Policy, Registry, Source, Window

__all__ = ["CADENCE_MS", "DEVICES_PER_BUILDING", "MORNING_MS", "Town", "build_town", "messages", "payloads", "readings"]

CADENCE_MS = 60_000
DEVICES_PER_BUILDING = 10
MORNING_MS = 1_782_694_800_000
"""2026-06-29T01:00Z, a Monday, 08:00 in Vietnam: where stages begin that need no clock."""
_ZONE = "Asia/Ho_Chi_Minh"
_DAY_MIN = 1440
_AC_TURN = np.array([Quantity.ON, Quantity.MODE, Quantity.SETPOINT_C, Quantity.ROOM_C], np.int8)
_KWH_PER_ROUND = 0.083
"""Of one meter: 5 kW."""


class Town(NamedTuple):
    registry: Registry
    start_ms: int
    """Time of round 0 [UTC ms]."""
    is_ac: NDArray[np.bool_]
    """bool[devices]"""

    @classmethod
    def of(cls, registry: Registry, start_ms: int) -> Town:
        is_ac = np.array([device.kind == "ac" for device in registry.devices], np.bool_)
        return cls(registry, start_ms // CADENCE_MS * CADENCE_MS, is_ac)


def _policy(start_ms: int) -> Policy:
    """Two hours after the start peak hours begin; units may run from one hour before it for half a day. So the hour at
    which somebody starts the benchmark does not change what there is to do."""
    start = dt.datetime.fromtimestamp(start_ms / 1000, ZoneInfo(_ZONE))
    hour_min = start.hour * 60
    peak_min, allowed_min = (hour_min + 120) % _DAY_MIN, (hour_min - 60) % _DAY_MIN
    return Policy(
        "town",
        name="Town",
        windows=(Window("peak", peak_min, peak_min + 300),),
        ac=AcRules(cool_min_c=26.0, heat_max_c=20.0, allowed=(Window("", allowed_min, allowed_min + 720),)),
        sources=(Source("windows", "made up for measuring", verified=True),),
    )


def build_town(buildings: int, start_ms: int = MORNING_MS, *, per_building: int = DEVICES_PER_BUILDING) -> Town:
    """`buildings` of `per_building` devices each, behind one gateway for each ten buildings."""
    rows = [
        Building(
            f"B-{number:05}",
            _ZONE,
            "town",
            org=f"Province/District {number % 10}",
            peak_limit_kw=20.0 if number % 20 == 0 else 50.0,
            peak_budget_kwh=1000.0,
        )
        for number in range(buildings)
    ]
    devices = []
    for number, building in enumerate(rows):
        gateway = f"gw-{number // 10}"
        for place in range(per_building):
            if place < per_building // 2:
                devices.append(
                    Device(
                        f"M-{number:05}-{place}",
                        building.id,
                        "meter",
                        gateway=gateway,
                        max_rate=400.0,
                        cadence_s=60.0,
                        max_gap_s=240.0,
                    )
                )
            else:
                devices.append(
                    Device(
                        f"AC-{number:05}-{place}",
                        building.id,
                        "ac",
                        gateway=gateway,
                        item="",
                        cadence_s=60.0,
                        max_gap_s=240.0,
                    )
                )
    return Town.of(Registry.of(rows, devices, {"town": _policy(start_ms)}), start_ms)


def readings(town: Town, first_round: int, rounds: int) -> ReadingColumns:
    """One reading of each device for each round, in the order in which they would come: round by round.

    Devices report at a second of the minute of their own.
    """
    count = len(town.is_ac)
    device = np.tile(np.arange(count, dtype=np.int32), rounds)
    number = np.repeat(np.arange(first_round, first_round + rounds, dtype=np.int64), count)
    is_ac = town.is_ac[device]
    # Ten buildings share a gateway, which gathers its devices' readings at one moment.
    second = device // (10 * DEVICES_PER_BUILDING) % 60
    ts_ms = town.start_ms + number * CADENCE_MS + second * 1000
    turn = _AC_TURN[number % len(_AC_TURN)]
    quantity = np.where(is_ac, turn, np.int8(Quantity.REGISTER))
    # Irregular as what is measured, and the same whenever it is asked for; below one round's step, so that registers
    # never fall.
    unrest = (device.astype(np.int64) * 40_503 + number * 2_654_435_761) % 65_536 / 65_536
    register = np.round(10_000.0 + (number + 0.8 * unrest) * _KWH_PER_ROUND + device % 97, 3)
    setpoint = np.where(device % 40 == 19, 24.5, 26.0 + device % 3)
    ac_value = np.select(
        [turn == Quantity.ON, turn == Quantity.MODE, turn == Quantity.SETPOINT_C],
        [1.0, float(MODE_NAMES.index("cool")), setpoint],
        np.round(25.0 + 3 * unrest, 1),
    )
    return ReadingColumns.of(device, quantity, ts_ms, np.where(is_ac, ac_value, register))


def _value(quantity: int, value: float) -> str:
    if quantity == Quantity.MODE:
        return f'"{MODE_NAMES[int(value)]}"'
    return str(int(value)) if quantity == Quantity.ON else repr(value)


def payloads(registry: Registry, columns: ReadingColumns, per_message: int) -> Iterator[tuple[str, bytes]]:
    """Topic and payload of native messages with so many readings each; times alternate between ISO 8601 (one reading)
    and epoch ms (several). Readings of one message belong to one gateway if `per_message` divides its devices."""
    devices = registry.devices
    rows = zip(
        columns.device.tolist(), columns.quantity.tolist(), columns.ts_ms.tolist(), columns.value.tolist(), strict=True
    )
    if per_message == 1:
        times: dict[int, str] = {}
        for device, quantity, ts_ms, value in rows:
            if ts_ms not in times:
                times[ts_ms] = _iso(ts_ms)
            body = f'{{"ts": "{times[ts_ms]}", "{QUANTITY_NAMES[quantity]}": {_value(quantity, value)}}}'
            yield f"meters/{devices[device].gateway}/{devices[device].id}", body.encode()
        return
    topic, parts = "", []
    for device, quantity, ts_ms, value in rows:
        topic = topic or f"meters/{devices[device].gateway}/all"
        name = QUANTITY_NAMES[quantity]
        parts.append(f'{{"device": "{devices[device].id}", "ts": {ts_ms}, "{name}": {_value(quantity, value)}}}')
        if len(parts) == per_message:
            yield topic, f'{{"readings": [{", ".join(parts)}]}}'.encode()
            topic, parts = "", []
    if parts:
        yield topic, f'{{"readings": [{", ".join(parts)}]}}'.encode()


def messages(registry: Registry, columns: ReadingColumns, per_message: int) -> Sequence[Message]:
    """`payloads` as a link hands them on, arrived a second after the last reading."""
    received_ms = int(columns.ts_ms.max()) + 1000
    return [
        Message(topic, payload, False, received_ms, "bench")
        for topic, payload in payloads(registry, columns, per_message)
    ]


def _iso(ts_ms: int) -> str:
    return dt.datetime.fromtimestamp(ts_ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
