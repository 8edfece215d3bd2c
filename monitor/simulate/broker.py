"""The demo's broker: amqtt in a child process, MQTT 3.1.1, in memory, on the loopback. `python -m` this file is it.

amqtt 0.12 gives up a QoS 1 message that its receiver has not acknowledged within 5 s or before it disconnects, throws
away what a publisher sent last when that one disconnects, and hands out messages without bound until packet ids run
out. A monitor that compiles its kernels, or is restarted, would lose readings. So only amqtt's codec and sessions are
used; QoS 1 between them is done here: a message is acknowledged to its publisher once it stands in the outbox of each
subscriber, and leaves an outbox when the subscriber has acknowledged it. A full outbox holds the publishers up.

QoS 2 and retained messages are not for this broker.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from amqtt.broker import Broker
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.plugins.base import BaseAuthPlugin

from monitor.errors import BrokerError

__all__ = ["embedded_broker"]

_MOST_WAITING = 20_000
_MOST_UNDER_WAY = 500
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0


class AnyoneMayConnect(BaseAuthPlugin):  # type: ignore[misc]  # amqtt ships no types
    """amqtt keeps no session that its own plugin has marked anonymous, so this one marks none."""

    async def authenticate(self, *, session: Any) -> bool:  # the plugin's interface
        return True


class _Message(NamedTuple):
    topic: str
    data: bytes
    qos: int


class _Outbox:
    """What one subscriber is to get. Survives its connections."""

    def __init__(self) -> None:
        self.waiting: deque[_Message] = deque()
        self.under_way: dict[int, _Message] = {}
        self.changed = asyncio.Condition()
        self._last_id = 0

    async def put(self, message: _Message) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.waiting) < _MOST_WAITING)
            self.waiting.append(message)
            self.changed.notify_all()

    async def take(self) -> tuple[int | None, _Message]:
        """The next message, and the packet id under which it is under way if it has QoS 1."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.waiting and len(self.under_way) < _MOST_UNDER_WAY)
            message = self.waiting.popleft()
            self.changed.notify_all()
            if message.qos == 0:
                return None, message
            while True:
                self._last_id = self._last_id % 65_535 + 1
                if self._last_id not in self.under_way:
                    self.under_way[self._last_id] = message
                    return self._last_id, message

    async def acknowledge(self, packet_id: int) -> None:
        async with self.changed:
            self.under_way.pop(packet_id, None)
            self.changed.notify_all()


class _PatientHandler(BrokerProtocolHandler):  # type: ignore[misc]  # amqtt ships no types
    """One connection. `broker` is set as soon as it exists, by `_PatientBroker`."""

    broker: _PatientBroker
    pump: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await super().start()
        self.pump = asyncio.create_task(self._pump(self.broker.outbox(self.session.client_id)), name="broker-pump")

    async def stop(self) -> None:
        if self.pump is not None and self.pump is not asyncio.current_task():
            self.pump.cancel()
        await super().stop()

    async def _pump(self, outbox: _Outbox) -> None:
        for packet_id, message in list(outbox.under_way.items()):
            await self._send_packet(PublishPacket.build(*message[:2], packet_id, True, 1, False))
        while True:
            taken_id, message = await outbox.take()
            await self._send_packet(PublishPacket.build(*message[:2], taken_id, False, message.qos, False))

    async def handle_publish(self, publish_packet: PublishPacket) -> None:
        packet_id = publish_packet.variable_header.packet_id
        await self.broker.route(publish_packet.topic_name, bytes(publish_packet.data), min(1, publish_packet.qos))
        if publish_packet.qos == 1:
            await self._send_packet(PubackPacket.build(packet_id))

    async def handle_puback(self, puback: PubackPacket) -> None:
        await self.broker.outbox(self.session.client_id).acknowledge(puback.variable_header.packet_id)


class _PatientBroker(Broker):  # type: ignore[misc]  # amqtt ships no types
    def __init__(self, port: int) -> None:
        super().__init__(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
                "plugins": {"monitor.simulate.broker.AnyoneMayConnect": {}},
            }
        )
        self._outboxes: dict[str, _Outbox] = {}

    @property
    def port(self) -> int:
        server = self._servers["default"].instance
        port: int = server.sockets[0].getsockname()[1]
        return port

    def outbox(self, client_id: str) -> _Outbox:
        return self._outboxes.setdefault(client_id, _Outbox())

    async def route(self, topic: str, data: bytes, qos: int) -> None:
        """Return once the message stands in the outbox of every session that subscribes to it."""
        receivers: dict[str, int] = {}
        for topic_filter, subscriptions in self.subscriptions.items():
            if self._matches(topic, topic_filter):
                for session, granted in subscriptions:
                    receivers[session.client_id] = max(receivers.get(session.client_id, 0), min(qos, granted))
        for client_id, best in receivers.items():
            await self.outbox(client_id).put(_Message(topic, data, best))

    async def _initialize_client_session(self, *args: Any) -> Any:
        handler, session = await super()._initialize_client_session(*args)
        # amqtt names its handler's class in the middle of a long function; another class is all that is to change.
        handler.__class__ = _PatientHandler
        handler.broker = self
        return handler, session

    async def _delete_session(self, client_id: str) -> None:
        await super()._delete_session(client_id)
        self._outboxes.pop(client_id, None)

    async def _cleanup_session(self, client_id: str) -> None:
        await super()._cleanup_session(client_id)
        self._outboxes.pop(client_id, None)


async def _serve(port: int) -> None:
    broker = _PatientBroker(port)
    await broker.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    # The other end of stdin is the demo: when that is gone, however it went, nobody needs this broker.
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orphaned = asyncio.create_task(reader.read(1), name="broker-orphaned")
    orphaned.add_done_callback(lambda _: stop.set())
    sys.stdout.write(f"{broker.port}\n")
    sys.stdout.flush()
    await stop.wait()
    await broker.shutdown()


@contextlib.asynccontextmanager
async def embedded_broker(port: int = 0) -> AsyncIterator[str]:
    """A broker of one's own until the block ends. Gives its URL, mqtt://127.0.0.1:<port>; port 0 is any free one.

    It speaks MQTT 3.1.1 and keeps persistent sessions (clean session false) in memory. BrokerError if it does not
    start.
    """
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor.simulate.broker", "--port", str(port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            # Ctrl-C at the terminal is the demo's to handle: it still needs its broker to end in order.
            start_new_session=True,
        )
        try:
            first_line = b""
            if process.stdout is not None:
                with contextlib.suppress(TimeoutError):
                    first_line = await asyncio.wait_for(process.stdout.readline(), _START_TIMEOUT_S)
            if not first_line.strip().isdigit():
                errors.seek(0)
                said = errors.read().decode(errors="replace")[-1000:].strip()
                raise BrokerError(f"the embedded broker did not start on port {port}: {said}", retryable=False)
            yield f"mqtt://127.0.0.1:{int(first_line)}"
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
    if process.stdin is not None:
        process.stdin.close()
        with contextlib.suppress(OSError):
            await process.stdin.wait_closed()


def main() -> None:
    parser = argparse.ArgumentParser(description="An MQTT 3.1.1 broker for the demo, on the loopback, in memory.")
    parser.add_argument("--port", type=int, default=0, help="0 (default): any free one; it is printed")
    arguments = parser.parse_args()
    # amqtt warns of every connection that ends without a goodbye.
    logging.basicConfig(level=logging.CRITICAL)
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_serve(arguments.port))


if __name__ == "__main__":
    main()
