"""The broker's accounts: what the command writes, and that a real Mosquitto holds gateways to it."""

from __future__ import annotations

import json
import queue
import ssl
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from monitor.broker_accounts import native_topics
from monitor.cli import main
from tests.e2e.monitor_process import Monitor
from tests.e2e.plant import STOP_WITHIN_S
from tests.services.process import Server, accepts, free_port, require

ROOT = Path(__file__).parents[2]
POLICY = "id: p\nwindows:\n  - {period: peak, from: '17:30', to: '22:30'}\n"
DEVICES = """\
id,building,kind,gateway,max_rate
M1,b,meter,gw-1,100
M2,b,meter,gw 2,100
plug,b,meter,plugs,100
any,b,meter,,100
"""
SOURCES = [
    {"name": "plugs", "format": "tasmota", "topics": ["tele/+/SENSOR"], "timezone": "UTC"},
    {"name": "edge", "format": "sparkplug_b", "topics": ["spBv1.0/site/#"]},
]
DEADLINE_S = 20.0


def configure(folder: Path, **settings: object) -> Path:
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    (folder / "policies" / "p.yaml").write_text(POLICY)
    (folder / "buildings.csv").write_text("id,timezone,policy\nb,UTC,p\n")
    (folder / "devices.csv").write_text(DEVICES)
    if settings:
        (folder / "monitor.yaml").write_text(yaml.safe_dump(settings))
    return folder


def written(config: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["gateways", "--config", str(config), "--out", str(out)]) == 0
    return capsys.readouterr().out


def passwords(out: Path) -> dict[str, str]:
    lines = (out / "passwords.csv").read_text().splitlines()
    assert lines[0] == "user,password"
    return dict(line.split(",") for line in lines[1:])


def test_each_gateway_has_its_own_prefix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(tmp_path / "config", sources=SOURCES)
    said = written(config, tmp_path / "out", capsys)
    assert said.startswith("5 accounts") and "5 new" in said
    assert (tmp_path / "out" / "acl").read_text().split("\n\n")[1:] == [
        (
            "user monitor\ntopic write spBv1.0/site/NCMD/#\n"
            "topic read meters/#\ntopic read tele/+/SENSOR\ntopic read spBv1.0/site/#"
        ),
        "user gw 2\ntopic write meters/gw 2/#",
        "user gw-1\ntopic write meters/gw-1/#",
        "user edge\ntopic write spBv1.0/site/#\ntopic read spBv1.0/site/NCMD/#\ntopic read spBv1.0/site/DCMD/#",
        "user plugs\ntopic write tele/+/SENSOR\n",
    ]
    for secret in passwords(tmp_path / "out").values():
        assert len(secret) >= 32
        assert secret not in said
        assert secret not in (tmp_path / "out" / "passwd").read_text()
    for name in ("acl", "passwd", "passwords.csv"):
        assert stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) == 0o600


def test_a_second_run_keeps_passwords_and_says_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = configure(tmp_path / "config"), tmp_path / "out"
    written(config, out, capsys)
    before = {name: (out / name).read_bytes() for name in ("acl", "passwd", "passwords.csv")}
    assert "0 new, 0 gone" in written(config, out, capsys)
    assert {name: (out / name).read_bytes() for name in before} == before
    (config / "devices.csv").write_text(DEVICES.replace("gw-1", "gw-3"))
    kept = passwords(out)["gw 2"]
    assert "1 new (gw-3), 1 gone (gw-1)" in written(config, out, capsys)
    assert passwords(out)["gw 2"] == kept
    assert "gw-1" not in passwords(out)


def test_the_monitor_has_the_password_that_it_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text("given\n")
    broker = {"username": "reader", "password_file": str(tmp_path / "secret")}
    written(configure(tmp_path / "config", brokers=[broker]), tmp_path / "out", capsys)
    assert passwords(tmp_path / "out")["reader"] == "given"


@pytest.mark.parametrize(
    ("devices", "settings", "found"),
    [
        ("M1,b,meter,a:b,1\n", {}, "'a:b'"),
        ("M1,b,meter,a/b,1\n", {}, "no level of a topic"),
        ("M1,b,meter,monitor,1\n", {}, "two accounts"),
        ("", {"brokers": [{"name": "one"}, {"name": "two"}]}, "--broker: monitor.yaml has one, two"),
    ],
)
def test_what_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], devices: str, settings: dict[str, object], found: str
) -> None:
    config = configure(tmp_path / "config", **settings)
    (config / "devices.csv").write_text(f"id,building,kind,gateway,max_rate\n{devices or 'M,b,meter,g,1'}\n")
    assert main(["gateways", "--config", str(config), "--out", str(tmp_path / "out")]) == 2
    assert found in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_file_is_not_taken_for_passwords(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "passwords.csv").write_text("name,secret\n")
    assert main(["gateways", "--config", str(configure(tmp_path / "config")), "--out", str(tmp_path)]) == 2
    assert "move it away" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("topic_filter", "own"),
    [
        ("meters/#", "meters/g/#"),
        ("a/meters/#", "a/meters/g/#"),
        ("meters/+/+", "meters/g/+"),
        ("meters/+/batch", "meters/g/batch"),
        ("#", "g/#"),
        ("meters/x/y", "meters/x/y"),
    ],
)
def test_the_part_of_a_filter_that_is_one_gateway_s(topic_filter: str, own: str) -> None:
    assert native_topics(topic_filter, "g") == own


class Client:
    """A gateway on TLS, with MQTT 5, whose acknowledgements say what it may."""

    def __init__(self, port: int, ca: Path, user: str | None, password: str = "") -> None:
        self.connected: queue.Queue[bool] = queue.Queue()
        self.answers: queue.Queue[int] = queue.Queue()
        self.heard: queue.Queue[str] = queue.Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.tls_set(str(ca), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda _, __, ___, code, ____: self.connected.put(not code.is_failure)
        self._client.on_publish = lambda _, __, ___, code, ____: self.answers.put(code.value)
        self._client.on_subscribe = lambda _, __, ___, codes, ____: self.answers.put(codes[0].value)
        self._client.on_message = lambda _, __, message: self.heard.put(message.topic)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def is_let_in(self) -> bool:
        return self.connected.get(timeout=DEADLINE_S)

    def may_publish(self, topic: str, payload: str = "{}") -> bool:
        self._client.publish(topic, payload, qos=1)
        return self.answers.get(timeout=DEADLINE_S) < 0x80

    def hears(self, topic: str) -> None:
        self._client.subscribe(topic, options=SubscribeOptions(qos=1))
        assert self.answers.get(timeout=DEADLINE_S) < 0x80

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def client(port: int, ca: Path, user: str | None, password: str = "") -> Iterator[Client]:
    made = Client(port, ca, user, password)
    try:
        yield made
    finally:
        made.close()


class Deployed:
    """Mosquitto with the configuration as it is committed; only its paths and its port are others."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.accounts = folder / "accounts"
        self.certificates = folder / "certs"
        data = folder / "data"
        data.mkdir()
        script = ROOT / "deploy" / "mosquitto" / "certificates.sh"
        require("openssl")
        made = [str(script), str(self.certificates), "localhost", "127.0.0.1"]
        assert "new certificate" in subprocess.run(made, check=True, capture_output=True, text=True).stdout
        assert subprocess.run(made, check=True, capture_output=True, text=True).stdout == "", "a second run keeps all"
        text = (ROOT / "deploy" / "mosquitto" / "mosquitto.conf").read_text()
        for old, new in (
            ("listener 8883", f"listener {self.port} 127.0.0.1"),
            ("/etc/mosquitto/certs", str(self.certificates)),
            ("/etc/mosquitto/meter-monitor", str(self.accounts)),
            ("/var/lib/mosquitto", str(data)),
        ):
            assert old in text
            text = text.replace(old, new)
        config = folder / "mosquitto.conf"
        config.write_text(f"{text}user root\n")
        self.log = folder / "mosquitto.log"
        self.server = Server([require("mosquitto"), "-c", str(config)], ready=lambda: accepts(self.port), log=self.log)

    @property
    def ca(self) -> Path:
        return self.certificates / "ca.crt"


@pytest.mark.services
def test_a_real_broker_holds_everybody_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broker = Deployed(tmp_path)
    url = f"mqtts://localhost:{broker.port}"
    password = tmp_path / "monitor.password"
    password.write_text("a password of the operator's\n")
    reader: dict[str, object] = {"name": "main", "url": url, "username": "monitor", "password_file": str(password)}
    reader |= {"ca_file": str(broker.ca), "reconnect_min_s": 0.05, "reconnect_max_s": 0.3}
    sections: dict[str, Any] = {"brokers": [reader], "sources": SOURCES}
    monitor = Monitor(tmp_path, **sections)
    configure(monitor.config)
    written(monitor.config, broker.accounts, capsys)
    secrets = passwords(broker.accounts)
    broker.server.start()
    try:
        monitor.start()
        with client(broker.port, broker.ca, None) as nobody:
            assert not nobody.is_let_in()
        with client(broker.port, broker.ca, "gw-1", secrets["gw 2"]) as wrong:
            assert not wrong.is_let_in()

        def may(user: str, topic: str, payload: str = "{}") -> bool:
            # paho takes a refusal for the end of the connection: a client for each try.
            with client(broker.port, broker.ca, user, secrets[user]) as gateway:
                assert gateway.is_let_in()
                return gateway.may_publish(topic, payload)

        assert may("gw-1", "meters/gw-1/M1", '{"register": 5}')
        assert not may("gw-1", "meters/gw 2/M2", '{"register": 5}')
        assert not may("gw-1", "tele/plug/SENSOR")
        plug = {"Time": "2026-06-28T09:15:00+00:00", "ENERGY": {"Total": 1.5}}
        assert may("plugs", "tele/plug/SENSOR", json.dumps(plug))
        assert not may("plugs", "tele/plug/STATE")
        assert not may("edge", "meters/gw-1/M1")
        with client(broker.port, broker.ca, "edge", secrets["edge"]) as edge:
            assert edge.is_let_in()
            edge.hears("spBv1.0/site/NCMD/#")
            # A value by alias before its birth: the monitor asks for one, and may.
            assert edge.may_publish("spBv1.0/site/NDATA/node", '{"seq": 1, "metrics": [{"alias": 1, "value": 1}]}')
            assert edge.heard.get(timeout=DEADLINE_S) == "spBv1.0/site/NCMD/node"
        come = "accepted", "ignored"
        monitor.until(lambda: all(monitor.metric("messages_total", outcome=each) for each in come), "it has come")
        assert monitor.metric("messages_total", outcome="rejected") == 0, "what was refused did not"
        monitor.terminate(STOP_WITHIN_S)
    finally:
        monitor.kill()
        broker.server.stop()
    log = broker.log.read_text()
    assert [line for line in log.splitlines() if "Warning" in line and "root" not in line] == []
