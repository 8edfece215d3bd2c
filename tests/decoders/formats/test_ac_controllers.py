"""What fixtures cannot say of the controllers of air conditioners."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.decoders.formats import FORMATS
from monitor.decoders.formats.ac_controllers import AcControllers
from monitor.decoders.formats.ha_discovery import path_of
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

RECEIVED_MS = 1_782_638_100_000


def read(topic: str, payload: bytes, options: Options | None = None) -> Found:
    state = SourceState()
    found = Found(state)
    AcControllers(options or Options(), state).read(Message(topic, payload, False, RECEIVED_MS, "main"), found)
    found.end_message()
    return found


def values(found: Found) -> list[tuple[str, float]]:
    return [(value.quantity, value.value) for value in found.values]


@pytest.mark.parametrize(
    ("word", "mode"),
    [("cool", 1), ("heat", 2), ("dry", 3), ("fan", 4), ("auto", 5), ("off", 0), ("C", 1), ("H", 2), ("D", 3), ("F", 4),
     ("A", 5), ("fan_only", 4), ("heat_cool", 5)],
)  # fmt: skip
def test_every_mode_of_faikin(word: str, mode: int) -> None:
    found = read("state/host", json.dumps({"mode": word}).encode())
    assert values(found) == [("mode", mode)]


@pytest.mark.parametrize("tail", ["", ', "x": NaN', ', "x": "\\ud800"', ', "x": [1, {"y": Infinity}]'])
@pytest.mark.parametrize("topic", ["state/host", "state/host/status", "heatpump/hall/state"])
def test_what_is_no_json_elsewhere_changes_nothing_here(topic: str, tail: str) -> None:
    body = '{"power": true, "mode": "dry", "target": 22.5, "temp": 24, "temperature": 21, "home": 25%s}'
    plain = read(topic, (body % "").encode())
    odd = read(topic, (body % tail).encode())
    assert plain.values == odd.values
    assert len(plain.values) >= 3


@pytest.mark.parametrize("raw", [True, False, [], {}, [1], 10**400, 1e308, "1e999", "x" * 100_000, None, -1, ""])
@pytest.mark.parametrize("key", ["power", "mode", "target", "temp", "energy", "ts", "id", "online", "home"])
def test_a_value_of_any_type_leaves_its_neighbours(key: str, raw: Any) -> None:
    body = {"power": True, "mode": "cool", "target": 22.5, "temp": 24.0, key: raw}
    try:
        found = read("state/host", json.dumps(body).encode())
    except UnreadableError:
        assert key == "ts"
        return
    if key != "online":
        good = {("on", 1.0), ("mode", 1.0), ("setpoint_c", 22.5), ("room_c", 24.0)}
        lost = {"power": "on", "mode": "mode", "target": "setpoint_c", "temp": "room_c"}.get(key)
        assert {each for each in good if each[0] != lost} <= set(values(found))


def test_a_faikin_that_comes_again_bears_the_id_that_its_host_has_told_since() -> None:
    state = SourceState()
    found = Found(state)
    reader = AcControllers(Options(), state)
    body = {"ts": "2026-06-28T09:14:00Z", "energy": 1500, "power": True}
    for each in (body, body | {"id": "A0B1C2"}, body):
        reader.read(Message("state/hall", json.dumps(each).encode(), False, RECEIVED_MS, "main"), found)
    first, *others = [value for value in found.values if value.quantity == "register"]
    assert first.source_id == "hall"
    assert others == [replace(first, source_id="A0B1C2")] * 2


def test_a_unit_may_be_called_as_a_heat_pumps_group() -> None:
    assert values(read("mitsubishi2mqtt/main/state", b'{"roomTemperature": 21}')) == [("room_c", 21.0)]
    assert values(read("gree/main/mode/get", b"cool")) == [("mode", 1.0)]
    assert values(read("home/main/Power", b"On")) == [("on", 1.0)]


def test_one_broken_topic_too_many_is_forgotten() -> None:
    state = SourceState()
    found = Found(state)
    reader = AcControllers(Options(), state)
    for number in range(5000):
        reader.read(Message(f"gree/{number}/power/get", b"1", False, RECEIVED_MS, "main"), found)
    assert len(found.values) == 5000
    assert len(reader._readers) <= 2000


def test_options_are_checked() -> None:
    check = FORMATS["ac_controllers"].check
    assert check({"wishes": True, "temperature_unit": "F"}) == []
    assert [key for key, _ in check({"wishes": "yes", "temperature_unit": "K", "else": 1})] == [
        "wishes",
        "temperature_unit",
        "else",
    ]
    check = FORMATS["homie"].check
    assert check({"root": "a/b"}) == []
    for wrong in ({"root": ""}, {"root": "/"}, {"root": 5}, {"root": "a/#"}, {"other": 1}):
        assert len(check(wrong)) == 1


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (None, []),
        ("{{ value }}", []),
        ("{{ value | float }}", []),
        ("{{ value_json.mode }}", ["mode"]),
        ("{{value_json.a.b|round(1)}}", ["a", "b"]),
        ("{{ value_json['set point'][\"x\"] | float(0) | int }}", ["set point", "x"]),
        ("{{ value_json.mode | default('off') }}", ["mode"]),
        ("{{ value_json.temp / 10 }}", None),
        ("{% if value_json.on %}cool{% endif %}", None),
        ("{{ value_json.a.b.c.d.e }}", None),
        ("{{ value_json.t if value_json.t is defined else value_json.u }}", ["t"]),
        ("{{ value_json.t if value_json.t > 0 else 21 }}", ["t"]),
        ("{{ value_json.t if value_json.t > 0 else value_json.u }}", None),
        (7, None),
        ("{{" + " " * 10_000, None),
        ("{{ value" + " | int  " * 45 + "x", None),
    ],
)
def test_templates(template: object, path: list[str] | None) -> None:
    assert path_of(template) == path
