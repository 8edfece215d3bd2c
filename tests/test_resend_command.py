"""The command `resend` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.cli import main
from monitor.results import Step
from monitor.store.sqlite import SqliteStore
from tests.store.made import event, intervals, registry

INFLUX = "influx: {version: 1, url: 'http://127.0.0.1:1', database: energy}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "p.yaml").write_text("id: p\n")
    (folder / "buildings.csv").write_text("id,timezone,policy\nB-1,Asia/Ho_Chi_Minh,p\n")
    (folder / "devices.csv").write_text("id,building,kind,max_rate\nm1,B-1,meter,100\n")
    (folder / "monitor.yaml").write_text(f"state_dir: {tmp_path / 'state'}\n{INFLUX}")
    (tmp_path / "state").mkdir()
    return folder


@pytest.fixture
def _results(config: Path, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state" / "monitor.sqlite")
    rows = intervals([(0, 0, 1.0), (0, 1, 2.0), (2, 0, 3.0), (0, 100, 4.0)])
    store.apply(Step(intervals=rows, events=[event(0)]), registry())
    store.close()


@pytest.mark.usefixtures("_results")
def test_all_of_it_and_some_days(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resend", "--config", str(config)]) == 0
    told = capsys.readouterr()
    assert told.out == "8 points; 8 wait, which the running service sends\n"  # 3 rows, 2 hours, 2 days, 1 violation
    assert told.err == "left out, since they are not in buildings.csv: B-2\n"
    assert main(["resend", "--config", str(config), "--from", "2026-06-29", "--until", "2026-06-30"]) == 0
    assert capsys.readouterr().out == "3 points; 11 wait, which the running service sends\n"


@pytest.mark.usefixtures("_results")
def test_one_building(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    buildings = config / "buildings.csv"
    buildings.write_text(buildings.read_text() + "B-2,Asia/Ho_Chi_Minh,p\n")
    assert main(["resend", "--config", str(config), "--building", "B-2"]) == 0
    assert capsys.readouterr().out == "3 points; 3 wait, which the running service sends\n"
    assert main(["resend", "--config", str(config), "--building", "B-2", "--building", "B-1"]) == 0
    assert capsys.readouterr().out == "11 points; 14 wait, which the running service sends\n"
    assert main(["resend", "--config", str(config), "--building", "B-3"]) == 2
    assert "'B-3', which is none of buildings.csv" in capsys.readouterr().err


@pytest.mark.usefixtures("_results")
@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--from", "yesterday"], "--from: found 'yesterday', expected a date"),
        (["--until", "0026-06-28"], "--until: found '0026-06-28', expected a date"),
        (["--from", "2026-06-28", "--until", "2026-06-28"], "expected a date after --from 2026-06-28"),
    ],
)
def test_dates_that_are_none(config: Path, options: list[str], found: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resend", "--config", str(config), *options]) == 2
    assert found in capsys.readouterr().err


def test_nothing_to_send_and_nowhere_to_send_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resend", "--config", str(config)]) == 2
    assert "has the monitor run" in capsys.readouterr().err
    settings = config / "monitor.yaml"
    settings.write_text(settings.read_text().replace(INFLUX, ""))
    assert main(["resend", "--config", str(config)]) == 2
    assert "no section influx" in capsys.readouterr().err
