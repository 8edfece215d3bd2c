"""The scanner says what the slow way says, and both what a plain reading of the format says."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from monitor.decoders import Decoded
from monitor.decoders.native import NativeDecoder
from monitor.decoders.native_rows import empty_rows
from monitor.decoders.native_scan import device_table, scan, warm_up
from monitor.ingest.message import Message
from monitor.registry import Device
from tests.decoders.made import ARRIVAL_MS, DEVICES, message, registry

KNOWN = registry()
FAST = NativeDecoder(KNOWN)
SLOW = NativeDecoder(KNOWN, scanner=False)

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(-1_000_000, 1_000_000, places=3).map(str),
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?\Z"),
    st.sampled_from(["0", "-0", "-0.0", "1.", ".5", "01", "1e", "+1", "-", "1e22", "1e23", "9007199254740993", "NaN"]),
)
times = st.one_of(
    st.datetimes().map(lambda moment: f'"{moment.isoformat()}Z"'),
    st.from_regex(
        r"\A\"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,7})?(Z|[+-][0-2][0-9]:[0-6][0-9])\"\Z"
    ),
    st.integers(ARRIVAL_MS - 10**6, ARRIVAL_MS + 10**6).map(str),
    st.floats(1.7e9, 1.9e9).map(repr),
    numbers,
    st.sampled_from(['""', '"now"', "null", "true", '"2026-06-28T09:15:00"', '"2026-06-28T24:00:00Z"', "{}"]),
)
modes = st.sampled_from(
    ['"cool"', '"OFF"', '"Auto"', '"coolx"', '"co"', '"\\u0063ool"', "1", "7", "null", '"fan', "2.0"]
)
switches = st.sampled_from(["0", "1", "true", "false", "tru", "2", '"on"', "1.0", "False"])
devices = st.sampled_from(
    [
        *(json.dumps(device.id, ensure_ascii=False) for device in DEVICES),
        '"X"',
        '"AC\\u002d01"',
        "5",
        '"',
        '"\t"',
        '"é"',
    ]
)
FIELDS = {
    "device": devices,
    "ts": times,
    "register": numbers,
    "power_kw": numbers,
    "on": switches,
    "mode": modes,
    "setpoint_c": numbers,
    "room_c": numbers,
    "other": st.one_of(numbers, st.just("[1]")),
}
spaces = st.sampled_from(["", "", "", " ", "\n\t"])


@st.composite
def sets(draw: st.DrawFn) -> str:
    keys = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=5))
    if draw(st.integers(0, 9)):  # mostly each key once
        keys = list(dict.fromkeys(keys))
    space = draw(spaces)
    fields = [f'{space}"{key}"{space}:{space}{draw(FIELDS[key])}{space}' for key in keys]
    return "{" + ",".join(fields) + "}"


@st.composite
def payloads(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        text = draw(sets())
    else:
        text = '{"readings": [' + ", ".join(draw(st.lists(sets(), max_size=4))) + "]}"
    if draw(st.integers(0, 19)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(["", ",", "}", "]", '"', "0", "x", " "])) + text[at + 1 :]
    return text


messages = st.builds(
    message,
    payloads(),
    st.sampled_from(["meters/gw-1/M-1", "meters/gw-1/AC-01", "site/meters/gw-2/M-9", "meters/gw-9/X"]),
    retain=st.booleans(),
)


def bits(decoded: Decoded) -> tuple[object, ...]:
    columns = decoded.columns
    return (
        columns.device.tolist(),
        columns.quantity.tolist(),
        columns.ts_ms.tolist(),
        columns.value.view(np.int64).tolist(),
        decoded.message_of_row.tolist(),
        decoded.outcome.tolist(),
        decoded.ignored,
        sorted((reject.topic, reject.payload, reject.reason) for reject in decoded.rejects),
    )


@seed(20260628)
@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(messages, max_size=4))
def test_the_scanner_equals_the_slow_way(batch: list[Message]) -> None:
    assert bits(FAST.decode(batch)) == bits(SLOW.decode(batch))


@seed(20260629)
@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(messages, min_size=1, max_size=5))
def test_a_batch_is_the_sum_of_its_messages(batch: list[Message]) -> None:
    whole = FAST.decode(batch)
    singles = [FAST.decode([one]) for one in batch]
    assert whole.columns.value.tolist() == [value for one in singles for value in one.columns.value.tolist()]
    assert whole.outcome.tolist() == [one.outcome[0] for one in singles]
    assert sum((one.ignored for one in singles), start=type(whole.ignored)()) == whole.ignored


@seed(20260630)
@settings(max_examples=300, deadline=None, database=None)
@given(numbers)
def test_numbers_are_those_of_json(text: str) -> None:
    try:
        expected: Any = json.loads(text, parse_constant=lambda name: None)
    except ValueError:
        expected = None
    decoded = FAST.decode([message(f'{{"ts": {ARRIVAL_MS}, "register": {text}}}')])
    if expected is None or not math.isfinite(float(expected)):
        assert not len(decoded.columns)
        assert len(decoded.rejects) == 1
    else:
        assert decoded.columns.value.tolist() == [float(expected)]


def test_the_usual_shapes_are_the_scanner_s() -> None:
    """Otherwise equality would prove nothing, and speed be lost unseen."""
    usual = [
        b'{"ts": "2026-06-28T09:15:00Z", "register": 10234.5, "power_kw": 41.2}',
        b'{"readings": [{"device": "AC-01", "ts": 1782638100000, "on": 1, "mode": "cool", "setpoint_c": 24.5}]}',
        b'{"ts":"2026-06-28T16:15:00.250+07:00","on":true,"mode":"AUTO","room_c":26.100000000000001}',
        '{"readings":[{"device":"Đồng hồ/2","ts":1782638100.5,"register":1e3},{"register":5}]}'.encode(),
    ]
    unusual = [b"", b"{}", b'{"register": NaN}', b'{"x": 1}', b'{"register": 1, "register": 1}', b'{"register": 1}x']
    start = np.zeros(len(usual + unusual) + 1, np.int64)
    np.cumsum([len(payload) for payload in usual + unusual], out=start[1:])
    count = len(usual + unusual)
    left = np.zeros(count, np.bool_)
    rows = empty_rows(50)
    table = device_table(tuple(device.id for device in DEVICES), np.full(len(DEVICES), -1, np.int32))
    found = scan(
        np.frombuffer(bytearray(b"".join(usual + unusual)), np.uint8),
        start,
        np.zeros(count, np.int32),
        np.zeros(count, np.int32),
        np.full(count, ARRIVAL_MS, np.int64),
        np.zeros(count, np.bool_),
        table,
        rows,
        left,
    )
    assert left.tolist() == [False] * len(usual) + [True] * len(unusual)
    assert rows.message[:found].tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]


def test_it_compiles_once() -> None:
    """An array of another type would compile it again, in the middle of the service."""
    warm_up()
    before = len(scan.signatures)  # type: ignore[attr-defined]  # Numba's dispatcher, seen as the function it wraps
    FAST.decode([message('{"ts": 1782638100, "register": 77}')])
    NativeDecoder(registry(())).decode([message('{"register": 77}')])
    assert len(scan.signatures) == before == 1  # type: ignore[attr-defined]  # as above


@pytest.mark.parametrize("count", [1, 1000])
def test_every_device_is_found_and_no_other(count: int) -> None:
    ids = [f"{number}-{number * 7919 % 1000}" for number in range(count)]
    decoder = NativeDecoder(registry(tuple(Device(name, "B-1", "meter") for name in ids)))
    wanted = [*ids, "", "0", ids[0] + "x", ids[0][:-1]]
    text = ", ".join(f'{{"device": "{name}", "register": 1}}' for name in wanted)
    decoded = decoder.decode([message('{"readings": [' + text + "]}")])
    assert decoded.columns.device.tolist() == list(range(count))
    assert [reject.reason for reject in decoded.rejects] == ["unknown_device"] * 4
