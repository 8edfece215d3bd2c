"""What cases cannot say of OBIS codes: how each is written, and that the short cut gives what the long way gives."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from monitor.decoders.formats.obis import Code, code_of, meaning_of
from monitor.decoders.formats.obis_json import ObisJson
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

SENT_S = 1_782_637_800


def message(payload: bytes) -> Message:
    return Message("sma/hall", payload, False, SENT_S * 1000 + 300_000, "")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1-0:1.8.0", Code(1, 0, "1", 8, 0, 255)),
        ("1-1:1.8.0*255", Code(1, 1, "1", 8, 0, 255)),
        ("1-0:1.8.0.255", Code(1, 0, "1", 8, 0, 255)),
        ("1.8.0", Code(None, 0, "1", 8, 0, 255)),
        ("1-0:1.8.0*01", Code(1, 0, "1", 8, 0, 1)),
        ("1.8.0&12", Code(None, 0, "1", 8, 0, 12)),
        ("1.0.1.8.0.255", Code(1, 0, "1", 8, 0, 255)),
        ("0100010800FF", Code(1, 0, "1", 8, 0, 255)),
        ("C.1.0", Code(None, 0, "c", 1, 0, 255)),
        ("0-0:96.1.0", Code(0, 0, "96", 1, 0, 255)),
    ],
)
def test_ways_to_write_a_code(text: str, code: Code) -> None:
    assert code_of(text) == code


@pytest.mark.parametrize("text", ["", "power", "1.8", "1-0:1.8", "1.8.0 ", "١.٨.٠", "1-0:1.8.0" * 9, "123456789012"])
def test_no_codes(text: str) -> None:
    assert code_of(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "1-0:1.8.0*1", "1-0:3.8.0", "1-0:15.8.0", "1-0:1.6.0", "1-0:1.4.0", "1-0:1.29.0", "1-0:21.7.0", "1-0:1.7.1",
        "0-0:1.8.0", "7-0:1.8.0", "1-0:32.7.0", "1-0:1.8.10",
    ],
)  # fmt: skip
def test_what_is_no_reading(text: str) -> None:
    code = code_of(text)
    assert code is not None
    assert meaning_of(code) is None


def short_and_long(body: dict[str, Any]) -> tuple[Found, Found]:
    state = SourceState()
    reader = ObisJson(Options(), state)
    founds = Found(state), Found(state)
    reader.take(body, message(b""), founds[1])
    reader.read(message(json.dumps(body).encode()), founds[0])
    for found in founds:
        found.end_message()
    return founds


def test_short_cut_is_the_long_way() -> None:
    rng = random.Random(11)
    codes = ["1-0:1.8.0", "1-0:2.8.0", "1-0:1.7.0", "1-0:2.7.0", "1-0:16.7.0", "1-0:1.8.1", "1-0:1.8.2", "1-0:32.7.0"]
    values: list[Any] = [0, -0.0, 7, 83402, 1.5, -3, None, True, "12", "x", 10**30, float("nan"), [1], {"value": 1}]
    times: list[Any] = [SENT_S, SENT_S, SENT_S, 0, SENT_S * 1000, None, "2026-06-28T09:10:00Z", 1e300, True, []]
    for _ in range(3000):
        body: dict[str, Any] = {"0-0:96.1.0": {"value": rng.choice(["00771204", "00771204", "00771204", 5, None, ""])}}
        for code in rng.sample(codes, rng.randint(1, 5)):
            raw: Any = {"value": rng.choice(values[: rng.choice([6, 14])])}
            if rng.random() < 0.95:
                raw["time"] = rng.choice(times[: rng.choice([3, 10])])
            if rng.random() < 0.05:
                raw["unit"] = rng.choice(["Wh", "kW", "furlong", 30, 27])
            body[code] = raw
        short, long = short_and_long(body)
        assert repr(short.values) == repr(long.values), body
        assert (short.rejected, short.ignored) == (long.rejected, long.ignored), body


def test_names_are_remembered_within_a_bound() -> None:
    state = SourceState()
    reader = ObisJson(Options(), state)
    for number in range(100):
        body = {f"1-0:{number}.{each}.0": 1 for each in range(100)} | {"x" * 1000 + str(number): 1}
        reader.read(message(json.dumps(body).encode()), Found(state))
    assert len(reader._keys) <= 2000
    assert all(len(name) <= 60 for name in reader._keys)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"null", b"[[[[]]]]", b'"1-0:1.8.0"', b"[" * 10_000])
def test_what_is_none_of_it(payload: bytes) -> None:
    with pytest.raises(UnreadableError):
        ObisJson(Options(), SourceState()).read(message(payload), Found(SourceState()))
