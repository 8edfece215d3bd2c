from __future__ import annotations

import pytest

from tests.decoders.plug_trials import PlugTrial, hostile_payloads

INFO = {
    "unixtime": 1782638080,
    "relays": [{"ison": True}],
    "lights": [{"ison": False}],
    "meters": [{"power": 1.5, "total": 60, "is_valid": True}],
    "emeters": [{"power": 2, "total": 3.5, "total_returned": 4}],
    "thermostats": [{"target_t": {"value": 21, "units": "C"}, "tmp": {"value": 20, "units": "C"}}],
    "ext_temperature": {"0": {"tC": 18.5}},
}


@pytest.mark.parametrize("kind", ["relay", "light", "white", "color", "roller", "meter"])
def test_energy_without_a_total_is_in_watt_minutes(kind: str) -> None:
    found = PlugTrial("shelly_gen1").triples(f"shellies/a/{kind}/1/energy", "90000")
    assert found == [("a/1", "register", 1.5)]


@pytest.mark.parametrize(
    "topic",
    ["", "/", "shellies", "shellies/", "shellies//emeter/0/power", "emeter/0/power", "shellies/a/emeter/x/power"],
)
def test_topics_without_a_device_or_a_number_give_nothing(topic: str) -> None:
    found = PlugTrial("shelly_gen1").read(topic, "5")
    assert (found.values, found.rejected, len(found.ignored)) == ([], [], 1)


def test_plain_values_and_typed_ones_are_read_alike() -> None:
    typed = PlugTrial("shelly_gen1").read("shellies/a/info", INFO)
    plain = PlugTrial("shelly_gen1").read("shellies/a/info", {**INFO, "unheard_of": float("nan")})
    assert len(typed.values) == 10
    assert (plain.values, plain.rejected, plain.ignored) == (typed.values, typed.rejected, typed.ignored)


def test_no_payload_ends_the_reader_and_nothing_is_remembered() -> None:
    trial = PlugTrial("shelly_gen1")
    for number, payload in enumerate(hostile_payloads(INFO, 3)):
        for rest in ("info", "status", "relay/0", f"emeter/{number}/power"):
            trial.read(f"shellies/x{number}/{rest}", payload)
    assert len(trial.state) == 0
