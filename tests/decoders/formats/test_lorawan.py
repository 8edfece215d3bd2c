"""What LoRaWAN servers have in common: fast readers against plain ones, what is remembered, whose names are known."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.decoders.formats import FORMATS, things_stack
from monitor.decoders.formats.lorawan import LorawanReader
from monitor.decoders.formats.lorawan_uplinks import SeenUplinks, device_id, first_time_ms, frame_of
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError, Value
from monitor.ingest.message import Message

FIXTURES = Path(__file__).parents[2] / "fixtures"
NOW_MS = 1_782_638_100_000
"""2026-06-28T09:15:00Z."""


def found_in(name: str, *payloads: bytes, topic: str = "t/up") -> tuple[list[Value], list[str], list[str]]:
    state = SourceState()
    found = Found(state)
    reader = FORMATS[name].make(Options(), state)
    for payload in payloads:
        try:
            reader.read(Message(topic, payload, False, NOW_MS, "main"), found)
        except UnreadableError as error:
            found.reject(error.reason, error.detail)
        found.end_message()
    return found.values, [each.reason for each in found.rejected], found.ignored


def usual(codec: dict[str, Any], *, port: int = 2, model: str = "", data: str = "", eui: str = "0102") -> list[Value]:
    state = SourceState()
    found = Found(state)
    LorawanReader(Options(), state).read(found, eui, codec, data, port, NOW_MS, model)
    found.end_message()
    return found.values


@pytest.mark.parametrize("name", ["chirpstack_v4", "chirpstack_v3", "tts_v3"])
def test_a_document_that_the_fast_reader_refuses_reads_the_same(name: str) -> None:
    # NaN, which is no JSON, stands where nothing looks: the plain reader has to take over.
    files = sorted((FIXTURES / name).glob("*/[0-9].json"))
    assert files
    for file in files:
        document = json.loads(file.read_bytes())
        fast = json.dumps(document).encode()
        plain = json.dumps({**document, "somethingElse": float("nan")}).encode()
        assert b"NaN" in plain
        assert found_in(name, plain) == found_in(name, fast), file


def test_wrong_types_around_an_uplink_do_not_take_it_along() -> None:
    oddities: list[Any] = [[], "x", 5, None, True]
    for odd in oddities:
        document = {"deduplicationId": odd, "deviceInfo": odd, "rxInfo": odd, "fCnt": odd, "fPort": 1}
        document |= {"object": {"temperature": 20.5}}
        values, rejected, _ = found_in("chirpstack_v4", json.dumps(document).encode(), topic="a/b/device/0a0b/event/up")
        assert [(value.source_id, value.value) for value in values] == [("0a0b", 20.5)], odd
        assert not rejected


def test_the_last_sixteen_uplinks_of_a_device_are_remembered() -> None:
    state = SourceState()
    seen = SeenUplinks(state)
    ids = [f"uplink-{number}" for number in range(20)]
    assert not any(seen.is_repeated("dev", each) for each in ids)
    assert all(seen.is_repeated("dev", each) for each in ids[4:])
    assert not seen.is_repeated("dev", ids[3])
    assert not seen.is_repeated("other", ids[19])
    assert seen.is_repeated("dev", "é" * 1000) is False
    assert seen.is_repeated("dev", "é" * 1000) is True
    for number in range(100):
        assert not seen.is_retransmitted("dev", number, "AA==", NOW_MS)
    assert seen.is_retransmitted("dev", 99, "AA==", NOW_MS + 60_000)
    assert not seen.is_retransmitted("dev", 99, "AA==", NOW_MS + 7_200_000)
    written = sum(len(encoded or b"") for encoded in state.changes().values())
    assert written < 3000


def test_a_restart_forgets_no_uplink() -> None:
    state = SourceState()
    seen = SeenUplinks(state)
    for at_ms in (NOW_MS, NOW_MS + 7_200_000):  # twice the same, hours apart
        for number in range(3):
            assert not seen.is_repeated("dev", f"{at_ms}-{number}")
            assert not seen.is_retransmitted("dev", number, "AA==", at_ms)
    again = SeenUplinks(SourceState({key: encoded for key, encoded in state.changes().items() if encoded is not None}))
    for at_ms in (NOW_MS, NOW_MS + 7_200_000):
        assert again.is_retransmitted("dev", 2, "AA==", at_ms)
        assert again.is_repeated("dev", f"{at_ms}-1")
    assert not again.is_retransmitted("dev", 2, "AB==", NOW_MS)


def test_uplinks_that_earlier_versions_remembered() -> None:
    """Lists of ids, and of `counter/checksum` beside their times."""
    texts = [f"{number}/{zlib.crc32(b'AA==')}" for number in range(16)]
    entries = {"up/dev": [f"{number}" for number in range(16)], "fcnt/dev": [texts, [NOW_MS] * 16]}
    state = SourceState({key: msgspec.msgpack.encode(value) for key, value in entries.items()})
    seen = SeenUplinks(state)
    assert seen.is_retransmitted("dev", 0, "AA==", NOW_MS)
    assert not seen.is_retransmitted("dev", 16, "AA==", NOW_MS)
    assert not seen.is_retransmitted("dev", 0, "AA==", NOW_MS)  # the oldest had to make room
    assert seen.is_retransmitted("dev", 15, "AA==", NOW_MS)
    assert seen.is_repeated("dev", "0")
    assert not seen.is_repeated("dev", "16")
    assert not seen.is_repeated("dev", "0")
    assert seen.is_repeated("dev", "15")


@pytest.mark.parametrize("name", ["chirpstack_v4", "chirpstack_v3"])
def test_a_device_whose_profile_changes(name: str) -> None:
    """Power without a unit is Milesight's, and nothing of another make's device."""
    state = SourceState()
    found = Found(state)
    reader = FORMATS[name].make(Options(), state)
    for count, profile in enumerate(("WS523", "plug", None, 5, "Milesight")):
        about = {"devEui": "0a0b", "deviceProfileName": profile}
        document = {"deviceInfo": about, "devEUI": "0a0b", "deviceProfileName": profile, "fCnt": count, "fPort": 2}
        document["object"] = {"active_power": 1500}
        found.clear()
        reader.read(Message("a/event/up", json.dumps(document).encode(), False, NOW_MS, "main"), found)
        assert len(found.values) == (profile in ("WS523", "Milesight")), profile


def test_ids_that_cannot_be_one() -> None:
    assert device_id("24e1") == "24e1"
    assert device_id("") is None
    assert device_id(None) is None
    oddities: list[Any] = [7, True, [], "x" * 201, "a\nb", "\ud800"]
    for odd in oddities:
        with pytest.raises(UnreadableError):
            device_id(odd)


def test_frames_in_base64() -> None:
    assert frame_of("AQI=") == b"\x01\x02"
    for odd in (None, "", "A", "????", 5, "A" * 1000, "é==="):
        assert frame_of(odd) is None


def test_the_first_time_that_can_be_one() -> None:
    times = [
        None,
        5,
        "",
        "noon",
        "0001-01-01T00:00:00Z",
        "2026-06-28T10:15:00Z",
        "2026-06-28T09:00:00",
        "2026-06-28T09:00:01Z",
    ]
    assert first_time_ms(times, NOW_MS) == NOW_MS - 899_000
    assert first_time_ms(times[:-1], NOW_MS) is None


def test_names_without_unit_count_for_the_maker_who_documents_them() -> None:
    codec = {"active_power": 1500, "power_consumption": 2500}
    values = [("power_kw", 1.5), ("register", 2.5)]
    frame = base64.b64encode(bytes.fromhex("0480dc050000")).decode()
    assert [(each.quantity, each.value) for each in usual(codec, eui="24E1240000000001")] == values
    assert [(each.quantity, each.value) for each in usual(codec, model="milesight ws523")] == values
    assert [(each.quantity, each.value) for each in usual(codec, port=85, data=frame)] == values
    assert usual(codec, port=85, data="AQI=") == []
    assert usual(codec) == []


def test_usual_names() -> None:
    def read(codec: dict[str, Any]) -> list[tuple[str, float, str]]:
        return [(each.quantity, each.value, each.name) for each in usual(codec)]

    assert read({"temperature_3": 20}) == [("room_c", 20.0, "temperature_3")]
    assert read({"temperatureSensor": 25, "humiditySensor": 32}) == [("room_c", 25.0, "temperatureSensor")]
    assert read({"temperatureSensor": {"2": 21.5}}) == [("room_c", 21.5, "temperatureSensor.2")]
    assert read({"operationalMode": "Cooling", "mode": 2, "work_mode": "DS18B20"}) == [("mode", 1.0, "operationalMode")]
    assert read({"energy": 5, "energy_unit": "MWh"}) == [("register", 5000.0, "energy")]
    assert read({"data": {"power_w": 500}, "phase_a": {"power_w": 100}}) == [("power_kw", 0.5, "power_w")]
    assert read({"values": [{"name": "energy", "value": 7, "unit": "kWh"}]}) == [("register", 7.0, "energy")]
    assert read({"a": {"b": {"c": {"temperature": 1}}}, "list": [{"temperature": 5}, 1, []]}) == []
    assert read({"energy_t1_kwh": 5, "energy_t2_kwh": 6}) == [("register", 11.0, "energy_t2_kwh")]
    assert read({"log": [{"ts": NOW_MS, "temperature": 20}]})[0][:2] == ("room_c", 20.0)


def test_power_in_and_out_in_a_list() -> None:
    state = SourceState()
    found = Found(state)
    powers_w = {"power_import": 3000, "power_export": 0}
    rows = [{"variable": name, "value": power_w, "unit": "W"} for name, power_w in powers_w.items()]
    LorawanReader(Options(), state).read(found, "0102", rows, None, 2, 5, "")
    assert [(value.quantity, value.value) for value in found.values] == [("power_kw", 3.0)]


def test_an_uplink_in_another_envelope() -> None:
    state = SourceState()
    found = Found(state)
    reader = LorawanReader(Options(), state)
    uplink = {"f_cnt": 1, "received_at": "2026-06-28T09:00:00Z", "decoded_payload": {"temp": 20}}
    document = {"end_device_ids": {"dev_eui": "70B3D50000000001"}, "uplink_message": uplink}
    assert things_stack.read_uplink(document, reader, found, NOW_MS)
    assert found.values == [Value("70B3D50000000001", "room_c", 20.0, NOW_MS - 900_000, "temp")]
    oddities: list[Any] = [None, [], {}, {"uplink_message": 1}]
    for odd in oddities:
        assert not things_stack.read_uplink(odd, reader, found, NOW_MS)
