"""Carries what waits in the outbox to its sink: in order, again and again until it is accepted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from monitor.errors import StoreError
from monitor.store.influx import LineWriter, SinkError
from monitor.store.outbox import Outbox, Waiting
from monitor.store.quarantine import QuarantineEntry

__all__ = ["OutboxSender", "SenderSettings", "SinkMetrics", "SinkStatus"]

_T = TypeVar("_T")

_ALL_REFUSED = 20
"""So many points refused one by one, and none accepted, are the server's or the configuration's fault."""
_MAX_RETRY_AFTER_S = 3600.0
_IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """batch_points: joined batches of one request stay below this. Pauses in seconds."""

    batch_points: int = 5000
    retry_min_s: float = 1.0
    retry_max_s: float = 60.0


class SinkMetrics(Protocol):
    """What the sender counts; `sink` is the outbox' name for it."""

    def delivered(self, sink: str, points: int) -> None: ...

    def failed(self, sink: str, kind: str) -> None:
        """One for each request that failed, for `sink_errors_total`."""
        ...

    def refused(self, sink: str, points: int) -> None:
        """Points that went to quarantine with reason `sink_rejected`."""
        ...


@dataclass(slots=True)
class SinkStatus:
    """How the sink does, for /healthz. Written by the sender alone."""

    sink: str
    connected: bool | None = None
    """Whether the last request reached a server that answers as one should; None: not tried yet."""
    kind: str = ""
    """The last error's kind while it lasts; empty when the last batch was delivered."""
    last_error: str = ""
    """Stays after it is over."""
    last_error_ms: int | None = None
    last_success_ms: int | None = None
    attempts: int = 0
    """Failed ones in a row."""
    next_ms: int | None = None
    """When it is tried again; None while there is no failure."""
    delivered_points: int = 0
    refused_points: int = 0


class _AllRefusedError(SinkError):
    def __init__(self, error: SinkError) -> None:
        super().__init__(
            f"{error} (not one point of the batch was accepted: nothing is given up; look at the sink's settings)",
            kind="refused",
        )


class OutboxSender:
    """`run` as one task. The requests and the outbox' own reads and writes happen in one thread of the sender's."""

    def __init__(
        self,
        outbox: Outbox,
        writer: LineWriter,
        *,
        settings: SenderSettings,
        metrics: SinkMetrics,
        now_ms: Callable[[], int],
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """now_ms: UTC ms. random: uniform in 0..1. sleep: waits that many seconds between attempts."""
        self.status = SinkStatus(outbox.sink)
        self._outbox = outbox
        self._writer = writer
        self._settings = settings
        self._metrics = metrics
        self._now_ms = now_ms
        self._random = random
        self._sleep = sleep
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{outbox.sink}")
        self._refused_in_a_row = 0
        self._news = asyncio.Event()
        self._empty = asyncio.Event()

    def wake(self) -> None:
        """There is something new in the outbox. Only from the event loop's thread; without it, a second passes."""
        self._empty.clear()
        self._news.set()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until nothing waits, but not longer than this. True: nothing waits."""
        self.wake()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        return self._empty.is_set()

    async def run(self) -> None:
        """Deliver until cancelled. A request under way is then finished by the thread; what it delivered comes
        again.

        An outbox that cannot be read or emptied is tried again like a sink: whoever stores steps meets the same error
        and decides.
        """
        try:
            while True:
                self._news.clear()
                delivered = await self._step()
                if not delivered:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), _IDLE_S)
        finally:
            self._thread.shutdown(wait=False)

    async def _step(self) -> bool:
        """One batch, or one failure and the pause after it. False: nothing waits."""
        waiting = None
        try:
            waiting = await self._call(lambda: self._outbox.take(self._settings.batch_points))
            if waiting is None:
                if not self._news.is_set():
                    self._empty.set()
                return False
            await self._deliver(waiting)
        except StoreError as error:
            await self._failed(error, waiting)
        return True

    async def _deliver(self, waiting: Waiting) -> None:
        """1. the batch as it is; 2. if it is refused, its halves in order, down to single points; 3. the points that
        were refused alone to quarantine, and all of it out of the outbox, in one transaction.

        A failure on the way leaves the batch where it is: parts come again, which changes nothing. So does a server
        that refuses one point after the other and accepts none, in this batch or before: quarantine is bounded, and a
        wrong setting would flush everything through it.
        """
        lines = waiting.body.splitlines(keepends=True)
        parts = [(0, len(lines))]
        refused: list[QuarantineEntry] = []
        accepts_any = False
        while parts:
            first, last = parts.pop()
            error = await self._post(b"".join(lines[first:last]))
            if error is None:
                accepts_any = True
                self._refused_in_a_row = 0
                continue
            if last - first > 1:
                middle = (first + last) // 2
                parts += [(middle, last), (first, middle)]
                continue
            refused.append(
                QuarantineEntry(self._now_ms(), self._outbox.sink, lines[first], "sink_rejected", str(error))
            )
            self._refused_in_a_row += 1
            if not accepts_any and self._refused_in_a_row >= _ALL_REFUSED:
                accepts_any = await self._accepts_any(lines)
                if not accepts_any:
                    raise _AllRefusedError(error)
        await self._call(lambda: self._outbox.accepted(waiting, refused))
        self._succeeded(waiting.points - len(refused), len(refused))

    async def _accepts_any(self, lines: list[bytes]) -> bool:
        """Try single points from all over the batch. They are written again in their place afterwards."""
        for place in range(0, len(lines), max(1, len(lines) // _ALL_REFUSED)):
            if await self._post(lines[place]) is None:
                return True
        return False

    async def _post(self, body: bytes) -> SinkError | None:
        """The error if the points are at fault. Raises SinkError for every other failure."""
        try:
            await self._call(lambda: self._writer.write(body))
        except SinkError as error:
            if error.kind != "rejected":
                raise
            self._metrics.failed(self._outbox.sink, error.kind)
            self.status.last_error, self.status.last_error_ms = str(error), self._now_ms()
            return error
        return None

    def _succeeded(self, points: int, refused: int) -> None:
        status = self.status
        status.connected, status.kind, status.attempts, status.next_ms = True, "", 0, None
        status.last_success_ms = self._now_ms()
        status.delivered_points += points
        status.refused_points += refused
        self._metrics.delivered(self._outbox.sink, points)
        if refused:
            self._metrics.refused(self._outbox.sink, refused)

    async def _failed(self, error: StoreError, waiting: Waiting | None) -> None:
        status = self.status
        now_ms = self._now_ms()
        pause_s = self._pause_s(error, status.attempts)
        if isinstance(error, SinkError):
            status.connected = error.kind in {"busy", "refused"}
        status.kind, status.last_error, status.last_error_ms = error.kind, str(error), now_ms
        status.attempts += 1
        status.next_ms = now_ms + round(pause_s * 1000)
        self._metrics.failed(self._outbox.sink, error.kind)
        if waiting is not None and isinstance(error, SinkError):
            noted, next_ms = waiting, status.next_ms
            # a note for the console; where it cannot be written, the status still says the same
            with contextlib.suppress(StoreError):
                await self._call(lambda: self._outbox.failed(noted, str(error), next_ms))
        await self._sleep(pause_s)

    def _pause_s(self, error: StoreError, attempts: int) -> float:
        """Full jitter between retry_min_s and a bound that doubles up to retry_max_s; what somebody has to mend first
        is tried at half of retry_max_s or later."""
        low, high = self._settings.retry_min_s, self._settings.retry_max_s
        if error.retryable:
            high = max(low, min(high, low * 2 ** min(attempts + 1, 30)))
        else:
            low = max(low, high / 2)
        pause_s = low + self._random() * (high - low)
        wish_s = min(getattr(error, "retry_after_s", None) or 0.0, _MAX_RETRY_AFTER_S)
        return max(pause_s, wish_s)

    async def _call(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
