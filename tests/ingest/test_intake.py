"""The order of things between a message and its acknowledgement."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from monitor.decoders import Decoded, Limits, Memory, Outgoing
from monitor.decoders.native import NativeDecoder
from monitor.decoders.routing import SourceDecoder, Sources
from monitor.decoders.sources import Source
from monitor.errors import JournalError, StoreError
from monitor.ingest.intake import IntakeSettings
from monitor.ingest.message import Message
from monitor.readings import ReadingColumns
from tests.decoders.made import ARRIVAL_MS, registry
from tests.ingest.made import Made, MadeLink, until

NEVER_MS = 3_600_000.0
"""A commit interval that no test lives to see."""


def reading(value: float) -> str:
    return f'{{"ts": 1782638100, "register": {value}}}'


def test_messages_are_counted_by_source_once_they_are_safe() -> None:
    async def scenario() -> None:
        link = MadeLink()
        sources = Sources([Source("own", "native", ("meters/#",))], Limits())
        async with Made([link], decoder=SourceDecoder(registry(), Limits(), sources)) as made:
            made.journal.failures = [JournalError("disk full", retryable=True)]
            await link.put(reading(1), reading(2), "nonsense")
            await until(lambda: len(link.acked) == 3)
            await until(lambda: made.metrics.commits == 1)
            assert made.metrics.counts["source", "own", "accepted"] == 2
            assert made.metrics.counts["source", "own", "rejected"] == 1

    asyncio.run(scenario())


def test_a_batch_is_committed_handed_on_and_acknowledged() -> None:
    async def scenario() -> None:
        link = MadeLink()
        async with Made([link]) as made:
            await link.put(reading(1), reading(2), first=7)
            await until(lambda: bool(made.given))
            assert made.journal.committed == [1, 2]
            assert made.given == [([1, 2], ARRIVAL_MS + 7)]
            assert link.acked == [7, 8]
            assert made.intake.pending_messages == 0
            assert made.metrics.commits == 1

    asyncio.run(scenario())


def test_nothing_is_acknowledged_before_the_commit() -> None:
    async def scenario() -> None:
        link = MadeLink()
        async with Made([link]) as made:
            made.journal.hold = threading.Event()
            await link.put(reading(1))
            await link.put(reading(2), first=1)
            assert made.intake.pending_messages == 2
            assert link.acked == []
            made.journal.hold.set()
            await until(lambda: len(link.acked) == 2)

    asyncio.run(scenario())


def test_the_next_batch_is_collected_while_one_is_committed() -> None:
    async def scenario() -> None:
        link = MadeLink()
        async with Made([link]) as made:
            made.journal.hold = threading.Event()
            await link.put(reading(1))
            await until(lambda: not made.intake._batch.messages)  # on its way
            for number in range(2, 6):
                await link.put(reading(number), first=number)
            made.journal.hold.set()
            await until(lambda: len(link.acked) == 5)
            assert made.journal.committed == [1, 2, 3, 4, 5]
            assert made.journal.commits == 2

    asyncio.run(scenario())


def test_one_bad_message_holds_up_nobody() -> None:
    async def scenario() -> None:
        link = MadeLink()
        async with Made([link]) as made:
            await link.put(reading(1), "{", '{"ts": 1782638100, "register": 5, "x": 1}', "{}", '{"register": "5"}')
            await until(lambda: bool(made.given))
            assert made.journal.committed == [1, 5]
            assert len(link.acked) == 5
            reasons = sorted(reject.reason for reject in made.quarantine.rejects)
            assert reasons == ["bad_value", "malformed", "unknown_quantity"]
            assert made.metrics.counts == {
                ("messages", "test", "accepted"): 1,
                ("messages", "test", "partial"): 1,
                ("messages", "test", "rejected"): 2,
                ("messages", "test", "ignored"): 1,
                ("readings", "accepted"): 2,
                ("readings", "rejected"): 2,
                ("readings", "empty"): 1,
                ("quarantined", "malformed"): 1,
                ("quarantined", "unknown_quantity"): 1,
                ("quarantined", "bad_value"): 1,
            }

    asyncio.run(scenario())


def test_messages_without_a_reading_are_acknowledged_without_a_commit() -> None:
    async def scenario() -> None:
        link = MadeLink()
        async with Made([link]) as made:
            await link.put("{", "{}")
            await until(lambda: len(link.acked) == 2)
            assert made.journal.commits == 0
            assert made.given == []

    asyncio.run(scenario())


def test_a_full_disk_holds_acknowledgements_and_is_tried_again() -> None:
    async def scenario() -> None:
        link = MadeLink()
        made = Made([link])
        made.journal.failures = [JournalError("disk full", retryable=True) for _ in range(3)]
        states: list[tuple[str, int, list[object]]] = []
        made.intake._on_status = lambda status: states.append((status.state, status.failures, list(link.acked)))
        async with made:
            await link.put(reading(1))
            await until(lambda: bool(link.acked))
            assert made.journal.committed == [1]
        assert states == [
            ("failing", 1, []),
            ("failing", 2, []),
            ("failing", 3, []),
            ("running", 0, []),
            ("stopped", 0, [0]),
        ]

    asyncio.run(scenario())


def test_a_journal_that_never_will_again_ends_the_intake() -> None:
    async def scenario() -> None:
        link = MadeLink()
        made = Made([link])
        made.journal.failures = [JournalError("torn segment")]
        running = asyncio.create_task(made.intake.run())
        await link.put(reading(1))
        with pytest.raises(ExceptionGroup) as caught:
            await running
        assert caught.group_contains(JournalError, match="torn segment")
        assert link.acked == []
        assert made.intake.status.state == "stopped"

    asyncio.run(scenario())


def test_a_quarantine_that_cannot_be_written_holds_acknowledgements() -> None:
    async def scenario() -> None:
        link = MadeLink()
        made = Made([link])
        made.quarantine.failures = [StoreError("read-only", kind="readonly", retryable=False) for _ in range(2)]
        async with made:
            await link.put(reading(1), "{")
            await until(lambda: bool(link.acked))
            assert made.journal.committed == [1], "what was journaled is not journaled again"
            assert [reject.reason for reject in made.quarantine.rejects] == ["malformed"]

    asyncio.run(scenario())


def test_a_full_link_waits_and_its_batch_does_not() -> None:
    async def scenario() -> None:
        link = MadeLink(receive_maximum=3)
        async with Made([link], settings=IntakeSettings(commit_interval_ms=NEVER_MS)) as made:
            made.journal.hold = threading.Event()
            await link.put(reading(1), reading(2), reading(3))
            more = asyncio.create_task(link.put(reading(4), first=3))
            await until(lambda: not made.intake._batch.messages)  # three are on their way, without waiting an hour
            assert not more.done()
            made.journal.hold.set()
            await until(more.done)
            assert link.acked == [0, 1, 2]

        assert link.acked == [0, 1, 2, 3]

    asyncio.run(scenario())


def test_a_large_batch_waits_no_longer() -> None:
    async def scenario() -> None:
        link = MadeLink()
        settings = IntakeSettings(commit_interval_ms=NEVER_MS, commit_readings=4)
        async with Made([link], settings=settings) as made:
            await link.put(*[reading(number) for number in range(20)])
            await until(lambda: len(made.journal.committed) == 20)
            # From now on a reading is known to take about 34 bytes.
            await link.put(*[reading(number) for number in range(6)])
            await until(lambda: len(made.journal.committed) == 26)

    asyncio.run(scenario())


def test_payload_bytes_are_bounded_over_all_links() -> None:
    async def scenario() -> None:
        one, two = MadeLink("one"), MadeLink("two")
        settings = IntakeSettings(commit_interval_ms=NEVER_MS, max_bytes=1000)
        async with Made([one, two], settings=settings) as made:
            made.journal.hold = threading.Event()
            await one.put(reading(1).ljust(1000))
            more = asyncio.create_task(two.put(reading(2)))
            await until(lambda: not made.intake._batch.messages)
            assert not more.done()
            made.journal.hold.set()
            await until(more.done)

    asyncio.run(scenario())


def test_a_pause_takes_nothing() -> None:
    async def scenario() -> None:
        link = MadeLink()
        async with Made([link]) as made:
            await made.intake.pause("outbox")
            await made.intake.pause("other")
            waiting = asyncio.create_task(link.put(reading(1)))
            await made.intake.resume("other")
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert made.state() == "paused"
            assert made.intake.pending_messages == 0
            await made.intake.resume("outbox")
            await until(lambda: link.acked == [0])
            assert made.state() == "running"

    asyncio.run(scenario())


def test_stop_is_in_order_and_flushes() -> None:
    async def scenario() -> None:
        log: list[str] = []
        one, two = MadeLink("one", log=log), MadeLink("two", log=log)
        async with Made([one, two], settings=IntakeSettings(commit_interval_ms=NEVER_MS)) as made:
            await one.put(reading(1), reading(2))
            await two.put(reading(3))
            assert made.journal.commits == 0
        assert made.journal.committed == [1, 2, 3]
        assert made.given == [([1, 2, 3], ARRIVAL_MS)]
        assert log == ["one close_input", "two close_input", "one ack 2", "two ack 1", "one stop", "two stop"]
        await one.put(reading(9))  # too late: not taken, not acknowledged, so the broker keeps it
        assert made.intake.pending_messages == 0
        assert one.acked == [0, 1]

    asyncio.run(scenario())


def test_stop_leaves_to_the_broker_what_cannot_be_committed() -> None:
    async def scenario() -> None:
        link = MadeLink()
        settings = IntakeSettings(commit_interval_ms=1.0, retry_min_s=3600, retry_max_s=3600)
        made = Made([link], settings=settings)
        made.journal.failures = [JournalError("disk full", retryable=True) for _ in range(9)]
        async with made:
            await link.put(reading(1))
            await until(lambda: made.intake.status.state == "failing")
        assert link.acked == []
        assert link.log == ["test close_input", "test stop"]

    asyncio.run(scenario())


def test_stop_while_paused() -> None:
    async def scenario() -> None:
        link = MadeLink()
        async with Made([link], settings=IntakeSettings(commit_interval_ms=NEVER_MS)) as made:
            await link.put(reading(1))
            await made.intake.pause("outbox")
            waiting = asyncio.create_task(link.put(reading(2), first=1))
        await waiting
        assert link.acked == [0]

    asyncio.run(scenario())


def test_two_links_are_acknowledged_and_counted_apart() -> None:
    async def scenario() -> None:
        one, two = MadeLink("one"), MadeLink("two")
        async with Made([one, two], settings=IntakeSettings(commit_interval_ms=NEVER_MS)) as made:
            await one.put(reading(1))
            await two.put("{", first=100)
            await one.put(reading(2), first=1)
        assert one.acked == [0, 1]
        assert two.acked == [100]
        assert made.metrics.counts["messages", "one", "accepted"] == 2
        assert made.metrics.counts["messages", "two", "rejected"] == 1

    asyncio.run(scenario())


def test_quiet_is_between_batches() -> None:
    async def scenario() -> None:
        link = MadeLink()
        inside, leave = asyncio.Event(), asyncio.Event()
        done: list[float] = []

        async def on_committed(columns: ReadingColumns, _: int) -> None:
            inside.set()
            await leave.wait()
            done.extend(columns.value.tolist())

        async with Made([link], on_committed=on_committed) as made:
            await link.put(reading(1))
            await inside.wait()
            entered = asyncio.Event()

            async def exchange() -> None:
                async with made.intake.quiet():
                    assert done == [1]
                    made.intake.decoder = NativeDecoder(registry(()))
                    entered.set()

            exchanging = asyncio.create_task(exchange())
            await link.put(reading(2), first=1)
            assert not entered.is_set()
            leave.set()
            await exchanging
            await until(lambda: len(link.acked) == 2)
            assert [reject.reason for reject in made.quarantine.rejects] == ["unknown_device"]

    asyncio.run(scenario())


def test_a_decoder_s_mistake_stays_with_its_message() -> None:
    class Stumbling:
        def __init__(self) -> None:
            self.good = NativeDecoder(registry())

        def decode(self, messages: Sequence[Message]) -> Decoded:
            if any(b"stumble" in message.payload for message in messages):
                raise ZeroDivisionError("stumbled \udc00")
            return self.good.decode(messages)

    async def scenario() -> None:
        link = MadeLink()
        async with Made([link], decoder=Stumbling()) as made:
            await link.put(reading(1), "stumble", reading(2), "{")
            await until(lambda: len(link.acked) == 4)
            assert made.journal.committed == [1, 2]
            assert [reject.reason for reject in made.quarantine.rejects] == ["decoder_failed", "malformed"]
            assert made.quarantine.rejects[0].detail == "ZeroDivisionError: stumbled \\udc00"

    asyncio.run(scenario())


REQUEST = Outgoing("test", "ask/gw-1", b"again")


class Remembering:
    """A decoder whose batches have something to remember and a gateway to ask."""

    def __init__(self) -> None:
        self.inner = NativeDecoder(registry())

    def decode(self, messages: Sequence[Message]) -> Decoded:
        found = self.inner.decode(messages)
        memory = Memory({"gw": {"last": messages[-1].payload}}, ())
        return replace(found, requests=[REQUEST], memory=memory)


def test_what_sources_remember_is_kept_before_the_acknowledgement() -> None:
    async def scenario() -> None:
        link = MadeLink()
        made = Made([link], decoder=Remembering())
        made.memory.failures = [StoreError("locked", kind="locked", retryable=True) for _ in range(2)]
        states: list[tuple[str, list[object]]] = []
        made.intake._on_status = lambda status: states.append((status.state, list(link.acked)))
        async with made:
            await link.put(reading(1))
            await until(lambda: bool(made.given))
            assert made.journal.committed == [1], "what was journaled is not journaled again"
            assert made.memory.saved == [Memory({"gw": {"last": reading(1).encode()}}, ())]
        assert states[:2] == [("failing", []), ("failing", [])]

    asyncio.run(scenario())


def test_what_is_quarantined_is_not_quarantined_again_when_the_memory_fails() -> None:
    async def scenario() -> None:
        link = MadeLink()
        made = Made([link], decoder=Remembering())
        made.memory.failures = [StoreError("locked", kind="locked", retryable=True) for _ in range(2)]
        async with made:
            await link.put(reading(1), "{")
            await until(lambda: bool(made.given))
            assert [reject.reason for reject in made.quarantine.rejects] == ["malformed"]

    asyncio.run(scenario())


def test_gateways_are_asked_when_the_batch_is_safe() -> None:
    async def scenario() -> None:
        link = MadeLink()
        async with Made([link], decoder=Remembering()) as made:
            await link.put(reading(1))
            await until(lambda: bool(made.given))
            assert link.published == [("ask/gw-1", b"again")]
            assert link.log[:2] == ["test ack 1", "test publish ask/gw-1"]

    asyncio.run(scenario())


def test_nothing_to_remember_is_not_written() -> None:
    async def scenario() -> None:
        link = MadeLink()
        async with Made([link]) as made:
            await link.put(reading(1))
            await until(lambda: bool(made.given))
            assert made.memory.saved == []

    asyncio.run(scenario())
