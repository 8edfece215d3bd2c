from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.config.registry_files import load_registry
from monitor.errors import InputError
from monitor.results import RULES
from monitor.simulate.faults import SOME_FAULTS, Faults
from monitor.simulate.made_up import from_registry, make_scenario
from monitor.simulate.stream import reject_reason
from monitor.simulate.tables import write_readings, write_truth
from tests import vectors
from tests.simulate.towns import DAY_S, HOUR_S, START_MS, at, town


def _bytes(folder: Path, seed: int) -> dict[str, bytes]:
    scenario = town(seed=seed, buildings=2, faults=SOME_FAULTS)
    scenario.write_config(folder)
    write_readings(scenario.readings(), folder / "readings.csv")
    write_truth(scenario.truth(), folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    first = _bytes(tmp_path / "a", 5)
    assert first == _bytes(tmp_path / "b", 5)
    other = _bytes(tmp_path / "c", 6)
    assert {name for name in first if first[name] != other[name]} >= {"readings.csv", "events.csv", "buildings.csv"}


@pytest.mark.parametrize("start", ["2025-01-14T05:00", "2025-07-08T00:00"], ids=["winter", "summer"])
def test_a_town_of_twelve_breaks_every_rule_and_some_break_none(start: str) -> None:
    scenario = town(buildings=12, duration_s=1.5 * DAY_S, start_ms=at(start))
    truth = scenario.truth()
    assert {event.rule for event in truth.events} == set(RULES)
    offenders = Counter(event.building for event in truth.events)
    # The second and the sixth of each six keep every rule.
    exemplary = {building.id for row, building in enumerate(scenario.registry.buildings) if row % 6 in (1, 5)}
    assert not exemplary & offenders.keys()
    assert len(offenders) >= 6
    assert truth.ledger == []
    assert {device.kind for device in scenario.registry.devices} == {"meter", "ac"}
    assert {"pv", "water", "special", "hvac", "total"} <= {item.name for item in scenario.registry.items}


def test_all_readings_are_good_and_in_order() -> None:
    scenario = town(faults=Faults(resets=1.0, rollovers=1.0, spikes=0.02))
    readings = list(scenario.readings())
    assert {reject_reason(reading, scenario.registry, scenario.end_ms) for reading in readings} == {None}
    times = [reading.ts_ms for reading in readings]
    assert times == sorted(times)
    assert scenario.start_ms <= times[0] < times[-1] < scenario.end_ms
    assert len(set(readings)) == len(readings)
    of_device = Counter(reading.device for reading in readings if reading.quantity in ("register", "on"))
    expected = {device.id: DAY_S / device.cadence_s for device in scenario.registry.devices}
    assert of_device == expected


def test_values_are_rounded_as_devices_do() -> None:
    steps = {"register": 0.01, "setpoint_c": 0.5, "room_c": 0.1, "on": 1.0, "mode": 1.0}
    for reading in town(duration_s=6 * HOUR_S).readings():
        count = reading.value / steps[reading.quantity]
        assert abs(count - round(count)) < 1e-6 * max(1.0, abs(count)), reading


def test_registers_only_rise_when_nothing_is_wrong() -> None:
    last: dict[str, float] = {}
    risen = 0
    for reading in town().readings():
        if reading.quantity == "register":
            assert reading.value >= last.get(reading.device, 0.0)
            risen += reading.value > last.get(reading.device, reading.value)
            last[reading.device] = reading.value
    assert risen > 500


def test_the_written_configuration_is_the_scenario(tmp_path: Path) -> None:
    scenario = town(buildings=13)
    scenario.write_config(tmp_path)
    loaded, warnings = load_registry(tmp_path, now_ms=START_MS)
    ours = scenario.registry
    assert loaded.buildings == ours.buildings
    assert loaded.devices == ours.devices
    assert loaded.items == ours.items
    assert {name: replace(policy, sources=()) for name, policy in loaded.policies.items()} == {
        name: replace(policy, sources=()) for name, policy in ours.policies.items()
    }
    assert set(loaded.period_names) == set(ours.period_names)
    assert np.array_equal(loaded.device_start, ours.device_start)
    assert np.array_equal(loaded.item_start, ours.item_start)
    assert all(warning.warning for warning in warnings)


def test_gateways_for_a_configuration_that_exists() -> None:
    """Any configuration will do: zones with odd clocks, power meters, multipliers, policies without AC rules."""
    for vector in vectors.list_vectors()[:4]:
        registry, _ = load_registry(vector.config, now_ms=START_MS)
        scenario = from_registry(registry, 1, start_ms=START_MS, duration_s=DAY_S, faults=SOME_FAULTS)
        readings = scenario.truth_rows()
        assert {reading.device for reading in readings} == set(registry.device_row)
        truth = scenario.truth()
        assert {row.building for row in truth.intervals} == {building.id for building in registry.buildings}


def test_faults_of_meters_are_seen_by_the_truth() -> None:
    clean = town().truth()
    assert clean.ledger == []
    kinds = {
        "resets": ("reset", Faults(resets=1.0)),
        "rollovers": ("rollover", Faults(rollovers=1.0)),
        "spikes": ("outlier", Faults(spikes=0.01)),
    }
    for kind, faults in kinds.values():
        found = Counter(entry.kind for entry in town(faults=faults).truth().ledger)
        assert found[kind] >= 3, (kind, found)


def test_skew_moves_all_times_of_a_gateway_alike() -> None:
    clean, skewed = town(), town(faults=Faults(skew=1.0))
    shift: dict[str, set[int]] = {}
    for right, wrong in zip(clean.sent(), skewed.sent(), strict=True):
        assert right.taken_ms == wrong.taken_ms
    for sent in skewed.sent():
        device = skewed.registry.devices[skewed.registry.device_row[sent.reading.device]]
        shift.setdefault(device.gateway, set()).add(sent.reading.ts_ms - sent.taken_ms)
    assert all(len(shifts) == 1 and 2_000 <= abs(min(shifts)) <= 60_000 for shifts in shift.values())


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", Faults()),
        ("none", Faults()),
        ("some", SOME_FAULTS),
        ("duplicates=0.02, outages=1", Faults(duplicates=0.02, outages=1.0)),
    ],
)
def test_faults_from_text(text: str, faults: Faults) -> None:
    assert Faults.parse(text) == faults


@pytest.mark.parametrize("text", ["duplicate=0.1", "spikes", "spikes=often", "spikes=1.5", "outages=-1", "skew=nan"])
def test_faults_that_make_no_sense(text: str) -> None:
    with pytest.raises(InputError, match=text.partition("=")[0]):
        Faults.parse(text)


def test_scenarios_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="buildings=0"):
        make_scenario(1, start_ms=START_MS, duration_s=DAY_S, buildings=0)
    with pytest.raises(InputError, match="duration_s=0"):
        make_scenario(1, start_ms=START_MS, duration_s=0)
    with pytest.raises(ValueError, match="-1 is negative"):
        list(town(seed=-1).readings())
