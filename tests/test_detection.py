"""Between the loop and the detector's thread: what is held, for how long, and what is done at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from monitor import detection as room
from monitor.detection import Detection
from monitor.detector import Detector
from monitor.errors import JournalError
from monitor.readings import ReadingColumns
from monitor.store.protocol import Applied

HOUR_S = 3600.0


class FakeDetector:
    """Notes what it is asked to do."""

    def __init__(self) -> None:
        self.did: list[Any] = []
        self.failures: list[JournalError] = []

    def start(self, before: object = None) -> Applied:
        self.did.append("start")
        return Applied()

    def take(self, columns: ReadingColumns, end: int) -> Applied:
        self.did.append((columns.value.tolist(), end))
        return Applied()

    def checkpoint(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.did.append("checkpoint")


def readings(*values: float) -> ReadingColumns:
    zeros = [0] * len(values)
    return ReadingColumns.of(zeros, zeros, zeros, list(values))


def run(scene: Callable[[Detection, FakeDetector], Any], **options: Any) -> FakeDetector:
    """Plays a scene with a running Detection."""
    fake = FakeDetector()

    async def play() -> None:
        detection = Detection(
            cast("Detector", fake),
            on_applied=lambda applied, earliest_ms: None,
            **{"settle_s": HOUR_S, "checkpoint_interval_s": HOUR_S, **options},
        )
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            await detection.start()
            task = group.create_task(detection.run())
            await scene(detection, fake)
            await detection.stop()
            await task
        detection.close()

    asyncio.run(play())
    return fake


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)  # a condition with the scene's deadline, not a hope


def test_what_waits_is_judged_together_and_a_checkpoint_ends_it() -> None:
    async def scene(detection: Detection, fake: FakeDetector) -> None:
        await detection.submit(readings(1.0), 1, 10)
        await detection.submit(readings(2.0, 3.0), 3, 11)
        assert fake.did == ["start"]

    assert run(scene).did == ["start", ([1.0, 2.0, 3.0], 3), "checkpoint"]


def test_without_settling_nothing_is_held() -> None:
    async def scene(detection: Detection, fake: FakeDetector) -> None:
        await detection.submit(readings(1.0), 1, 10)
        await until(lambda: len(fake.did) == 2)
        await detection.submit(readings(2.0), 2, 11)
        await until(lambda: len(fake.did) == 3)

    assert run(scene, settle_s=0.0).did == ["start", ([1.0], 1), ([2.0], 2), "checkpoint"]


def test_many_readings_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "STEP_READINGS", 3)

    async def scene(detection: Detection, fake: FakeDetector) -> None:
        await detection.submit(readings(1.0), 1, 10)
        await detection.submit(readings(2.0, 3.0), 3, 11)
        await until(lambda: len(fake.did) == 2)

    assert run(scene).did == ["start", ([1.0, 2.0, 3.0], 3), "checkpoint"]


def test_checkpoints_come_by_their_interval_and_only_with_news() -> None:
    async def scene(detection: Detection, fake: FakeDetector) -> None:
        await until(lambda: fake.did == ["start", "checkpoint"])
        await detection.submit(readings(1.0), 1, 10)
        await until(lambda: fake.did[-1] == "checkpoint" and len(fake.did) == 4)

    assert run(scene, settle_s=0.0, checkpoint_interval_s=0.0).did == ["start", "checkpoint", ([1.0], 1), "checkpoint"]


def test_a_checkpoint_that_fails_is_told_and_tried_again() -> None:
    told: list[JournalError | None] = []

    async def scene(detection: Detection, fake: FakeDetector) -> None:
        fake.failures.append(JournalError("disk full", retryable=True))
        await until(lambda: fake.did == ["start", "checkpoint"])

    run(scene, checkpoint_interval_s=0.0, on_checkpoint=told.append)
    assert [str(each) if each else None for each in told] == ["disk full", None]


def test_work_of_its_own_waits_until_all_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "STEP_READINGS", 1)

    async def scene(detection: Detection, fake: FakeDetector) -> None:
        await detection.submit(readings(1.0), 1, 10)
        await detection.exclusively(lambda: fake.did.append("reload"))

    assert run(scene).did == ["start", ([1.0], 1), "reload", "checkpoint"]
