"""What cases cannot say of the wmbusmeters format: every name has one meaning, and what is remembered stays bounded."""

from __future__ import annotations

import json
import random

import pytest

from monitor.decoders.formats.wmbusmeters import KINDS, Wmbusmeters
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

NO_REGISTERS = (
    "target_energy_kwh", "energy_at_set_date_kwh", "last_month_energy_consumption_kwh", "consumption_at_set_date_1_kwh",
    "previous_kwh", "current_kwh", "prev_1_month_kwh", "partial_energy_consumption_kwh", "last_year_kwh",
    "total_energy_consumption_l1_kwh", "target_m3", "total_at_date_m3", "last_month_total_m3", "due_date_m3",
    "consumption_at_history_1_m3", "total_backward_m3", "backflow_m3", "historic_m3", "max_power_consumption_kw",
    "max_power_kw", "reactive_consumption_kw", "apparent_consumption_kw", "average_temperature_1h_c",
    "total_volume_m3", "flow_temperature_c",
)  # fmt: skip


def read(body: object, state: SourceState | None = None, topic: str = "wmbusmeters/x") -> Found:
    state = state or SourceState()
    found = Found(state)
    Wmbusmeters(Options(), state).read(Message(topic, json.dumps(body).encode(), False, 1_782_638_100_000, ""), found)
    found.end_message()
    return found


def test_what_is_no_register_stands_in_no_table() -> None:
    for kind, roles in KINDS.items():
        assert not set(NO_REGISTERS) & roles.keys(), kind


@pytest.mark.parametrize(("unit", "factor"), [("kwh", 1), ("wh", 0.001), ("mwh", 1000), ("gj", 1000 / 3.6)])
def test_unit_is_the_end_of_the_name(unit: str, factor: float) -> None:
    found = read({"media": "heat", "id": "1", f"total_energy_consumption_{unit}": 2})
    assert found.values[0].value == pytest.approx(2 * factor)


def test_kilowatt_hours_come_before_other_units_whatever_the_order() -> None:
    for names in (["total_gj", "total_kwh"], ["total_kwh", "total_gj"]):
        found = read({"media": "heat", "id": "1", **{name: 5.0 if name == "total_kwh" else 0.018 for name in names}})
        assert [value.value for value in found.values] == [5.0]


def test_fahrenheit() -> None:
    assert read({"media": "room sensor", "id": "1", "temperature_f": 77}).values[0].value == pytest.approx(25)


def test_plans_are_bounded_and_the_same_when_made_anew() -> None:
    state = SourceState()
    reader = Wmbusmeters(Options(), state)
    rng = random.Random(7)
    for _ in range(2000):
        body = {"media": "water", "id": "1", f"k{rng.random()}": 1, "total_m3": 1.0}
        found = Found(state)
        reader.read(Message("a/b", json.dumps(body).encode(), False, 1_782_638_100_000, ""), found)
        assert [value.value for value in found.values] == [1.0]
    assert len(reader._plans) <= 500
    assert len(state) == 0


def test_a_name_of_the_same_shape_may_hold_anything() -> None:
    state = SourceState()
    for raw in (1.5, 2, "3", True, [1], {"a": 1}, None, "x" * 10_000, 10**400, float("inf"), float("nan"), "1_0"):
        found = read({"media": "electricity", "id": "1", "total_energy_consumption_kwh": raw, "power_kw": 1}, state)
        assert ("power_kw", 1.0) in [(value.quantity, value.value) for value in found.values], raw


def test_ids_are_no_longer_than_ids() -> None:
    with pytest.raises(UnreadableError):
        read({"media": "water", "id": "7" * 129, "total_m3": 1})
    assert read({"media": "water", "id": 4711, "total_m3": 1}).values[0].source_id == "00004711"


@pytest.mark.parametrize("media", [None, 5, [], {}, "", "Water ", "COLD WATER"])
def test_media_of_any_type(media: object) -> None:
    found = read({"media": media, "meter": "izar", "id": "1", "total_m3": 3})
    assert [value.quantity for value in found.values] == ["water_m3"]
