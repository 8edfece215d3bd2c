from __future__ import annotations

from typing import Any

import pytest

from monitor.decoders.formats.zigbee2mqtt import check_options
from monitor.decoders.options import Options
from tests.decoders.plug_trials import ARRIVAL_MS, PlugTrial, hostile_payloads


@pytest.mark.parametrize(
    ("word", "mode"),
    [("off", 0), ("cool", 1), ("heat", 2), ("emergency_heating", 2), ("dry", 3), ("fan_only", 4), ("auto", 5)],
)
def test_modes(word: str, mode: int) -> None:
    assert PlugTrial("zigbee2mqtt").triples("zigbee2mqtt/a", {"system_mode": word}) == [("a", "mode", float(mode))]


@pytest.mark.parametrize("state", ["OPEN", "CLOSE", "STOP", "LOCK", "UNLOCK", "opening", 1, 0.0])
def test_states_of_covers_and_locks_are_silent(state: object) -> None:
    found = PlugTrial("zigbee2mqtt").read("zigbee2mqtt/a", {"state": state})
    assert (found.values, found.rejected, found.ignored) == ([], [], [])


@pytest.mark.parametrize("topic", ["", "/", "zigbee2mqtt", "zigbee2mqtt/", "a", "x" * 250])
def test_topics_without_a_name_give_nothing(topic: str) -> None:
    found = PlugTrial("zigbee2mqtt").read(topic, {"energy": 5})
    assert (found.values, found.rejected, found.ignored) == ([], [], ["other_topic"])


def test_a_repeated_energy_is_told_by_the_arrival_too() -> None:
    trial = PlugTrial("zigbee2mqtt")
    assert len(trial.read("zigbee2mqtt/a", {"energy": 5, "power": 5}).values) == 2
    assert trial.state.get("energy/a") == [5.0, ARRIVAL_MS]
    # The very same message once more: its time is the same, so nothing is said of what lies between.
    assert len(trial.read("zigbee2mqtt/a", {"energy": 5, "power": 5}).values) == 2


def test_an_energy_that_was_stale_is_so_when_it_comes_again() -> None:
    trial = PlugTrial("zigbee2mqtt")
    bodies = [
        {"energy": energy, "power": 5, "last_seen": ARRIVAL_MS - minutes * 60_000}
        for energy, minutes in ((5.1, 60), (5.1, 59), (5.2, 42))
    ]
    assert [len(trial.read("zigbee2mqtt/a", body).values) for body in bodies] == [2, 1, 2]
    assert [len(trial.read("zigbee2mqtt/a", body).values) for body in bodies] == [1, 1, 2]


def test_a_clock_that_was_hours_ahead_does_not_make_energies_stale() -> None:
    trial = PlugTrial("zigbee2mqtt")
    for ahead_h in (5, 0):
        body = {"energy": 5.1, "power": 5, "last_seen": ARRIVAL_MS + ahead_h * 3_600_000}
        assert len(trial.read("zigbee2mqtt/a", body).values) == 2


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ({}, []),
        ({"base_topic": "a/b"}, []),
        ({"base_topic": 5}, ["base_topic"]),
        ({"x": 1}, ["x"]),
        ({"base_topic": "/"}, ["base_topic"]),
    ],
)
def test_options_are_checked(more: dict[str, Any], wrong: list[str]) -> None:
    assert [key for key, _ in check_options(more)] == wrong


def test_no_payload_ends_the_reader_and_little_is_remembered() -> None:
    good = {
        "energy": 5.5, "power": 7, "power_phase_b": 5, "state": "ON", "state_l1": "OFF", "power_l2": 3,
        "energy_l2": 1.5,
        "system_mode": "auto", "running_state": "cool", "occupied_cooling_setpoint": 25,
        "occupied_heating_setpoint": 20,
        "local_temperature": 21.5, "last_seen": "2026-06-28T09:14:40Z", "device": {"ieeeAddr": "0x1"},
    }  # fmt: skip
    trial = PlugTrial("zigbee2mqtt", Options(modes={"idle": 0}))
    for payload in hostile_payloads(good, 6, 800):
        trial.read("zigbee2mqtt/a", payload)
        trial.read("zigbee2mqtt/b/c", payload)
        for key in good:
            trial.read(f"zigbee2mqtt/d/{key}", payload[:2000])
        trial.state.changes()
    assert len(trial.state) < 200


def test_tiers_say_nothing_of_another_endpoint() -> None:
    state = {"energy": 5, "energy_tier_1": 5, "energy_l2": 0}
    triples = PlugTrial("zigbee2mqtt").triples("zigbee2mqtt/a", state)
    assert sorted(triples) == [("a", "register", 5.0), ("a/l2", "register", 0.0)]
