"""The units: accepted by systemd, and as hardened as its own measure says."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.services.process import require

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = ["meter-monitor.service", "meter-monitor-backup.service", "meter-monitor-backup.timer"]
EXPOSURE_AT_MOST = {"meter-monitor.service": 1.5, "meter-monitor-backup.service": 1.0}
"""By `systemd-analyze security`, from 0 to 10; what is under 2 it calls OK."""
PROGRAM = "/opt/meter-monitor/bin/meter-monitor"

pytestmark = pytest.mark.services


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([require("systemd-analyze"), *arguments], capture_output=True, text=True, check=False)


def test_systemd_takes_them(tmp_path: Path) -> None:
    for unit in UNITS:
        text = (FOLDER / unit).read_text()
        # A program that is there: on this machine the monitor need not be installed.
        (tmp_path / unit).write_text(text.replace(PROGRAM, "/bin/true"))
    done = analyze("verify", "--man=no", *(str(tmp_path / unit) for unit in UNITS))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", EXPOSURE_AT_MOST)
def test_they_may_little(unit: str) -> None:
    threshold = str(round(EXPOSURE_AT_MOST[unit] * 10))
    done = analyze("security", "--offline=yes", f"--threshold={threshold}", "--no-pager", str(FOLDER / unit))
    assert done.returncode == 0, done.stdout[-400:]


def test_the_backup_knows_the_folders_of_the_service() -> None:
    service, backup = (_unit(name)["Service"] for name in UNITS[:2])
    assert service["ExecStart"].split()[0] == PROGRAM
    assert PROGRAM in backup["ExecStart"]
    state = f"/var/lib/{service['StateDirectory']}"
    assert service["WorkingDirectory"] == backup["WorkingDirectory"] == state
    (out,) = re.findall(r'--out "(\S+)/\$\$\(date', backup["ExecStart"])
    assert {state, out} == set(backup["ReadWritePaths"].split())
    made = {line.split()[1] for line in (FOLDER / "tmpfiles.conf").read_text().splitlines() if line.startswith("d ")}
    assert made == {"/etc/meter-monitor", out}
    assert service["User"] == backup["User"] == (FOLDER / "sysusers.conf").read_text().splitlines()[-1].split()[1]


def test_users_and_folders_are_made(tmp_path: Path) -> None:
    """By systemd's own programs, below a folder that stands for the root."""
    if os.geteuid() != 0:
        pytest.skip("only root may give folders to another user")
    for name, folder in (("sysusers.conf", "sysusers.d"), ("tmpfiles.conf", "tmpfiles.d")):
        (tmp_path / "usr" / "lib" / folder).mkdir(parents=True)
        shutil.copy(FOLDER / name, tmp_path / "usr" / "lib" / folder / "meter-monitor.conf")
    (tmp_path / "etc").mkdir()
    subprocess.run([require("systemd-sysusers"), f"--root={tmp_path}"], check=True, capture_output=True)
    passwd = (tmp_path / "etc" / "passwd").read_text()
    assert re.search(r"^meter-monitor:x:\d+:\d+:.*:/var/lib/meter-monitor:.*nologin$", passwd, re.MULTILINE)
    subprocess.run([require("systemd-tmpfiles"), "--create", f"--root={tmp_path}"], check=True, capture_output=True)
    assert (tmp_path / "var" / "backups" / "meter-monitor").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "etc" / "meter-monitor").stat().st_mode & 0o777 == 0o750


def _unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys are spelt with capitals
    parser.read(FOLDER / name)
    return parser
