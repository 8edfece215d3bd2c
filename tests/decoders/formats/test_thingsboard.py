"""ThingsBoard: what fixtures cannot say."""

from __future__ import annotations

import contextlib

import pytest

from monitor.decoders.formats.thingsboard import ThingsBoard
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message


def read(topic: str, payload: bytes, reader: ThingsBoard | None = None) -> Found:
    found = Found(SourceState())
    (reader or ThingsBoard(Options(), SourceState())).read(Message(topic, payload, False, 0, "main"), found)
    return found


def test_another_topic_is_told_by_its_payload() -> None:
    gateway = read("plant/tb", b'{"A": [{"ts": 1782637200000, "values": {"kwh": 1}}]}')
    device = read("plant/tb", b'{"ts": 1782637200000, "values": {"kwh": 1}}')
    assert [value.source_id for value in gateway.values + device.values] == ["A", "plant/tb"]


@pytest.mark.parametrize("payload", [b"", b"null", b"5", b'"x"', b"[[]]", b"[1e999]", b'{"A": {"B": {}}}', b"\xff"])
@pytest.mark.parametrize(
    "topic", ["v1/gateway/telemetry", "v1/devices/me/telemetry", "", "v1", "v1/gateway", "v2", "v2/"]
)
def test_nothing_but_unreadable_leaves(topic: str, payload: bytes) -> None:
    with contextlib.suppress(UnreadableError):
        assert not read(topic, payload).values


def test_topics_known_are_bounded() -> None:
    reader = ThingsBoard(Options(), SourceState())
    for number in range(5000):
        read(f"v1/devices/{number}/telemetry", b"{}", reader)
    assert len(reader._topics) <= 2000
