"""Between the event loop and the detector's thread: readings are held for `settle_s` at most, then judged together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from monitor.detector import Detector
from monitor.errors import JournalError
from monitor.readings import ReadingColumns
from monitor.registry import Registry
from monitor.store.protocol import Applied

_T = TypeVar("_T")

MAX_WAITING_READINGS = 1_000_000
"""More than so many readings that wait hold the intake back; the broker keeps what comes after."""
STEP_READINGS = 250_000
"""With so many there is no waiting for more."""


class Detection:
    """Feeds one detector. All methods belong to the event loop's thread; the detector to a thread of its own."""

    def __init__(
        self,
        detector: Detector,
        *,
        settle_s: float,
        checkpoint_interval_s: float,
        on_applied: Callable[[Applied, int | None], None],
        on_checkpoint: Callable[[JournalError | None], None] = lambda error: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """on_applied: called on the loop with what each step changed, and the earliest arrival [UTC ms] in it.
        on_checkpoint: called after each checkpoint, with what hindered it; the next interval brings the next try."""
        self.detector = detector
        self._settle_s = settle_s
        self._checkpoint_interval_s = checkpoint_interval_s
        self._on_applied = on_applied
        self._on_checkpoint = on_checkpoint
        self._monotonic = monotonic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="detector")
        self._waiting: list[tuple[ReadingColumns, int, int]] = []
        self._waiting_readings = 0
        self._since_s = 0.0
        self._stopping = False
        self._changed = asyncio.Condition()
        self._busy = asyncio.Lock()
        self._checkpoint_s = monotonic()
        self._is_ahead = False
        """The state is ahead of the newest checkpoint."""

    async def start(self, before: Registry | None = None) -> None:
        """Brings the detector to the present; see `Detector.start`. Raises JournalError and StoreError."""
        applied = await self._call(lambda: self.detector.start(before))
        self._is_ahead = True
        self._on_applied(applied, None)

    async def submit(self, columns: ReadingColumns, end: int, earliest_ms: int) -> None:
        """Readings that the journal has up to `end`; waits while too many wait. earliest_ms: of their arrival."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting_readings < MAX_WAITING_READINGS)
            if not self._waiting:
                self._since_s = self._monotonic()
            self._waiting.append((columns, end, earliest_ms))
            self._waiting_readings += len(columns)
            self._changed.notify_all()

    async def run(self) -> None:
        """Until `stop`. Raises what the detector raises."""
        while True:
            await self._settled()
            if self._waiting:
                await self._step()
            is_due = self._monotonic() - self._checkpoint_s >= self._checkpoint_interval_s
            if self._is_ahead and (is_due or (self._stopping and not self._waiting)):
                await self._checkpoint()
            if self._stopping and not self._waiting:
                return

    async def stop(self) -> None:
        """Judge what waits, write a checkpoint and end. Call after the inputs have stopped."""
        async with self._changed:
            self._stopping = True
            self._changed.notify_all()

    async def exclusively(self, work: Callable[[], _T]) -> _T:
        """Runs `work` in the detector's thread when all that was submitted has been judged.

        Work that has begun is waited for even when the caller is cancelled: nothing else of the service may go on
        beside it."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting)
        async with self._busy:
            self._is_ahead = True
            running = asyncio.ensure_future(self._call(work))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                while not running.done():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait({running})
                running.result()  # its error says more than the cancellation
                raise

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    # ------------------------------------------------------------------ inside

    async def _call(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _checkpoint(self) -> None:
        """A disk that is full now may have room at the next interval; until then a restart has more to do."""
        failure: JournalError | None = None
        async with self._busy:
            try:
                await self._call(self.detector.checkpoint)
                self._is_ahead = False
            except JournalError as error:
                if not error.retryable:
                    raise
                failure = error
                self._is_ahead = not self._stopping
        self._checkpoint_s = self._monotonic()
        self._on_checkpoint(failure)

    async def _settled(self) -> None:
        """Returns when a step is due, a checkpoint is, or the end has come."""
        async with self._changed:
            while not self._stopping:
                now_s = self._monotonic()
                until_s = self._checkpoint_s + self._checkpoint_interval_s if self._is_ahead else now_s + 3600.0
                if self._waiting:
                    if self._waiting_readings >= STEP_READINGS:
                        return
                    until_s = min(until_s, self._since_s + self._settle_s)
                if until_s <= now_s:
                    return
                try:
                    async with asyncio.timeout(until_s - now_s):
                        await self._changed.wait()
                except TimeoutError:
                    return

    async def _step(self) -> None:
        async with self._busy:
            batch, end, earliest_ms = self._waiting[:], self._waiting[-1][1], min(e for _, _, e in self._waiting)
            columns = ReadingColumns.concat([part for part, _, _ in batch])
            applied = await self._call(lambda: self.detector.take(columns, end))
            self._is_ahead = True
            async with self._changed:
                del self._waiting[: len(batch)]
                self._waiting_readings -= len(columns)
                self._since_s = self._monotonic()
                self._changed.notify_all()
        self._on_applied(applied, earliest_ms)
