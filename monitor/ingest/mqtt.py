"""The one adapter around aiomqtt and paho: a persistent session whose messages are acknowledged by hand.

What it makes of the two libraries, and why:

- aiomqtt acknowledges by itself. Its inner paho client is told not to before it connects, and `ack` sends the PUBACKs
  when a batch is safe. The ids of an old connection mean other messages on a new one, so a token names its connection
  and is dropped once that is gone; the broker sends its message again, and a duplicate is harmless.
- aiomqtt's queue is not used: `on_message` of the inner client collects into a list of ours, and all that one turn of
  the event loop has read is handed on at once. Measured against Mosquitto 2.0 with QoS 1, acknowledgements included
  [µs of processor time a message, MQTT 5 / 3.1.1]: aiomqtt's iterator, which makes a task for each message, 123 / 47;
  the list 41 / 21; reading until the socket is empty instead of one packet a turn, which is what stands here, 38 / 17.
  Reading through a buffer and sending the PUBACKs of a batch as one packet gave 30 / 13, at the price of paho's private
  methods. What is left is paho's parsing; with MQTT 5 half of it are the properties.
- In flight is at most `receive_maximum`: with MQTT 5 it goes to the broker as Receive Maximum. MQTT 3.1.1 has no such
  thing: there the broker's own limit counts (Mosquitto: max_inflight_messages, 20 by default, which is slow), and the
  setting should be the same number. Whatever the broker does, beyond that many messages or `BACKLOG_BYTES` that nobody
  has taken yet, the socket is no longer read, and TCP holds the broker back.
- Subscriptions that are no longer wanted are taken back (see sessions.py). Where another source reads a topic than
  before, or what sources remember was lost, what the broker keeps there is asked for once more: to the broker the
  subscription is none that is new, and what units and names are is often said in retained messages only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from monitor.errors import BrokerError
from monitor.ingest.message import Message
from monitor.ingest.sessions import SubscriptionMemory
from monitor.settings import BrokerSettings

__all__ = ["BACKLOG_BYTES", "BrokerLink", "LinkStatus"]

BACKLOG_BYTES = 32 * 1024 * 1024
"""So many bytes of payload wait in a link at most, plus what one reading of the socket gives."""
_PACKETS_PER_TURN = 256
"""So many packets are read before other tasks get their turn."""
_CONNECT_TIMEOUT_S = 5.0
_FAREWELL_TIMEOUT_S = 3.0
_NO_SUCH_FILTER = "meter-monitor/farewell"
"""Nobody subscribes to it."""
_FAILURE = 0x80
"""Reason codes of a SUBACK from here on are refusals (MQTT 5, 2.4; MQTT 3.1.1, 3.9.3)."""

Deliver = Callable[[list[Message]], Awaitable[None]]


class _Token(NamedTuple):
    connection: int
    mid: int
    qos: int


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """How a link is, for logs, metrics and readiness."""

    broker: str
    state: Literal["connecting", "connected", "waiting", "stopped"] = "connecting"
    connections: int = 0
    """Connections made so far."""
    session_present: bool | None = None
    """Whether the broker still knew the session at the last connection."""
    session_lost: bool = False
    """It did not, and we once had one, be it before a restart: what it held for us is gone."""
    last_error: str = ""

    @property
    def connected(self) -> bool:
        return self.state == "connected"


class BrokerLink:
    """The connection to one broker, kept up until `stop`. All methods belong to the event loop's thread."""

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        password: str | None,
        now_ms: Callable[[], int],
        chance: random.Random,
        memory: SubscriptionMemory,
        readers: Mapping[str, str] | None = None,
        on_status: Callable[[LinkStatus], None] = lambda status: None,
    ) -> None:
        """now_ms: the clock of arrivals. chance: spreads reconnections. readers: of topics, what changes with how they
        are read.

        Raises BrokerError (not retryable) if the certificates cannot be loaded.
        """
        self.settings = settings
        self.name = settings.name
        self.status = LinkStatus(settings.name)
        self._password = password
        self._now_ms = now_ms
        self._chance = chance
        self._memory = memory
        self._readers = frozenset(f"{reader} {topic}" for topic, reader in (readers or {}).items())
        self._on_status = on_status
        self._tls = _tls_context(settings)
        self._session = f"{settings.client_id}@{settings.host}:{settings.port}"
        self._session_readers = f"{self._session} readers"
        self._inner: paho.Client | None = None
        self._connection = 0
        self._arrived: list[Message] = []
        self._arrived_bytes = 0
        self._reading = True
        self._resume: Callable[[], object] = bool
        self._taking = True
        self._stopping = asyncio.Event()
        self._halt: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()
        self._delivering: asyncio.Task[None] | None = None

    @property
    def receive_maximum(self) -> int:
        return self.settings.receive_maximum

    async def run(self, deliver: Deliver) -> None:
        """Connect, hand messages on, connect again, until `stop`.

        `deliver` is awaited with each list of messages, one at a time, in their order; while it waits, at most
        `receive_maximum` more are collected.
        """
        failures = 0
        loop = asyncio.get_running_loop()
        self._halt = loop.create_future()
        try:
            while not self._stopping.is_set():
                began_s = loop.time()
                try:
                    await self._connect_and_serve(deliver, self._halt)
                except BrokerError as error:
                    lasted_s = loop.time() - began_s
                    # Two clients with one id throw each other out as soon as they are in: that, too, must slow down.
                    failures = 1 if lasted_s > self.settings.reconnect_max_s else failures + 1
                    self._set_status(state="waiting", last_error=str(error))
                    await self._wait(failures)
        finally:
            if self._delivering is not None:
                self._delivering.cancel()
                await asyncio.wait({self._delivering})
            self._set_status(state="stopped")

    def ack(self, messages: Sequence[Message]) -> None:
        """Tell the broker that these are safe. Those of an earlier connection will come again."""
        inner, current = self._inner, self._connection
        if inner is None:
            return
        for message in messages:
            connection, mid, qos = message.token
            if connection == current and qos:
                inner.ack(mid, qos)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message with QoS 0. Without a connection it is dropped: what is asked for is asked again."""
        inner = self._inner
        if inner is not None and self.status.connected:
            with contextlib.suppress(ValueError):  # a topic that MQTT does not allow
                inner.publish(topic, payload)

    def close_input(self) -> None:
        """Hand nothing on from now; `ack` still works. What arrives is left unacknowledged, and so comes again."""
        self._taking = False
        self._arrived.clear()
        self._arrived_bytes = 0
        self._wake.set()

    def stop(self) -> None:
        """End `run`: once the broker has the acknowledgements that were given, the connection is closed; the session
        stays."""
        self._taking = False
        self._stopping.set()
        self._wake.set()
        if self._halt is not None and not self._halt.done():
            self._halt.set_result(None)

    def delay_s(self, failures: int) -> float:
        """How long to wait before the next try: doubling from reconnect_min_s to reconnect_max_s, and spread over the
        upper half of that, so that many monitors do not come back as one."""
        longest_s = min(self.settings.reconnect_max_s, self.settings.reconnect_min_s * 2.0 ** min(failures - 1, 30))
        return longest_s * (0.5 + 0.5 * self._chance.random())

    # -- one connection --------------------------------------------------------------------------------------------

    async def _connect_and_serve(self, deliver: Deliver, halt: asyncio.Future[None]) -> None:
        """Until `stop`. Raises BrokerError when the connection fails."""
        self._set_status(state="connecting")
        client = self._client()
        await self._open(client)
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[None] = client._disconnected  # noqa: SLF001  # the only place where aiomqtt says that it lost the connection
        lost.add_done_callback(self._on_lost)
        try:
            inner = client._client  # noqa: SLF001  # see _client
            sock: Any = inner.socket()
            if sock is None:
                raise BrokerError(f"{self.name}: the broker closed the connection at once")
            drain = self._drainer(inner, sock, lost)
            self._resume = functools.partial(loop.add_reader, sock.fileno(), drain)
            self._resume()
            await self._subscribe(client)
            self._set_status(state="connected", connections=self.status.connections + 1, last_error="")
            while not self._stopping.is_set():
                if lost.done():
                    raise BrokerError(f"{self.name}: connection lost: {lost.exception() or 'closed by the broker'}")
                await self._hand_on(deliver, lost, halt)
            if not lost.done():
                await self._await_acknowledged(client)
        except aiomqtt.MqttError as error:
            raise BrokerError(f"{self.name}: {error}") from error
        finally:
            await self._close(client, graceful=True)

    def _on_lost(self, lost: asyncio.Future[None]) -> None:
        if not lost.cancelled():
            lost.exception()  # looked at, so that asyncio does not complain that nobody did
        self._wake.set()

    def _client(self) -> aiomqtt.Client:
        settings = self.settings
        session: dict[str, Any]
        if settings.version == 5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho gives it no types
            properties.SessionExpiryInterval = settings.session_expiry_s
            properties.ReceiveMaximum = settings.receive_maximum
            session = {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": False, "properties": properties}
        else:
            session = {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": False}
        client = aiomqtt.Client(
            settings.host,
            settings.port,
            identifier=settings.client_id,
            username=settings.username,
            password=self._password,
            keepalive=settings.keepalive_s,
            tls_context=self._tls,
            **session,
        )
        inner = client._client  # noqa: SLF001  # aiomqtt has no other way to acknowledge by hand
        inner.manual_ack_set(True)
        inner.connect_timeout = _CONNECT_TIMEOUT_S
        # What of the old connection nobody has taken comes again, but for QoS 0.
        self._arrived = [message for message in self._arrived if message.token.qos == 0]
        self._arrived_bytes = sum(len(message.payload) for message in self._arrived)
        self._connection += 1
        self._inner = inner
        self._reading = True
        inner.on_message = self._collector(self._connection)
        connected = inner.on_connect

        def on_connect(
            own: paho.Client, data: Any, flags: paho.ConnectFlags, code: Any, properties: Properties | None
        ) -> None:
            if not code.is_failure:
                had_one = bool(self._memory.load(self._session))
                present = flags.session_present
                self._set_status(session_present=present, session_lost=had_one and not present)
            if connected is not None:
                connected(own, data, flags, code, properties)  # type: ignore[call-arg, arg-type]  # paho's type is the union of its callback versions

        inner.on_connect = on_connect
        return client

    def _collector(self, connection: int) -> Callable[[paho.Client, Any, paho.MQTTMessage], None]:
        name, now_ms = self.name, self._now_ms

        def on_message(_: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
            if not self._taking:
                return
            try:
                topic = message.topic
            except UnicodeDecodeError:
                topic = "\ufffd"  # a broker must not let it pass; the decoder will reject it
            payload = bytes(message.payload)
            token = _Token(connection, message.mid, message.qos)
            self._arrived.append(Message(topic, payload, message.retain, now_ms(), name, token))
            self._arrived_bytes += len(payload)

        return on_message

    def _drainer(self, inner: paho.Client, sock: Any, lost: asyncio.Future[None]) -> Callable[[], None]:
        """What the event loop calls when the socket can be read, in place of aiomqtt's, which reads one packet."""
        loop = asyncio.get_running_loop()
        descriptor = sock.fileno()

        def drain() -> None:
            if not self._reading or inner.socket() is not sock:
                return
            try:
                for _ in range(_PACKETS_PER_TURN):
                    before = len(self._arrived)
                    inner.loop_read()
                    # Decrypted bytes that TLS holds already make no socket readable: they must be read on.
                    if len(self._arrived) == before and not _has_pending(sock):
                        break
                else:
                    if _has_pending(sock):
                        loop.call_soon(drain)
            except Exception as error:  # noqa: BLE001  # whatever paho stumbles over ends this connection, not the service
                if not lost.done():
                    lost.set_exception(error)
            if self._arrived:
                self._wake.set()
                if self._is_full() and inner.socket() is sock:
                    self._reading = False
                    loop.remove_reader(descriptor)

        return drain

    def _is_full(self) -> bool:
        # Not at Receive Maximum itself: then the broker has stopped by itself, and its answers to pings must be read.
        return len(self._arrived) > self.settings.receive_maximum or self._arrived_bytes >= BACKLOG_BYTES

    async def _open(self, client: aiomqtt.Client) -> None:
        """Raises BrokerError. Connecting runs in a thread and cannot be cut short: it is waited for, then closed."""
        connecting = asyncio.ensure_future(client.__aenter__())
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            with contextlib.suppress(aiomqtt.MqttError, OSError, ValueError):
                await connecting
            await self._close(client, graceful=False)
            raise
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            await self._close(client, graceful=False)
            where = f"{self.settings.host}:{self.settings.port}"
            raise BrokerError(f"{self.name}: cannot connect to {where}: {error}") from error

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        wanted = frozenset(self.settings.subscriptions)
        kept = self._memory.load(self._session)
        if kept != wanted:
            self._memory.save(self._session, kept | wanted)
        if kept - wanted:
            await client.unsubscribe(sorted(kept - wanted))
        topics = sorted(wanted)
        readers_kept = self._memory.load(self._session_readers)
        if self.settings.version == 5:
            # retainHandling 1: what the broker keeps comes with a new subscription only, not at every reconnection; 0:
            # also to whoever reads it for the first time.
            # retainAsPublished stays off: with it, fresh messages of a gateway that sets the flag would look old.
            read_anew = {entry.partition(" ")[2] for entry in self._readers - readers_kept}
            usual = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            anew = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE)
            codes = await client.subscribe([(topic, anew if topic in read_anew else usual) for topic in topics])
        else:
            codes = await client.subscribe([(topic, 1) for topic in topics])
        for topic, code in zip(topics, codes, strict=False):
            value: Any = code.value if isinstance(code, ReasonCode) else code
            if value >= _FAILURE:
                raise BrokerError(f"{self.name}: the broker refuses the subscription to {topic} (code {value})")
        if kept != wanted:
            self._memory.save(self._session, wanted)
        if readers_kept != self._readers:
            self._memory.save(self._session_readers, self._readers)

    async def _await_acknowledged(self, client: aiomqtt.Client) -> None:
        """Wait until the broker has read every PUBACK that was sent.

        Each of them lets the broker send more, and closing a socket on which something is unread resets it, which
        makes the peer forget what it has not read itself. A broker answers in order: so ask for something.
        """
        if not self._reading:
            self._reading = True
            self._resume()
        with contextlib.suppress(aiomqtt.MqttError):
            await client.unsubscribe(_NO_SUCH_FILTER, timeout=_FAREWELL_TIMEOUT_S)

    async def _hand_on(self, deliver: Deliver, lost: asyncio.Future[None], halt: asyncio.Future[None]) -> None:
        """Hand on what has arrived, or wait for it. Comes back early when the connection is lost, or on `stop`;
        what is being delivered then goes on, and is waited for before anything else is handed on."""
        if self._delivering is None:
            if not self._arrived:
                await self._wake.wait()
                self._wake.clear()
            if not self._arrived:
                return
            batch, self._arrived, self._arrived_bytes = self._arrived, [], 0
            if not self._reading and not lost.done():
                self._reading = True
                self._resume()
            self._delivering = asyncio.create_task(_as_coroutine(deliver(batch)), name=f"deliver-{self.name}")
        await asyncio.wait((self._delivering, lost, halt), return_when=asyncio.FIRST_COMPLETED)
        if self._delivering.done():
            done, self._delivering = self._delivering, None
            done.result()

    async def _close(self, client: aiomqtt.Client, *, graceful: bool) -> None:
        inner = client._client  # noqa: SLF001  # see _client
        self._inner = None
        if graceful:
            with contextlib.suppress(aiomqtt.MqttError, OSError, ValueError):
                await client.__aexit__(None, None, None)
        if inner.socket() is not None:
            # A connection that never came to be, or a peer that takes no farewell: close what is left of it.
            with contextlib.suppress(OSError, ValueError):
                inner._sock_close()  # noqa: SLF001  # paho closes a socket only after it could send DISCONNECT

    async def _wait(self, failures: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.delay_s(failures)):
                await self._stopping.wait()

    def _set_status(self, **changes: Any) -> None:
        status = replace(self.status, **changes)
        if status != self.status:
            self.status = status
            self._on_status(status)


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable


def _has_pending(sock: Any) -> bool:
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _tls_context(settings: BrokerSettings) -> ssl.SSLContext | None:
    if not settings.is_encrypted:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(str(file) for file in (settings.ca_file, settings.cert_file, settings.key_file) if file)
        raise BrokerError(f"{settings.name}: cannot load {files}: {error}", retryable=False) from error
    return context
