"""The command `devices` as it is typed: commissioning by copy and paste."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.config import load_registry
from monitor.decoders.mapping import UNMAPPED, DeviceMap
from monitor.store import schema
from monitor.store.quarantine import Quarantine, QuarantineEntry
from monitor.store.source_memory import SourceMemory, Unmapped

SEEN_MS = 1_782_638_100_000
POLICY = "id: p\nwindows:\n  - {period: peak, from: '17:30', to: '22:30'}\n"
HEADER = "id,building,kind,item,source,gateway,source_id,field,max_rate"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "p.yaml").write_text(POLICY)
    (folder / "buildings.csv").write_text("id,timezone,policy\nschool,Asia/Ho_Chi_Minh,p\n")
    (folder / "devices.csv").write_text(f"{HEADER}\nm1,school,meter,total,,,known,,100\n")
    (folder / "monitor.yaml").write_text(f"state_dir: {tmp_path / 'state'}\n")
    (tmp_path / "state").mkdir()
    return folder


def note(tmp_path: Path, *seen: Unmapped) -> None:
    memory = SourceMemory(tmp_path / "state" / "monitor.sqlite")
    memory.save({}, seen)
    memory.close()


def listed(capsys: pytest.CaptureFixture[str], config: Path, *more: str) -> list[str]:
    assert main(["devices", "--config", str(config), *more]) == 0
    return capsys.readouterr().out.splitlines()


def test_registered_devices(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    assert listed(capsys, config) == [
        "id,building,kind,item,gateway,source_id,field,name",
        "m1,school,meter,total,,known,,",
    ]


def test_rows_that_are_offered_make_the_ids_known(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    note(
        tmp_path,
        Unmapped("plugs", "plug, left", "tele/plug/SENSOR", SEEN_MS, {"register": 6.294, "power_kw": 2.635}),
        Unmapped("plugs", "clamp", "tele/clamp/SENSOR", SEEN_MS, {"power_kw": 1.0}),
        Unmapped("air", "unit-1", "state/unit-1", SEEN_MS, {"on": 1.0, "setpoint_c": 24.0, "register": 7.0}),
        Unmapped("p1", "E001", "dsmr", SEEN_MS, {"gas_m3": 5.0}),
        Unmapped("plugs", "probe", "tele/probe/SENSOR", SEEN_MS, {"on": 1.0, "room_c": 25.0}),
        Unmapped("p1", "known", "dsmr", SEEN_MS, {"register": 5.0}),
    )
    lines = listed(capsys, config, "--unmapped")
    assert [line for line in lines if not line.startswith("#")] == [
        "unit-1,school,meter,total,register,air,unit-1,,",
        "unit-1-ac,school,ac,,,air,unit-1,,",
        "E001,school,meter,gas,register,p1,E001,,",
        "clamp,school,meter,total,power,plugs,clamp,,",
        '"plug, left",school,meter,total,register,plugs,"plug, left",,',
    ]
    assert "# plugs, last seen 2026-06-28T09:15:00Z on tele/plug/SENSOR: register 6.294, power_kw 2.635" in lines
    assert sum(line.startswith("# no row") for line in lines) == 1
    with (config / "devices.csv").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)
    assert main(["check", "--config", str(config)]) == 0
    registry, _ = load_registry(config, now_ms=SEEN_MS)
    devices = DeviceMap(registry)
    assert devices.row("plugs", "plug, left", "register", "Total") != UNMAPPED
    assert registry.devices[devices.row("air", "unit-1", "setpoint_c", "")].id == "unit-1-ac"
    assert registry.devices[devices.row("air", "unit-1", "register", "")].id == "unit-1"
    capsys.readouterr()
    assert listed(capsys, config, "--unmapped")[2:] == []


def test_a_header_without_the_column_is_told(capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path) -> None:
    (config / "devices.csv").write_text("id,building,kind\nm1,school,meter\n")
    (config / "buildings.csv").write_text("id,timezone,policy\nschool,UTC,p\nhall,UTC,p\n")
    note(tmp_path, Unmapped("plugs", "plug", "t", SEEN_MS, {"register": 6.0}))
    lines = listed(capsys, config, "--unmapped", "--building", "hall")
    assert lines[0] == "# devices.csv needs the column source_id for these rows: id,building,kind,source_id"
    assert lines[1].startswith("# without a column item")
    assert lines[3] == "plug,hall,meter,plug"
    assert listed(capsys, config, "--unmapped")[3] == "plug,?,meter,plug"


def test_a_header_without_what_makes_a_row_mean_its_device_is_told(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    (config / "devices.csv").write_text("id,building,kind,source_id\nm1,school,meter,\n")
    note(tmp_path, Unmapped("radio", "w", "t", SEEN_MS, {"water_m3": 6.0}))
    lines = listed(capsys, config, "--unmapped")
    assert lines[0] == "# devices.csv needs the column item for these rows: id,building,kind,source_id,item"
    assert lines[2:] == ["w,school,meter,w,water"]
    note(tmp_path, Unmapped("radio", "p", "t", SEEN_MS, {"power_kw": 6.0}))
    lines = listed(capsys, config, "--unmapped")
    assert lines[0].startswith("# devices.csv needs the columns item and source for these rows: ")
    assert [line for line in lines if line[0] != "#"] == [
        "p,school,meter,p,total,power",
        "w,school,meter,w,water,register",
    ]


def test_meters_of_no_item_are_said_to_be_totals(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    (config / "devices.csv").write_text("id,building,kind,source_id\nm1,school,meter,\n")
    note(tmp_path, Unmapped("plugs", "a", "t", SEEN_MS, {"setpoint_c": 26.0}))
    assert not any("totals" in line for line in listed(capsys, config, "--unmapped"))
    note(tmp_path, Unmapped("plugs", "p", "t", SEEN_MS, {"register": 6.0}))
    assert listed(capsys, config, "--unmapped")[0].endswith("is a total of its building, and totals add up")


def test_the_same_id_at_another_gateway_is_offered(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    with (config / "devices.csv").open("a") as file:
        file.write("1,school,meter,total,register,east,1,,100\n")
    note(tmp_path, Unmapped("west", "1", "west/1", SEEN_MS, {"register": 6.0}))
    told, row = listed(capsys, config, "--unmapped")
    assert told.endswith("(another gateway has a device of this id)")
    assert row == "1-2,school,meter,total,register,west,1,,"
    with (config / "devices.csv").open("a") as file:
        file.write(f"{row}\n")
    assert main(["check", "--config", str(config)]) == 0
    capsys.readouterr()
    assert listed(capsys, config, "--unmapped") == ["every id that was seen has a device"]


def test_what_could_not_be_read_is_told_for_a_day(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    note(tmp_path)
    with (config / "monitor.yaml").open("a") as file:
        file.write('sources: [{name: plugs, format: tasmota, topics: ["tele/#"]}]\n')
    now_ms = int(time.time() * 1000)
    store = Quarantine(tmp_path / "state" / "monitor.sqlite", max_rows=100)
    for age_ms, reason, detail in (
        (90_000_000, "bad_time", "long ago"),
        (2000, "no_timezone", "first"),
        (1000, "no_timezone", "12:00 names\nno zone"),
        (500, "unknown_device", "listed anyway"),
    ):
        store.add([QuarantineEntry(now_ms - age_ms, "tele/a", b"{}", reason, detail)])
    store.close()
    first, told = listed(capsys, config, "--unmapped")
    assert first == "every id that was seen has a device"
    assert told.startswith("# quarantined as no_timezone in the last day: 2, the last 2")
    assert told.endswith("Z on tele/a: 12:00 names?no zone")


def test_native_ids_are_told_with_what_was_quarantined(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    with (config / "monitor.yaml").open("a") as file:
        file.write(
            'sources: [{name: own, format: native, topics: ["own/#"]}, {name: x, format: tasmota, topics: ["#"]}]\n'
        )
    note(tmp_path)
    store = Quarantine(tmp_path / "state" / "monitor.sqlite", max_rows=100)
    for topic, reason in (("own/a", "unknown_device"), ("tele/b", "unknown_device"), ("own/c", "foreign_device")):
        store.add([QuarantineEntry(int(time.time() * 1000), topic, b"{}", reason, "m7")])
    store.close()
    told = [line.partition(" in the last day: ")[::2] for line in listed(capsys, config, "--unmapped")]
    assert [what for what, _ in told] == ["# quarantined as foreign_device", "# quarantined as unknown_device"]
    assert all(last.startswith("1, the last ") for _, last in told)
    assert [last.partition(" on ")[2] for _, last in told] == ["own/c: m7", "own/a: m7"]


def test_an_id_is_no_comment(capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path) -> None:
    note(tmp_path, Unmapped("plugs", "#", "t", SEEN_MS, {"power_kw": 6.0}))
    note(tmp_path, Unmapped("plugs", "#5", "t", SEEN_MS, {"power_kw": 6.0}))
    lines = listed(capsys, config, "--unmapped")
    assert lines[1::2] == ["plugs,school,meter,total,power,plugs,#,,", "5,school,meter,total,power,plugs,#5,,"]


def test_ids_do_not_command_the_terminal(capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path) -> None:
    note(tmp_path, Unmapped("plugs", "m\x1b[2J", "t", SEEN_MS, {"register": 6.0}))
    lines = listed(capsys, config, "--unmapped")
    assert lines[1] == r"# no row: the id has characters that cannot be shown: 'm\x1b[2J'"
    assert all(line.isprintable() for line in lines)


def test_a_file_of_an_earlier_version_is_told(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        schema.connect(tmp_path / "state" / "monitor.sqlite").close()
    assert main(["devices", "--config", str(config), "--unmapped"]) == 1
    assert "earlier version" in capsys.readouterr().err
    note(tmp_path)
    assert listed(capsys, config, "--unmapped") == ["every id that was seen has a device"]


def test_what_is_wrong_is_said(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    assert main(["devices", "--config", str(config), "--unmapped"]) == 2
    assert "has the monitor run" in capsys.readouterr().err
    assert main(["devices", "--config", str(config), "--building", "castle"]) == 2
    assert "none of buildings.csv" in capsys.readouterr().err


def test_text_of_gateways_cannot_pretend_to_be_a_row(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    note(tmp_path, Unmapped("plugs", "a\nb", "t\nm9,school,meter", SEEN_MS, {"register": 6.0}))
    lines = listed(capsys, config, "--unmapped")
    assert not any(line.startswith("m9") for line in lines)
