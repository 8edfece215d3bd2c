"""A real Mosquitto on a loopback port, whose sessions can outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.services.process import Server, accepts, free_port, require

__all__ = ["Mosquitto", "Publisher", "make_certificates"]


class Mosquitto:
    """`start`, `stop`, `kill` and `start` again on the same port, with the same persistence file."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        users: dict[str, str] | None = None,
        tls: Path | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        """users: password by name; without, anybody may come. tls: a folder of `make_certificates`."""
        folder.mkdir(parents=True, exist_ok=True)
        program = require("mosquitto")
        self.port = free_port() if port is None else port
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "persistence_file sessions.db",
            "autosave_interval 0",  # see `save`
            "max_queued_messages 0",
            "max_queued_bytes 0",
            "max_inflight_messages 5000",
            "log_dest stderr",
            *extra,
        ]
        if users is None:
            lines.append("allow_anonymous true")
        else:
            passwords = folder / "passwords"
            passwords.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
            subprocess.run([require("mosquitto_passwd"), "-U", str(passwords)], check=True, capture_output=True)
            passwords.chmod(0o600)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        if tls is not None:
            lines += [f"certfile {tls}/server.crt", f"keyfile {tls}/server.key", f"cafile {tls}/ca.crt"]
        if os.geteuid() == 0:
            lines.append("user root")  # else Mosquitto becomes the user mosquitto, who may not write here
        config = folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        self._saved = folder / "sessions.db"
        self.server = Server(
            [program, "-c", str(config)],
            ready=lambda: accepts(self.port),
            log=folder / "mosquitto.log",
        )

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def kill(self) -> None:
        """kill -9. What it has acknowledged since the last `save` is lost with it."""
        self.server.kill()

    def save(self) -> None:
        """Have it write its sessions to disk, and wait until it has.

        Mosquitto 2.0 acknowledges to a publisher what it has in memory only. autosave_on_changes does not help: what
        is in flight to a connected client counts as no change.
        """
        assert self.server.process is not None
        before = self._stamp()
        self.server.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 30
        while self._stamp() == before:
            assert time.monotonic() < deadline, "Mosquitto did not save"
            time.sleep(0.005)  # polling a condition with a deadline

    def _stamp(self) -> tuple[int, int] | None:
        """Changes when a new file has taken the place of the old."""
        if not self._saved.exists():
            return None
        status = self._saved.stat()
        return status.st_ino, status.st_mtime_ns

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Publisher:
    """A gateway: QoS 1, and whoever waits knows that the broker has it. Reconnects by itself."""

    def __init__(self, port: int, *, client_id: str = "gateway") -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._sent: list[paho.MQTTMessageInfo] = []

    def publish(self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False) -> None:
        self._sent.append(self._client.publish(topic, payload, qos, retain))

    def settle(self, timeout_s: float = 60.0) -> None:
        """Until the broker has acknowledged everything."""
        for info in self._sent:
            info.wait_for_publish(timeout_s)
            assert info.is_published(), "the broker did not acknowledge in time"
        self._sent.clear()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_certificates(folder: Path) -> Path:
    """An authority of our own (ca.crt), and a server's key and certificate for 127.0.0.1 from it."""
    openssl = require("openssl")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "server.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    authority = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ca.key -out ca.crt"
    request = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr"
    sign = "-req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.crt"
    for command in (
        ["req", *authority.split(), "-subj", "/CN=Test authority"],
        ["req", *request.split(), "-subj", "/CN=127.0.0.1"],
        ["x509", *sign.split()],
    ):
        subprocess.run([openssl, *command], cwd=folder, check=True, capture_output=True)
    return folder
