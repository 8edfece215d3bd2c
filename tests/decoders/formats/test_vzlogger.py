"""What cases cannot say of the vzlogger format: anything may come, and channels are remembered within a bound."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from monitor.decoders.formats.vzlogger import Vzlogger
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message


def message(topic: str, payload: bytes) -> Message:
    return Message(topic, payload, False, 1_782_638_100_000, "")


@pytest.mark.parametrize(
    ("code", "quantity", "value"),
    [
        ("1-0:1.8.0*255", "register", 2.0),
        ("1-0:1.8.1*255", "register", 2.0),
        ("1-0:2.8.0*255", "export_register", 2.0),
        ("1-0:1.7.0*255", "power_kw", 2.0),
        ("1-0:2.7.0*255", "power_kw", -2.0),
        ("1-0:16.7.0*255", "power_kw", 2.0),
    ],
)
def test_codes(code: str, quantity: str, value: float) -> None:
    state = SourceState()
    found = Found(state)
    reader = Vzlogger(Options(), state)
    reader.read(message("v/chn0/id", code.encode()), found)
    reader.read(message("v/chn0/raw", b"2000.000000"), found)
    assert [str(each.quantity) for each in found.values] == [quantity]
    assert found.values[0].value == pytest.approx(value)


def test_whatever_comes() -> None:
    rng = random.Random(9)
    anything: list[Any] = [0, 1.5, "7", "x", None, True, [], {}, 10**400, float("nan"), "\ud800", "u" * 300]
    state = SourceState()
    reader = Vzlogger(Options(), state)
    for number in range(3000):
        body = rng.choice([{key: rng.choice(anything) for key in ("value", "timestamp", "uuid", "unit")}, *anything])
        topic = rng.choice(["v/chn0/raw", "v/chn0/agg", "v/chn0/id", "v/chn0/uuid", "", "/", "raw", f"v/{number}"])
        payload = rng.choice([json.dumps(body).encode(), b"\xff{", b"{" * 3000, b"1" * 5000])
        try:
            reader.read(message(topic, payload), Found(state))
        except UnreadableError as error:
            assert error.reason
    state.changes()
    assert len(reader._places) <= 2000
    assert len(reader._meanings) <= 2000
