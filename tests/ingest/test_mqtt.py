"""A link and a real Mosquitto: what is acknowledged is gone, what is not comes again."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiomqtt
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from monitor.errors import BrokerError, JournalError
from monitor.health import Health
from monitor.ingest.intake import IntakeSettings
from monitor.ingest.message import Message
from monitor.ingest.mqtt import BrokerLink, LinkStatus
from monitor.ingest.sessions import SubscriptionFile
from monitor.logs import Throttle
from monitor.metrics import Metrics
from monitor.readings import ReadingColumns
from monitor.settings import BrokerSettings
from monitor.trouble import Reporter
from tests.decoders.made import ARRIVAL_MS
from tests.ingest.made import Made, until
from tests.services.mosquitto import Mosquitto, Publisher, make_certificates
from tests.services.process import free_port

pytestmark = pytest.mark.services

Version = Literal[5, "3.1.1"]
versions = pytest.mark.parametrize("version", [5, "3.1.1"])
TOPIC = "meters/gw-1/M-1"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


def settings(broker: Mosquitto, **changes: Any) -> BrokerSettings:
    values = {"name": "test", "url": broker.url, "reconnect_min_s": 0.05, "reconnect_max_s": 0.2, "keepalive_s": 5}
    return BrokerSettings(**{**values, **changes})


def link_of(
    settings: BrokerSettings, folder: Path, *, password: str | None = None, readers: dict[str, str] | None = None
) -> BrokerLink:
    return BrokerLink(
        settings,
        password=password,
        now_ms=lambda: ARRIVAL_MS,
        chance=random.Random(1),
        memory=SubscriptionFile(folder / "subscriptions.json"),
        readers=readers,
    )


class Taken:
    """Takes what a link delivers, and acknowledges nothing by itself. `gate` shut: it takes nothing."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, messages: list[Message]) -> None:
        await self.gate.wait()
        self.messages += messages

    def payloads(self) -> list[int]:
        return [int(message.payload) for message in self.messages]


@asynccontextmanager
async def running(link: BrokerLink, taken: Taken | None = None) -> AsyncIterator[Taken]:
    """Connected inside."""
    taken = Taken() if taken is None else taken
    task = asyncio.create_task(link.run(taken))
    try:
        await until(lambda: link.status.connected or task.done())
        yield taken
        link.stop()
        async with asyncio.timeout(20):
            await task
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert link.status.state == "stopped"


def publish(port: int, payloads: Sequence[object], topic: str = TOPIC, **options: Any) -> None:
    with Publisher(port) as publisher:
        for payload in payloads:
            publisher.publish(topic, str(payload), **options)
        publisher.settle()


def reading(value: int) -> str:
    return f'{{"ts": 1782638100, "register": {value}}}'


@versions
def test_what_is_not_acknowledged_comes_again(broker: Mosquitto, tmp_path: Path, version: Version) -> None:
    async def scenario() -> None:
        own = settings(broker, version=version)
        async with running(link_of(own, tmp_path)) as taken:
            await asyncio.to_thread(publish, broker.port, range(20))
            await until(lambda: len(taken.messages) == 20)
            assert taken.payloads() == list(range(20))
        link = link_of(own, tmp_path)
        async with running(link) as taken:
            assert link.status.session_present
            await until(lambda: len(taken.messages) == 20)
            assert taken.payloads() == list(range(20))
            first = taken.messages[0]
            assert (first.topic, first.retain, first.received_ms, first.broker) == (TOPIC, False, ARRIVAL_MS, "test")
            link.ack(taken.messages[:15])
        # Published while nobody is there: the session keeps it.
        await asyncio.to_thread(publish, broker.port, [100])
        async with running(link_of(own, tmp_path)) as taken:
            await until(lambda: 100 in taken.payloads())
            assert taken.payloads() == [15, 16, 17, 18, 19, 100]

    asyncio.run(scenario())


@versions
def test_an_old_connection_s_tokens_acknowledge_nothing(broker: Mosquitto, tmp_path: Path, version: Version) -> None:
    async def scenario() -> None:
        link = link_of(settings(broker, version=version), tmp_path)
        async with running(link) as taken:
            await asyncio.to_thread(publish, broker.port, range(5))
            await until(lambda: len(taken.messages) == 5)
            old = list(taken.messages)
            await asyncio.to_thread(broker.save)
            await asyncio.to_thread(broker.kill)
            await until(lambda: not link.status.connected)
            link.ack(old)  # nobody to tell
            await asyncio.to_thread(broker.start)
            await until(lambda: len(taken.messages) == 10)
            assert link.status.connections == 2
            link.ack(old)
        async with running(link_of(settings(broker, version=version), tmp_path)) as taken:
            await until(lambda: len(taken.messages) == 5)
            assert taken.payloads() == list(range(5))

    asyncio.run(scenario())


def test_in_flight_is_at_most_receive_maximum(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        link = link_of(settings(broker, receive_maximum=7), tmp_path)
        async with running(link) as taken:
            await asyncio.to_thread(publish, broker.port, range(30))
            await until(lambda: len(taken.messages) == 7)
            # The broker answers a ping after whatever it had to send before.
            await asyncio.to_thread(publish, broker.port, [30])
            assert taken.payloads() == list(range(7))
            seen = 0
            while seen < 31:
                batch = taken.messages[seen:]
                seen += len(batch)
                link.ack(batch)
                await until(lambda: len(taken.messages) > seen or seen == 31)  # noqa: B023
            assert taken.payloads() == list(range(31))

    asyncio.run(scenario())


def test_a_flood_that_nobody_takes_is_held_back(broker: Mosquitto, tmp_path: Path) -> None:
    """QoS 0 knows no Receive Maximum."""

    async def scenario() -> None:
        link = link_of(settings(broker, receive_maximum=100), tmp_path)
        taken = Taken()
        taken.gate.clear()
        async with running(link, taken):
            await asyncio.to_thread(publish, broker.port, range(2_000), qos=0)
            await asyncio.to_thread(publish, broker.port, [5_000])
            await until(lambda: not link._reading)
            assert 100 < len(link._arrived) <= 100 + 256
            taken.gate.set()
            await until(lambda: 5_000 in taken.payloads())
            assert taken.payloads() == sorted(taken.payloads())

    asyncio.run(scenario())


@versions
def test_the_session_and_the_broker_s_death(tmp_path: Path, version: Version) -> None:
    """Publishers go on while the broker is killed and started again; what it had acknowledged to them arrives."""

    async def scenario(broker: Mosquitto) -> None:
        link = link_of(settings(broker, version=version), tmp_path)
        async with Made([link], settings=IntakeSettings(commit_interval_ms=20)) as made:
            await until(lambda: link.status.connected)
            for start in (0, 60, 120):
                await asyncio.to_thread(publish, broker.port, [reading(number) for number in range(start, start + 60)])
                await asyncio.to_thread(broker.save)
                await asyncio.to_thread(broker.kill)
                await until(lambda: not link.status.connected)
                await asyncio.to_thread(broker.start)
                await until(lambda: link.status.connected)
            await until(lambda: len(set(made.journal.committed)) == 180)
            assert set(made.journal.committed) == set(range(180))
            assert link.status.session_present

    with Mosquitto(tmp_path / "broker") as broker:
        asyncio.run(scenario(broker))


@versions
def test_a_session_that_the_broker_has_lost_is_told_after_a_restart_too(
    broker: Mosquitto, tmp_path: Path, version: Version
) -> None:
    async def scenario() -> list[bool]:
        seen = []
        for is_forgotten in (False, False, True):
            if is_forgotten:
                await asyncio.to_thread(broker.stop)
                (tmp_path / "broker" / "sessions.db").unlink()
                await asyncio.to_thread(broker.start)
            link = link_of(settings(broker, version=version), tmp_path)
            async with running(link):
                seen.append(link.status.session_lost)
                assert is_told(link.status) == link.status.session_lost
        return seen

    def is_told(status: LinkStatus) -> bool:
        with capture_logs() as told:
            Reporter(Metrics(CollectorRegistry()), Health({"broker test": "ready"}), Throttle()).link(status)
        return any("lost the session" in entry["event"] for entry in told)

    assert asyncio.run(scenario()) == [False, False, True]


@versions
def test_a_journal_that_fails_holds_acknowledgements(broker: Mosquitto, tmp_path: Path, version: Version) -> None:
    async def scenario() -> None:
        link = link_of(settings(broker, version=version), tmp_path)
        made = Made([link], settings=IntakeSettings(commit_interval_ms=5, retry_min_s=3600, retry_max_s=3600))
        made.journal.failures = [JournalError("disk full", retryable=True)]
        async with made:
            await until(lambda: link.status.connected)
            await asyncio.to_thread(publish, broker.port, [reading(1)])
            await until(lambda: made.state() == "failing")
        assert made.journal.committed == []

        link = link_of(settings(broker, version=version), tmp_path)
        async with running(link) as taken:
            await until(lambda: bool(taken.messages))
            link.ack(taken.messages)

    asyncio.run(scenario())


def test_stop_acknowledges_all_that_was_committed(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        link = link_of(settings(broker, receive_maximum=50), tmp_path)

        async def until_it_stops(columns: ReadingColumns, earliest_ms: int) -> None:
            # Detection is slow, so that the stop comes while there is more, however quick the machine.
            await made.intake._halt.wait()

        options = IntakeSettings(commit_interval_ms=3_600_000)
        async with Made([link], settings=options, on_committed=until_it_stops) as made:
            await until(lambda: link.status.connected)
            with Publisher(broker.port) as publisher:
                for number in range(500):
                    publisher.publish(TOPIC, reading(number))
                await asyncio.to_thread(publisher.settle)
            await until(lambda: len(made.journal.committed) >= 50)
        committed = made.journal.committed
        assert 50 <= len(committed) < 500
        assert committed == list(range(len(committed)))
        async with running(link_of(settings(broker), tmp_path)) as taken:
            await until(lambda: len(taken.messages) + len(committed) == 500)
            assert taken.messages[0].payload == reading(len(committed)).encode()

    asyncio.run(scenario())


def test_two_brokers(tmp_path: Path) -> None:
    async def scenario(one: Mosquitto, two: Mosquitto) -> None:
        links = [
            link_of(settings(one, name="one"), tmp_path),
            link_of(settings(two, name="two", version="3.1.1"), tmp_path),
        ]
        async with Made(links) as made:
            await until(lambda: all(link.status.connected for link in links))
            with Publisher(one.port) as left, Publisher(two.port) as right:
                for number in range(40):
                    (left, right)[number % 2].publish(TOPIC, reading(number))
                await asyncio.to_thread(left.settle)
                await asyncio.to_thread(right.settle)
            await until(lambda: len(made.journal.committed) == 40)
            # One being down does not touch the other.
            await asyncio.to_thread(two.kill)
            await until(lambda: not links[1].status.connected)
            with Publisher(one.port) as left:
                left.publish(TOPIC, reading(40))
            await until(lambda: 40 in made.journal.committed)
        assert sorted(made.journal.committed) == list(range(41))
        assert made.metrics.counts["messages", "one", "accepted"] == 21
        assert made.metrics.counts["messages", "two", "accepted"] == 20

    with Mosquitto(tmp_path / "one") as one, Mosquitto(tmp_path / "two") as two:
        asyncio.run(scenario(one, two))


def test_a_shared_subscription_is_shared(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        links = [
            link_of(settings(broker, name=name, client_id=name, share_group="monitors"), tmp_path)
            for name in ("one", "two")
        ]
        async with running(links[0]) as one, running(links[1]) as two:
            await asyncio.to_thread(publish, broker.port, range(40))
            await until(lambda: len(one.messages) + len(two.messages) == 40)
            assert sorted(one.payloads() + two.payloads()) == list(range(40))
            assert one.messages
            assert two.messages
            assert one.messages[0].topic == TOPIC

    asyncio.run(scenario())


@versions
def test_what_the_broker_keeps_is_no_reading_without_a_time(
    broker: Mosquitto, tmp_path: Path, version: Version
) -> None:
    async def scenario() -> None:
        await asyncio.to_thread(publish_text, '{"register": 5}')
        await asyncio.to_thread(publish_text, '{"ts": 1782638100, "register": 6}', "meters/gw-1/M-2x")
        link = link_of(settings(broker, version=version), tmp_path)
        async with Made([link]) as made:
            await until(lambda: made.metrics.counts["messages", "test", "ignored"] == 1)
            await until(lambda: bool(made.quarantine.rejects))  # with a time it is judged as any other
            assert made.quarantine.rejects[0].reason == "unknown_device"
            assert made.metrics.counts["readings", "retained_without_time"] == 1
            # A fresh message is a reading, retain flag or not.
            await asyncio.to_thread(publish_text, '{"register": 7}')
            await until(lambda: made.journal.committed == [7])
            assert made.journal.times_ms == [ARRIVAL_MS]

    def publish_text(payload: str, topic: str = TOPIC) -> None:
        with Publisher(broker.port) as publisher:
            publisher.publish(topic, payload, retain=True)
            publisher.settle()

    asyncio.run(scenario())


def test_what_the_broker_keeps_comes_once(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        await asyncio.to_thread(publish, broker.port, [1], retain=True)
        for number in range(3):
            link = link_of(settings(broker), tmp_path)
            async with running(link) as taken:
                await asyncio.to_thread(publish, broker.port, [10 + number])
                await until(lambda: bool(taken.messages) and int(taken.messages[-1].payload) >= 10)
                assert taken.payloads() == ([1, 10] if number == 0 else [10 + number])
                link.ack(taken.messages)

    asyncio.run(scenario())


def test_what_the_broker_keeps_comes_again_to_another_reader(broker: Mosquitto, tmp_path: Path) -> None:
    """A source that was renamed, or has another format, would otherwise never hear what was said before."""

    async def scenario() -> None:
        topics = ("meters/#", "meters/gw-1/+")
        await asyncio.to_thread(publish, broker.port, [1], retain=True)
        for number, (readers, hears) in enumerate(
            [
                ({}, True),
                ({"meters/#": "a"}, True),
                ({"meters/#": "a"}, False),
                ({"meters/#": "b"}, True),
                ({"meters/gw-1/+": "c", "meters/#": "b"}, True),
                ({"meters/gw-1/+": "c"}, False),
            ]
        ):
            link = link_of(settings(broker, topics=topics), tmp_path, readers=readers)
            async with running(link) as taken:
                await asyncio.to_thread(publish, broker.port, [10 + number])
                await until(lambda: bool(taken.messages) and int(taken.messages[-1].payload) >= 10)
                assert (1 in taken.payloads()) is hears, readers
                link.ack(taken.messages)

    asyncio.run(scenario())


@versions
def test_topics_that_are_no_longer_wanted_are_unsubscribed(broker: Mosquitto, tmp_path: Path, version: Version) -> None:
    async def scenario() -> None:
        before = link_of(settings(broker, version=version, topics=("meters/#", "old/+")), tmp_path)
        async with running(before) as taken:
            await asyncio.to_thread(publish, broker.port, [1], "old/a")
            await until(lambda: taken.payloads() == [1])
            before.ack(taken.messages)
        after = link_of(settings(broker, version=version, topics=("meters/#",)), tmp_path)
        async with running(after) as taken:
            await asyncio.to_thread(publish, broker.port, [2], "old/a")
            await asyncio.to_thread(publish, broker.port, [3])
            await until(lambda: 3 in taken.payloads())
            assert taken.payloads() == [3]

    asyncio.run(scenario())


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")  # paho leaves it after a failed handshake
def test_passwords_and_certificates(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    elsewhere = make_certificates(tmp_path / "elsewhere")

    async def refused(broker: Mosquitto, password: str | None, ca_file: Path) -> str:
        link = link_of(
            settings(broker, url=secure(broker), username="monitor", ca_file=ca_file), tmp_path, password=password
        )
        task = asyncio.create_task(link.run(Taken()))
        await until(lambda: link.status.state == "waiting")
        link.stop()
        await task
        return link.status.last_error

    async def scenario(broker: Mosquitto) -> None:
        own = settings(broker, url=secure(broker), username="monitor", ca_file=certificates / "ca.crt")
        # More than a TLS record, and many small ones in one record: what TLS has decrypted must not be left lying.
        large = b'{"register": 5}'.ljust(100_000)
        link = link_of(own, tmp_path, password="right")
        async with running(link) as taken:
            async with gateway(broker) as client:
                await client.publish(TOPIC, large, qos=1)
                for number in range(300):
                    await client.publish(TOPIC, str(number), qos=1)
            await until(lambda: len(taken.messages) == 301)
            assert taken.messages[0].payload == large
            link.ack(taken.messages)
        assert "ot authori" in await refused(broker, "wrong", certificates / "ca.crt")
        assert "certificate" in await refused(broker, "right", elsewhere / "ca.crt")
        gc.collect()

    def gateway(broker: Mosquitto) -> aiomqtt.Client:
        trusted = aiomqtt.TLSParameters(ca_certs=str(certificates / "ca.crt"))
        return aiomqtt.Client("127.0.0.1", broker.port, username="monitor", password="right", tls_params=trusted)

    def secure(broker: Mosquitto) -> str:
        return f"mqtts://127.0.0.1:{broker.port}"

    with Mosquitto(tmp_path / "broker", users={"monitor": "right"}, tls=certificates) as broker:
        asyncio.run(scenario(broker))


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    own = BrokerSettings(url="mqtts://127.0.0.1:1", ca_file=tmp_path / "missing.crt")
    with pytest.raises(BrokerError, match=r"cannot load .*missing\.crt") as caught:
        link_of(own, tmp_path)
    assert not caught.value.retryable


def test_a_broker_that_is_not_there_yet(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = Mosquitto(tmp_path / "broker", port=free_port())
        seen: list[LinkStatus] = []
        link = link_of(settings(broker), tmp_path)
        link._on_status = seen.append
        task = asyncio.create_task(link.run(Taken()))
        await until(lambda: sum(status.state == "waiting" for status in seen) >= 3)
        assert "cannot connect" in link.status.last_error
        await asyncio.to_thread(broker.start)
        try:
            await until(lambda: link.status.connected)
            assert link.status.last_error == ""
            assert link.status.session_present is False
            link.stop()
            await task
        finally:
            await asyncio.to_thread(broker.stop)

    asyncio.run(scenario())


def test_cancelling_ends_a_link(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        link = link_of(settings(broker), tmp_path)
        taken = Taken()
        taken.gate.clear()
        task = asyncio.create_task(link.run(taken))
        await until(lambda: link.status.connected)
        await asyncio.to_thread(publish, broker.port, [1])
        await until(lambda: link._delivering is not None)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert link.status.state == "stopped"
        assert taken.messages == []

    asyncio.run(scenario())


def test_waiting_grows_within_its_bounds(tmp_path: Path) -> None:
    async def scenario() -> list[float]:
        own = BrokerSettings(reconnect_min_s=1.0, reconnect_max_s=60.0)
        link = link_of(own, tmp_path)
        return [link.delay_s(failures) for failures in range(1, 2000)]

    waits = asyncio.run(scenario())
    for failures, wait_s in enumerate(waits, 1):
        longest_s = min(60.0, 2.0 ** min(failures - 1, 30))
        assert longest_s / 2 <= wait_s <= longest_s
    assert len(set(waits)) == len(waits)
