"""What was judged stays: configurations that come, go and come back, and a state directory that is begun anew."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.config import load_registry
from monitor.registry import Registry
from monitor.results import Event
from tests.machine import HOUR_MS, Machine
from tests.naive import Row
from tests.small_site import NOW_MS, ms, series

METER = {"id": "m", "building": "b", "kind": "meter", "source": "power", "max_gap_s": 7200}
UNIT = {"id": "a", "building": "b", "kind": "ac", "max_gap_s": 7200}
LIMITED = {"id": "b", "timezone": "UTC", "policy": "p", "peak_limit_kw": 10}
UNLIMITED = LIMITED | {"peak_limit_kw": ""}
COOL = {"cool_min_c": 26.0}


def registry_of(
    folder: Path,
    *,
    building: dict[str, Any] = LIMITED,
    devices: tuple[dict[str, Any], ...] = (METER, UNIT),
    ac: dict[str, Any] = COOL,
) -> Registry:
    """Peak from 08:00 to 20:00."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "policies").mkdir(parents=True)
    policy = {"id": "p", "windows": [{"period": "peak", "from": "08:00", "to": "20:00"}], "ac": ac}
    (folder / "policies" / "p.yaml").write_text(yaml.safe_dump(policy))
    for name, records in (("buildings", (building,)), ("devices", devices)):
        columns = list(dict.fromkeys(column for record in records for column in record))
        lines = [columns, *([str(record.get(column, "")) for column in columns] for record in records)]
        (folder / f"{name}.csv").write_text("\n".join(",".join(line) for line in lines) + "\n")
    return load_registry(folder, now_ms=NOW_MS)[0]


class Plant(Machine):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(folder / "state", registry_of(folder / "config"), horizon_ms=168 * HOUR_MS, now_ms=NOW_MS)

    def reload(self, **changes: Any) -> None:
        self.registry = registry_of(self.folder / "config", **changes)
        self.detector.reload(self.registry)

    def report(self, *rows: Row) -> None:
        self.take(sorted(rows), NOW_MS)

    def events(self) -> list[Event]:
        return list(self.store.events())


def power(*readings: tuple[str, float]) -> list[Row]:
    return series("m", "power_kw", *readings)


def cooling(at: str, setpoint_c: float) -> list[Row]:
    return [(ms(at), "a", "on", 1.0), (ms(at), "a", "mode", 1.0), (ms(at), "a", "setpoint_c", setpoint_c)]


def one_violation(plant: Plant) -> list[Event]:
    """An air conditioner's, from 06:00 to 07:00."""
    plant.report(*cooling("06:00", 20.0), *cooling("07:00", 27.0), *power(("06:00", 5), ("07:30", 5)))
    (event,) = plant.events()
    assert (event.start_ms, event.end_ms, event.state) == (ms("06:00"), ms("07:00"), "closed")
    return [event]


def test_a_device_that_was_away_keeps_its_verdicts_over_a_late_reading(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    expected = one_violation(plant)
    plant.reload(devices=(METER,))
    plant.report(*power(("08:30", 5)))
    plant.reload()
    plant.report(*cooling("09:00", 27.0), *power(("09:30", 5)))
    plant.report(*cooling("08:50", 27.0))
    assert plant.events() == expected
    plant.close()


@pytest.mark.parametrize("is_heard_before", [False, True])
def test_a_device_that_was_away_keeps_its_verdicts_over_a_restart(is_heard_before: bool, tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    expected = one_violation(plant)
    plant.reload(devices=(METER,))
    plant.reload()
    if is_heard_before:
        plant.report(*cooling("09:00", 27.0))
    plant.close()
    plant.open(plant.registry)
    plant.report(*cooling("10:00", 20.0), *cooling("11:00", 20.0))
    assert plant.events()[:1] == expected
    assert [(event.start_ms, event.state) for event in plant.events()[1:]] == [(ms("10:00"), "open")]
    plant.close()


def test_a_state_directory_begun_anew_leaves_the_store_alone(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    one_violation(plant)
    plant.report(*power(("08:30", 50), ("09:00", 1), ("09:00", 3), ("12:00", 1)))
    expected, ledger = plant.events(), list(plant.store.ledger())
    assert [event.rule for event in expected] == ["ac_cool_setpoint", "peak_demand"]
    assert [entry.kind for entry in ledger] == ["conflict", "gap"]
    plant.close()
    shutil.rmtree(plant.state / "journal")
    shutil.rmtree(plant.state / "checkpoints")
    plant.open(plant.registry)
    plant.report(*cooling("13:00", 27.0), *power(("13:00", 5), ("14:00", 5)))
    plant.report(*cooling("13:30", 27.0), *power(("13:30", 5)))
    assert plant.events() == expected
    assert list(plant.store.ledger()) == ledger
    plant.close()


def test_a_limit_that_comes_back_does_not_go_on_with_an_event_of_before(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.report(*power(("08:00", 50), ("08:30", 50), ("09:00", 50)))
    assert [event.state for event in plant.events()] == ["open"]
    plant.reload(building=UNLIMITED)
    closed = plant.events()
    assert [(event.state, event.reason, event.end_ms) for event in closed] == [("closed", "scope", ms("09:00"))]
    plant.report(*power(("09:30", 50), ("10:00", 50)))
    plant.reload()
    plant.report(*power(("10:30", 50), ("11:00", 1), ("12:00", 1)))
    after = plant.events()
    assert after[:1] == closed
    # What came while there was no limit is judged by none.
    assert [(event.start_ms, event.state) for event in after[1:]] == [(ms("10:00"), "closed")]
    plant.close()


def test_an_event_of_a_rule_that_is_gone_stays_as_it_was_closed(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.report(*cooling("06:00", 20.0), *cooling("07:00", 20.0), *power(("07:00", 5)))
    plant.reload(ac={})
    closed = plant.events()
    assert [(event.state, event.reason, event.limit) for event in closed] == [("closed", "scope", 26.0)]
    plant.report(*cooling("08:00", 20.0), *cooling("09:00", 20.0), *power(("09:00", 5)))
    assert plant.events() == closed
    plant.close()


def test_nor_is_it_undone_by_a_late_reading(tmp_path: Path) -> None:
    """Its start is that of the state which the unit still holds."""
    plant = Plant(tmp_path)
    plant.report(*cooling("06:00", 20.0), *power(("07:00", 5)))
    plant.reload(ac={})
    closed = plant.events()
    assert [(event.state, event.reason) for event in closed] == [("closed", "scope")]
    plant.report(*power(("07:30", 5)))
    plant.report(*power(("07:15", 5)))
    assert plant.events() == closed
    plant.close()


def test_a_new_meter_s_readings_of_before_the_open_intervals_are_too_late(tmp_path: Path) -> None:
    """None of them vanishes, nor comes back by a restart. The clock stood at 09:45 when the meter came."""
    new = METER | {"id": "n", "item": "hvac", "source": "register"}
    plant = Plant(tmp_path)
    plant.report(*power(*((f"{hour:02}:{minute:02}", 5) for hour in (6, 7, 8, 9) for minute in (0, 15, 30, 45))))
    plant.reload(devices=(METER, UNIT, new))
    past = [(f"{hour:02}:{minute:02}", hour * 60.0 + minute) for hour in (6, 7, 8) for minute in (0, 15, 30, 45)]
    plant.report(*series("n", "register", *past))
    plant.report(*power(("10:00", 5)), *series("n", "register", ("10:00", 600.0)))
    plant.report(*power(("12:00", 5)))
    plant.close()
    plant.open(plant.registry)
    plant.report(*power(("13:00", 5)))
    rows = [row for row in plant.store.intervals() if row.item == "hvac" and row.measured + row.estimated > 0]
    first_ms = rows[0].start_ms
    assert sum(row.measured + row.estimated for row in rows) == pytest.approx((ms("10:00") - first_ms) / 60_000)
    late = [(entry.kind, entry.device, entry.ts_ms) for entry in plant.store.ledger()]
    assert late == [("too_late", "n", ms(at)) for at, _ in past if ms(at) < first_ms]
    assert late
    plant.close()
