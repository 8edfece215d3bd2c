"""What cases cannot say of the teleinfo2mqtt format: the short cut is the long way, and contracts' tariffs add up."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.decoders.formats.teleinfo import FAMILIES, Teleinfo
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

ANYTHING: list[Any] = [
    0,
    7,
    "8",
    "x",
    "",
    None,
    True,
    [],
    {},
    10**30,
    1e300,
    -1,
    {"raw": "5"},
    {"raw": 5, "value": None},
]


def message(body: Any, topic: str = "teleinfo/021876004321") -> Message:
    return Message(topic, json.dumps(body).encode(), False, 1_782_638_100_000, "")


@pytest.mark.parametrize("family", FAMILIES)
def test_tariffs_of_a_contract_add_up(family: tuple[str, ...]) -> None:
    found = Found(SourceState())
    frame = {label: {"raw": str(1000 * 2**at), "value": 1000 * 2**at} for at, label in enumerate(family)}
    Teleinfo(Options(), SourceState()).read(message({"ADCO": {"raw": "021876004321"}, **frame}), found)
    assert [value.value for value in found.values] == [pytest.approx(2 ** len(family) - 1)]


def test_short_cut_is_the_long_way() -> None:
    rng = random.Random(5)
    dates: list[Any] = [
        {"raw": "", "value": "", "timestamp": {"date": "2026-06-28T11:14:50.000Z", "dst": "summer"}},
        {"timestamp": {"date": "2026-06-28T11:14:50", "dst": "winter"}},
        {"timestamp": {"date": 5, "dst": "winter"}},
        "E260628111450",
        "E26062811145",
        *ANYTHING,
    ]
    for _ in range(3000):
        frame: dict[str, Any] = {rng.choice(["ADCO", "ADSC"]): {"raw": "021876004321", "value": 21876004321}}
        for label in rng.sample(["EAST", "BASE", "HCHC", "HCHP", "EAIT"], 3):
            number = rng.randint(0, 10**8)
            frame[label] = {"raw": str(number), "value": number} if rng.random() < 0.8 else rng.choice(ANYTHING)
        if rng.random() < 0.5:
            frame["DATE"] = rng.choice(dates)
        state = SourceState()
        reader = Teleinfo(Options(), state)
        short, long = Found(state), Found(state)
        reader.read(message(frame), short)
        reader._read_frame(frame, "021876004321", message(frame), long)
        assert (short.rejected, short.ignored) == (long.rejected, long.ignored), frame
        assert [replace(value, value=0.0) for value in short.values] == [
            replace(value, value=0.0) for value in long.values
        ], frame
        assert [value.value for value in short.values] == pytest.approx([value.value for value in long.values])


def test_whatever_comes() -> None:
    rng = random.Random(6)
    labels = ["ADCO", "ADSC", "DATE", "EAST", "EAIT", "BASE", "HCHC", "HCHP", "EASF01", "EASF02", "TIC"]
    state = SourceState()
    reader = Teleinfo(Options(), state)
    for number in range(3000):
        body = rng.choice([{label: rng.choice(ANYTHING) for label in rng.sample(labels, 4)}, *ANYTHING])
        topic = rng.choice(["teleinfo/x", "t/HCHC", "t/ADCO", "t/EAST", "t/DATE", "", "/", f"t{number}/LINKY"])
        try:
            reader.read(message(body, topic), Found(state))
        except UnreadableError as error:
            assert error.reason
    state.changes()
    assert len(reader._places) <= 1000
    assert len(state) < 100
