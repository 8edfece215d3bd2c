"""Modbus gateways: what fixtures cannot say."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest

from monitor.decoders.formats.modbus_gateway import ModbusGateway
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message


def read(topic: str, payload: bytes, options: Options | None = None) -> Found:
    state = SourceState()
    found = Found(state)
    ModbusGateway(options or Options(), state).read(Message(topic, payload, False, 0, "main"), found)
    found.end_message()
    return found


@pytest.mark.parametrize("topic", ["", "/", "Power", "/Power", "L1", "a/L1", "mbmd//Power", "mbmd/a/Power/L1/L2"])
@pytest.mark.parametrize(
    "payload", [b"", b" ", b"5", b"\xef\xbb\xbf", b"\x00", b"1 2 3", b"x" * 100_000, b"1 " * 50_000]
)
def test_odd_topics_and_texts(topic: str, payload: bytes) -> None:
    with contextlib.suppress(UnreadableError):
        assert not read(topic, payload).values


def test_documents_made_at_random() -> None:
    rng = random.Random(6)
    leaves: list[Any] = [None, 5, "x", True, [], {}, 10**300, 1.5, "1782637200", [[1]], "[1]", "log", 0]
    keys = [
        "imei", "msg", "data", "modbus", "sid", "slave", "rcnt", "reg1", "time", "dtm", "tz", "name", "value", "kwh",
        "dir", "unit", "err", "rows",
    ]  # fmt: skip
    options = Options(fields={"reg1": FieldRule("register", "kWh"), "data.0": FieldRule("power_kw", "W")})

    def made(depth: int) -> Any:
        kind = rng.randrange(4) if depth < 6 else 0
        if kind == 0:
            return rng.choice(leaves)
        if kind == 1:
            return [made(depth + 1) for _ in range(rng.randrange(3))]
        return {key: made(depth + 1) for key in rng.sample(keys, rng.randrange(8))}

    for _ in range(1500):
        with contextlib.suppress(UnreadableError):
            read("a/b", json.dumps(made(0)).encode(), options)
