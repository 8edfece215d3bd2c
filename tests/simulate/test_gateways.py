from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiomqtt
import pytest

from monitor.errors import BrokerError, InputError
from monitor.simulate.broker import embedded_broker
from monitor.simulate.delivery import Delivery, deliveries
from monitor.simulate.gateways import Address, parse_broker_url, publish
from monitor.simulate.run import live_scenario, run_simulate
from tests.services.process import Server, accepts, free_port, require
from tests.simulate.towns import ALL_FAULTS, DAY_S, HOUR_S, town

_DEADLINE_S = 60.0


class _Subscriber:
    """A client with a persistent session that counts only what it has acknowledged itself."""

    def __init__(self, url: str, version: aiomqtt.ProtocolVersion) -> None:
        self.address = parse_broker_url(url)
        self.version = version
        self.taken: list[tuple[str, bytes]] = []

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[aiomqtt.Client]:
        client = aiomqtt.Client(
            self.address.host,
            self.address.port,
            identifier="subscriber",
            protocol=self.version,
            clean_session=None if self.version == aiomqtt.ProtocolVersion.V5 else False,
        )
        client._client.manual_ack_set(True)
        async with client:
            await client.subscribe("meters/#", qos=1)
            yield client

    async def take(self, client: aiomqtt.Client, enough: Callable[[], bool]) -> None:
        """Acknowledge until there is enough in `taken`."""
        while not enough():
            message = await anext(client.messages)
            payload = message.payload
            assert isinstance(payload, bytes)
            self.taken.append((str(message.topic), payload))
            client._client.ack(message.mid, 1)


def _distinct(sent: list[Delivery]) -> set[tuple[str, bytes]]:
    return {(message.topic, message.payload) for message in sent}


def _run(coroutine: Coroutine[Any, Any, object]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(_DEADLINE_S):
            await coroutine

    asyncio.run(in_time())


def test_embedded_broker_brings_everything() -> None:
    sent = list(deliveries(town(buildings=2, duration_s=6 * HOUR_S, faults=ALL_FAULTS)))

    async def scenario() -> None:
        async with embedded_broker() as url:
            subscriber = _Subscriber(url, aiomqtt.ProtocolVersion.V311)
            async with subscriber.connected() as client:
                published = asyncio.create_task(publish(sent, url, version="3.1.1"))
                await subscriber.take(client, lambda: len(subscriber.taken) == len(sent))
                progress = await published
        assert set(subscriber.taken) == _distinct(sent)
        assert len(subscriber.taken) == len(sent) == progress.acknowledged
        assert progress.readings == sum(len(message.readings) for message in sent)
        assert sum(progress.malformed.values()) == sum(bool(message.reason) for message in sent)
        assert (progress.reconnects, progress.resent) == (0, 0)

    _run(scenario())


def test_embedded_broker_keeps_what_is_not_acknowledged() -> None:
    """The subscriber leaves in the middle with messages in hand; all of them come to its next connection."""
    sent = list(deliveries(town(buildings=2, duration_s=6 * HOUR_S)))

    async def scenario() -> None:
        async with embedded_broker() as url:
            subscriber = _Subscriber(url, aiomqtt.ProtocolVersion.V311)
            async with subscriber.connected() as client:
                published = asyncio.create_task(publish(sent, url, version="3.1.1"))
                await subscriber.take(client, lambda: len(subscriber.taken) == 20)
            await published  # nobody listens, and the publishers say goodbye
            assert len(subscriber.taken) == 20
            async with subscriber.connected() as client:
                await subscriber.take(client, lambda: len(set(subscriber.taken)) == len(_distinct(sent)))
        assert set(subscriber.taken) == _distinct(sent)

    _run(scenario())


def test_embedded_broker_on_a_port_that_is_taken() -> None:
    async def scenario() -> None:
        async with embedded_broker() as url:
            port = parse_broker_url(url).port
            with pytest.raises(BrokerError, match=f"did not start on port {port}"):
                async with embedded_broker(port):
                    pass

    _run(scenario())


class _Mosquitto:
    def __init__(self, folder: Path, *, anonymous: bool = True) -> None:
        program, port = require("mosquitto"), free_port()
        lines = [
            f"listener {port} 127.0.0.1",
            f"allow_anonymous {str(anonymous).lower()}",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # it would change to a user that cannot write here
        config = folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        self.url = f"mqtt://127.0.0.1:{port}"
        self.server = Server([program, "-c", str(config)], ready=lambda: accepts(port), log=folder / "mosquitto.log")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[_Mosquitto]:
    broker = _Mosquitto(tmp_path)
    broker.server.start()
    yield broker
    broker.server.stop()


@pytest.mark.services
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_restart_of_the_broker_loses_nothing(mosquitto: _Mosquitto, version: Literal["5", "3.1.1"]) -> None:
    sent = list(deliveries(town(buildings=2, duration_s=12 * HOUR_S, faults=ALL_FAULTS)))

    def with_a_restart() -> Iterator[Delivery]:
        half = len(sent) // 2
        yield from sent[:half]
        mosquitto.server.stop()
        mosquitto.server.start()
        yield from sent[half:]

    async def scenario() -> None:
        # 3.1.1: its persistent session outlives the connection without properties.
        subscriber = _Subscriber(mosquitto.url, aiomqtt.ProtocolVersion.V311)
        async with subscriber.connected():
            pass
        progress = await publish(with_a_restart(), mosquitto.url, version=version)
        assert progress.acknowledged == len(sent)
        assert progress.reconnects >= 1
        async with subscriber.connected() as client:
            await subscriber.take(client, lambda: len(set(subscriber.taken)) == len(_distinct(sent)))
        assert set(subscriber.taken) == _distinct(sent)

    _run(scenario())


@pytest.mark.services
def test_run_simulate_writes_its_truth_and_keeps_its_pace(mosquitto: _Mosquitto, tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    live = live_scenario(seed=1, duration_s=HOUR_S, speed=HOUR_S, now_ms=now_ms, buildings=2)
    seen: list[int] = []
    begun = time.monotonic()

    async def scenario() -> None:
        result = await run_simulate(
            live,
            mosquitto.url,
            speed=HOUR_S,
            truth_dir=tmp_path / "truth",
            on_progress=lambda progress: seen.append(progress.acknowledged),
        )
        assert result.progress.acknowledged == seen[-1] == len(list(deliveries(live)))

    _run(scenario())
    # An hour at 3600 simulated seconds per second, less the time before the first and after the last message.
    assert time.monotonic() - begun > 0.8
    names = {path.name for path in (tmp_path / "truth").iterdir()}
    assert names == {"events.csv", "intervals.csv", "ledger.csv", "readings.csv"}
    assert len((tmp_path / "truth" / "readings.csv").read_text().splitlines()) == 1 + len(live.truth_rows())


@pytest.mark.services
def test_a_broker_that_refuses_is_not_asked_again(tmp_path: Path) -> None:
    broker = _Mosquitto(tmp_path, anonymous=False)
    broker.server.start()
    try:
        with pytest.raises(BrokerError, match="refused") as caught:
            _run(publish(deliveries(town(buildings=1, duration_s=HOUR_S)), broker.url, username="nobody", password="x"))
        assert not caught.value.retryable
    finally:
        broker.server.stop()


def test_no_broker_at_all() -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    with pytest.raises(BrokerError, match="no connection") as caught:
        _run(publish(deliveries(town(buildings=1, duration_s=HOUR_S)), url, patience_s=0.0))
    assert caught.value.retryable


def test_live_scenarios_end_now() -> None:
    now_ms = 1_752_000_000_000
    live = live_scenario(seed=1, duration_s=DAY_S, speed=24.0, now_ms=now_ms, buildings=1)
    hour_ms = 3_600_000
    assert (live.start_ms, live.end_ms) == (now_ms - 23 * hour_ms, now_ms + hour_ms)
    at_once = live_scenario(seed=1, duration_s=DAY_S, speed=math.inf, now_ms=now_ms, registry=live.registry)
    assert at_once.end_ms == now_ms
    assert at_once.registry is live.registry


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker", Address("broker", 1883, False, None, None)),
        ("mqtts://a.example:1234/", Address("a.example", 1234, True, None, None)),
        ("mqtt://me:p%40ss@[::1]:1", Address("::1", 1, False, "me", "p@ss")),
    ],
)
def test_broker_urls(url: str, address: Address) -> None:
    assert parse_broker_url(url) == address


@pytest.mark.parametrize("url", ["http://broker", "broker:1883", "mqtt://", "mqtt://a:b:c", "mqtt://me:secret@/x"])
def test_urls_of_no_broker(url: str) -> None:
    with pytest.raises(InputError, match="broker URL") as caught:
        parse_broker_url(url)
    assert "secret" not in str(caught.value)


def test_speed_must_be_positive() -> None:
    with pytest.raises(InputError, match="speed=0"):
        _run(publish([], "mqtt://127.0.0.1", speed=0))
