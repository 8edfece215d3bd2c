"""Yobiiq's meters: frames of each layout, objects of each codec."""

from __future__ import annotations

from typing import Any

from monitor.decoders.formats import yobiiq
from monitor.decoders.formats.yobiiq_frames import YobiiqFrames
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found

TS_S = 1_782_637_200


def number(value: int) -> str:
    return (value & 0xFFFFFFFF).to_bytes(4, "big").hex()


TIMES = "0101" + number(TS_S + 60) + "0203" + number(TS_S)


def frame(hex_: str) -> dict[str, Any] | None:
    return YobiiqFrames().codec_object(bytes.fromhex(hex_))


def read(codec: dict[str, Any]) -> tuple[dict[str, float], list[str], list[str]]:
    found = Found(SourceState())
    yobiiq.read_codec_object(found, "m", codec, 5)
    found.end_message()
    return (
        {each.quantity: round(each.value, 9) for each in found.values},
        [each.reason for each in found.rejected],
        found.ignored,
    )


def test_times_registers_and_power() -> None:
    found = frame(TIMES + "0304" + number(12_000) + "0713" + number(-40) + "081d64" + "092313f6" + "0b0a00")
    assert found == {
        "timestamp": TS_S + 60,
        "dataloggerTimestamp": TS_S,
        "activeEnergyImportL123T1": 12_000,
        "activePowerL123": -40,
        "modbusErrorCode": 0,
    }


def test_the_other_layout_counts_in_hundredths() -> None:
    times = "dd01" + number(TS_S) + "dd03" + number(TS_S)
    found = frame(times + "dd04" + number(150) + "dd1d03e8" + "dd13" + number(25) + "ddf910"[:6])
    assert found is not None
    assert (found["activeEnergyImportL123T1"], found["activePowerL123"]) == (1500, 25)
    assert frame(times + "0304" + number(150)) is None


def test_powers_come_on_one_channel() -> None:
    powers = "fe03" + number(TS_S) + "fe13" + number(42_500) + "fe14" + number(14_000) + "fe24" + number(9)
    found = frame(powers + "fef02023")
    assert found == {"dataloggerTimestamp": TS_S, "activePowerL123": 42_500}
    assert frame(powers + "0904" + number(1)) is None


def test_what_does_not_fit_is_none() -> None:
    whole = TIMES + "0304" + number(12_000)
    assert frame(whole)
    for cut in range(2, len(whole), 2):
        assert (frame(whole[:-cut]) is None) == (len(whole) - cut not in (24,)), cut
    assert frame(whole + "02") is None
    assert frame(whole + "0205" + number(1)) is None  # channels count up
    assert frame("0203" + number(TS_S) + "0304" + number(1)) is None
    assert frame("0101" + number(5) + "0304" + number(1)) is None  # no time of this century
    assert frame("0101" + number(TS_S) + "02ee" + number(1)) is None
    assert frame("00" * 300) is None


def test_objects_of_both_codecs() -> None:
    two = {
        "activeEnergyImportL123T1": {"data": 2000, "unit": "Wh"},
        "activeEnergyImportL123T2": {"data": 3, "unit": "kWh"},
    }
    assert read(two)[0] == {"register": 5.0}
    assert read({"activeEnergyImportL1T1": 2000, "activePowerL1": 7})[0] == {"register": 2.0, "power_kw": 0.007}
    assert read({**two, "activePowerL1": 7})[0] == {"register": 5.0}
    assert read({"activeEnergyExportL123T1": 1500, "totalSystemActivePower": 9})[0] == {"export_register": 1.5}
    assert read({**two, "modbusErrorCode": {"data": 3}}) == ({}, [], ["device_error"])


def test_parts_that_are_wrong() -> None:
    codec = {
        "activeEnergyImportL123T1": {"data": 1, "unit": "apples"},
        "activeEnergyExportL123T1": {"data": "x", "unit": "Wh"},
        "activePowerL123": {"data": None, "unit": "W"},
        "dataloggerTimestamp": 0,
    }
    assert read(codec) == ({}, ["unknown_unit", "bad_value"], ["no_value"])


def test_tariffs_count_where_the_total_is_not_there() -> None:
    tariffs = {"electricityDeliveredToClientT1": {"data": 5000}, "electricityDeliveredToClientT2": {"data": 3000}}
    assert read({"electricityDeliveredToClient": {"data": None}, **tariffs}) == ({"register": 8.0}, [], ["no_value"])
    assert read({"electricityDeliveredToClient": {"data": 9000}, **tariffs})[0] == {"register": 9.0}


def test_a_wrong_time_in_a_log_costs_its_own_reading_only() -> None:
    log = [{"name": "electricityDeliveredToClient", "data": 5000, "ts": at_s} for at_s in (10**20, TS_S)]
    assert read({"listOfMeasurements": log}) == ({"register": 5.0}, ["bad_time"], [])
