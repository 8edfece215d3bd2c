"""The broker's certificate is made, kept and renewed, and a running Mosquitto takes the new one over."""

from __future__ import annotations

import signal
import socket
import ssl
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.services.process import Server, accepts, free_port, require

SCRIPT = Path(__file__).parents[2] / "deploy" / "mosquitto" / "certificates.sh"
NAMES = "broker.example.org", "localhost", "127.0.0.1", "::1"
DEADLINE_S = 20.0


def made(folder: Path, *names: str) -> str:
    """What the script says."""
    require("openssl")
    done = subprocess.run(["sh", str(SCRIPT), str(folder), *names], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def openssl(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        [require("openssl"), *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def sign_for(folder: Path, days: int) -> None:
    """The broker's key in another certificate with the same names."""
    request = "-x509toreq -copy_extensions copyall -in server.crt -key server.key -out server.csr"
    openssl(folder, "x509", *request.split())
    authority = "-CA ca.crt -CAkey ca.key -copy_extensions copyall"
    openssl(folder, "x509", "-req", "-in", "server.csr", *authority.split(), "-days", str(days), "-out", "server.crt")


def test_what_is_good_is_kept(tmp_path: Path) -> None:
    first = made(tmp_path, *NAMES)
    assert "new authority" in first
    assert "new certificate" in first
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made(tmp_path, *NAMES) == ""
    assert made(tmp_path, *NAMES[1:]) == "", "names may go"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_it_is_renewed_two_months_before_its_end(tmp_path: Path) -> None:
    made(tmp_path, *NAMES)
    authority = (tmp_path / "ca.crt").read_bytes()
    sign_for(tmp_path, days=61)
    assert made(tmp_path, *NAMES) == ""
    sign_for(tmp_path, days=59)
    (tmp_path / "server.key").chmod(0o640)
    assert "new certificate" in made(tmp_path, *NAMES)
    assert stat.S_IMODE((tmp_path / "server.key").stat().st_mode) == 0o640, "who could read it still can"
    assert (tmp_path / "ca.crt").read_bytes() == authority
    openssl(tmp_path, "verify", "-CAfile", "ca.crt", "server.crt")
    openssl(tmp_path, "x509", "-in", "server.crt", "-noout", "-checkend", str(800 * 86_400))


@pytest.mark.parametrize("name", ["meters.example.org", "192.0.2.7", "2001:db8::7"])
def test_a_new_name_comes_into_it(tmp_path: Path, name: str) -> None:
    made(tmp_path, *NAMES)
    assert "new certificate" in made(tmp_path, *NAMES, name)
    assert made(tmp_path, *NAMES, name) == ""


def test_another_authority_makes_another_certificate(tmp_path: Path) -> None:
    made(tmp_path, *NAMES)
    (tmp_path / "ca.crt").unlink()
    said = made(tmp_path, *NAMES)
    assert "new authority" in said
    assert "new certificate" in said
    openssl(tmp_path, "verify", "-CAfile", "ca.crt", "server.crt")


def test_an_authority_whose_key_is_in_a_safe_stays(tmp_path: Path) -> None:
    made(tmp_path, *NAMES)
    key = (tmp_path / "ca.key").rename(tmp_path / "in_a_safe")
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made(tmp_path, *NAMES) == ""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        made(tmp_path, *NAMES, "192.0.2.7")
    assert "put ca.key, which signs it, back" in failed.value.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    key.rename(tmp_path / "ca.key")
    assert "new certificate" in made(tmp_path, *NAMES, "192.0.2.7")
    assert (tmp_path / "ca.crt").read_bytes() == files["ca.crt"]


def test_an_authority_that_ends_soon_is_told(tmp_path: Path) -> None:
    made(tmp_path, *NAMES)
    openssl(tmp_path, "x509", "-in", "ca.crt", "-signkey", "ca.key", "-days", "300", "-out", "ca.crt")
    assert "ends within 400 days" in made(tmp_path, *NAMES)


@pytest.mark.services
def test_a_running_broker_takes_it_over(tmp_path: Path) -> None:
    made(tmp_path, *NAMES)
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
        f"certfile {tmp_path / 'server.crt'}\nkeyfile {tmp_path / 'server.key'}\n"
    )
    log = tmp_path / "mosquitto.log"
    broker = Server([require("mosquitto"), "-c", str(config)], ready=lambda: accepts(port), log=log)
    trusted = ssl.create_default_context(cafile=tmp_path / "ca.crt")

    def shown() -> bytes | None:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as plain,
            trusted.wrap_socket(plain, server_hostname=NAMES[0]) as secured,
        ):
            return secured.getpeercert(binary_form=True)

    broker.start()
    try:
        before = shown()
        made(tmp_path, *NAMES, "192.0.2.7")
        assert shown() == before
        assert broker.process is not None
        broker.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE_S
        while shown() == before:
            assert time.monotonic() < deadline, log.read_text()
    finally:
        broker.stop()
