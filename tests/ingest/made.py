"""Parts around an intake that do what a test tells them, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from monitor.decoders import Decoder, Memory, Reject
from monitor.decoders.native import NativeDecoder
from monitor.errors import JournalError, StoreError
from monitor.ingest.intake import Intake, IntakeSettings, Link
from monitor.ingest.message import Message
from monitor.readings import ReadingColumns
from tests.decoders.made import ARRIVAL_MS, registry

DEADLINE_S = 8.0


async def until(condition: Callable[[], bool], what: str = "") -> None:
    """Poll with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


class Journal:
    """Keeps in memory. `failures` are raised by the next commits, one each; `hold` keeps a commit waiting."""

    def __init__(self) -> None:
        self.committed: list[float] = []
        self.times_ms: list[int] = []
        self.commits = 0
        self.failures: list[JournalError] = []
        self.hold: threading.Event | None = None
        self._appended: list[ReadingColumns] = []

    def append(self, columns: ReadingColumns) -> None:
        self._appended.append(columns)

    def commit(self) -> None:
        if self.hold is not None:
            assert self.hold.wait(DEADLINE_S)
        if self.failures:
            raise self.failures.pop(0)
        appended, self._appended = self._appended, []
        for columns in appended:
            self.committed += columns.value.tolist()
            self.times_ms += columns.ts_ms.tolist()
        self.commits += 1


class Quarantine:
    def __init__(self) -> None:
        self.rejects: list[Reject] = []
        self.failures: list[StoreError] = []

    def add(self, rejects: Sequence[Reject]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.rejects += rejects


class MemoryKept:
    """What sources remember, in the order of its saving. `failures` as with the journal."""

    def __init__(self) -> None:
        self.saved: list[Memory] = []
        self.failures: list[StoreError] = []

    def save(self, memory: Memory) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.saved.append(memory)


class Metrics:
    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.commits = 0

    def messages(self, source: str, outcome: str, count: int) -> None:
        self.counts["messages", source, outcome] += count

    def source_messages(self, source: str, outcome: str, count: int) -> None:
        self.counts["source", source, outcome] += count

    def readings(self, outcome: str, count: int) -> None:
        self.counts["readings", outcome] += count

    def quarantined(self, reason: str, count: int) -> None:
        self.counts["quarantined", reason] += count

    def journal_commit(self, seconds: float) -> None:
        assert seconds >= 0
        self.commits += 1


class MadeLink:
    """A link into which the test puts messages; `log` is shared to see the order of things."""

    def __init__(self, name: str = "test", *, receive_maximum: int = 1000, log: list[str] | None = None) -> None:
        self.name = name
        self.receive_maximum = receive_maximum
        self.acked: list[object] = []
        self.published: list[tuple[str, bytes]] = []
        self.log = [] if log is None else log
        self.deliver: Callable[[list[Message]], Awaitable[None]] | None = None
        self._stopped = asyncio.Event()

    async def run(self, deliver: Callable[[list[Message]], Awaitable[None]]) -> None:
        self.deliver = deliver
        await self._stopped.wait()

    def ack(self, messages: Sequence[Message]) -> None:
        self.acked += [message.token for message in messages]
        self.log.append(f"{self.name} ack {len(messages)}")

    def publish(self, topic: str, payload: bytes) -> None:
        self.published.append((topic, payload))
        self.log.append(f"{self.name} publish {topic}")

    def close_input(self) -> None:
        self.log.append(f"{self.name} close_input")

    def stop(self) -> None:
        self.log.append(f"{self.name} stop")
        self._stopped.set()

    async def put(self, *payloads: str | bytes, topic: str = "meters/gw-1/M-1", first: int = 0) -> None:
        """Deliver as one list; tokens count up from `first`."""
        await until(lambda: self.deliver is not None)
        assert self.deliver is not None
        await self.deliver(
            [
                Message(
                    topic,
                    payload if isinstance(payload, bytes) else payload.encode(),
                    False,
                    ARRIVAL_MS + number,
                    self.name,
                    number,
                )
                for number, payload in enumerate(payloads, first)
            ]
        )


class Made:
    """An intake with all that is around it. `async with` runs it and stops it."""

    def __init__(
        self,
        links: Sequence[Link],
        *,
        settings: IntakeSettings | None = None,
        decoder: Decoder | None = None,
        on_committed: Callable[[ReadingColumns, int], Awaitable[None]] | None = None,
    ) -> None:
        self.journal = Journal()
        self.quarantine = Quarantine()
        self.memory = MemoryKept()
        self.metrics = Metrics()
        self.given: list[tuple[list[float], int]] = []
        self.intake = Intake(
            links,
            NativeDecoder(registry()) if decoder is None else decoder,
            self.journal,
            self.quarantine,
            self.memory,
            self.metrics,
            self._keep if on_committed is None else on_committed,
            settings=settings or IntakeSettings(commit_interval_ms=5.0, retry_min_s=0.01, retry_max_s=0.02),
            chance=random.Random(1),
        )
        self._task: asyncio.Task[None] | None = None

    async def _keep(self, columns: ReadingColumns, earliest_ms: int) -> None:
        self.given.append((columns.value.tolist(), earliest_ms))

    def state(self) -> str:
        return self.intake.status.state

    async def __aenter__(self) -> Made:  # noqa: PYI034  # nobody inherits from it
        self._task = asyncio.create_task(self.intake.run())
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        assert self._task is not None
        if kind is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            return
        async with asyncio.timeout(DEADLINE_S):
            await self.intake.stop()
            await self._task
