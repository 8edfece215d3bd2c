"""Chinese gateways: what fixtures cannot say."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from monitor.decoders.formats.chinese_gateway import ChineseGateway
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

POST = "/sys/k/d/thing/event/property/post"


def read(topic: str, document: Any, options: Options | None = None, reader: ChineseGateway | None = None) -> Found:
    found = Found(SourceState())
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    reader = reader or ChineseGateway(options or Options(), SourceState())
    reader.read(Message(topic, payload, False, 0, "main"), found)
    found.end_message()
    return found


@pytest.mark.parametrize(("number", "mode"), [(0, 5), (1, 1), (2, 2), (3, 4), (4, 3)])
@pytest.mark.parametrize("as_text", [False, True])
def test_work_modes_of_the_model(number: int, mode: int, as_text: bool) -> None:
    found = read(POST, {"params": {"WorkMode": str(number) if as_text else number}})
    assert [value.value for value in found.values] == [mode]


def test_the_installers_modes_come_first() -> None:
    found = read(POST, {"params": {"WorkMode": 1, "mode": 3}}, Options(modes={"1": 2, "3": 0}))
    assert [value.value for value in found.values] == [2, 0]


@pytest.mark.parametrize("raw", [5, 9, True, 1.5, [], {}, "x", 10**20, -1])
def test_other_work_modes_are_none(raw: object) -> None:
    assert not read(POST, {"params": {"WorkMode": raw}}).values


def test_nothing_but_unreadable_leaves() -> None:
    rng = random.Random(5)
    leaves: list[Any] = [
        None,
        5,
        "x",
        True,
        [],
        {},
        10**300,
        1.5,
        "1782637200000",
        [[1]],
        [{"value": 1}],
        {"value": {"value": {}}},
    ]
    keys = [
        "batch", "params", "properties", "subDevices", "identity", "items", "metrics", "energy", "power", "active",
        "value", "time", "timestamp", "device_id", "msgType", "name", "WorkMode", "d", "dev", "sn", "err", "unit",
    ]  # fmt: skip

    def made(depth: int) -> Any:
        kind = rng.randrange(4) if depth < 6 else 0
        if kind == 0:
            return rng.choice(leaves)
        if kind == 1:
            return [made(depth + 1) for _ in range(rng.randrange(3))]
        return {key: made(depth + 1) for key in rng.sample(keys, rng.randrange(6))}

    reader = ChineseGateway(Options(), SourceState())
    for _ in range(2000):
        for topic in (POST, "/sys/k/d/thing/event/property/history/post", "dtu"):
            with contextlib.suppress(UnreadableError):
                read(topic, made(0), reader=reader)


@pytest.mark.parametrize(
    "topic", ["/sys/", "/sys//", "/sys/a", "/sys/a/b", "/thing/", "/sys/a/b/thing", "/sys/a/b/c/d/e/f", ""]
)
def test_odd_topics(topic: str) -> None:
    with contextlib.suppress(UnreadableError):
        read(topic, {"params": {"kwh": 1}})


def test_no_time_behind_one_that_comes_twice() -> None:
    times = ("20261101011500000", "")  # in New York
    energy = {"active": {"unit": "kWh", "value": {"forward": 5}}}
    batch = [
        {"timestamp": text, "device_id": device, "metrics": {"energy": energy}}
        for device, text in zip("ab", times, strict=True)
    ]
    options = Options(timezone=ZoneInfo("America/New_York"))
    found = read("device/power/up/g", {"msgType": "up", "batch": batch}, options)
    assert [value.ts_ms is None for value in found.values] == [False, True]


def test_memory_is_bounded() -> None:
    reader = ChineseGateway(Options(), SourceState())
    for number in range(3000):
        read(f"/sys/k/{number}/thing/event/property/post", {"params": {f"x{number}": 1}}, reader=reader)
    assert len(reader._alink._topics) <= 2000
    assert len(reader._alink._mode_keys) <= 300
    item = {"timestamp": "20260628160000", "metrics": {"power": {"active": {"unit": "kW", "value": {"total": 1.5}}}}}
    for number in range(6000):
        read("power/up/g", {"msgType": "up", "batch": [{**item, "device_id": f"M{number}"}]}, reader=reader)
    assert 0 < len(reader._edgelogger._ids) <= 5000


@pytest.mark.parametrize("sent", [0, -1, "soon", "0", 9_999_999_999_999_999])
def test_a_time_beside_the_properties_is_tencents_alone(sent: Any) -> None:
    own = {"value": 5, "time": 1_782_637_000_000}
    found = read(POST, {"timestamp": sent, "params": {"energy_kwh": own, "power_kw": 2}})
    assert [(value.quantity, value.ts_ms) for value in found.values] == [
        ("register", 1_782_637_000_000),
        ("power_kw", None),
    ]
    assert found.rejected == []
    sent_ms = 1_782_636_000_000
    found = read("$thing/up/property/p/d", {"method": "report", "timestamp": sent_ms, "params": {"power_kw": 2}})
    assert [value.ts_ms for value in found.values] == [sent_ms]


def test_rows_of_a_logger_with_an_acrel_key_are_read() -> None:
    found = read("up/g", {"gwSN": "g", "data": [{"meterNo": "1", "energy_kwh": 5}]})
    assert [(value.source_id, value.value) for value in found.values] == [("1", 5.0)]
