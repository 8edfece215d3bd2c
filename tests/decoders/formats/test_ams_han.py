"""What cases cannot say of the AMS reader's format: the quick way and the slow one agree, and nothing grows."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from monitor.decoders.formats import ams_han
from monitor.decoders.formats.ams_han import AmsHan
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

ANYTHING: list[Any] = [0, 1, 1250, 2.5, -3, "7", "x", "", True, None, [], {}, 10**30, 1e400, float("nan"), "\ud800"]
NAMES = ["P", "PO", "tPI", "tPIT1", "tPIT2", "tPO", "tPOT1", "rtc", "meterId", "lv", "U1"]


def read(payload: bytes, topic: str = "ams", state: SourceState | None = None) -> Found:
    state = state or SourceState()
    found = Found(state)
    AmsHan(Options(), state).read(Message(topic, payload, False, 1_782_638_100_000, ""), found)
    found.end_message()
    return found


def test_quick_and_slow_decoding_agree() -> None:
    rng = random.Random(3)
    for _ in range(500):
        values = {name: rng.choice(ANYTHING[:13]) for name in rng.sample(NAMES, 5)}
        body: dict[str, Any] = {"id": "A4", "t": rng.choice([0, 1_782_637_800, None, "x"]), **values}
        if rng.random() < 0.7:
            body = {"id": "A4", "t": 1_782_637_800, "data": values}
        payload = json.dumps(body).encode()
        assert ams_han._decode(payload) == ams_han._slowly(payload), body


def test_whatever_comes() -> None:
    rng = random.Random(4)
    state = SourceState()
    for _ in range(2000):
        values = {name: rng.choice(ANYTHING) for name in rng.sample(NAMES, 6)}
        body = {
            "id": rng.choice(ANYTHING),
            "t": rng.choice(ANYTHING),
            "data": rng.choice([values, *ANYTHING]),
            **values,
        }
        topic = rng.choice(["ams", "ams/power", "ams/meter/import/active", "/meter/id", "", "/"])
        try:
            read(json.dumps(body).encode(), topic, state)
        except UnreadableError as error:
            assert error.reason
    state.changes()


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"null", b"3", b"[" * 5000, b'{"data":' * 5000])
def test_what_is_none_of_it(payload: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(payload)


def test_readers_and_topics_are_remembered_within_a_bound() -> None:
    state = SourceState()
    reader = AmsHan(Options(), state)
    for number in range(3000):
        body = {"id": "A4", "t": 0, "data": {"meterId": "7" * 200, "P": number}}
        found = Found(state)
        reader.read(Message(f"ams/{number}", json.dumps(body).encode(), False, 1_782_638_100_000, ""), found)
        assert [value.source_id for value in found.values] == ["A4"]
    assert len(reader._places) <= 1000
    assert len(state) == 0
