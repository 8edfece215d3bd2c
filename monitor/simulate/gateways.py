"""Gateways on a real broker: QoS 1, a bounded window, and nothing good lost when the broker goes away for a while."""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from monitor.errors import BrokerError, InputError, ungrouped
from monitor.simulate.delivery import Delivery

__all__ = ["Address", "Progress", "parse_broker_url", "publish"]

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_CHUNK = 256
_ACK_TIMEOUT_S = 30.0
_RETRY_MIN_S, _RETRY_MAX_S = 0.2, 5.0
# Codes that no second try can change: 3.1.1 bad credentials and not authorised, then those of MQTT 5.
_REFUSED = frozenset({4, 5, 132, 133, 134, 135, 140})


class Address(NamedTuple):
    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None


def parse_broker_url(url: str) -> Address:
    """mqtt://[user[:password]@]host[:port] or mqtts://…; InputError for anything else. The password is never shown."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise InputError("broker URL: the port is no number from 0 to 65535") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/"):
        raise InputError(
            f"broker URL with scheme {parts.scheme!r} and host {parts.hostname!r}: "
            "expected mqtt://host[:port] or mqtts://host[:port]"
        )
    return Address(
        parts.hostname,
        port or _PORTS[parts.scheme],
        parts.scheme == "mqtts",
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )


@dataclass(slots=True)
class Progress:
    """Counts so far. Acknowledged: by the broker, each message once, however often it was sent."""

    acknowledged: int = 0
    readings: int = 0
    """Good readings in them, duplicates counted as often as sent."""
    malformed: dict[str, int] = field(default_factory=dict)
    """By reason in quarantine."""
    reconnects: int = 0
    resent: int = 0
    simulated_ms: int = 0
    """How far simulated time has come."""


@dataclass
class _Line:
    """One connection: messages wait in `queue`; those that were under way when it broke wait in `again`."""

    queue: asyncio.Queue[Delivery | None]
    again: deque[Delivery] = field(default_factory=deque)
    finished: bool = False

    async def next(self) -> Delivery | None:
        """The next message, those to be sent again first; None once all have been taken."""
        if self.again:
            return self.again.popleft()
        if self.finished:
            return None
        delivery = await self.queue.get()
        if delivery is None:
            self.finished = True
            # Wake the other senders, which wait for the same queue.
            self.queue.put_nowait(None)
        return delivery


def _client(address: Address, name: str, version: str, inflight: int, tls: ssl.SSLContext | None) -> aiomqtt.Client:
    protocol = aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311
    client = aiomqtt.Client(
        address.host,
        address.port,
        username=address.username,
        password=address.password,
        identifier=name,
        protocol=protocol,
        clean_session=None if version == "5" else True,
        max_inflight_messages=inflight,
        tls_context=tls,
    )
    client.pending_calls_threshold = inflight  # that many are the plan, not a reason to warn
    return client


async def _send(client: aiomqtt.Client, line: _Line, progress: Progress) -> None:
    while (delivery := await line.next()) is not None:
        try:
            await client.publish(delivery.topic, delivery.payload, qos=1, timeout=_ACK_TIMEOUT_S)
        except BaseException:
            # Also when cancelled because the connection broke: whether it arrived is not known, so it goes again.
            line.again.append(delivery)
            progress.resent += 1
            raise
        progress.acknowledged += 1
        progress.readings += len(delivery.readings)
        progress.simulated_ms = max(progress.simulated_ms, delivery.due_ms)
        if delivery.reason:
            progress.malformed[delivery.reason] = progress.malformed.get(delivery.reason, 0) + 1


async def _watch(client: aiomqtt.Client) -> None:
    """Raises MqttError as soon as the connection breaks; publish alone would notice only by its timeout."""
    async for _ in client.messages:
        pass


async def _session(client: aiomqtt.Client, line: _Line, progress: Progress, inflight: int) -> None:
    """Send until all is acknowledged. MqttError if the connection breaks."""
    watch = asyncio.create_task(_watch(client), name="gateway-watch")
    senders = [
        asyncio.create_task(_send(client, line, progress), name=f"gateway-send-{slot}") for slot in range(inflight)
    ]
    tasks = [watch, *senders]
    try:
        waiting = set(senders)
        while waiting:
            done, _ = await asyncio.wait({watch, *waiting}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            waiting -= done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_sending(
    make: Callable[[], aiomqtt.Client], line: _Line, progress: Progress, inflight: int, patience_s: float
) -> None:
    """Send all of a line over as many connections as it takes."""
    retry_s, failing_since = _RETRY_MIN_S, time.monotonic()
    connected_before = complete = False
    while not complete:
        try:
            async with make() as client:
                progress.reconnects += connected_before
                connected_before, retry_s = True, _RETRY_MIN_S
                try:
                    await _session(client, line, progress, inflight)
                    complete = True  # an error while saying goodbye changes nothing
                finally:
                    failing_since = time.monotonic()
        except MqttConnectError as error:
            if getattr(error.rc, "value", error.rc) in _REFUSED:
                raise BrokerError(f"the broker refused the connection: {error}", retryable=False) from error
            _check_patience(error, failing_since, patience_s)
        except aiomqtt.MqttError as error:
            _check_patience(error, failing_since, patience_s)
        if not complete:
            await asyncio.sleep(retry_s)
            retry_s = min(_RETRY_MAX_S, 2 * retry_s)


def _check_patience(error: aiomqtt.MqttError, failing_since: float, patience_s: float) -> None:
    if time.monotonic() - failing_since > patience_s:
        raise BrokerError(f"no connection to the broker for {patience_s:g} s: {error}") from error


async def _in_time(source: Iterable[Delivery], speed: float) -> AsyncIterator[Delivery]:
    """The deliveries at `speed` simulated seconds per second; made in a thread, for a simulated day takes a while."""
    iterator: Iterator[Delivery] = iter(source)
    begun_s, first_ms = time.monotonic(), None
    while chunk := await asyncio.to_thread(lambda: list(islice(iterator, _CHUNK))):
        for delivery in chunk:
            if first_ms is None:
                first_ms = delivery.due_ms
            if speed != math.inf:
                wait_s = begun_s + (delivery.due_ms - first_ms) / 1000 / speed - time.monotonic()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
            yield delivery


async def publish(
    source: Iterable[Delivery],
    broker_url: str,
    *,
    speed: float = math.inf,
    on_progress: Callable[[Progress], None] | None = None,
    progress_every_s: float = 0.5,
    version: Literal["5", "3.1.1"] = "5",
    username: str | None = None,
    password: str | None = None,
    ca_file: str | None = None,
    client_id: str = "simulated-gateways",
    connections: int = 2,
    inflight: int = 50,
    patience_s: float = 120.0,
) -> Progress:
    """Publish all deliveries at QoS 1 and return when the broker has acknowledged every one of them.

    speed: simulated seconds per second; infinite is as fast as the broker takes them. connections share the gateways;
    inflight bounds what each has sent without acknowledgement. When a connection breaks, what was under way is sent
    again over the next one. username and password stand in for those of the URL.

    Raises InputError for a bad URL or speed; BrokerError, retryable where there was no connection for patience_s.
    """
    if not speed > 0:
        raise InputError(f"speed={speed}: must be positive")
    address = parse_broker_url(broker_url)
    if username is not None:
        address = address._replace(username=username, password=password)
    tls = ssl.create_default_context(cafile=ca_file) if address.tls else None
    progress = Progress()
    lines = [_Line(asyncio.Queue(4 * inflight)) for _ in range(connections)]

    async def distribute() -> None:
        numbers: dict[str, int] = {}
        async for delivery in _in_time(source, speed):
            gateway = delivery.topic.split("/", 2)[1]
            number = numbers.setdefault(gateway, len(numbers))
            await lines[number % len(lines)].queue.put(delivery)
        for line in lines:
            await line.queue.put(None)

    async def report() -> None:
        while on_progress is not None:
            on_progress(progress)
            await asyncio.sleep(progress_every_s)

    reporter = asyncio.create_task(report(), name="gateways-progress")
    try:
        with ungrouped(BrokerError, InputError):
            async with asyncio.TaskGroup() as group:
                group.create_task(distribute(), name="gateways-distribute")
                for number, line in enumerate(lines):

                    def make(number: int = number) -> aiomqtt.Client:
                        return _client(address, f"{client_id}-{number}", version, inflight, tls)

                    group.create_task(
                        _keep_sending(make, line, progress, inflight, patience_s), name=f"gateways-line-{number}"
                    )
    finally:
        reporter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reporter
    if on_progress is not None:
        on_progress(progress)
    return progress
