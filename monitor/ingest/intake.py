"""From messages to acknowledgements: collect, decode, journal, and only then say that it was received.

Links deliver into the batch that is being collected. Every `commit_interval_ms`, or earlier when it is large, it is
closed, the next one begins, and one worker thread takes it through:

1. decode                        6. ask gateways for what a format needs again
2. journal.append                7. tell the metrics
3. journal.commit (fsync)        8. on_committed (awaited: the detector's back-pressure)
4. quarantine.add
5. memory.save: what sources remember from here on
   ── from here on it is safe ── then exactly its messages are acknowledged.

If 2 to 5 fail with an error that may pass (disk full), the batch is kept and tried again; nothing of it is
acknowledged, the links stop taking once their bound is reached, and so does the broker. A failure between 3 and the
acknowledgement makes duplicates, never losses: formats read a message again without harm.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Literal, Protocol

import numpy as np

from monitor.decoders import OUTCOMES, WHOLE_MESSAGE, Decoded, Decoder, Memory, Reject, decode_all
from monitor.errors import JournalError, StoreError
from monitor.ingest.message import Message
from monitor.readings import ReadingColumns

__all__ = [
    "Intake",
    "IntakeMetrics",
    "IntakeSettings",
    "IntakeStatus",
    "Journal",
    "Link",
    "MemorySink",
    "QuarantineSink",
]


class Journal(Protocol):
    """Where readings are safe. Called from the intake's worker thread only."""

    def append(self, columns: ReadingColumns) -> None:
        """Raises JournalError."""

    def commit(self) -> object:
        """What was appended is on disk when this returns. Raises JournalError; what was appended then still waits for
        the next commit."""


class QuarantineSink(Protocol):
    """Keeps what was rejected. Called from the intake's worker thread only."""

    def add(self, rejects: Sequence[Reject]) -> None:
        """Raises StoreError."""


class MemorySink(Protocol):
    """Keeps what sources remember from message to message. Called from the intake's worker thread only."""

    def save(self, memory: Memory) -> None:
        """Raises StoreError."""


class IntakeMetrics(Protocol):
    """What the intake counts; called on the event loop."""

    def messages(self, source: str, outcome: str, count: int) -> None:
        """source: the broker's name. outcome: one of `OUTCOMES`."""

    def source_messages(self, source: str, outcome: str, count: int) -> None:
        """source: the name of one of the configuration's sources. outcome: one of `OUTCOMES`."""

    def readings(self, outcome: str, count: int) -> None:
        """outcome: accepted, or rejected, or why they were ignored."""

    def quarantined(self, reason: str, count: int) -> None: ...

    def journal_commit(self, seconds: float) -> None:
        """How long journal.commit took."""


class Link(Protocol):
    """The connection to one broker. See `monitor.ingest.mqtt.BrokerLink`."""

    @property
    def name(self) -> str: ...

    @property
    def receive_maximum(self) -> int:
        """Messages that may be taken from it and not yet be acknowledged."""

    async def run(self, deliver: Callable[[list[Message]], Awaitable[None]]) -> None: ...

    def ack(self, messages: Sequence[Message]) -> None: ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Send it, QoS 0, if there is a connection."""

    def close_input(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    commit_interval_ms: float = 200.0
    """A message waits so long for company at most."""
    commit_readings: int = 50_000
    """A batch of about so many readings waits no longer; nor does one after which a link may send nothing more."""
    max_bytes: int = 64 * 1024 * 1024
    """Payload bytes, over all links, that are taken and not yet acknowledged."""
    retry_min_s: float = 0.5
    retry_max_s: float = 30.0


_BYTES_PER_READING = 80.0
"""To begin with: nobody has counted the readings of a batch that is not decoded, so they are estimated from its bytes
and what the batch before it took."""


@dataclass(frozen=True, slots=True)
class IntakeStatus:
    """For logs and readiness."""

    state: Literal["running", "paused", "failing", "stopped"] = "running"
    """failing: the journal or the quarantine cannot be written."""
    paused_for: frozenset[str] = frozenset()
    failures: int = 0
    """Tries of the present batch that failed."""
    last_error: str = ""


@dataclass(slots=True)
class _Batch:
    messages: list[Message] = field(default_factory=list)
    bytes: int = 0
    decoded: Decoded | None = None
    appended: bool = False
    journaled: bool = False
    quarantined: bool = False
    commit_s: float = 0.0


class Intake:
    """Takes from all links, and is the only one that acknowledges. All methods belong to the event loop's thread."""

    def __init__(
        self,
        links: Sequence[Link],
        decoder: Decoder,
        journal: Journal,
        quarantine: QuarantineSink,
        memory: MemorySink,
        metrics: IntakeMetrics,
        on_committed: Callable[[ReadingColumns, int], Awaitable[None]],
        *,
        settings: IntakeSettings,
        chance: random.Random,
        on_status: Callable[[IntakeStatus], None] = lambda status: None,
    ) -> None:
        """on_committed: awaited with the accepted readings of a batch, and the earliest arrival [UTC ms] among its
        messages; the batch after it is not committed before. chance: spreads tries again."""
        self.decoder = decoder
        self.status = IntakeStatus()
        self._links = {link.name: link for link in links}
        self._journal = journal
        self._quarantine = quarantine
        self._memory = memory
        self._metrics = metrics
        self._on_committed = on_committed
        self._settings = settings
        self._chance = chance
        self._on_status = on_status
        self._batch = _Batch()
        self._bytes_per_reading = _BYTES_PER_READING
        self._pending: Counter[str] = Counter()
        self._pending_bytes = 0
        self._paused_for: set[str] = set()
        self._halt = asyncio.Event()
        self._ended = asyncio.Event()
        self._idle = asyncio.Lock()
        self._something = asyncio.Event()
        self._enough = asyncio.Event()
        self._room = asyncio.Condition()

    async def run(self) -> None:
        """Until `stop`. Raises what cannot pass: a JournalError that is not retryable, or a mistake of ours."""
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="intake") as worker:
                async with asyncio.TaskGroup() as group:
                    for name, link in self._links.items():
                        group.create_task(link.run(self.deliver), name=f"link-{name}")
                    group.create_task(self._commit_batches(worker), name="intake-commit")
        finally:
            self._set_status(state="stopped")
            self._ended.set()

    async def stop(self) -> None:
        """Inputs first: take nothing more, commit and acknowledge what was taken, close the connections. Returns when
        `run`, which must have been started, has ended. A batch that cannot be committed at once is left to the broker,
        which has it still."""
        for link in self._links.values():
            link.close_input()
        self._halt.set()
        self._something.set()
        self._enough.set()
        async with self._room:
            self._room.notify_all()
        await self._ended.wait()

    @property
    def pending_messages(self) -> int:
        """Taken and not yet acknowledged."""
        return self._pending.total()

    async def pause(self, reason: str) -> None:
        """Take and acknowledge nothing until `resume` with the same reason; a batch on its way is finished."""
        self._paused_for.add(reason)
        self._set_status(state="paused", paused_for=frozenset(self._paused_for))

    async def resume(self, reason: str) -> None:
        self._paused_for.discard(reason)
        if not self._paused_for:
            self._set_status(state="running", paused_for=frozenset())
            self._something.set()
            async with self._room:
                self._room.notify_all()
        else:
            self._set_status(paused_for=frozenset(self._paused_for))

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """While inside, no batch is on its way: all that was committed has been through `on_committed`. The place to
        exchange `decoder` together with the registry that its rows belong to."""
        async with self._idle:
            yield

    async def deliver(self, messages: list[Message]) -> None:
        """Take messages of one link into the batch, waiting while there is no room or a pause."""
        if not messages:
            return
        source = messages[0].broker
        async with self._room:
            await self._room.wait_for(lambda: self._halt.is_set() or self._has_room(source))
        if self._halt.is_set():
            return  # not acknowledged, so they come again
        size = sum(len(message.payload) for message in messages)
        batch = self._batch
        batch.messages += messages
        batch.bytes += size
        self._pending[source] += len(messages)
        self._pending_bytes += size
        self._something.set()
        if (
            batch.bytes >= self._settings.commit_readings * self._bytes_per_reading
            or self._pending[source] >= self._links[source].receive_maximum
            or self._pending_bytes >= self._settings.max_bytes
        ):
            self._enough.set()

    def _has_room(self, source: str) -> bool:
        if self._paused_for or self._pending_bytes >= self._settings.max_bytes:
            return False
        return self._pending[source] < self._links[source].receive_maximum

    # -- batches ---------------------------------------------------------------------------------------------------

    async def _commit_batches(self, worker: ThreadPoolExecutor) -> None:
        while not self._halt.is_set():
            await self._something.wait()
            self._something.clear()
            if not self._batch.messages or (self._paused_for and not self._halt.is_set()):
                continue
            await self._company()
            await self._commit(worker)
        await self._commit(worker)
        for link in self._links.values():
            link.stop()

    async def _company(self) -> None:
        """Wait until the batch is old or large enough."""
        try:
            async with asyncio.timeout(self._settings.commit_interval_ms / 1000):
                await self._enough.wait()
        except TimeoutError:
            pass

    async def _commit(self, worker: ThreadPoolExecutor) -> None:
        """One batch from its messages to its acknowledgements."""
        async with self._idle:
            batch, self._batch = self._batch, _Batch()
            self._enough.clear()
            decoded = await self._make_safe(batch, worker) if batch.messages else None
            if decoded is None:
                return
            await self._acknowledge(batch)
            for request in decoded.requests:
                self._links[request.broker].publish(request.topic, request.payload)
            self._count(batch, decoded)
            if len(decoded.columns):
                self._bytes_per_reading = max(1.0, batch.bytes / len(decoded.columns))
                earliest_ms = min(message.received_ms for message in batch.messages)
                await self._on_committed(decoded.columns, earliest_ms)
        if self._batch.messages:
            self._something.set()

    async def _make_safe(self, batch: _Batch, worker: ThreadPoolExecutor) -> Decoded | None:
        """Steps 1 to 5, until they succeed. None where it is stopped before they did."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            try:
                decoded = await loop.run_in_executor(worker, self._work, batch, self.decoder)
            except (JournalError, StoreError) as error:
                # A quarantine that cannot be written loses nothing while it is waited for; a journal that says that it
                # never will again is the end.
                if isinstance(error, JournalError) and not error.retryable:
                    raise
                failures += 1
                self._set_status(state="failing", failures=failures, last_error=str(error))
            else:
                if failures:
                    self._set_status(state="paused" if self._paused_for else "running", failures=0, last_error="")
                return decoded
            longest_s = min(self._settings.retry_max_s, self._settings.retry_min_s * 2.0 ** min(failures - 1, 30))
            try:
                async with asyncio.timeout(longest_s * (0.5 + 0.5 * self._chance.random())):
                    await self._halt.wait()
            except TimeoutError:
                continue
            return None

    def _work(self, batch: _Batch, decoder: Decoder) -> Decoded:
        """In the worker thread. What succeeded is not done again at the next try."""
        decoded = batch.decoded
        if decoded is None:
            decoded = batch.decoded = decode_all(decoder, batch.messages)
        if not batch.journaled and len(decoded.columns):
            if not batch.appended:
                self._journal.append(decoded.columns)
                batch.appended = True
            began_s = perf_counter()
            self._journal.commit()
            batch.commit_s = perf_counter() - began_s
            batch.journaled = True
        if decoded.rejects and not batch.quarantined:
            self._quarantine.add(decoded.rejects)
            batch.quarantined = True
        if not decoded.memory.is_empty:
            self._memory.save(decoded.memory)
        return decoded

    async def _acknowledge(self, batch: _Batch) -> None:
        of_link: dict[str, list[Message]] = {}
        for message in batch.messages:
            of_link.setdefault(message.broker, []).append(message)
        for name, messages in of_link.items():
            self._links[name].ack(messages)
            self._pending[name] -= len(messages)
        self._pending_bytes -= batch.bytes
        async with self._room:
            self._room.notify_all()

    def _count(self, batch: _Batch, decoded: Decoded) -> None:
        names = list(self._links)
        rank = {name: number * len(OUTCOMES) for number, name in enumerate(names)}
        source = np.array([rank[message.broker] for message in batch.messages], np.int64)
        counts = np.bincount(source + decoded.outcome, minlength=len(names) * len(OUTCOMES)).tolist()
        for number, count in enumerate(counts):
            if count:
                self._metrics.messages(names[number // len(OUTCOMES)], OUTCOMES[number % len(OUTCOMES)], count)
        for (of, outcome), count in decoded.of_sources.items():
            self._metrics.source_messages(of, outcome, count)
        if len(decoded.columns):
            self._metrics.readings("accepted", len(decoded.columns))
        for reason, count in decoded.ignored.items():
            self._metrics.readings(reason, count)
        rejected: Counter[str] = Counter()
        for reject in decoded.rejects:
            rejected[reject.reason] += reject.readings
        for reason, count in rejected.items():
            self._metrics.quarantined(reason, count)
            if reason not in WHOLE_MESSAGE:
                self._metrics.readings("rejected", count)
        if batch.journaled:
            self._metrics.journal_commit(batch.commit_s)

    def _set_status(self, **changes: Any) -> None:
        status = replace(self.status, **changes)
        if status != self.status:
            self.status = status
            self._on_status(status)
