"""Sparkplug B: what fixtures cannot say."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import random
import struct
from typing import Any

import pytest

from monitor.decoders.formats import FORMATS
from monitor.decoders.formats.sparkplug_b import SparkplugB
from monitor.decoders.formats.sparkplug_payload import number_of, read, rebirth_request
from monitor.decoders.formats.sparkplug_schema import payload_class
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message
from tests import sparkplug as made
from tests.decoders.promises import processor_time_below

NOW_MS = 1_782_638_100_000
NODE, DEVICE = "spBv1.0/g/N{}/e", "spBv1.0/g/D{}/e/d"
INT8, INT16, INT32, INT64, UINT32, FLOAT, DOUBLE, BOOLEAN = 1, 2, 3, 4, 7, 9, 10, 11


class Reader:
    """One source, and what it finds in each message."""

    def __init__(self, state: SourceState | None = None, **more: Any) -> None:
        self.state = state or SourceState()
        self._format = SparkplugB(Options(more=more), self.state)
        self.now_ms = NOW_MS

    def read(self, topic: str, payload: bytes, *, retain: bool = False) -> Found:
        found = Found(self.state)
        self._format.read(Message(topic, payload, retain, self.now_ms, "main"), found)
        found.end_message()
        return found


def payload(*metrics: dict[str, Any], **fields: Any) -> bytes:
    message = payload_class()(**fields)
    for metric in metrics:
        unit = metric.pop("unit", None)
        added = message.metrics.add(**metric)
        if unit:
            added.properties.keys.append("engUnit")
            added.properties.values.add(type=12, string_value=unit)
    return bytes(message.SerializeToString())


def birth(seq: int = 0, sent_ms: int = NOW_MS, **fields: Any) -> bytes:
    power = {"name": "Power", "alias": 1, "datatype": FLOAT, "float_value": 5.5, "unit": "kW"}
    return payload({"name": "bdSeq", "long_value": 1}, power, seq=seq, timestamp=sent_ms, **fields)


def data(seq: int, alias: int = 1, value: float = 6.5) -> bytes:
    return payload({"alias": alias, "float_value": value}, seq=seq, timestamp=NOW_MS)


def test_field_numbers_are_those_of_the_specification() -> None:
    """Bytes put together by hand: tag = number * 8 + wire type."""
    metric = (
        b"\x0a\x05Power"  # name 1
        b"\x10\x09"  # alias 2
        b"\x18\xe8\x07"  # timestamp 3: 1000
        b"\x20\x0a"  # datatype 4: Double
        b"\x38\x00"  # is_null 7
        b"\x4a\x10\x0a\x07engUnit\x12\x05\x08\x0c\x42\x01W"  # properties 9: keys 1, values 2: type 1, string_value 8
        b"\x69" + struct.pack("<d", 1.5)  # double_value 13
    )
    raw = b"\x08\xd0\x0f\x12" + bytes([len(metric)]) + metric + b"\x12\x07\x10\x03\x65\x00\x00\x80\x3f\x18\x05"
    found = read(raw)
    assert (found.timestamp, found.seq) == (2000, 5)
    first, second = found.metrics()
    assert first == ("Power", 9, 1000, 10, "W", True, "double_value", 1.5)
    assert second == ("", 3, 0, 0, None, True, "float_value", 1.0)


def test_rebirth_request_holds_the_command_and_nothing_else() -> None:
    metric = b"\x0a\x14Node Control/Rebirth\x18\x80\xf8\xa3\x98\xf2\x33\x20\x0b\x70\x01"
    stamp = b"\x80\xf8\xa3\x98\xf2\x33"
    request = rebirth_request(sum((byte & 127) << 7 * place for place, byte in enumerate(stamp)))
    assert request == b"\x08" + stamp + b"\x12" + bytes([len(metric)]) + metric


@pytest.mark.parametrize(
    ("kind", "value", "datatype", "expected"),
    [
        ("int_value", 0xFB, INT8, -5),
        ("int_value", 0xFFFFFFFB, INT8, -5),
        ("int_value", 0xFFFB, INT16, -5),
        ("int_value", 0xFFFFFFFB, INT32, -5),
        ("long_value", 0xFFFFFFFFFFFFFFFB, INT32, -5),
        ("long_value", 0xFFFFFFFFFFFFFFFB, INT64, -5),
        ("int_value", 0xFFFFFFFB, UINT32, 0xFFFFFFFB),
        ("int_value", 1, BOOLEAN, True),
        ("plain", -5, INT32, -5),
        ("float_value", struct.unpack("<f", struct.pack("<f", 12.1))[0], 0, 12.1),
        ("float_value", struct.unpack("<f", struct.pack("<f", 0.123456789))[0], FLOAT, 0.12345679),
        ("float_value", 3.4028234663852886e38, FLOAT, 3.4028234663852886e38),
        ("float_value", 16777217.0, FLOAT, 16777217.0),
        ("double_value", 0.1, 10, 0.1),
    ],
)
def test_numbers_by_data_type(kind: str, value: float, datatype: int, expected: float) -> None:
    assert number_of(kind, value, datatype) == expected


def test_an_integer_of_no_known_type_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="may be negative"):
        number_of("int_value", 1 << 31, 0)


def test_floats_are_the_shortest_decimals() -> None:
    rng = random.Random(3)
    for _ in range(500):
        wanted = round(rng.uniform(-1e5, 1e5), rng.randrange(3))
        single = struct.unpack("<f", struct.pack("<f", wanted))[0]
        short = number_of("float_value", single, FLOAT)
        assert struct.unpack("<f", struct.pack("<f", short))[0] == single
        assert len(repr(short)) <= len(repr(wanted))


def test_what_waits_is_bounded() -> None:
    reader = Reader()
    ignored = [reader.read(NODE.format("DATA"), data(number % 256, value=number)).ignored for number in range(100)]
    assert ignored[63] == ["waits_for_birth"]
    assert ignored[64] == ["waits_for_birth", "dropped_waiting"]
    found = reader.read(NODE.format("BIRTH"), birth())
    assert [value.value for value in found.values] == [*map(float, range(36, 100)), 5.5]
    assert reader.read(NODE.format("BIRTH"), birth()).values == found.values[-1:]

    large = payload({"alias": 7, "string_value": "x" * 100_000})
    for number in range(5):
        reader.read(f"spBv1.0/g/NDATA/e{number % 2}", large + payload(seq=number))
    sizes = [sum(len(each[2]) for each in reader.state.get(f"waiting/g/e{node}")) for node in (0, 1)]
    assert all(size <= 256 * 1024 for size in sizes)
    huge = payload({"alias": 7, "string_value": "x" * 300_000})
    assert reader.read("spBv1.0/g/NDATA/e3", huge).ignored == ["waits_for_birth", "dropped_waiting"]
    assert reader.state.get("waiting/g/e3") is None


def test_requests_become_rare_where_gaps_are_always() -> None:
    reader = Reader()
    reader.read(NODE.format("BIRTH"), birth())
    asked = []
    for number in range(1, 2000):
        reader.now_ms = NOW_MS + number * 10_000
        found = reader.read(NODE.format("DATA"), data(min(number * 2, 255) if number < 128 else number * 2 % 256 + 1))
        asked += [number * 10 for _ in found.requests]
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert gaps[:3] == sorted(gaps[:3])
    assert gaps[0] >= 60
    assert len(asked) < 14


def test_one_request_names_the_node_and_reads_back() -> None:
    found = Reader().read("tenant/spBv1.0/g/DDATA/e/d", data(7))
    (request,) = found.requests
    assert (request.key, request.topic) == ("tenant/g/e", "tenant/spBv1.0/g/NCMD/e")
    (metric,) = read(request.payload).metrics()
    assert (metric.name, metric.datatype, metric.value) == ("Node Control/Rebirth", BOOLEAN, True)
    assert Reader(rebirth=False).read(NODE.format("DATA"), data(7)).requests == []


@pytest.mark.parametrize("death", [False, True])
def test_data_that_comes_again_is_not_read_by_aliases_of_a_later_birth(death: bool) -> None:
    """The service was killed after it had saved what it remembers, and before it acknowledged."""
    sent_ms = 1_781_000_000_000

    def born(later_ms: int, **metrics: tuple[int, str, float]) -> bytes:
        named = {alias: (name, unit, value) for name, (alias, unit, value) in metrics.items()}
        return made.birth(sent_ms + later_ms, seq=1, metrics=named)

    device = "spBv1.0/g/D{}/e/d"
    messages = [
        ("spBv1.0/g/NBIRTH/e", made.birth(sent_ms, seq=0, bd_seq=1)),
        (device.format("BIRTH"), born(0, energy=(1, "kWh", 100.0), setpoint=(2, "°C", 24.0))),
        (device.format("DATA"), made.data(sent_ms + 1000, seq=2, values={1: 101.0, 2: 25.0})),
        ("spBv1.0/g/NDEATH/e", made.birth(sent_ms + 2000, seq=3, bd_seq=1)),
        ("spBv1.0/g/NBIRTH/e", made.birth(sent_ms + 5000, seq=0, bd_seq=2)),
        (device.format("BIRTH"), born(5000, energy=(2, "kWh", 101.0), setpoint=(1, "°C", 25.0))),
    ]
    if not death:
        del messages[3]
    reader = Reader()
    first = {value for message in messages for value in reader.read(*message).values}
    again = {value for message in messages[2:] for value in reader.read(*message).values}
    assert again <= first
    assert len(first) == 6


@pytest.mark.parametrize("retain", [False, True])
def test_births_that_come_again_do_not_declare_what_waits_since_a_loss(retain: bool) -> None:
    reader = Reader()
    messages = [
        (NODE.format("BIRTH"), birth(250)),
        (DEVICE.format("BIRTH"), birth(251)),
        (DEVICE.format("DATA"), data(252)),
        (DEVICE.format("DATA"), data(3, value=7.5)),  # 0 to 2 are lost: another NBIRTH may be among them
    ]
    found = [reader.read(*each) for each in messages]
    assert "waits_for_birth" in found[-1].ignored
    said = {value for each in found for value in each.values}
    for each in messages:
        again = reader.read(*each, retain=retain and "BIRTH" in each[0])
        assert set(again.values) <= said
        assert again.ignored in (["repeated"], ["waits_for_birth"])
    for at, kind in enumerate((NODE, DEVICE), 4):
        released = reader.read(kind.format("BIRTH"), birth(at, NOW_MS + 60_000))
    assert [value.value for value in released.values] == [7.5, 5.5]


@pytest.mark.parametrize("kind", [NODE, DEVICE])
@pytest.mark.parametrize("retain", [False, True])
def test_births_that_come_again_do_not_declare_what_waits_since_a_death(kind: str, *, retain: bool) -> None:
    reader = Reader()
    messages = [
        (NODE.format("BIRTH"), birth(250), retain),
        (DEVICE.format("BIRTH"), birth(251), retain),
        (kind.format("DEATH"), payload({"name": "bdSeq", "long_value": 1}, seq=252, timestamp=NOW_MS), False),
        (kind.format("DATA"), data(254, value=7.5), False),  # 253 is lost: another birth may be it
    ]
    found = [reader.read(topic, raw, retain=kept) for topic, raw, kept in messages]
    assert "waits_for_birth" in found[-1].ignored
    said = {value for each in found for value in each.values}
    for topic, raw, kept in messages:
        assert set(reader.read(topic, raw, retain=kept).values) <= said


def test_a_second_loss_in_one_millisecond_is_one_too() -> None:
    reader = Reader()
    for seq in (9, 5):  # 9 to 5 is the first loss
        reader.read(DEVICE.format("BIRTH"), birth(seq, NOW_MS + seq))
    assert len(reader.read(DEVICE.format("DATA"), data(6)).values) == 1
    assert "waits_for_birth" in reader.read(DEVICE.format("DATA"), data(2)).ignored


def test_a_birth_without_a_time_may_look_as_before_a_loss() -> None:
    reader = Reader()
    raw = payload({"name": "Power", "alias": 1, "float_value": 5.5, "unit": "kW"}, seq=0)
    reader.read(NODE.format("BIRTH"), raw)
    reader.read(NODE.format("DATA"), data(5))
    assert "waits_for_birth" in reader.read(NODE.format("DATA"), data(4, value=7.5)).ignored
    assert 7.5 in [value.value for value in reader.read(NODE.format("BIRTH"), raw).values]


def test_messages_that_come_again_change_nothing() -> None:
    reader = Reader()
    messages = [(NODE.format("BIRTH"), birth())] + [(NODE.format("DATA"), data(n, value=n)) for n in range(1, 40)]
    first = [reader.read(*message) for message in messages]
    again = [reader.read(*message) for message in messages[5:]]
    assert [one.values for one in again] == [one.values for one in first[5:]]
    assert not any(one.requests or one.flagged or one.ignored for one in again)
    after = reader.read(NODE.format("DATA"), data(40))
    assert (len(after.values), after.flagged) == (1, [])


def test_a_node_that_does_not_count_is_read() -> None:
    reader = Reader()
    reader.read(NODE.format("BIRTH"), birth())
    for number in range(5):
        assert len(reader.read(NODE.format("DATA"), data(0, value=number)).values) == 1


def test_data_writes_no_table() -> None:
    reader = Reader()
    reader.read(NODE.format("BIRTH"), birth())
    reader.state.changes()
    reader.read(NODE.format("DATA"), data(1))
    assert set(reader.state.changes()) == {"seq/g/e"}


def test_option_is_checked() -> None:
    check = FORMATS["sparkplug_b"].check
    assert check({"rebirth": False}) == []
    assert len(check({"rebirth": "no", "other": 1})) == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"\x7b" * 100_000,
        b'{"metrics":' + b"[" * 100_000,
        b'{"metrics":[{"name":"Power","value":' + b"9" * 100_000 + b"}]}",
        b'{"metrics":[{"name":"Power","properties":{"engUnit":"kW"},"value":1' + b"0" * 400 + b"}]}",
        b'{"timestamp":1e400,"metrics":[{"name":"Power","value":1,"properties":{"engUnit":"kW"}}]}',
        b'{"timestamp":[],"metrics":[{"name":"Power","value":1,"properties":{"engUnit":"kW"}}],"seq":-5}',
        b'{"metrics":[{"name":"\\ud800","alias":-1,"value":[]},{"name":{},"alias":1e5},null]}',
        b'{"metrics":[{"name":"Power","dataType":1,"intValue":-1},{"name":"Power","dataType":[],"longValue":"x"}]}',
        b"\x12\x05\x0a\x03\xff\xfe\xfd",
        b"\x12" * 1000,
        payload(*({"name": f"M{n}/Power", "alias": n, "float_value": 1.0} for n in range(5_000))),
        payload(uuid="SPBV1.0_COMPRESSED", body=gzip.compress(bytes(10_000_000))),
        payload(uuid="SPBV1.0_COMPRESSED", body=b"x"),
        payload(seq=(1 << 64) - 1, timestamp=(1 << 64) - 1),
    ],
)
@pytest.mark.parametrize("kind", ["BIRTH", "DATA", "DEATH"])
def test_hostile_payloads_end_in_time(raw: bytes, kind: str) -> None:
    reader = Reader()
    with processor_time_below(5.0):
        for topic in (NODE.format(kind), DEVICE.format(kind), DEVICE.format(kind)):
            with contextlib.suppress(UnreadableError):
                reader.read(topic, raw)
        reader.state.changes()


def test_nested_templates_end() -> None:
    message = payload_class()(seq=0)
    metrics = message.metrics
    for _ in range(30):
        metrics = metrics.add(name="t", datatype=19).template_value.metrics
    metrics.add(name="Power", float_value=1.0)
    assert Reader().read(NODE.format("BIRTH"), message.SerializeToString()).values == []


def test_any_bytes_in_any_order_are_read_or_refused() -> None:
    rng = random.Random(11)
    reader = Reader()
    kinds = ["BIRTH", "DATA", "DATA", "DATA", "DEATH", "CMD"]
    for _ in range(3000):
        raw = rng.choice([birth(rng.randrange(256)), data(rng.randrange(256), rng.randrange(3)), b"", b"{}"])
        if rng.random() < 0.3 and raw:
            place = rng.randrange(len(raw))
            raw = raw[:place] + bytes([rng.randrange(256)]) + raw[place + rng.randrange(2) :]
        topic = rng.choice([NODE, DEVICE]).format(rng.choice(kinds))
        with contextlib.suppress(UnreadableError):
            reader.read(topic, raw)
        if rng.random() < 0.05:
            entries = SourceState({key: value for key, value in reader.state.changes().items() if value is not None})
            reader = Reader(entries)
    assert len(reader.state) < 20


@pytest.mark.parametrize("folder", ["", "Grid/"])
def test_power_in_and_out_of_one_meter_is_one(folder: str) -> None:
    reader = Reader()
    metrics = {
        1: (f"{folder}Power/Import", "kW", 0.0),
        2: (f"{folder}Power/Export", "kW", 1.5),
        3: (f"{folder}Energy/Import", "kWh", 90.0),
        4: (f"{folder}Energy/Export", "kWh", 7.0),
    }
    reader.read(NODE.format("BIRTH"), made.birth(NOW_MS, seq=0, bd_seq=0))
    born = reader.read(DEVICE.format("BIRTH"), made.birth(NOW_MS, seq=1, metrics=metrics))
    assert sorted((value.quantity, value.value) for value in born.values) == [
        ("export_register", 7.0),
        ("power_kw", -1.5),
        ("register", 90.0),
    ]
    later = reader.read(DEVICE.format("DATA"), made.data(NOW_MS + 1000, seq=2, values={1: 2.0, 2: 0.0}))
    assert [(value.quantity, value.value) for value in later.values] == [("power_kw", 2.0)]
    alone = reader.read(DEVICE.format("DATA"), made.data(NOW_MS + 2000, seq=3, values={1: 2.5}))
    assert [(value.quantity, value.value) for value in alone.values] == [("power_kw", 2.5)]


def test_metrics_that_mean_nothing_are_passed_over_unless_they_say_more() -> None:
    reader = Reader()
    volts = {"name": "Power", "alias": 1, "datatype": FLOAT, "float_value": 230.0, "unit": "V"}
    reader.read(NODE.format("BIRTH"), payload({"name": "bdSeq", "long_value": 1}, volts, seq=0, timestamp=NOW_MS))
    bare, with_unit = {"alias": 1, "float_value": 6.5}, {"alias": 1, "float_value": 6.5, "unit": "kW"}
    named = {"name": "Energy", "alias": 1, "float_value": 7.5, "unit": "kWh"}
    template = {"alias": 1, "template_value": {"metrics": [{"name": "Energy", "float_value": 1.0}]}}
    raw = payload(bare, with_unit, named, template, {"float_value": 1.0}, seq=1, timestamp=NOW_MS)
    metrics = list(read(raw).metrics())
    assert list(read(raw).metrics(frozenset({1}))) == metrics[1:]
    found = reader.read(NODE.format("DATA"), raw)
    assert [(value.quantity, value.value) for value in found.values] == [("power_kw", 6.5), ("register", 7.5)]
    assert [each.reason for each in found.rejected] == ["malformed", "unknown_unit"]  # the latter is the template's


@pytest.mark.parametrize("value", [2.5, float("nan"), float("inf"), -0.0])
@pytest.mark.parametrize("name", ["Power", "Energy Import T1", "Room Temperature", "On"])
def test_a_double_is_read_as_by_its_name(name: str, value: float) -> None:
    """The usual way and the way of all other types agree."""
    read_as = []
    for datatype in (DOUBLE, 0):
        metric = {"name": name, "alias": 1, "datatype": datatype, "unit": "kW" if name == "Power" else "kWh"}
        reader = Reader()
        reader.read(NODE.format("BIRTH"), payload(metric, seq=0, timestamp=NOW_MS))
        data_payload = payload({"alias": 1, "double_value": value}, seq=1, timestamp=NOW_MS)
        found = reader.read(NODE.format("DATA"), data_payload)
        read_as.append(repr((found.values, found.rejected, found.ignored)))
    assert read_as[0] == read_as[1]
