"""Gateways' messages to a broker with QoS 1, as fast as it takes them or at a steady rate; a process of its own.

`python -m monitor.bench.publisher PORT BUILDINGS START_MS FIRST ROUNDS PER_MESSAGE [--per-second N]` prepares its
packets, connects, prints `ready`, waits for a line on standard input, publishes, and prints one JSON object when the
last PUBACK has come.

It writes MQTT 3.1.1 packets (OASIS standard, 3.3) straight to the socket: paho needs about as much processor time for a
message as the monitor does, and on two cores it would be the publisher that is measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence

from monitor.bench.measure import processor_s
from monitor.bench.workload import build_town, payloads, readings

__all__ = ["connect_packet", "main", "publish", "publish_packet"]

_WINDOW = 1_000
"""Messages in flight at most."""
_CHUNK = 100
_CONNACK_BYTES, _PUBACK_BYTES = 4, 4
_TICK_S = 0.01
_TIMEOUT_S = 120.0
_MAX_PACKET_ID = 65_535


def _length(size: int) -> bytes:
    """Remaining length: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while True:
        size, low = divmod(size, 128)
        encoded.append(low | 0x80 if size else low)
        if not size:
            return bytes(encoded)


def _text(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


def connect_packet(client_id: str) -> bytes:
    """Clean session, no user, no keep-alive."""
    body = _text("MQTT") + b"\x04\x02\x00\x00" + _text(client_id)
    return b"\x10" + _length(len(body)) + body


def publish_packet(topic: str, payload: bytes, packet_id: int) -> bytes:
    """QoS 1, not retained."""
    body = _text(topic) + packet_id.to_bytes(2, "big") + payload
    return b"\x32" + _length(len(body)) + body


def publish(connection: socket.socket, packets: Sequence[bytes], per_second: float | None) -> None:
    """Until every packet is acknowledged. Raises ConnectionError if the broker hangs up."""
    sent = acknowledged_bytes = 0
    began_s = time.monotonic()
    while acknowledged_bytes < _PUBACK_BYTES * len(packets):
        room = _WINDOW - (sent - acknowledged_bytes // _PUBACK_BYTES)
        due = len(packets)
        if per_second is not None:
            due = min(due, int((time.monotonic() - began_s) * per_second) + 1)
        count = min(room, due - sent, _CHUNK)
        if count > 0:
            connection.sendall(b"".join(packets[sent : sent + count]))
            sent += count
        is_waiting = count <= 0
        acknowledged_bytes += _receive(connection, _TICK_S if is_waiting and sent < len(packets) else None, is_waiting)


def _receive(connection: socket.socket, timeout_s: float | None, is_waiting: bool) -> int:
    """Bytes of acknowledgements; does not wait for any unless `is_waiting`."""
    if not is_waiting:
        try:
            return len(connection.recv(65_536, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0
    connection.settimeout(_TIMEOUT_S if timeout_s is None else timeout_s)
    try:
        received = connection.recv(65_536)
    except TimeoutError:
        if timeout_s is None:
            raise
        return 0
    finally:
        connection.settimeout(_TIMEOUT_S)
    if not received:
        raise ConnectionError("the broker closed the connection")
    return len(received)


def _packets(given: argparse.Namespace) -> Iterator[bytes]:
    town = build_town(given.buildings, given.start_ms)
    packet_ids = itertools.cycle(range(1, _MAX_PACKET_ID + 1))
    for number in range(given.first, given.first + given.rounds):
        for topic, payload in payloads(town.registry, readings(town, number, 1), given.per_message):
            yield publish_packet(topic, payload, next(packet_ids))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    for name in ("port", "buildings", "start_ms", "first", "rounds", "per_message"):
        parser.add_argument(name, type=int)
    parser.add_argument("--per-second", type=float, help="messages; as fast as they go if absent")
    given = parser.parse_args(arguments)
    packets = list(_packets(given))
    with socket.create_connection(("127.0.0.1", given.port), timeout=_TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(connect_packet(f"bench-publisher-{given.first}"))
        answer = connection.recv(_CONNACK_BYTES, socket.MSG_WAITALL)
        if answer[:1] != b"\x20" or answer[3:] != b"\x00":
            raise ConnectionError(f"the broker answered {answer!r} to CONNECT")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        before_s = processor_s()
        began_s = time.monotonic()
        publish(connection, packets, given.per_second)
        ended_s = time.monotonic()
    result = {
        "messages": len(packets),
        "began_s": began_s,
        "ended_s": ended_s,
        "processor_s": processor_s() - before_s,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
