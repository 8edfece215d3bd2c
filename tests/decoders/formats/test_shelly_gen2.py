from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.decoders.plug_trials import PlugTrial, hostile_payloads

FIXTURES = Path(__file__).parents[2] / "fixtures" / "shelly_gen2"
SWITCH = "shellyplus1pm-7c87ce001122"
TOPIC = f"{SWITCH}/events/rpc"


def notification(params: dict[str, Any], src: str = SWITCH, ts: float = 1782638095.25) -> dict[str, Any]:
    return {"src": src, "method": "NotifyStatus", "params": {"ts": ts, **params}}


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_plain_values_and_typed_ones_are_read_alike(path: Path) -> None:
    payload = json.loads(path.read_text("utf-8"))
    if path.name == "case.json" or not isinstance(payload, dict):
        return
    topics = ["a/events/rpc", "a/status/em:0", "a/status/switch:0"]
    for topic in topics:
        typed = PlugTrial("shelly_gen2").read(topic, payload)
        plain = PlugTrial("shelly_gen2").read(topic, {**payload, "unheard_of": float("nan")})
        assert (plain.values, plain.rejected, plain.ignored) == (typed.values, typed.rejected, typed.ignored)


@pytest.mark.parametrize("kind", ["switch", "light", "rgb", "rgbw", "cct", "rgbcct"])
def test_what_can_be_switched_says_whether_it_is(kind: str) -> None:
    found = PlugTrial("shelly_gen2").triples(TOPIC, notification({f"{kind}:3": {"output": False, "apower": 1.5}}))
    assert found == [(f"{SWITCH}/{kind}:3", "on", 0.0), (f"{SWITCH}/{kind}:3", "power_kw", 0.0015)]


@pytest.mark.parametrize(
    "key",
    [
        "script:1",
        "ble",
        "bthome",
        "bthomedevice:200",
        "input:0",
        "devicepower:0",
        "switch:",
        "switch",
        "switch:x",
        "switch:²",
    ],
)
def test_other_components_are_silent(key: str) -> None:
    found = PlugTrial("shelly_gen2").read(TOPIC, notification({key: {"id": 1, "output": True, "apower": 5}}))
    assert (found.values, found.rejected) == ([], [])


def test_a_phase_alone_waits_for_the_others() -> None:
    trial = PlugTrial("shelly_gen2")
    for at, (phase, waits) in enumerate((("a", True), ("b", True), ("c", False), ("a", False))):
        found = trial.read(TOPIC, notification({"em:0": {f"{phase}_act_power": 100}}, ts=1782638095 + at))
        assert found.ignored == (["waits_for_phases"] if waits else [])
    assert [value.value for value in found.values] == [0.3]


def test_phases_that_are_no_numbers_are_not_kept_beside_a_total() -> None:
    trial = PlugTrial("shelly_gen2")
    phases = {"a_act_power": 100.5, "b_act_power": 200.5, "c_act_power": 300.5}
    trial.read(TOPIC, notification({"em:0": {**phases, "total_act_power": 601.5}}))
    trial.read(TOPIC, notification({"em:0": {**phases, "b_act_power": float("nan"), "total_act_power": 601.5}}))
    found = trial.triples(TOPIC, notification({"em:0": {"a_act_power": 0.5}}, ts=1782638096))
    assert found == [(SWITCH, "power_kw", 0.5015)]


Phases = dict[str, float]


def power_at(trial: PlugTrial, power: Phases, at_s: float | None) -> list[tuple[float, int | None]]:
    """[(kW, s after the first)] of a message with the powers of some phases, or with no time, as of its arrival."""
    body = {f"{phase}_act_power": watts for phase, watts in power.items()}
    if at_s is None:
        found = trial.read(f"{SWITCH}/status/em:0", body)
    else:
        found = trial.read(TOPIC, notification({"em:0": body}, ts=1782638000 + at_s))
    return [(value.value, value.ts_ms and value.ts_ms - 1782638000_000) for value in found.values]


ALL: Phases = {"a": 1000, "b": 2000, "c": 3000}


@pytest.mark.parametrize(
    ("messages", "last"),
    [
        ([(ALL, 0), ({"a": 1500}, 1), ({"b": 2500}, 2), ({"a": 1700}, 3)], [(7.2, 3000)]),
        # One came late.
        ([(ALL, 0), ({"c": 3500}, 2), ({"a": 1500}, 1)], []),
        ([(ALL | {"total": 6000}, 2), ({"a": 1500}, 3), (ALL | {"total": 6000}, 1), ({"b": 2500}, 4)], [(7.0, 4000)]),
        # Several at one time.
        ([(ALL, 0), ({"a": 1500}, 0), ({"b": 2500}, 1)], [(7.0, 1000)]),
        ([(ALL, 0), ({"a": 1500}, 1), ({"b": 2500}, 1), ({"a": 1700}, 1), ({"c": 3500}, 2)], [(7.7, 2000)]),
        # One without a time.
        ([(ALL, 0), ({"a": 1500}, 1), ({"b": 2500}, None), ({"c": 3500}, 2)], [(7.5, 2000)]),
    ],
)
def test_phases_that_come_once_more_say_nothing_new(
    messages: list[tuple[Phases, float | None]], last: list[tuple[float, int | None]]
) -> None:
    for count in range(1, len(messages) + 1):
        trial = PlugTrial("shelly_gen2")
        said = [power_at(trial, *message) for message in messages]
        assert said[-1] == last
        for message in messages[-count:]:
            again = {each for each in power_at(trial, *message) if each[1] is not None}
            assert again <= {each for values in said for each in values}, (count, message)


def test_a_clock_that_was_days_ahead_does_not_stop_the_sum_of_phases() -> None:
    trial = PlugTrial("shelly_gen2")
    for at_s in (10 * 86_400, 0, 1):
        assert power_at(trial, ALL | {"total": 6000}, at_s) == [(6.0, at_s * 1000)]
    assert power_at(trial, {"a": 1500}, 2) == [(6.5, 2000)]


def test_an_export_has_phases_of_its_own() -> None:
    data = {"a_total_act_energy": 1, "b_total_act_energy": 2, "c_total_act_energy": 3}
    data |= {"a_total_act_ret_energy": 10, "b_total_act_ret_energy": 20, "c_total_act_ret_energy": 30}
    found = PlugTrial("shelly_gen2").triples(TOPIC, notification({"emdata:0": data}))
    assert found == [(SWITCH, "register", 0.006), (SWITCH, "export_register", 0.06)]


def test_state_is_a_few_numbers_for_each_meter() -> None:
    trial = PlugTrial("shelly_gen2")
    for number in range(300):
        trial.read(TOPIC, notification({"em:0": {"a_act_power": number, "b_act_power": 1, "c_act_power": 2}}))
        trial.read(f"topic{number}", notification({f"x{number}:1": {"apower": 1}}))
    assert len(trial.state) == 1


@pytest.mark.parametrize("src", ["", "x" * 201, 5, True, ["a"], {"a": 1}])
def test_an_id_that_is_none_ends_the_message(src: Any) -> None:
    found = PlugTrial("shelly_gen2").read(TOPIC, notification({"switch:0": {"apower": 5}}, src))
    assert [each.reason for each in found.rejected] == ["malformed"]


def test_no_payload_ends_the_reader() -> None:
    good = notification(
        {
            "em:0": {"a_act_power": 1, "b_act_power": 2, "c_act_power": 3, "total_act_power": 6},
            "emdata:0": {"a_total_act_energy": 1, "total_act": 5, "total_act_ret": 1.5},
            "em1:0": {"act_power": 5},
            "em1data:0": {"total_act_energy": 5, "total_act_ret_energy": 7},
            "switch:0": {"output": True, "apower": 5, "aenergy": {"total": 7.5}, "ret_aenergy": {"total": 1}},
            "thermostat:0": {"enable": True, "target_C": 20, "current_C": 21},
            "temperature:100": {"tC": 20.5},
            "sys": {"unixtime": 1782638000},
        }
    )
    trial = PlugTrial("shelly_gen2")
    for payload in hostile_payloads(good, 1):
        trial.read(TOPIC, payload)
        trial.read("a/status/em:0", payload)
        trial.state.changes()
    for payload in hostile_payloads({"id": 1, "result": good["params"], "src": SWITCH}, 2):
        trial.read("desk/rpc", payload)
        trial.state.changes()
