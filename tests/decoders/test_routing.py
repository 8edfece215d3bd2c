"""Messages of several sources to the columns of one registry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from monitor.decoders.decoded import OUTCOMES, Decoded, Limits, decode_all
from monitor.decoders.mapping import NOT_MONITORED, DeviceMap, nearest_decimal
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.rejections import unaccepted
from monitor.decoders.routing import SourceDecoder, Sources
from monitor.decoders.sources import IdRule, Source, topic_matches
from monitor.decoders.unmapped import PERIOD_MS, UnmappedLog
from monitor.decoders.values import Value
from monitor.ingest.message import Message
from monitor.readings import QUANTITY_NAMES
from monitor.registry import Building, Device, Policy, Registry
from monitor.store.source_memory import SourceMemory, Unmapped, read_unmapped

NOW_MS = 1_782_638_100_000
"""2026-06-28T09:15:00Z."""


def registry(*devices: Device) -> Registry:
    return Registry.of([Building("b", "Asia/Ho_Chi_Minh", "p")], devices, {"p": Policy("p")})


def meter(device_id: str, **more: Any) -> Device:
    return Device(device_id, "b", "meter", **more)


def ac(device_id: str, **more: Any) -> Device:
    return Device(device_id, "b", "ac", item="", **more)


def message(topic: str, payload: str, *, retain: bool = False, received_ms: int = NOW_MS) -> Message:
    return Message(topic, payload.encode(), retain, received_ms, "main")


def things(source: str = "tb", **more: Any) -> Source:
    return Source(source, "thingsboard_gateway", ("v1/gateway/telemetry",), **more)


def telemetry(device: str, ts_ms: int = NOW_MS, **values: object) -> Message:
    return message("v1/gateway/telemetry", json.dumps({device: [{"ts": ts_ms, "values": values}]}))


def rows(decoded: Decoded, of: Registry) -> list[tuple[int, str, str, float, int]]:
    columns = decoded.columns
    return [
        (int(number), of.devices[device].id, QUANTITY_NAMES[quantity], float(value), int(ts_ms) - NOW_MS)
        for number, device, quantity, value, ts_ms in zip(
            decoded.message_of_row, columns.device, columns.quantity, columns.value, columns.ts_ms, strict=True
        )
    ]


def decoder(of: Registry, *sources: Source, **more: Any) -> SourceDecoder:
    return SourceDecoder(of, Limits(), Sources(sources, Limits(), **more))


def outcomes(decoded: Decoded) -> list[str]:
    return [OUTCOMES[code] for code in decoded.outcome]


def test_native_and_other_messages_keep_their_order() -> None:
    of = registry(meter("m1"), meter("m2", source_id="Meter 2"))
    batch = [
        message("meters/gw/m1", '{"ts": "2026-06-28T09:15:00Z", "register": 1}'),
        telemetry("Meter 2", energy_kwh=7.5),
        message("meters/gw/m1", '{"ts": "2026-06-28T09:14:00Z", "register": 0.5}'),
        message("meters/gw/m1", "{"),
    ]
    found = decoder(of, things()).decode(batch)
    assert rows(found, of) == [
        (0, "m1", "register", 1.0, 0),
        (1, "m2", "register", 7.5, 0),
        (2, "m1", "register", 0.5, -60_000),
    ]
    assert outcomes(found) == ["accepted", "accepted", "accepted", "rejected"]
    assert [reject.reason for reject in found.rejects] == ["malformed"]


def test_without_sources_all_is_native() -> None:
    of = registry(meter("m1"))
    found = decoder(of).decode([message("any/gw/m1", '{"ts": "2026-06-28T09:15:00Z", "register": 1}')])
    assert rows(found, of) == [(0, "m1", "register", 1.0, 0)]


def test_the_first_source_whose_topics_fit_reads_the_message() -> None:
    of = registry(meter("m1"))
    native = Source("own", "native", ("v1/#",))
    batch = [message("v1/gateway/telemetry", '{"device": "m1", "ts": "2026-06-28T09:15:00Z", "register": 3}')]
    assert len(decoder(of, native, things()).decode(batch).columns) == 1
    assert len(decoder(of, things(), native).decode(batch).columns) == 0


def test_a_source_of_another_broker_is_not_asked() -> None:
    of = registry(meter("m1"))
    found = decoder(of, things(broker="other")).decode([telemetry("m1", energy_kwh=1)])
    assert [reject.reason for reject in found.rejects] != []
    assert len(found.columns) == 0


def test_one_id_may_be_a_meter_and_an_air_conditioner_and_a_water_meter() -> None:
    of = registry(meter("m", source_id="x"), ac("a", source_id="x"), meter("w", source_id="x", item="water"))
    found = decoder(of, things()).decode([telemetry("x", energy_kwh=1, setpoint=25, mode="cool", water_m3=3)])
    assert rows(found, of) == [
        (0, "m", "register", 1.0, 0),
        (0, "a", "setpoint_c", 25.0, 0),
        (0, "a", "mode", 1.0, 0),
        (0, "w", "register", 3.0, 0),
    ]


def test_fields_part_the_meters_of_one_payload() -> None:
    of = registry(
        meter("lights", source_id="panel", field="energy_1;power_1"),
        meter("sockets", source_id="panel", field="*_2"),
        meter("fed-in", source_id="panel", item="pv", field="export_register"),
        meter("rest", source_id="panel"),
    )
    rules = {
        "energy_1": FieldRule("register", "kWh"),
        "energy_2": FieldRule("register", "Wh"),
        "power_1": FieldRule("power_kw", "W"),
    }
    source = things(options=Options(fields=rules))
    values: dict[str, Any] = {"energy_1": 1.5, "energy_2": 2500, "power_1": 40, "energy_kwh": 9, "energy_export_kwh": 4}
    found = decoder(of, source).decode([telemetry("panel", **values)])
    assert rows(found, of) == [
        (0, "lights", "register", 1.5, 0),
        (0, "sockets", "register", 2.5, 0),
        (0, "lights", "power_kw", 0.04, 0),
        (0, "rest", "register", 9.0, 0),
        (0, "fed-in", "register", 4.0, 0),
    ]


def test_what_no_device_asks_for_is_no_mistake() -> None:
    of = registry(meter("m"))
    found = decoder(of, things()).decode([telemetry("m", energy_export_kwh=4, room_temp=25)])
    assert found.ignored["not_monitored"] == 2
    assert found.rejects == []
    assert outcomes(found) == ["ignored"]


def test_a_device_of_another_gateway_is_not_believed() -> None:
    of = registry(meter("m", gateway="other"))
    found = decoder(of, things()).decode([telemetry("m", energy_kwh=4)])
    assert [reject.reason for reject in found.rejects] == ["foreign_device"]
    of = registry(meter("m", gateway="tb"))
    assert len(decoder(of, things()).decode([telemetry("m", energy_kwh=4)]).columns) == 1


def test_a_device_of_another_gateway_is_quarantined_once_a_period_and_noted() -> None:
    decode = decoder(registry(meter("m", source_id="1", gateway="other")), things()).decode
    found = decode([telemetry("1", energy_kwh=4), telemetry("1", energy_kwh=5)])
    assert [reject.reason for reject in found.rejects] == ["foreign_device"]
    assert [(each.source, each.source_id) for each in found.memory.unmapped] == [("tb", "1")]
    assert decode([telemetry("1", energy_kwh=6)]).rejects == []


def test_fields_are_taken_literally_but_for_the_star() -> None:
    of = registry(meter("one", source_id="p", field="power[1]"), meter("two", source_id="p", field="a?;*[2]"))
    devices = DeviceMap(of)
    found = [devices.row("tb", "p", "power_kw", name) for name in ("power[1]", "power1", "ab", "a?", "power[2]")]
    assert found == [0, NOT_MONITORED, NOT_MONITORED, 1, 1]


def test_messages_are_counted_by_the_source_they_are_of() -> None:
    of = registry(meter("m1"))
    native = Source("own", "native", ("meters/#",))
    never = Source("never", "tasmota", ("nobody/+",))
    batch = [
        message("meters/gw/m1", '{"ts": "2026-06-28T09:15:00Z", "register": 1}'),
        message("meters/gw/m1", '{"ts": "2026-06-28T09:16:00Z", "register": 2}'),
        message("meters/gw/m1", "{"),
        telemetry("m1", energy_kwh=7.5),
        message("elsewhere", "{"),
    ]
    decode = decoder(of, native, things(), never)
    expected = {("own", "accepted"): 2, ("own", "rejected"): 1, ("tb", "accepted"): 1}
    assert decode.decode(batch).of_sources == expected
    assert decode_all(decode, batch[:3]).of_sources == {("own", "accepted"): 2, ("own", "rejected"): 1}
    assert decode.decode(batch[4:]).of_sources == {}
    assert decoder(of).decode(batch[:3]).of_sources == {}


def test_what_is_read_one_by_one_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = decoder(registry(meter("m1")), things())
    whole = decode.decode

    def failing(messages: Sequence[Message]) -> Decoded:
        if len(messages) > 1:
            raise ZeroDivisionError
        return whole(messages)

    monkeypatch.setattr(decode, "decode", failing)
    found = decode_all(decode, [telemetry("m1", energy_kwh=1), telemetry("m1", energy_kwh=2), message("x", "{")])
    assert found.of_sources == {("tb", "accepted"): 2}


def test_blanks_around_an_id_are_none_of_it() -> None:
    of = registry(meter("m", source_id="meter 1"))
    assert len(decoder(of, things()).decode([telemetry(" meter 1", energy_kwh=4)]).columns) == 1


def test_long_ids_and_topics_are_not_remembered() -> None:
    of = registry(meter("m"))
    plain = Source("plain", "mapper", ("plain",), id=IdRule(path=("long",)))
    sources = Sources([plain, Source("native", "native", ("#",))], Limits())
    reading = {"energy_kwh": 4, "long": "x" * 100_000}
    batch = [message("plain", json.dumps(reading)), message("x/" * 20_000, "{}")]
    found = SourceDecoder(of, Limits(), sources).decode(batch)
    assert "an id of 100000 characters, most are 1000" in [reject.detail for reject in found.rejects]
    assert found.memory.unmapped == []
    assert [topic for _, topic in sources._by_topic] == ["plain"]


def test_two_sources_may_have_the_same_id() -> None:
    of = registry(meter("m1", source_id="1", gateway="tb"), meter("m2", source_id="1", gateway="tb2"))
    second = Source("tb2", "thingsboard_gateway", ("other",))
    batch = [telemetry("1", energy_kwh=4), replace(telemetry("1", energy_kwh=5), topic="other")]
    found = decoder(of, things(), second).decode(batch)
    assert [(row[1], row[3]) for row in rows(found, of)] == [("m1", 4.0), ("m2", 5.0)]


def test_an_unmapped_id_is_quarantined_once_a_period_and_noted() -> None:
    of = registry(meter("m"))
    decode = decoder(of, things()).decode
    first = decode([telemetry("new", energy_kwh=4), telemetry("new", energy_kwh=5), telemetry("newer", power_w=5)])
    assert [(reject.reason, "new" in reject.detail) for reject in first.rejects] == [("unknown_device", True)] * 2
    assert first.ignored["unmapped"] == 1
    assert [(each.source, each.source_id, each.topic, dict(each.values)) for each in first.memory.unmapped] == [
        ("tb", "new", "v1/gateway/telemetry", {"register": 5.0}),
        ("tb", "newer", "v1/gateway/telemetry", {"power_kw": 0.005}),
    ]
    assert outcomes(first) == ["rejected", "ignored", "rejected"]
    again = decode([telemetry("new", energy_kwh=6)])
    assert again.rejects == []
    assert again.memory.is_empty
    later = decode([replace(telemetry("new", energy_kwh=7), received_ms=NOW_MS + PERIOD_MS)])
    assert [reject.reason for reject in later.rejects] == ["unknown_device"]
    assert dict(later.memory.unmapped[0].values) == {"register": 7.0}


def test_an_unmapped_id_is_quarantined_once_a_period_over_restarts_and_reloads(tmp_path: Path) -> None:
    of = registry(meter("m"))
    hour_ms = 3_600_000
    quarantined_h = []
    memory = SourceMemory(tmp_path / "monitor.sqlite")
    for hour in range(0, 60, 3):  # restarted every three hours, reloaded within them
        sources = Sources([things()], Limits(), unmapped=UnmappedLog(memory.quarantined()))
        for at_h in (hour, hour + 1, hour + 2):
            sent = replace(telemetry("new", energy_kwh=4), received_ms=NOW_MS + at_h * hour_ms)
            found = SourceDecoder(of, Limits(), sources).decode([sent])
            quarantined_h += [at_h] * len(found.rejects)
            memory.save(found.memory.state, [Unmapped(*each) for each in found.memory.unmapped])
            (listed,) = read_unmapped(tmp_path / "monitor.sqlite")
            assert (listed.first_ms, listed.unmapped.seen_ms) == (NOW_MS, sent.received_ms)
    memory.close()
    assert quarantined_h == [0, 24, 48]


def test_an_id_that_is_quarantined_is_noted_though_it_just_was() -> None:
    decode = decoder(registry(meter("m")), things()).decode
    for age_ms in (0, PERIOD_MS - 1, PERIOD_MS):
        found = decode([replace(telemetry("new", energy_kwh=4), received_ms=NOW_MS + age_ms)])
    assert [each.quarantined_ms - NOW_MS for each in found.memory.unmapped] == [PERIOD_MS]


def test_an_unmapped_id_is_noted_with_all_values_of_gateways_that_send_them_one_by_one() -> None:
    decode = decoder(registry(meter("m")), things()).decode
    first = decode([telemetry("new", energy_kwh=4), telemetry("new", power_w=5)])
    assert [dict(each.values) for each in first.memory.unmapped] == [{"register": 4.0, "power_kw": 0.005}]
    alone = decode([telemetry("new", room_temp=21)])
    assert [dict(each.values) for each in alone.memory.unmapped] == [{"room_c": 21.0}]
    assert decode([telemetry("new", power_w=6)]).memory.is_empty


def test_values_are_judged_like_native_ones() -> None:
    of = registry(meter("m"))
    far = replace(telemetry("m", energy_kwh=4), received_ms=NOW_MS - 601_000)
    old = replace(telemetry("m", energy_kwh=4), received_ms=NOW_MS + 401 * 86_400_000)
    found = decoder(of, things()).decode([far, old, telemetry("m", energy_kwh=1e999)])
    assert [(reject.reason, reject.detail) for reject in found.rejects] == [
        (
            "bad_time",
            "m register: 4.0, ts 2026-06-28T09:15:00Z: 0.167 h after its arrival; check the clock and the timezone",
        ),
        (
            "bad_time",
            "m register: 4.0, ts 2026-06-28T09:15:00Z: 401 d before its arrival; check the clock and the timezone",
        ),
        ("bad_value", "m register: inf, ts 2026-06-28T09:15:00Z"),
    ]
    assert len(found.columns) == 0


@pytest.mark.parametrize("ts_ms", [10**400, -(10**400), 1 << 62, -1])
def test_any_time_can_be_told(ts_ms: int) -> None:
    assert "its arrival" in unaccepted("bad_time", Value("m", "register", 4.0, ts_ms), ts_ms, NOW_MS)


def test_retained_without_a_time_is_no_reading() -> None:
    of = registry(meter("m"))
    kept = message("v1/gateway/telemetry", '{"m": [{"energy_kwh": 1}]}', retain=True)
    found = decoder(of, things()).decode([kept, replace(kept, retain=False)])
    assert rows(found, of) == [(1, "m", "register", 1.0, 0)]
    assert found.ignored["retained_without_time"] == 1


def test_id_and_scale_of_the_source_come_first() -> None:
    of = registry(meter("gateway"), meter("one"), meter("7"))
    payload = '{"x": [{"ts": 1782638100000, "values": {"energy_kwh": 4}}], "ts": "7"}'
    batch = [message("v1/gateway/telemetry", payload)]
    cases = {
        "gateway": IdRule(topic=(2,)),
        "one": IdRule(fixed="one"),
        "7": IdRule(path=("ts",)),
    }
    for wanted, rule in cases.items():
        found = decoder(of, things(id=rule, scale={"register": 1000.0})).decode(batch)
        assert [(row[1], row[3]) for row in rows(found, of)] == [(wanted, 4000.0)], wanted
    plain = Source("plain", "mapper", ("v1/#",), id=IdRule(topic=(2,)))
    found = decoder(of, plain).decode([message(f"v1/{level}/x", '{"energy_kwh": 4}') for level in ("one", "")])
    assert [row[1] for row in rows(found, of)] == ["one"]
    assert [reject.reason for reject in found.rejects] == ["no_id"]
    for rule in (IdRule(topic=(9,)), IdRule(path=("no",)), IdRule(path=("x", "y"))):
        found = decoder(of, things(id=rule)).decode(batch)
        assert [reject.reason for reject in found.rejects] == ["no_id"]


def test_a_mistake_in_a_format_costs_its_message_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    of = registry(meter("m"))
    sources = Sources([things()], Limits())
    taken = decode_all(SourceDecoder(of, Limits(), sources), [telemetry("m", energy_kwh=4)])
    assert len(taken.columns) == 1
    reader = sources.readers[sources.number(telemetry("m"))]
    assert reader is not None
    read = reader._read
    calls = []

    def failing(each: Message, found: Any) -> None:
        calls.append(each)
        if b"boom" in each.payload:
            raise ZeroDivisionError
        read(each, found)

    monkeypatch.setattr(reader, "_read", failing)
    batch = [telemetry("m", energy_kwh=1), telemetry("boom", energy_kwh=2), telemetry("m", energy_kwh=3)]
    found = decode_all(SourceDecoder(of, Limits(), sources), batch)
    assert [reject.reason for reject in found.rejects] == ["decoder_failed"]
    assert [row[3] for row in rows(found, of)] == [1.0, 3.0]
    assert len(calls) == 3, "no message is read twice"


def test_state_changes_come_with_the_batch_and_survive_a_new_decoder() -> None:
    of = registry(meter("m"))
    sources = Sources([things()], Limits())
    batch = [telemetry("m", energy_t1_kwh=1, energy_t2_kwh=2)]
    first = SourceDecoder(of, Limits(), sources).decode(batch)
    assert [row[3] for row in rows(first, of)] == [3.0]
    assert list(first.memory.state) == ["tb"]
    kept = {key: value for key, value in first.memory.state["tb"].items() if value is not None}
    later = [telemetry("m", NOW_MS + 60_000, energy_t1_kwh=5)]
    reloaded = SourceDecoder(of, Limits(), sources).decode(later)
    restarted = decoder(of, things(), state={"tb": kept}).decode(later)
    assert [row[3] for row in rows(reloaded, of)] == [row[3] for row in rows(restarted, of)] == [7.0]


@pytest.mark.parametrize(
    ("topic", "topic_filter", "fits"),
    [
        ("a/b/c", "a/b/c", True),
        ("a/b/c", "a/+/c", True),
        ("a/b/c", "a/#", True),
        ("a", "a/#", True),
        ("a/b/c", "a/+", False),
        ("a", "a/b", False),
        ("a/b", "a", False),
        ("/a", "+/a", True),
        ("$SYS/x", "#", False),
        ("$SYS/x", "$SYS/#", True),
        ("", "#", True),
    ],
)
def test_topic_filters(topic: str, topic_filter: str, fits: bool) -> None:
    assert topic_matches(topic, topic_filter) is fits


def test_columns_have_the_types_that_the_journal_takes() -> None:
    columns = decoder(registry(meter("m")), things()).decode([telemetry("m", energy_kwh=4)]).columns
    assert columns.device.dtype == np.dtype(np.int32)
    assert columns.quantity.dtype == np.dtype(np.int8)


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (26121 * 0.001, 26.121),
        (0.1 + 0.2, 0.3),
        (1 / 3, 1 / 3),
        (12345678.9 * 3, 12345678.9 * 3),
        (-826 * 0.001, -0.826),
        (1e300, 1e300),
        (0.0, 0.0),
    ],
)
def test_a_change_of_units_leaves_no_noise(value: float, meant: float) -> None:
    assert nearest_decimal(np.array([value])).tolist() == [meant]


def test_what_is_no_number_stays_what_it_is() -> None:
    strange = nearest_decimal(np.array([np.nan, np.inf, -np.inf]))
    assert np.isnan(strange[0])
    assert strange[1:].tolist() == [np.inf, -np.inf]


def test_what_stands_for_no_measurement_is_no_reading() -> None:
    batch = [telemetry("m", energy_kwh=4294967.295), telemetry("m", energy_kwh=5), telemetry("m", power_w=65535)]
    decoded = decoder(registry(meter("m")), things()).decode(batch)
    assert decoded.columns.value.tolist() == [5]
    assert decoded.ignored["no_value"] == 2
    assert not decoded.rejects


def test_what_had_to_be_forgotten_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = Sources([things()], Limits())
    reader = sources.readers[sources.number(telemetry("m"))]
    assert reader is not None
    monkeypatch.setattr(reader.state, "_max_entries", 3)
    batch = [telemetry(f"m{number}", energy_t1_kwh=1, energy_t2_kwh=2) for number in range(5)]
    decode = SourceDecoder(registry(meter("m")), Limits(), sources).decode
    assert decode(batch).ignored["forgotten_state"] == 2
    assert decode([telemetry("m4", energy_t1_kwh=1)]).ignored["forgotten_state"] == 0
