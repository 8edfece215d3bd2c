"""Plain objects of usual names."""

from __future__ import annotations

import json
import random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from monitor.decoders.formats.plain_values import PlainValues, as_id
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError
from monitor.decoders.values import Found
from monitor.ingest.message import Message

MESSAGE = Message("a/b", b"", False, 1_782_638_100_000, "main")


def read(body: dict[str, Any], plain: PlainValues | None = None) -> tuple[list[tuple[Any, ...]], list[str]]:
    found = Found(SourceState())
    (plain or PlainValues(Options(), SourceState())).read_body(MESSAGE, found, body, "a/b")
    found.end_message()
    values: list[tuple[Any, ...]] = [(value.source_id, value.quantity, round(value.value, 9)) for value in found.values]
    return values, [each.reason for each in found.rejected] + found.ignored


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"energy": 5, "energy_unit": "Wh"}, [("register", 0.005)]),
        ({"energy": 5, "unit": "MWh"}, [("register", 5000)]),
        ({"energy": 5, "power": 3, "unit": "kWh", "powerUnit": "W"}, [("register", 5), ("power_kw", 0.003)]),
        ({"energy_kwh": 5, "temperature": 20, "unit": "kWh"}, [("register", 5), ("room_c", 20)]),
        ({"energy": {"import": 5, "export": 2, "unit": "kWh"}}, [("register", 5), ("export_register", 2)]),
        ({"energy": {"value": {"import": 5, "total": 6}, "unit": "kWh"}}, [("register", 5), ("register", 6)]),
        ({"data": {"telemetry": {"kwh": 5}}}, [("register", 5)]),
        ({"l1": {"power_w": 5}, "today": {"energy_kwh": 3}}, []),
        ({"power_import_w": 500, "power_export_w": 200}, [("power_kw", 0.3)]),
        ({"power_w": 300, "power_import_w": 300, "power_export_w": 0}, [("power_kw", 0.3)]),
        ({"power_export_w": 200}, [("power_kw", -0.2)]),
        ({"energy_t1_kwh": 5, "energy_t2_kwh": 6}, [("register", 11)]),
        ({"energy": {"value": 1, "unit": "kWh", "a": {"value": 2}}}, [("register", 1)]),
    ],
)
def test_units_and_objects(body: dict[str, Any], expected: list[tuple[str, float]]) -> None:
    assert read(body)[0] == [("a/b", *each) for each in expected]


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ({"energy": 5}, ["unknown_unit"]),
        ({"energy": 5, "unit": "°C"}, ["unknown_unit"]),
        ({"energy": 5, "unit": 7}, ["unknown_unit"]),
        ({"kwh": 5, "ts": "soon"}, ["bad_time"]),
        ({"kwh": {"value": 5, "time": []}}, ["bad_time"]),
        ({"kwh": True, "room_temp": [1], "on": {}}, ["bad_value", "bad_value"]),
        ({"kwh": None, "room_temp": "NaN"}, ["no_value", "no_value"]),
        ({"kwh": float("nan")}, ["no_value"]),
    ],
)
def test_what_is_wrong(body: dict[str, Any], reasons: list[str]) -> None:
    assert read(body) == ([], reasons)


@pytest.mark.parametrize(
    ("body", "source_id"),
    [
        ({"deviceId": "m7", "id": 3}, "m7"),
        ({"id": 12}, "12"),
        ({"device": {"x": 1}}, "a/b"),
        ({"sn": ""}, "a/b"),
        ({"sn": "x" * 201}, "a/b"),
        ({"sn": True}, "a/b"),
    ],
)
def test_ids(body: dict[str, Any], source_id: str) -> None:
    assert read({**body, "kwh": 1})[0] == [(source_id, "register", 1)]
    assert as_id("\ud800") is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (1_782_637_200, 1_782_637_200_000),
        (1_782_637_200_123, 1_782_637_200_123),
        (1_782_637_200.5, 1_782_637_200_500),
        ("1782637200123", 1_782_637_200_123),
        ("1782637200.5", 1_782_637_200_500),
        ("20260628160000", 1_782_637_200_000),
        ("20260628160000123", 1_782_637_200_123),
        ("2026-06-28 16:00:00", 1_782_637_200_000),
        ("2026/06/28 16:00:00", 1_782_637_200_000),
        ("2026-06-28T09:00:00Z", 1_782_637_200_000),
        ("", None),
        (None, None),
    ],
)
def test_times(raw: object, expected: int | None) -> None:
    plain = PlainValues(Options(timezone=ZoneInfo("Asia/Ho_Chi_Minh")), SourceState())
    assert plain.time_ms(MESSAGE, Found(SourceState()), raw, "m") == expected


@pytest.mark.parametrize("zone", ["Europe/Paris", "Australia/Lord_Howe"])
@pytest.mark.parametrize("minute", ["202606281600", "202510250159", "202510260230", "202603290230", "202610041430"])
def test_a_known_minute_reads_as_a_new_one(minute: str, zone: str) -> None:
    options = Options(timezone=ZoneInfo(zone))
    known = PlainValues(options, SourceState())
    for rest in ("00", "07", "59", "00000", "59999", "60", "61000", "5٩", "5x", "-1", " 5", "5.123", "²0", "00"):
        told = []
        for plain in (known, PlainValues(options, SourceState())):
            found = Found(SourceState())
            try:
                ms = plain.time_ms(MESSAGE, found, minute + rest, rest)
            except BadTimeError as error:
                ms = None
                found.reject(error.reason, error.detail)
            told.append((ms, found.rejected, found.flagged))
        assert told[0] == told[1], rest


@pytest.mark.parametrize(
    "raw",
    [
        True,
        [],
        {},
        "x",
        "20261340000000",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59",
        10**30,
        10**4000,
        "9" * 19,
        "9" * 41,
        1e40,
    ],
)
def test_times_that_are_none(raw: object) -> None:
    plain = PlainValues(Options(timezone=ZoneInfo("Asia/Ho_Chi_Minh")), SourceState())
    with pytest.raises(BadTimeError):
        plain.time_ms(MESSAGE, Found(SourceState()), raw, "m")


def test_a_local_time_without_a_zone_is_not_guessed() -> None:
    with pytest.raises(BadTimeError) as caught:
        PlainValues(Options(), SourceState()).time_ms(MESSAGE, Found(SourceState()), "2026-06-28 16:00:00", "m")
    assert caught.value.reason == "no_timezone"


def test_a_known_shape_reads_as_a_new_one() -> None:
    rng = random.Random(8)
    plain = PlainValues(Options(), SourceState())
    values = [1, 2.5, "3", "x", None, True, {"value": 4, "unit": "kWh"}, {"import": 1, "unit": "Wh"}, [], 10**400]
    keys = ["energy", "energy_unit", "power_w", "power_export_w", "unit", "temperature", "on", "mode", "data", "ts"]
    for _ in range(500):
        body = {key: rng.choice(values) for key in rng.sample(keys, rng.randrange(8))}
        assert read(body, plain) == read(body)


def test_memory_and_depth_are_bounded() -> None:
    plain = PlainValues(Options(timezone=ZoneInfo("Europe/Paris")), SourceState())
    for number in range(3000):
        read({f"k{number}": {f"j{number}": 1}}, plain)
    assert len(plain._plans) <= 500
    assert len(plain._nested_plans) <= 500
    for number in range(3000):
        plain.time_ms(MESSAGE, Found(SourceState()), f"20260628{number // 60 % 24:02}{number % 60:02}07", "m")
        plain.time_ms(MESSAGE, Found(SourceState()), f"20260629{number // 60 % 24:02}{number % 60:02}07", "m")
    assert len(plain._minutes) <= 1000
    read({"x" * 1_000_000: 1, "y": {"z" * 1_000_000: 2}}, plain)
    assert sum(len(key) for shape in plain._plans for key in shape) < 2_000_000
    deep: Any = 1
    for _ in range(300):
        deep = {"data": {"energy": deep}}
    assert read(json.loads(json.dumps(deep)), plain) == ([], [])


@pytest.mark.parametrize(("key", "expected"), [("meterNo", "7"), ("sn", "7"), ("mac", "C"), ("id", "C")])
def test_a_device_code_comes_behind_the_number_of_a_meter(key: str, expected: str) -> None:
    assert read({"deviceCode": "C", key: "7", "energy_kwh": 5})[0] == [(expected, "register", 5.0)]
