from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from monitor.decoders.options import FieldRule, Options
from tests.decoders.plug_trials import PlugTrial, hostile_payloads

ENERGY = {"Total": 5.25, "Today": 1, "Yesterday": 2, "Period": 3, "Power": 100}
HANOI = Options(timezone=ZoneInfo("Asia/Ho_Chi_Minh"))


@pytest.mark.parametrize("name", ["Total_in", "E_in", "1_8_0", "total_kWh", "Energy_kWh", "Zaehlerstand"])
def test_names_of_scripts_for_the_register(name: str) -> None:
    assert PlugTrial("tasmota").triples("tele/a/SENSOR", {"M": {name: 7.5}}) == [("a/M", "register", 7.5)]


@pytest.mark.parametrize("name", ["Power_curr", "Power_cur", "16_7_0", "Leistung", "P", "active_power", "Power_W"])
def test_names_of_scripts_for_the_power(name: str) -> None:
    assert PlugTrial("tasmota").triples("tele/a/SENSOR", {"M": {name: 7.5}}) == [("a/M", "power_kw", 0.0075)]


@pytest.mark.parametrize(
    "name", ["Volt_p1", "Curr_p1", "Freq", "Total_day", "Today", "Meter_id", "Humidity", "Count", ""]
)
def test_other_names_of_scripts_are_silent(name: str) -> None:
    found = PlugTrial("tasmota").read("tele/a/SENSOR", {"M": {name: 7.5}})
    assert (found.values, found.rejected, found.ignored) == ([], [], [])


def test_a_meter_without_a_name_is_the_device() -> None:
    assert PlugTrial("tasmota").triples("tele/a/SENSOR", {"": {"Total_in": 7.5}}) == [("a", "register", 7.5)]


@pytest.mark.parametrize("energy", [0, 0.0, "0"])
def test_a_meter_that_has_not_spoken_yet_is_no_reading(energy: object) -> None:
    found = PlugTrial("tasmota").read("tele/a/SENSOR", {"M": {"Total_in": energy, "Power_curr": 5, "Total_out": 3}})
    assert (found.values, found.ignored) == ([], ["no_value"])


def test_a_minute_that_is_known_gives_the_same_time() -> None:
    trial = PlugTrial("tasmota", HANOI)
    for _ in range(2):
        seconds = []
        for second in ("00", "07", "59", "30.5", "60", "x7"):
            found = trial.read("tele/a/SENSOR", {"Time": f"2026-06-28T16:14:{second}", "ENERGY": ENERGY})
            seconds.append(
                (found.values[0].ts_ms or 0) - 1_782_638_040_000 if found.values else found.rejected[0].reason
            )
        assert seconds == [0, 7000, 59_000, 30_500, "bad_time", "bad_time"]
    assert (
        trial.read("tele/a/SENSOR", {"Time": "2026-06-28T16:14+07", "ENERGY": ENERGY}).values[0].ts_ms
        == 1_782_638_040_000
    )


@pytest.mark.parametrize(
    "topic", ["", "/", "SENSOR", "tele", "tele/SENSOR", "tele//x/", "stat/a/POWER99", "stat/a/POWERx"]
)
def test_topics_without_a_device_or_a_meaning_give_nothing(topic: str) -> None:
    found = PlugTrial("tasmota").read(topic, {"ENERGY": ENERGY})
    assert (found.values, found.rejected, len(found.ignored)) == ([], [], 1)


def test_a_unit_or_a_scale_alone_keeps_the_meaning() -> None:
    rules = {"Total_in": FieldRule(unit="Wh"), "M.P": FieldRule(scale=10.0), "ENERGY.Total": FieldRule(scale=0.5)}
    trial = PlugTrial("tasmota", Options(fields=rules))
    found = trial.triples("tele/a/SENSOR", {"M": {"Total_in": 1500, "P": 5}, "ENERGY": {"Total": 8, "Power": 1}})
    assert found == [
        ("a/M", "register", 1.5),
        ("a/M", "power_kw", 0.05),
        ("a", "register", 4.0),
        ("a", "power_kw", 0.001),
    ]


def test_many_channels_are_refused() -> None:
    found = PlugTrial("tasmota").read("tele/a/SENSOR", {"ENERGY": {"Power": [1.0] * 33, "Total": 5}})
    assert [value.quantity for value in found.values] == ["register"]
    assert [each.reason for each in found.rejected] == ["malformed"]


def test_an_endless_section_is_refused() -> None:
    found = PlugTrial("tasmota").read("tele/a/SENSOR", {"M": {f"power_{n}": 1 for n in range(501)}, "ENERGY": ENERGY})
    assert [value.quantity for value in found.values] == ["register", "power_kw"]
    assert [each.reason for each in found.rejected] == ["malformed"]


def test_no_payload_ends_the_reader_and_little_is_remembered() -> None:
    good = {
        "Time": "2026-06-28T16:14:30",
        "ENERGY": {**ENERGY, "Voltage": [1, 2, 3], "Power": [1.5, 2, 3], "TotalTariff": [1, 2], "ExportTariff": [3]},
        "MT681": {"Total_in": 5.5, "Power_curr": 7, "Meter_id": "0a01"},
        "AM2301": {"Temperature": 20.5},
        "TIC": {"ADCO": "02083", "HCHC": "5", "HCHP": 6},
        "ZbReceived": {"0x1": {"Name": "a", "Temperature": 5, "ActivePower": 5, "Power": 1}},
        "POWER": "ON",
        "POWER2": "OFF",
        "TempUnit": "F",
    }
    trial = PlugTrial("tasmota", HANOI)
    for number, payload in enumerate(hostile_payloads(good, 4)):
        for rest in ("SENSOR", "STATE", "RESULT"):
            trial.read(f"tele/a/{rest}", payload)
        trial.read("stat/a/POWER", payload)
        trial.read(f"stat/x{number}/STATUS0", payload)
        trial.state.changes()
    for payload in hostile_payloads({"StatusSNS": good, "StatusSTS": good}, 5, 200):
        trial.read("stat/a/STATUS0", payload)
        trial.state.changes()
    assert len(trial.state) < 100
