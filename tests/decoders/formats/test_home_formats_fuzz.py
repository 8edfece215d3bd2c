"""Formats of homes and air conditioners: whatever comes, a finding or UnreadableError, and a bounded memory."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from monitor.decoders.formats import FORMATS
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message
from tests.decoders.promises import processor_time_below

TOPICS: dict[str, list[str]] = {
    "ac_controllers": [
        "state/h", "state/h/status", "hp/x/state", "hp/x", "g/x/temperature/get", "g/x/mode/get",
        "p/main/Heatpump_State", "p/main/Operating_Mode_State", "p/extra/Heat_Power_Consumption_Extra",
        "p/s0/WatthourTotal/1", "t/ir/RESULT",
        "P1P2/P/d/b/T/1/Temperature_Room", "P1P2/P/d/b/S/2/Setpoint_Cooling", "P1P2/P/meter/U/9/Electricity_Power",
    ],
    "ha_mqtt_climate": [
        "homeassistant/climate/x/config", "homeassistant/climate/n/x/config", "a/b/mode/state", "a/b/state", "a/b",
        "a/b/temperature", "a/b/target_temperature_low/state", "homeassistant/climate/x/state",
    ],
    "esphome": [
        "homeassistant/sensor/n/x/config", "n/sensor/energy_kwh/state", "n/sensor/x/state", "n/climate/c/mode/state",
        "n/switch/power/state", "n/sensor/power_export_w/state", "n/sensor/energy_t1_kwh/state",
    ],
    "homie": [
        "homie/5/d/$description", "homie/5/d/n/power", "homie/5/d/n/mode", "homie/d/n/energy/$unit", "homie/d/n/energy",
        "homie/d/n/on", "homie/5/d/n/temperature",
    ],
    "wirenboard": [
        "/devices/d/controls/Total P/meta", "/devices/d/controls/Total P", "/devices/d/controls/Tariff 1/meta",
        "/devices/d/controls/Tariff 1", "/devices/d/controls/Mode/meta", "/devices/d/controls/Mode",
        "/devices/d/controls/Mode/meta/error", "/devices/d/meta", "/devices/d/controls/Energy/meta/units",
    ],
}  # fmt: skip
NAMES = [
    "mode", "power", "temp", "target", "temperature", "state", "id", "ts", "energy", "online", "IrReceived", "IRHVAC",
    "mode_state_topic", "mode_stat_tpl", "~", "stat_t", "dev_cla", "unit_of_meas", "nodes", "properties", "unit",
    "type", "units", "error", "enum", "Temp", "Celsius", "unique_id", "temp_stat_t", "mode_cmd_t",
    "target_temperature_high",
]  # fmt: skip
WORDS = [
    "a/b/mode/state",
    "cool",
    "kWh",
    "W",
    "power",
    "energy",
    "{{ value_json.mode }}",
    "nan",
    "1",
    "r",
    "off",
    "1e999",
]
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(WORDS)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=5)), inner, max_size=8),
    ),
    max_leaves=16,
)
payloads = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([word.encode() for word in WORDS]),
    documents.map(lambda document: json.dumps(document).encode()),
)
OPTIONS = Options(
    fields={"x": FieldRule("power_kw", "W"), "Energy": FieldRule("register", "Wh")},
    modes={"1": 1},
    more={"wishes": True},
)


def read(name: str, messages: list[tuple[str, bytes]], state: SourceState, *, anew: bool) -> list[object]:
    reader = FORMATS[name].make(OPTIONS, state)
    findings: list[object] = []
    for topic, payload in messages:
        if anew:
            changed = {key: each for key, each in state.changes().items() if each is not None}
            assert all(len(each) < 100_000 for each in changed.values())
            reader = FORMATS[name].make(OPTIONS, state)
        found = Found(state)
        try:
            reader.read(Message(topic, payload, False, 1_782_638_100_000, "main"), found)
            found.end_message()
        except UnreadableError as error:
            assert error.reason
            found.clear()
        findings += [*found.values, *found.rejected, *found.ignored]
        for value in found.values:
            assert len(value.source_id) <= 400
    msgspec.msgpack.encode({key: state.get(key) for key in list(state._values)})
    return findings


@pytest.mark.parametrize("name", list(TOPICS))
def test_anything(name: str) -> None:
    @seed(11)
    @settings(max_examples=150, deadline=None, database=None)
    @given(st.lists(st.tuples(st.sampled_from(TOPICS[name]), payloads), max_size=8))
    def check(messages: list[tuple[str, bytes]]) -> None:
        once = read(name, messages, SourceState(), anew=False)
        assert repr(read(name, messages, SourceState(), anew=True)) == repr(once)

    check()


@pytest.mark.parametrize("name", list(TOPICS))
def test_any_topic(name: str) -> None:
    @seed(12)
    @settings(max_examples=150, deadline=None, database=None)
    @given(st.text(st.sampled_from("/$ae5\ud800é#"), max_size=30), payloads)
    def check(topic: str, payload: bytes) -> None:
        read(
            name,
            [(topic, payload), (f"homie/5/{topic}", payload), (f"/devices/{topic}", payload)],
            SourceState(),
            anew=False,
        )

    check()


@pytest.mark.parametrize(
    "payload",
    [b"[" * 100_000, b'{"a":' * 100_000, b'{"mode": ' + b"9" * 100_000 + b"}", b'{"mode": "' + b"x" * 1_000_000 + b'"}',
     b" " * 1_000_000, b"9" * 1_000_000, b"{" + b'"mode":1,' * 100_000 + b'"a":1}', b"x" * 1_000_000],
    ids=["lists", "objects", "digits", "long string", "blanks", "number", "many keys", "text"],
)  # fmt: skip
@pytest.mark.parametrize("name", list(TOPICS))
def test_large_payloads_take_their_length_and_leave_little(name: str, payload: bytes) -> None:
    state = SourceState()
    with processor_time_below(10.0):
        read(name, [(topic, payload) for topic in TOPICS[name]], state, anew=False)
    assert sum(len(each or b"") for each in state.changes().values()) < 10_000


@pytest.mark.parametrize("name", list(TOPICS))
def test_long_topics_are_nobodys(name: str) -> None:
    reader = FORMATS[name].make(Options(), SourceState())
    with pytest.raises(UnreadableError):
        reader.read(Message("a/" * 1000, b"1", False, 0, "main"), Found(SourceState()))
