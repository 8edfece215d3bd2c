"""The container image, without a container: its own commands by hand, as its own user, where nothing can be written."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import site
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services.mosquitto import Mosquitto, Publisher
from tests.services.process import free_port

pytestmark = pytest.mark.own_kernels

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "container" / "Dockerfile"
TEXT = DOCKERFILE.read_text().replace("\\\n", " ")
UID = 10001
DEADLINE_S = 60.0
HOUR_MS = 3_600_000


def test_hadolint() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert program is not None, "make setup installs it"
    done = subprocess.run([program, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_builder_is_given_what_is_copied() -> None:
    """.dockerignore leaves out all but what the Dockerfile copies."""
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE) for word in line.split()]
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copied) == sorted(let_through)
    assert [name for name in copied if not (ROOT / name).exists()] == []


@dataclass(frozen=True)
class Image:
    """What the image has in /opt/meter-monitor, at another place."""

    folder: Path
    environment: dict[str, str]
    """ENV of the image, and nothing of this machine's."""

    @property
    def installed(self) -> Path:
        return self.folder / "opt" / "meter-monitor"

    def command(self, *arguments: str) -> list[str]:
        return [str(self.installed / "bin" / arguments[0]), *arguments[1:]]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As the image's user."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder / "state",
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            user=_user(),
            group=_user(),
            extra_groups=None if _user() is None else [],
        )

    def files(self) -> dict[str, tuple[int, int]]:
        """All but the state: what must stay as it is."""
        return {
            str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
            for part in ("opt", "config")
            for path in (self.folder / part).rglob("*")
        }


def _user() -> int | None:
    """Anybody but root has no other user to become; to him what is not writable is not writable anyway."""
    return UID if os.geteuid() == 0 else None


def _python() -> str:
    """An interpreter of this version that the image's user may run."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (os.path.realpath(sys.executable), shutil.which(version, path="/usr/bin:/usr/local/bin")):
        with suppress(OSError, subprocess.CalledProcessError):
            if candidate:
                subprocess.run([candidate, "-c", ""], check=True, user=_user(), cwd="/", capture_output=True)
                return candidate
    pytest.skip(f"no {version} that another user may run (that of a root's home directory is out of his reach)")


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The Dockerfile's steps, as far as they are ours. What the monitor needs is that of this environment."""
    python = _python()
    folder = Path(tempfile.mkdtemp(prefix="meter-monitor-image-"))  # pytest's own folders are closed to other users
    folder.chmod(0o755)
    try:
        installed = folder / "opt" / "meter-monitor"
        source = folder / "source"
        source.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        shutil.copytree(ROOT / "monitor", source / "monitor", ignore=shutil.ignore_patterns("__pycache__"))
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
        _done(
            [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder / "wheel"), str(source)]
        )
        shutil.rmtree(source)
        _done([python, "-m", "venv", "--without-pip", str(installed)])
        (wheel,) = (folder / "wheel").glob("*.whl")
        _done([*pip, "--python", str(installed / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel)])
        (libraries,) = installed.glob("lib/python*/site-packages")
        (libraries / "of-this-environment.pth").write_text(f"{site.getsitepackages()[0]}\n")

        environment = _environment(installed)
        building = {name: value for name, value in environment.items() if name != "NUMBA_CACHE_LOCATOR_CLASSES"}
        (installed / "kernels").mkdir()
        (code,) = re.findall(r'python -c "(from monitor\.\S+ import .*?)"', TEXT)
        _done([str(installed / "bin" / "python"), "-c", code], env=building)
        _done(["chmod", "-R", "a+rX,a-w", str(installed)])
        for name in ("config/policies", "state"):
            (folder / name).mkdir(parents=True)
        if (user := _user()) is not None:
            os.chown(folder / "state", user, user)
        yield Image(folder, environment)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
        shutil.rmtree(folder)


def _environment(installed: Path) -> dict[str, str]:
    """ENV of the last stage, its ARG and paths filled in."""
    last = TEXT.split("\nFROM ")[-1]
    (cpu,) = re.findall(r"^ARG CPU=(\S+)$", last, re.MULTILINE)
    (line,) = re.findall(r"^ENV (.*)$", last, re.MULTILINE)
    pairs = [pair.split("=", 1) for pair in shlex.split(line)]
    values = {"${CPU}": cpu, "/opt/meter-monitor": str(installed), "${PATH}": "/usr/bin:/bin"}
    environment = {}
    for name, value in pairs:
        for written, meant in values.items():
            value = value.replace(written, meant)
        environment[name] = value
    assert environment["NUMBA_CPU_NAME"] == "generic"
    return {**environment, "HOME": "/nonexistent"}


def _done(command: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr


def _configure(folder: Path, broker_url: str, port: int) -> None:
    (folder / "monitor.yaml").write_text(
        f"brokers: [{{name: main, url: '{broker_url}'}}]\nmetrics: {{port: {port}}}\nsettle_s: 0\n"
        "journal: {min_free_mb: 0}\n"  # state_dir is ./state, in the folder that the image works in
    )
    (folder / "buildings.csv").write_text("id,timezone,policy,peak_limit_kw,contract_kw\nb,UTC,p,50,100\n")
    (folder / "devices.csv").write_text("id,building,kind\nm,b,meter\n")
    policy = "id: p\ngrace_s: 0\nwindows: [{period: peak, from: '00:00', to: '24:00'}]\n"
    (folder / "policies" / "p.yaml").write_text(policy)


@pytest.mark.services
def test_as_another_user_on_what_nobody_may_write(image: Image, tmp_path: Path) -> None:
    port = free_port()
    with Mosquitto(tmp_path / "broker") as broker, Publisher(broker.port) as publisher:
        _configure(image.folder / "config", broker.url, port)
        before, strewn = image.files(), _strewn()

        where = image.run("python", "-c", "import monitor, sys; sys.stdout.write(monitor.__file__)")
        assert where.stdout.startswith(str(image.installed)), "not the tree's, but the wheel's"
        checked = image.run("meter-monitor", "check", "--config", str(image.folder / "config"))
        assert checked.returncode == 0, checked.stderr
        health = _health_check(port)
        assert image.run(*health).returncode != 0, "nobody is there yet"

        log = tmp_path / "monitor.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                image.command("meter-monitor", "run", "--config", str(image.folder / "config")),
                cwd=image.folder / "state",
                env={**image.environment, "NUMBA_DEBUG_CACHE": "1"},
                stdout=output,
                stderr=output,
                user=_user(),
                group=_user(),
                extra_groups=None if _user() is None else [],
            )
        try:
            _until(lambda: process.poll() is None and image.run(*health).returncode == 0, log)
            now_ms = time.time_ns() // 1_000_000
            start_ms = now_ms - now_ms % HOUR_MS - 4 * HOUR_MS
            for quarter in range(13):
                ts_ms = start_ms + quarter * HOUR_MS // 4
                publisher.publish("meters/gw/m", json.dumps({"ts": ts_ms, "register": 1000 + 20 * quarter}))
            publisher.settle()
            _until(lambda: _events(image.folder / "state" / "state" / "monitor.sqlite") == [("peak_demand",)], log)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(DEADLINE_S)
        said = log.read_text()
        assert code == 0, said[-4000:]
        assert "compiling the kernels" not in said
        assert "[cache] data loaded from" in said
        assert "saved to" not in said, "something was compiled"
        assert image.files() == before
        assert _strewn() == strewn
        assert image.run(*health).returncode != 0


def test_another_processor_is_said(image: Image) -> None:
    """Rather than compiled for a minute at each start, since nothing could be kept."""
    other = Image(image.folder, {**image.environment, "NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": "+sse3"})
    done = other.run("python", "-c", "from monitor.detect.warm_up import warm_up; warm_up()")
    assert done.returncode == 1
    assert "leave NUMBA_CPU_NAME as it was" in done.stderr


@pytest.mark.parametrize("unit", ["meter-monitor.service", "meter-monitor-backup.service"])
def test_on_a_plain_machine_kernels_are_kept_in_the_unit_s_cache(image: Image, unit: str) -> None:
    """Of the rest of /var/cache nothing can be written, and Numba ends a program that finds no folder for a kernel."""
    text = (ROOT / "deploy" / "systemd" / unit).read_text()
    (cache,) = re.findall(r"^CacheDirectory=(\S+)$", text, re.MULTILINE)
    (line,) = re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
    root = image.folder / "cache" / unit
    (root / cache).mkdir(parents=True)
    if (user := _user()) is not None:
        os.chown(root / cache, user, user)
    root.chmod(0o555)
    environment = dict(pair.split("=", 1) for pair in line.replace("/var/cache", str(root)).split())
    on_a_machine = Image(image.folder, {**environment, "PATH": image.environment["PATH"], "HOME": "/nonexistent"})
    # One small kernel of each kind: a decoder's, and one of the detector's.
    code = """
from monitor.decoders.formats import crc16
crc16.warm_up()
from monitor.detect.kernels.common import greater
assert greater(2.0, 1.0)
"""
    done = on_a_machine.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    kept = {path.parent.name.partition("_")[0] for path in root.rglob("*.nbi")}
    assert kept == {"formats", "kernels"}
    root.chmod(0o755)


def _health_check(port: int) -> list[str]:
    (command,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", TEXT, re.MULTILINE)
    words: list[str] = json.loads(command)
    assert ":9464/readyz" in words[-1]
    return [*words[:-1], words[-1].replace(":9464/", f":{port}/")]


def _events(database: Path) -> list[tuple[str]]:
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as file:
        return file.execute("SELECT rule FROM events WHERE state <> 'withdrawn'").fetchall()
    return []


def _strewn() -> set[str]:
    """Files of the image's user where any program may write."""
    found = set()
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        for entry in os.scandir(folder):
            with suppress(OSError):
                if entry.stat(follow_symlinks=False).st_uid == UID:
                    found.add(entry.path)
    return found


def _until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.05)  # polling a condition with a deadline
