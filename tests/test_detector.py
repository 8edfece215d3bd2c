"""Detector, journal, checkpoints and SQLite together: crashes, a moving base, reloads."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from monitor.config import load_registry
from monitor.errors import JournalError, StoreError
from monitor.registry import Registry
from monitor.results import Step
from monitor.store.protocol import Applied
from tests import naive, streams
from tests.detect.harness import differences
from tests.machine import HOUR_MS, Machine


@pytest.mark.parametrize("seed", range(300, 310))
def test_crashes_and_a_moving_base_change_nothing(seed: int, tmp_path: Path) -> None:
    case = streams.make_case(seed, days=3.0, silences=seed % 2 == 0)
    streams.write(case, tmp_path)
    config = tmp_path / "config"
    # A horizon far shorter than the stream, so that checkpoints grow old and journal segments are let go of.
    horizon_h = 12.0
    expected = naive.run(config, case.rows, now_ms=case.now_ms, horizon_h=horizon_h)
    registry, _ = load_registry(config, now_ms=case.now_ms)
    rng = Random(seed)
    machine = Machine(tmp_path / "state", registry, horizon_ms=round(horizon_h * HOUR_MS), now_ms=0)
    for rows in streams.batches(case.rows, seed):
        machine.take(rows, case.now_ms)
        machine.now_ms = max(int(machine.detector.engine.state.clock.max()), 0)
        if rng.random() < 0.3:
            machine.detector.checkpoint()
        if rng.random() < 0.1:
            machine.close()
            machine.open(registry)
    assert differences(expected, machine.store) == []
    machine.close()


def test_a_store_that_fails_holds_the_step_until_it_is_taken(tmp_path: Path) -> None:
    case = streams.make_case(7, days=0.5)
    streams.write(case, tmp_path)
    registry, _ = load_registry(tmp_path / "config", now_ms=case.now_ms)
    machine = Machine(tmp_path / "state", registry, horizon_ms=168 * HOUR_MS, now_ms=case.now_ms)
    troubles: list[str] = []
    failing = iter([True, True, False])
    take = machine.store.apply

    def apply(step: Step, registry: Registry) -> Applied:
        if next(failing, False):
            raise StoreError("disk full", kind="disk_full", retryable=True)
        return take(step, registry)

    machine.store.apply = apply  # type: ignore[method-assign]  # a disk that is full twice
    detector = machine.detector
    detector._on_trouble = lambda trouble: troubles.append("over" if trouble is None else trouble.error.kind)
    detector._sleep = lambda pause_s: troubles.append(f"{pause_s:.1f}")
    machine.take(case.rows, case.now_ms)
    assert troubles == ["disk_full", "0.2", "disk_full", "0.4", "over"]
    expected = naive.run(tmp_path / "config", case.rows, now_ms=case.now_ms)
    assert differences(expected, machine.store) == []
    machine.close()


def test_reload_leaves_what_was_judged(tmp_path: Path) -> None:
    case = streams.make_case(11, days=2.0, disorder=False, bad_rows=False, silences=False)
    streams.write(case, tmp_path)
    config = tmp_path / "config"
    registry, _ = load_registry(config, now_ms=case.now_ms)
    half = len(case.rows) // 2
    machine = Machine(tmp_path / "state", registry, horizon_ms=168 * HOUR_MS, now_ms=case.now_ms)
    machine.take(case.rows[:half], case.now_ms)
    before_rows = list(machine.store.intervals())
    before_events = [event for event in machine.store.events() if event.state == "closed"]
    clock = {b.id: int(machine.detector.engine.state.clock[r]) for r, b in enumerate(registry.buildings)}

    # The same configuration again changes nothing at all.
    machine.detector.reload(load_registry(config, now_ms=case.now_ms)[0])
    assert list(machine.store.intervals()) == before_rows

    # A limit of zero for everybody: nothing of before is judged again, all of after is.
    lines = (config / "buildings.csv").read_text(encoding="utf-8").splitlines()
    header = lines[0].split(",")
    column = header.index("peak_limit_kw")
    changed = [",".join([*(cells := line.split(","))[:column], "0", *cells[column + 1 :]]) for line in lines[1:]]
    (config / "buildings.csv").write_text("\n".join([lines[0], *changed]) + "\n", encoding="utf-8")
    registry, _ = load_registry(config, now_ms=case.now_ms)
    machine.detector.reload(registry)
    assert list(machine.store.intervals()) == before_rows
    machine.registry = registry
    machine.take(case.rows[half:], case.now_ms)
    after = {event.event_id: event for event in machine.store.events()}
    for event in before_events:
        kept = after[event.event_id]
        if event.end_ms is not None and event.end_ms < clock[event.building] - 6 * HOUR_MS:
            assert kept == event
    for event in after.values():
        if event.rule == "peak_demand" and event.limit == 0.0:
            assert event.end_ms is None or event.end_ms > clock[event.building] - 2 * HOUR_MS
    expected = naive.run(config, case.rows, now_ms=case.now_ms)
    assert [row[:3] for row in machine.store.intervals()] == [row[:3] for row in expected.intervals]
    machine.close()


def test_another_configuration_at_the_start_is_a_reload(tmp_path: Path) -> None:
    """Stopped, changed and started, or reloaded: the same results."""
    case = streams.make_case(15, days=2.0, disorder=False, bad_rows=False, silences=False)
    half = len(case.rows) // 2
    found = []
    for way in ("reload", "restart"):
        folder = tmp_path / way
        streams.write(case, folder)
        config, before = folder / "config", load_registry(folder / "config", now_ms=case.now_ms)[0]
        machine = Machine(folder / "state", before, horizon_ms=168 * HOUR_MS, now_ms=case.now_ms)
        machine.take(case.rows[:half], case.now_ms)
        for policy in (config / "policies").iterdir():
            text = policy.read_text(encoding="utf-8").replace("min_duration_s: 600", "min_duration_s: 1200")
            policy.write_text(text.replace("grace_s: 900", "grace_s: 300"), encoding="utf-8")
        buildings = (config / "buildings.csv").read_text(encoding="utf-8")
        (config / "buildings.csv").write_text(buildings.replace(",30,", ",25,").replace(",20,", ",35,"))
        after = load_registry(config, now_ms=case.now_ms)[0]
        if way == "reload":
            machine.detector.reload(after)
        else:
            machine.detector.checkpoint()
            machine.close()
            machine.open(after, before)
        machine.registry = after
        machine.take(case.rows[half:], case.now_ms)
        found.append((list(machine.store.intervals()), list(machine.store.events()), list(machine.store.ledger())))
        machine.close()
    assert found[0] == found[1]


def test_the_first_devices_may_be_entered_while_nothing_runs(tmp_path: Path) -> None:
    case = streams.make_case(15, days=0.5)
    streams.write(case, tmp_path)
    config = tmp_path / "config"
    after = load_registry(config, now_ms=case.now_ms)[0]
    header = (config / "devices.csv").read_text(encoding="utf-8").splitlines()[0]
    (config / "devices.csv").write_text(f"{header}\n", encoding="utf-8")
    before = load_registry(config, now_ms=case.now_ms)[0]
    machine = Machine(tmp_path / "state", before, horizon_ms=168 * HOUR_MS, now_ms=case.now_ms)
    machine.detector.checkpoint()
    machine.close()
    machine.open(after, before)
    machine.registry = after
    machine.take(case.rows, case.now_ms)
    assert list(machine.store.intervals())
    machine.close()


def test_a_lost_journal_is_said(tmp_path: Path) -> None:
    case = streams.make_case(7, days=0.5)
    streams.write(case, tmp_path)
    registry, _ = load_registry(tmp_path / "config", now_ms=case.now_ms)
    machine = Machine(tmp_path / "state", registry, horizon_ms=168 * HOUR_MS, now_ms=case.now_ms)
    machine.take(case.rows, case.now_ms)
    machine.detector.checkpoint()
    machine.close()
    shutil.rmtree(tmp_path / "state" / "journal")
    with pytest.raises(JournalError, match="the journal ends at 0"):
        machine.open(registry)
    machine.close()
