"""AWS and Azure: what fixtures cannot say."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest

from monitor.decoders.formats.aws_azure import AwsAzure
from monitor.decoders.formats.reported import timed
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

TOPICS = [
    "$aws/things/t/shadow/update", "$aws/things/t/shadow/get/accepted", "$aws", "$aws/", "$aws/rules", "$aws/rules/",
    "$iothub/", "$iothub/twin/res/200/?$rid=1", "$iothub/twin/PATCH/properties/reported/", "devices//messages/",
    "devices/d/messages/events", "devices/d/messages/events/%ff=%zz&&=&a", "devices/messages/events/", "x", "",
]  # fmt: skip


def read(topic: str, payload: bytes, reader: AwsAzure | None = None) -> Found:
    found = Found(SourceState())
    (reader or AwsAzure(Options(), SourceState())).read(Message(topic, payload, False, 0, "main"), found)
    found.end_message()
    return found


def test_documents_made_at_random() -> None:
    rng = random.Random(7)
    leaves: list[Any] = [
        None,
        5,
        "x",
        True,
        [],
        {},
        10**300,
        "e30=",
        "eyJrd2giOjF9",
        "2026-06-28T09:00:00Z",
        [[1]],
        "{",
    ]
    keys = [
        "state", "reported", "desired", "metadata", "timestamp", "current", "payload", "topic", "format", "qos", "body",
        "systemProperties", "properties", "$metadata", "$lastUpdated", "__t", "value", "ac", "eventType", "data",
        "messageSource", "deviceId", "telemetry", "event", "origin", "annotations", "kwh", "unit", "temperature", "ts",
        "Content", "HwId", "Data", "Values", "DisplayName", "Value", "SourceTimestamp", "Messages", "Payload", "NodeId",
        "DataSetWriterId", "StatusCode", "entries", "propertyAlias", "propertyValues", "timeInSeconds", "doubleValue",
    ]  # fmt: skip

    def made(depth: int) -> Any:
        kind = rng.randrange(5) if depth < 6 else 0
        if kind == 0:
            return rng.choice(leaves)
        if kind == 1:
            return [made(depth + 1) for _ in range(rng.randrange(3))]
        return {key: made(depth + 1) for key in rng.sample(keys, rng.randrange(9))}

    reader = AwsAzure(Options(), SourceState())
    for _ in range(1000):
        with contextlib.suppress(UnreadableError):
            read(rng.choice(TOPICS), json.dumps(made(0)).encode(), reader)


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize(
    "payload", [b"", b"5", b"[" * 5000, b'{"reported":' * 2000, b'{"payload":"\\ud800","topic":"x","qos":0}']
)
def test_odd_topics_and_payloads(topic: str, payload: bytes) -> None:
    with contextlib.suppress(UnreadableError):
        assert not read(topic, payload).values


def test_an_envelope_in_envelopes_ends() -> None:
    payload = b'{"kwh":1}'
    for _ in range(50):
        payload = b'{"topic":"x","qos":0,"payload":' + payload + b"}"
    assert not read("x", payload).values


def test_times_of_a_twin() -> None:
    def time_of(about: dict[str, Any]) -> Any:
        return about.get("t")

    assert timed({"a": 1, "b": 2}, {"a": {"t": 5}, "b": {"t": 5}}, time_of) == ({"a": 1, "b": 2}, 5)
    assert timed({"a": 1, "b": 2}, {"a": {"t": 5}}, time_of) == ({"a": 1, "b": 2}, 5)
    assert timed({"a": 1, "b": 2}, {"a": {"t": 5}, "b": {"t": 6}}, time_of) == (
        {"a": {"value": 1, "ts": 5}, "b": {"value": 2, "ts": 6}},
        None,
    )
    assert timed({"a": {"c": 1}}, {"a": {"c": {"t": 5}}}, time_of) == ({"a": {"c": {"value": 1, "ts": 5}}}, None)
    assert timed({"a": 1}, None, time_of) == ({"a": 1}, None)


def test_topics_known_are_bounded() -> None:
    reader = AwsAzure(Options(), SourceState())
    for number in range(3000):
        with contextlib.suppress(UnreadableError):
            read(f"$aws/things/{number}/shadow/update", b"{}", reader)
    assert len(reader._shadow_topics) <= 2000
