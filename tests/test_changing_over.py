"""Stops and failures in the middle of a start or a reload."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from monitor.assembly import open_service
from monitor.config import load_registry, load_settings
from monitor.detection import Detection
from monitor.errors import JournalError, StoreError
from monitor.journal.checkpoint import Checkpoint
from monitor.readings import ReadingColumns
from monitor.registry import Registry
from monitor.results import LedgerEntry, Step
from monitor.running import Service
from monitor.store.protocol import Applied
from tests.small_site import NOW_MS
from tests.test_past_verdicts import METER, UNIT, Plant, power, registry_of

DEADLINE_S = 20.0


def test_work_that_has_begun_is_waited_for_by_a_caller_that_is_cancelled(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        assert go_on.wait(DEADLINE_S)
        done.append("work")

    async def cancel_in_the_middle() -> None:
        detection = Detection(plant.detector, settle_s=0, checkpoint_interval_s=60, on_applied=lambda *_: None)
        asking = asyncio.create_task(detection.exclusively(work))
        await asyncio.to_thread(begun.wait, DEADLINE_S)
        asking.cancel()
        finished, _ = await asyncio.wait({asking}, timeout=0.05)
        assert not finished, "the caller is to wait for what it began"
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert done == ["work"]
        detection.close()

    asyncio.run(asyncio.wait_for(cancel_in_the_middle(), DEADLINE_S))
    plant.close()


def test_a_reload_that_breaks_off_leaves_the_journal_with_the_old_rows(tmp_path: Path) -> None:
    """Whoever decodes goes on with them until the service has ended."""
    plant = Plant(tmp_path)
    plant.report(*power(("06:00", 5)))
    old = plant.registry
    other = registry_of(tmp_path / "config", devices=(UNIT | {"id": "a0"}, UNIT, METER))
    assert old.device_row["m"] != other.device_row["m"]

    def fail(rung: Checkpoint, arrays: object, meta: object) -> None:
        raise JournalError("disk full", retryable=True)

    plant.ladder.replace = fail  # type: ignore[method-assign]  # a disk that fills up in the middle
    with pytest.raises(JournalError, match="broke off half-way"):
        plant.detector.reload(other)
    plant.journal.append(ReadingColumns.of([old.device_row["m"]], [1], [NOW_MS], [5.0]))
    start = plant.journal.end
    plant.journal.commit()
    plant.journal.set_devices([device.id for device in other.devices])
    (chunk,) = plant.journal.chunks(start)
    assert np.array_equal(chunk.columns.device, [other.device_row["m"]])
    plant.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    registry_of(tmp_path / "config")
    return tmp_path / "config"


def write_settings(config: Path, more: str = "") -> None:
    (config / "monitor.yaml").write_text(
        f"state_dir: {config.parent / 'state'}\njournal: {{min_free_mb: 0}}\nmetrics: {{port: 0}}\n{more}"
    )


def test_a_start_that_the_store_holds_up_can_be_stopped(config: Path) -> None:
    write_settings(config)
    settings, registry = load_settings(config, {}), load_registry(config, now_ms=NOW_MS)[0]

    def fail(step: Step, registry: Registry) -> Applied:
        raise StoreError("locked", kind="locked", retryable=True)

    def is_in_trouble(service: Service) -> bool:
        return service.health.not_ready().get("store") == "locked"

    async def stop_while_starting() -> None:
        async with open_service(config, settings, registry, {}) as service:
            service.store.apply = fail  # type: ignore[method-assign]  # locked by another program, all the time
            stop = asyncio.Event()
            running = asyncio.create_task(service.run(stop, asyncio.Event()))
            while not is_in_trouble(service):
                await asyncio.sleep(0.01)
            stop.set()
            with pytest.raises(StoreError):
                await running

    asyncio.run(asyncio.wait_for(stop_while_starting(), DEADLINE_S))


def test_influx_batch_points_bounds_what_waits_in_one_piece(config: Path) -> None:
    write_settings(config, "influx: {version: 1, database: meters, batch_points: 2}\n")
    settings, registry = load_settings(config, {}), load_registry(config, now_ms=NOW_MS)[0]

    async def store_five() -> None:
        async with open_service(config, settings, registry, {}) as service:
            entries = [LedgerEntry("gap", "b", "m", "power_kw", NOW_MS + ts_ms, 1.0) for ts_ms in range(5)]
            service.store.apply(Step(ledger=entries), registry)
            assert service.outbox is not None
            waiting = service.outbox.take(1)
            assert waiting is not None
            assert waiting.points == 2

    asyncio.run(store_five())
