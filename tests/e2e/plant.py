"""Gateways, broker, monitor and database as one plant that a test can run and break."""

from __future__ import annotations

import asyncio
import math
import queue
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from monitor.simulate.delivery import Delivery, deliveries
from monitor.simulate.faults import Faults
from monitor.simulate.gateways import Progress, publish
from monitor.simulate.run import live_scenario
from monitor.simulate.scenario import Scenario
from tests.e2e.monitor_process import DEADLINE_S, Monitor
from tests.e2e.results import DATABASE, Results, of_truth
from tests.services.influxd import Influxd
from tests.services.mosquitto import Mosquitto, Publisher

FAULTS = Faults(
    duplicates=0.1, reordering=0.2, outages=4.0, malformed=0.05, resets=0.3, rollovers=0.5, spikes=0.01, skew=0.5
)
HOURS = 26.0
_MARKER_TOPIC = "meters/end-of-run/"
STOP_WITHIN_S = 10.0
CLIENT_ID = "meter-monitor"
"""monitor.yaml's default: its session hangs on it."""


@dataclass(frozen=True)
class Course:
    """What the gateways send, and what is true of it."""

    scenario: Scenario
    sent: list[Delivery]
    truth: Results

    @property
    def bad(self) -> Counter[str]:
        """Messages that belong in quarantine, by reason."""
        return Counter(delivery.reason for delivery in self.sent if delivery.reason)

    @property
    def good_readings(self) -> int:
        """Duplicates counted as often as sent."""
        return sum(len(delivery.readings) for delivery in self.sent)


def make_course(seed: int, *, faults: Faults | None, hours: float = HOURS, buildings: int = 3) -> Course:
    now_ms = time.time_ns() // 1_000_000
    scenario = live_scenario(
        seed=seed, duration_s=hours * 3600, speed=math.inf, now_ms=now_ms, buildings=buildings, faults=faults
    )
    return Course(scenario, list(deliveries(scenario)), of_truth(scenario))


class Gateways:
    """Publish in the background; `finish` waits until the broker has acknowledged everything."""

    def __init__(self, source: Iterable[Delivery], url: str, *, run_s: float = 0.0, connections: int = 2) -> None:
        """run_s: about how long it takes [s]; 0: as fast as the broker takes it."""
        sent = list(source)
        speed = math.inf
        if run_s:
            speed = (sent[-1].due_ms - sent[0].due_ms) / 1000 / run_s
        self._progress = Progress()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="gateways")
        publishing = publish(
            sent,
            url,
            speed=speed,
            connections=connections,
            on_progress=self._note,
            progress_every_s=0.01,
        )
        self._future: Future[Progress] = self._worker.submit(lambda: asyncio.run(publishing))

    def _note(self, progress: Progress) -> None:
        self._progress = progress

    def until_acknowledged(self, messages: int) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while self._progress.acknowledged < messages and not self._future.done():
            assert time.monotonic() < deadline, f"the broker has acknowledged {self._progress.acknowledged} only"
            time.sleep(0.002)  # polling a condition with a deadline, not hoping

    @property
    def done(self) -> bool:
        return self._future.done()

    def finish(self) -> Progress:
        try:
            return self._future.result(DEADLINE_S)
        finally:
            self._worker.shutdown()


@dataclass
class Plant:
    """A broker, perhaps an InfluxDB 1.x, and a monitor that is not started yet. Ends what it started."""

    folder: Path
    scenario: Scenario
    broker: Mosquitto
    influx: Influxd | None = None
    second: Mosquitto | None = None
    """Another broker."""
    database: dict[str, Any] | None = None
    """The section `influx` of monitor.yaml; that of `influx` where it is not given."""
    sections: dict[str, Any] = field(default_factory=dict)
    """More of monitor.yaml."""
    monitor: Monitor = field(init=False)
    _markers: int = 0

    def __post_init__(self) -> None:
        if self.influx is not None:
            self.database = {"version": 1, "url": self.influx.url, "database": DATABASE, "timeout_s": 5}
        urls = [broker.url for broker in self.brokers]
        self.monitor = Monitor(self.folder, *urls, influx=self.database, **self.sections)
        self.scenario.write_config(self.monitor.config)

    @property
    def brokers(self) -> list[Mosquitto]:
        return [self.broker] if self.second is None else [self.broker, self.second]

    def __enter__(self) -> Self:
        for broker in self.brokers:
            broker.start()
        if self.influx is not None:
            self.influx.start()
            self.influx.statement(f"CREATE DATABASE {DATABASE}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.monitor.kill()
        for broker in self.brokers:
            broker.stop()
        if self.influx is not None:
            self.influx.stop()

    def subscribe(self) -> None:
        """The first start: from here on the broker keeps for the monitor what is published while it is not there."""
        self.monitor.start()

    def take_all(self) -> None:
        """Until the monitor has taken all that the broker has acknowledged to gateways, so that what is sent from now
        on belongs to other steps.

        The last message to enter the monitor's session is one for quarantine: once it is there, all before it are in
        the journal.
        """
        monitor = self.monitor
        for broker in self.brokers:
            self._markers += 1
            topic = f"{_MARKER_TOPIC}{self._markers}"
            with Publisher(broker.port, client_id="end-of-run") as publisher:
                publisher.publish(topic, '{"register": 1}')
                publisher.settle()
            monitor.until(
                lambda topic=topic: monitor.number("SELECT COUNT(*) FROM quarantine WHERE topic = ?", topic) > 0,  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
                "the last message is in quarantine",
            )

    def settle(self, truth: Results) -> None:
        """Until all that the broker has acknowledged to gateways has come through to the stores: once the monitor has
        it, as many results are awaited as there are to be; whether they are right is for the test to say."""
        self.take_all()
        monitor = self.monitor
        counts = {"intervals": len(truth.intervals), "ledger": len(truth.ledger)}
        for table, count in counts.items():
            monitor.until(
                lambda table=table, count=count: monitor.number(f"SELECT COUNT(*) FROM {table}") == count,  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
                f"there are {count} rows in {table}",
            )
        monitor.until(
            lambda: monitor.number("SELECT COUNT(*) FROM events WHERE state <> 'withdrawn'") == len(truth.events),
            f"there are {len(truth.events)} events",
        )
        self.drain()

    def drain(self) -> None:
        self.monitor.until(lambda: self.monitor.number("SELECT COUNT(*) FROM outbox") == 0, "the outbox is empty")

    def finish(self, truth: Results) -> None:
        """`settle`, and an orderly stop. What the stop itself still gave is carried to the database."""
        self.settle(truth)
        self.monitor.terminate(STOP_WITHIN_S)
        if self.monitor.number("SELECT COUNT(*) FROM outbox"):
            self.monitor.start()
            self.drain()
            self.monitor.terminate(STOP_WITHIN_S)

    def left_at_broker(self) -> list[str]:
        """Topics of what the broker still keeps for the monitor, which must be stopped: in its place, with its session,
        until something comes that is published only now."""
        last = f"{_MARKER_TOPIC}last"
        topics: queue.Queue[str] = queue.Queue()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=CLIENT_ID, protocol=paho.MQTTv5)
        client.on_message = lambda _client, _data, message: topics.put(message.topic)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = 3600
        client.connect("127.0.0.1", self.broker.port, clean_start=False, properties=properties)
        client.loop_start()
        try:
            with Publisher(self.broker.port, client_id="end-of-run") as publisher:
                publisher.publish(last, "{}")
                publisher.settle()
            return list(iter(lambda: topics.get(timeout=DEADLINE_S), last))
        finally:
            client.disconnect()
            client.loop_stop()

    def quarantined(self) -> list[tuple[str, bytes, str]]:
        """(topic, payload as far as it is kept, reason), without the marks of `settle`."""
        return [
            (topic, payload, reason)
            for topic, payload, reason in self.monitor.rows("SELECT topic, payload, reason FROM quarantine")
            if not topic.startswith(_MARKER_TOPIC)
        ]
