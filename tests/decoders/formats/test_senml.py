"""SenML: what fixtures cannot say."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import cbor2
import msgspec
import pytest

from monitor.decoders.formats import senml_pack
from monitor.decoders.formats.senml import SenML
from monitor.decoders.formats.senml_pack import records_of
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message
from tests.decoders.promises import processor_time_below

ARRIVAL_MS = 1_782_638_100_000
PACK: list[dict[str, Any]] = [
    {"bn": "m:", "bt": 1781000000, "bu": "W", "bv": 1.5, "bs": 2, "bver": 5, "n": "power", "v": 1, "s": 3.5, "t": -5},
    {"n": "on", "vb": True},
    {"n": "mode", "vs": "cool"},
    {"n": "energy", "u": "Wh", "v": 1},
]
LABELS = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6} | dict(
    zip(("n", "u", "v", "vs", "vb", "s", "t"), range(7), strict=True)
)


def found_in(payload: bytes) -> Found:
    state = SourceState()
    found = Found(state)
    SenML(Options(), state).read(Message("t", payload, False, ARRIVAL_MS, "main"), found)
    found.end_message()
    assert len(state) == 0
    return found


def test_the_fast_path_the_slow_one_and_cbor_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = json.dumps(PACK).encode()
    fast = records_of(payload)
    assert records_of(payload.replace(b'"power"', b'"\\u0070ower"')) == fast
    assert records_of(b"\xef\xbb\xbf" + payload) == fast
    assert records_of(cbor2.dumps([{LABELS[label]: value for label, value in one.items()} for one in PACK])) == fast
    assert records_of(cbor2.dumps(PACK)) == fast

    def refused(_: bytes) -> list[senml_pack.Record]:
        raise msgspec.DecodeError

    monkeypatch.setattr(senml_pack, "_decode", refused)
    assert records_of(payload) == fast


@pytest.mark.parametrize(
    "payload",
    [
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x81" * 100_000,
        b"\x81\xa1\x81\x01\x02",
        b"\x81\xa1\xa1\x01\x02\x02\x00",
        b"\x81\xa2\x00gm:power\x02\xc5\x82\x1a\x7f\xff\xff\xff\x01",
        b"\x81\xa2\x00gm:power\x02\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x81\xa2\x00gm:power\x02\xc4\x82\x1a\x00\xff\xff\xff\x01",
        b"\x82\xd8\x1c\x81\x00\xd8\x1d\x00",
        b"\x81\xa2\x00\x61\xff\x02\x01",
        b"[" * 100_000,
        b'[{"n":"m:power","u":"W","v":' + b"9" * 500_000 + b"}]",
        b'[{"bn":"' + b"a" * 900_000 + b'","v":1}' + b',{"n":"power","v":1}' * 10_000 + b"]",
        b'[{"n":"' + b"a" * 900_000 + b'","u":"W","v":1}]',
        b'[{"n":"\\ud800:power","u":"W","v":1}]',
        b'[{"bn":"m","bt":1e999,"n":"power","u":"W","v":1}]',
        b'[{"bn":"m","bt":-1e300,"n":"power","u":"W","v":1}]',
        b'[{"bn":"m","bt":NaN,"n":"power","u":"W","v":1}]',
        b'[{"bn":"m","bv":' + b"9" * 400 + b',"n":"power","u":"W","v":1}]',
        b'[{"bn":true,"n":"power","u":"W","v":1}]',
    ],
)
def test_hostile_packs_end_in_time(payload: bytes) -> None:
    found: Found | None = None
    with processor_time_below(3.0), contextlib.suppress(UnreadableError):
        found = found_in(payload)
    assert found is None or not found.values or found.rejected or payload.startswith((b"\x81", b'[{"n":"\\ud8'))


def test_any_labels_and_values_are_read_or_refused() -> None:
    rng = random.Random(7)
    labels: list[Any] = [*LABELS, *LABELS.values(), "ut", "vd", 9, -7]
    values: list[Any] = [
        "power", "W", "m:energy", "kWh", 0, 1, -1, 1.5, 1781000000, True, None, [], {}, "", "on", "mode", 1e300,
        1 << 63, float("nan"), "NaN", b"x", "/3305/0/5805", "5700", "x" * 400,
    ]  # fmt: skip
    state = SourceState()
    reader = SenML(Options(), state)
    for _ in range(3000):
        pack = [
            {rng.choice(labels): rng.choice(values) for _ in range(rng.randrange(6))} for _ in range(rng.randrange(5))
        ]
        payload = (
            cbor2.dumps(pack)
            if rng.random() < 0.5
            else json.dumps(pack, default=str, ensure_ascii=rng.random() < 0.5).encode()
        )
        found = Found(state)
        try:
            reader.read(Message("t", payload, rng.random() < 0.2, ARRIVAL_MS, "main"), found)
        except UnreadableError:
            continue
        found.end_message()
        assert all(isinstance(value.value, float) for value in found.values)


def test_memory_of_names_is_bounded() -> None:
    state = SourceState()
    reader = SenML(Options(), state)
    for first in range(0, 24_000, 8_000):
        pack = [{"n": f"m{number}:power", "u": "W", "v": 1.5} for number in range(first, first + 8_000)]
        reader.read(Message("t", json.dumps(pack).encode(), False, ARRIVAL_MS, "main"), Found(state))
    assert sum(map(len, reader._known.values())) <= 10_000
    for number in range(11_000):
        pack = [{"bn": f"m{number}:", "n": "power", "u": "W", "v": 1.5}]
        reader.read(Message("t", json.dumps(pack).encode(), False, ARRIVAL_MS, "main"), Found(state))
    assert len(reader._known) <= 10_000


@pytest.mark.parametrize(("seconds", "ts_ms"), [(268435455, None), (268435456, 268435456_000)])
def test_relative_below_two_to_the_28(seconds: int, ts_ms: int | None) -> None:
    found = found_in(json.dumps([{"n": "m:power", "u": "W", "v": 1, "t": seconds}]).encode())
    assert found.values[0].ts_ms == (ARRIVAL_MS + seconds * 1000 if ts_ms is None else ts_ms)
