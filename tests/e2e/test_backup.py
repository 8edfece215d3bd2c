"""`meter-monitor backup` while messages flow; the copy is started elsewhere, and what came later is sent again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.backup import back_up
from tests.e2e.conftest import Uninterrupted
from tests.e2e.plant import Course, Gateways, Plant
from tests.e2e.results import assert_same, of_sqlite
from tests.services.mosquitto import Mosquitto

pytestmark = pytest.mark.services

BACKUPS = 3
RUN_S = 15.0
"""Far longer than the backups take, also on a busy machine."""


def test_restored_elsewhere(course: Course, uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    third = len(course.sent) // 3
    backups = []
    with Plant(tmp_path / "here", course.scenario, Mosquitto(tmp_path / "here" / "broker")) as plant:
        monitor = plant.monitor
        plant.subscribe()
        Gateways(course.sent[:third], plant.broker.url).finish()
        # All of the first third is in the journal once its accepted readings are.
        good = sum(len(delivery.readings) for delivery in course.sent[:third])
        monitor.until(lambda: monitor.metric("readings_total", outcome="accepted") == good, "the first third is taken")
        gateways = Gateways(course.sent[third:], plant.broker.url, run_s=RUN_S)
        for number in range(BACKUPS):
            seen = monitor.metric("readings_total", outcome="accepted")
            monitor.until(
                lambda seen=seen: monitor.metric("readings_total", outcome="accepted") > seen,  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
                "readings come",
            )
            out = tmp_path / f"backup-{number}"
            if number == 0:
                command = [
                    sys.executable,
                    "-m",
                    "monitor",
                    "backup",
                    "--config",
                    str(monitor.config),
                    "--out",
                    str(out),
                ]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
            else:
                back_up(monitor.state, monitor.database, out)  # what the command does, without a process to wait for
            backups.append(out)
        assert not gateways.done, "the backups were to be made while messages flow"
        gateways.finish()
        plant.finish(course.truth)
        assert of_sqlite(monitor) == uninterrupted.sqlite
    for number, out in enumerate(backups):
        folder = tmp_path / f"elsewhere-{number}"
        with Plant(folder, course.scenario, Mosquitto(folder / "broker")) as plant:
            shutil.copytree(out, plant.monitor.state)
            plant.subscribe()
            # What it had before comes as duplicates, which change nothing.
            Gateways(course.sent[third:], plant.broker.url).finish()
            plant.finish(course.truth)
            restored = of_sqlite(plant.monitor)
            assert_same(restored, course.truth, "the restored monitor")
            assert restored == uninterrupted.sqlite
