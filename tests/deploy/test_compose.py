"""The compose file: valid, tight, and its first start makes every secret that it names."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import yaml
from compose_spec import PyCompose
from paho.mqtt.enums import CallbackAPIVersion

from monitor import cli
from tests.services.process import Server, accepts, free_port, require

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
SCRIPTS = [*sorted(FOLDER.glob("*.sh")), ROOT / "deploy" / "mosquitto" / "certificates.sh"]
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
IMAGES_OF_OURS = {"secrets", "monitor", "simulator"}
WRITE_TO_THEIR_ROOT = {"influxdb", "grafana"}
"""Their images keep files of their own beside their volumes."""


def settings() -> dict[str, str]:
    """Of .env, which Compose reads by itself."""
    lines = [line for line in (FOLDER / ".env").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def composed() -> dict[str, Any]:
    """The file with its variables filled in, as Compose does before it looks at it."""
    values = settings()

    def value(found: re.Match[str]) -> str:
        return values.get(found[1]) or found[2] or ""

    document: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(value, (FOLDER / "compose.yaml").read_text()))
    return document


def test_against_the_specification() -> None:
    document = composed()
    parsed = PyCompose.from_yaml(yaml.safe_dump(document))  # raises where something is against it
    assert sorted(parsed.service_names()) == sorted(document["services"])
    document["services"]["monitor"]["portz"] = []
    with pytest.raises(ValueError, match="portz"):
        PyCompose.from_yaml(yaml.safe_dump(document))


def test_by_compose_itself() -> None:
    for command in (["docker", "compose"], ["docker-compose"]):
        program = shutil.which(command[0])
        if program and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
            done = subprocess.run(
                [*command, "-f", str(FOLDER / "compose.yaml"), "config", "--quiet"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return
    pytest.skip("no Docker Compose; the specification's parser has looked at the file")


def test_each_service_may_as_little_as_it_can() -> None:
    for name, service in composed()["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert service.get("read_only") is True or name in WRITE_TO_THEIR_ROOT, name
        assert name in IMAGES_OF_OURS or re.fullmatch(r"\S+:v?\d+(\.\d+)+", service["image"]), f"{name}: no version"
        assert "privileged" not in service and "devices" not in service
        user = service.get("user", "of the image")
        assert user != "0:0" or (name == "secrets" and service["network_mode"] == "none")
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:") or name == "mosquitto", "what is not for gateways stays on the machine"
    assert "USER 10001:10001" in (ROOT / "deploy" / "container" / "Dockerfile").read_text()


def test_the_image_is_built_once_and_before_anybody_needs_it() -> None:
    """Builds of one name that run side by side fail with the image store of newer Dockers."""
    services = composed()["services"]
    ours = {name: service for name, service in services.items() if service["image"].startswith("meter-monitor:")}
    assert ours.keys() == IMAGES_OF_OURS
    assert len({service["image"] for service in ours.values()}) == 1
    assert [name for name, service in ours.items() if "build" in service] == ["secrets"]
    assert {service["pull_policy"] for name, service in ours.items() if name != "secrets"} == {"never"}


def test_influxdb_is_not_healthy_while_it_is_set_up() -> None:
    """Its entry point starts another server, on port 9999, for the tokens to be made by, and the client's own
    configuration leads there as long."""
    test = composed()["services"]["influxdb"]["healthcheck"]["test"]
    assert test[test.index("--host") + 1] == "http://127.0.0.1:8086"


def test_alertmanager_finds_the_mail_password() -> None:
    """It looks for it from its working directory, not from its configuration."""
    config = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
    path = Path(config["global"]["smtp_auth_password_file"])
    assert path.is_absolute()
    mounts = composed()["services"]["alertmanager"]["volumes"]
    assert f"alertmanager-secrets:{path.parent}:ro" in mounts
    assert f"/alertmanager/{path.name}" in (FOLDER / "secrets.sh").read_text()


def test_it_starts_in_order() -> None:
    services = composed()["services"]
    for name, service in services.items():
        waited_for = service.get("depends_on", {})
        for other, wait in waited_for.items():
            condition = wait["condition"]
            if condition == "service_healthy":
                assert services[other].get("healthcheck") or services[other]["image"].startswith("meter-monitor:"), (
                    other
                )
            else:
                assert other == "secrets" or name == "prometheus", name
        healthcheck = service.get("healthcheck", {})
        assert healthcheck.get("disable") or "test" in healthcheck or name == "monitor", name
    assert services["monitor"]["depends_on"].keys() == {"secrets", "mosquitto", "influxdb"}
    assert services["simulator"]["depends_on"] == {"monitor": {"condition": "service_healthy"}}
    assert settings()["COMPOSE_PROFILES"] in services["simulator"]["profiles"], "the demo is what starts first"


def test_all_that_is_mounted_is_there() -> None:
    document = composed()
    for name, service in document["services"].items():
        for mount in service.get("volumes", []):
            source, target, *mode = mount.split(":")
            if source.startswith("."):
                assert (FOLDER / source).exists(), f"{name}: {source}"
                assert mode == ["ro"], f"{name}: {source} can be written"
            else:
                assert source in document["volumes"], f"{name}: {source}"
            assert target.startswith("/")
    assert os.access(FOLDER / "influxdb-init.sh", os.X_OK), "InfluxDB's image passes over what is not executable"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
@pytest.mark.services
def test_shellcheck(script: Path) -> None:
    done = subprocess.run([require("shellcheck"), str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


class FirstStart:
    """The folders that stand for the volumes, filled by the script as the service `secrets` runs it."""

    def __init__(self, folder: Path) -> None:
        self.secrets = folder / "secrets"
        self.config = folder / "config"
        shutil.copytree(ROOT / "config", self.config)
        text = (FOLDER / "monitor.yaml").read_text()
        text = text.replace("/run/monitor", str(self.secrets / "monitor"))
        (self.config / "monitor.yaml").write_text(
            text.replace("/run/influxdb", str(self.secrets / "tokens" / "monitor"))
        )
        self.scripts = folder / "deploy"
        self.scripts.mkdir()
        for script in SCRIPTS:
            shutil.copy(script, self.scripts)
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SECRETS": str(self.secrets),
            "CONFIG": str(self.config),
            "HOST_NAMES": "localhost 127.0.0.1",
            "SIMULATOR": "demo",
        }
        if os.geteuid() != 0:
            # Nobody but root may give files away; the rest is the same.
            (self.scripts / "chown").symlink_to("/bin/true")
            self.env["PATH"] = f"{self.scripts}:{self.env['PATH']}"

    def run(self) -> str:
        command = ["sh", str(self.scripts / "secrets.sh")]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def files(self) -> dict[str, bytes]:
        found = {}
        for path in sorted(self.secrets.rglob("*")):
            if path.is_file():
                found[str(path.relative_to(self.secrets))] = path.read_bytes()
        return found


@pytest.fixture
def first_start(tmp_path: Path) -> FirstStart:
    require("openssl")
    return FirstStart(tmp_path)


@pytest.mark.services
def test_secrets_are_made_once(first_start: FirstStart) -> None:
    said = first_start.run()
    files = first_start.files()
    secret = {
        files[name].decode().strip()
        for name in (
            "monitor/broker-password",
            "simulator/password",
            "influxdb/admin-password",
            "influxdb/admin-token",
            "grafana/admin-password",
        )
    }
    assert len(secret) == 5
    assert min(map(len, secret)) >= 32
    assert [each for each in secret if each in said] == []
    assert "ca.key" not in {Path(name).name for name in files if not name.startswith("authority/")}
    for path in first_start.secrets.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        # InfluxDB writes tokens for two other users, each into a volume that only that one's service sees as well.
        is_for_others = "tokens" in path.relative_to(first_start.secrets).parts or path.suffix == ".crt"
        assert mode & (0o022 if is_for_others else 0o077) == 0, f"{path} is {mode:o}"
    if os.geteuid() == 0:
        owners = {path.name: path.stat().st_uid for path in first_start.secrets.iterdir()}
        assert owners == {
            **dict.fromkeys(("authority", "accounts"), 0),
            **dict.fromkeys(("broker", "broker-data"), 1883),
            **dict.fromkeys(("monitor", "simulator"), 10001),
            **dict.fromkeys(("influxdb", "tokens"), 1000),
            "grafana": 472,
            "alertmanager": 65534,
        }

    # What InfluxDB and the operator put there in the meantime stays, as does all else.
    (first_start.secrets / "tokens" / "monitor" / "monitor-token").write_text("from InfluxDB\n")
    (first_start.secrets / "alertmanager" / "smtp-password").write_text("of the mail server\n")
    before = first_start.files()
    first_start.run()
    after = first_start.files()
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed <= {"broker/meter-monitor/passwd"}, "only the simulator's salt is another"
    assert cli.main(["check", "--config", str(first_start.config)]) == 0


@pytest.mark.services
def test_the_broker_takes_what_was_made(first_start: FirstStart, tmp_path: Path) -> None:
    first_start.run()
    broker, port = first_start.secrets / "broker", free_port()
    text = (ROOT / "deploy" / "mosquitto" / "mosquitto.conf").read_text()
    text = text.replace("listener 8883", f"listener {port} 127.0.0.1").replace("/etc/mosquitto", str(broker))
    text = text.replace("/var/lib/mosquitto", str(first_start.secrets / "broker-data"))
    if os.geteuid() == 0:
        text += "\nuser root\n"  # else Mosquitto becomes a user who may not look into the folder of the tests
    (tmp_path / "mosquitto.conf").write_text(text)
    server = Server(
        [require("mosquitto"), "-c", str(tmp_path / "mosquitto.conf")],
        ready=lambda: accepts(port),
        log=tmp_path / "mosquitto.log",
    )
    server.start()
    try:
        secrets = first_start.secrets
        for user, file in (("monitor", "monitor/broker-password"), ("simulator", "simulator/password")):
            password = (secrets / file).read_text().strip()
            assert _login(port, secrets / Path(file).parent / "ca.crt", user, password) == "Success"
        assert _login(port, secrets / "monitor" / "ca.crt", "monitor", "guessed") == "Not authorized"
    finally:
        server.stop()


def _login(port: int, ca_file: Path, user: str, password: str) -> str:
    answers: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.username_pw_set(user, password)
    client.tls_set(str(ca_file), tls_version=ssl.PROTOCOL_TLS_CLIENT)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(str(reason))
    client.connect("localhost", port)
    deadline = time.monotonic() + 20
    while not answers:
        client.loop(0.1)
        assert time.monotonic() < deadline, "the broker did not answer"
    client.disconnect()
    return answers[0]


def test_influxdb_is_set_up_at_its_first_start(tmp_path: Path) -> None:
    """With a stand-in for InfluxDB's own client, which writes down what it is asked for; Debian has only 1.x."""
    bash = shutil.which("bash")
    assert bash is not None
    (tmp_path / "influx").write_text(
        "#!/bin/sh\n"
        f'echo "$*" >> {tmp_path}/asked\n'
        '[ $1 = v1 ] || printf \'{\\n\\t"id": "1",\\n\\t"token": "abc-_%s==",\\n\\t"status": "active"\\n}\\n\' "$6"\n'
    )
    (tmp_path / "influx").chmod(0o755)
    for name in ("monitor", "grafana"):
        (tmp_path / "tokens" / name).mkdir(parents=True)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "TOKENS": str(tmp_path / "tokens"),
        "DOCKER_INFLUXDB_INIT_ORG": "meter-monitor",
        "DOCKER_INFLUXDB_INIT_BUCKET": "energy",
        "DOCKER_INFLUXDB_INIT_BUCKET_ID": "0123",
    }
    done = subprocess.run(
        [bash, str(FOLDER / "influxdb-init.sh")], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [
        "v1 dbrp create --org meter-monitor --bucket-id 0123 --db energy --rp autogen --default",
        "auth create --org meter-monitor --description monitor --write-bucket 0123 --json",
        "auth create --org meter-monitor --description grafana --read-bucket 0123 --json",
    ]
    for name in ("monitor", "grafana"):
        assert (tmp_path / "tokens" / name / f"{name}-token").read_text() == f"abc-_{name}==\n"
    influx = yaml.safe_load((FOLDER / "monitor.yaml").read_text())["influx"]
    environment = composed()["services"]["influxdb"]["environment"]
    assert influx["org"] == environment["DOCKER_INFLUXDB_INIT_ORG"]
    assert influx["bucket"] == environment["DOCKER_INFLUXDB_INIT_BUCKET"]
    assert composed()["services"]["grafana"]["environment"]["INFLUX_DATABASE"] == influx["bucket"]
