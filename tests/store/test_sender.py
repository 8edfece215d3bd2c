"""The sender against a server that answers as told: nothing lost, order kept, no spinning."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitor.store.influx import InfluxTarget, make_writer
from monitor.store.lines import LineBatch
from monitor.store.outbox import Outbox, insert_batches
from monitor.store.quarantine import Quarantine
from monitor.store.schema import connect, transaction
from monitor.store.sender import OutboxSender, SenderSettings
from tests.services.process import free_port
from tests.services.scripted_http import Answer, Request, ScriptedServer

NOW_MS = 1_782_637_200_000
SINK = "influx"
OK = Answer(204)


class Counted:
    """SinkMetrics that remember."""

    def __init__(self) -> None:
        self.points = 0
        self.refused_points = 0
        self.kinds: list[str] = []

    def delivered(self, sink: str, points: int) -> None:
        self.points += points

    def failed(self, sink: str, kind: str) -> None:
        self.kinds.append(kind)

    def refused(self, sink: str, points: int) -> None:
        self.refused_points += points


class Bench:
    """An outbox, and a sender whose pauses are written down instead of waited for."""

    def __init__(self, path: Path, target: InfluxTarget, *, batch_points: int = 5000) -> None:
        self.path = path
        self.outbox = Outbox(path, SINK, max_bytes=1_000_000, quarantine_rows=1000)
        self.quarantine = Quarantine(path, max_rows=1000)
        self.metrics = Counted()
        self.pauses: list[float] = []
        self.on_pause: Callable[[int], None] = lambda count: None
        self.writer = make_writer(target, now_ms=lambda: NOW_MS)
        self.sender: OutboxSender
        self._settings = SenderSettings(batch_points=batch_points, retry_min_s=1.0, retry_max_s=60.0)

    def put(self, *batches: list[bytes]) -> None:
        db = connect(self.path)
        with transaction(db):
            lines = [LineBatch(len(batch), b"".join(line + b"\n" for line in batch)) for batch in batches]
            insert_batches(db, [SINK], lines, NOW_MS)
        db.close()

    async def _pause(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        assert len(self.pauses) < 100, "spins"
        self.on_pause(len(self.pauses))
        await asyncio.sleep(0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[OutboxSender]:
        self.sender = OutboxSender(
            self.outbox,
            self.writer,
            settings=self._settings,
            metrics=self.metrics,
            now_ms=lambda: NOW_MS,
            random=lambda: 0.5,
            sleep=self._pause,
        )
        task = asyncio.create_task(self.sender.run(), name="sender")
        try:
            yield self.sender
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def drain(self, timeout_s: float = 30.0) -> bool:
        async def until_empty() -> bool:
            async with self.running() as sender:
                return await sender.drained(timeout_s)

        return asyncio.run(until_empty())

    def close(self) -> None:
        self.outbox.close()
        self.quarantine.close()
        self.writer.close()


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def bench(tmp_path: Path, version: int) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(url: str, *, batch_points: int = 5000, timeout_s: float = 10.0) -> Bench:
        target = InfluxTarget(
            1 if version == 1 else 2,
            url,
            org="o",
            bucket="b",
            token="t",
            database="d",
            timeout_s=timeout_s,
            create_database=False,
        )
        made.append(Bench(tmp_path / "monitor.sqlite", target, batch_points=batch_points))
        return made[-1]

    yield make
    for each in made:
        each.close()


def lines(first: int, last: int) -> list[bytes]:
    return [b"m v=%d %d" % (number, number) for number in range(first, last)]


def refusing(*bad: bytes, status: int = 400) -> Callable[[Request], Answer]:
    """A server that takes a request only if none of its lines is bad, and keeps nothing of it otherwise."""

    def answer(request: Request) -> Answer:
        found = [line for line in request.lines if line in bad]
        return Answer(status, b'{"error":"cannot take ' + found[0] + b'"}') if found else OK

    return answer


def taken(server: ScriptedServer) -> list[bytes]:
    return [line for request in server.requests if server.script(request) == OK for line in request.lines]


def test_what_waits_is_sent_in_order_and_gone(bench: Callable[..., Bench], version: int) -> None:
    with ScriptedServer(lambda _: OK) as server:
        one = bench(server.url)
        one.put(lines(0, 3), lines(3, 4))
        one.put(lines(4, 9))
        assert one.drain()
    (request,) = server.requests
    assert request.lines == lines(0, 9)
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.headers["Authorization"] == "Token t"
    path, query = request.path.split("?")
    wanted = {1: ("/write", {"db=d", "precision=ms"}), 2: ("/api/v2/write", {"org=o", "bucket=b", "precision=ms"})}
    assert (path, set(query.split("&"))) == wanted[version]
    assert one.outbox.stats().points == 0
    assert one.metrics.points == 9
    assert one.metrics.kinds == []
    status = one.sender.status
    assert (status.connected, status.kind, status.delivered_points, status.next_ms) == (True, "", 9, None)


def test_requests_stay_below_batch_points(bench: Callable[..., Bench]) -> None:
    with ScriptedServer(lambda _: OK) as server:
        one = bench(server.url, batch_points=5)
        one.put(lines(0, 3), lines(3, 5), lines(5, 6), lines(6, 20))
        assert one.drain()
    assert [len(request.lines) for request in server.requests] == [5, 1, 14]
    assert taken(server) == lines(0, 20)


def test_what_comes_later_is_sent_when_woken(bench: Callable[..., Bench]) -> None:
    with ScriptedServer(lambda _: OK) as server:
        one = bench(server.url)

        async def twice() -> None:
            async with one.running() as sender:
                assert await sender.drained(30)
                one.put(lines(0, 2))
                sender.wake()
                assert await sender.drained(30)

        asyncio.run(twice())
    assert taken(server) == lines(0, 2)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_bad_point_goes_to_quarantine_and_the_rest_is_delivered(bench: Callable[..., Bench], status: int) -> None:
    bad = lines(0, 100)
    with ScriptedServer(refusing(bad[37], bad[38], bad[99], status=status)) as server:
        one = bench(server.url)
        one.put(bad)
        assert one.drain()
    assert taken(server) == [line for number, line in enumerate(bad) if number not in {37, 38, 99}]
    found = list(reversed(one.quarantine.newest()))
    assert [entry.payload for entry in found] == [line + b"\n" for line in (bad[37], bad[38], bad[99])]
    assert {(entry.reason, entry.topic, entry.time_ms) for entry in found} == {("sink_rejected", SINK, NOW_MS)}
    assert "cannot take m v=37 37" in found[0].detail
    assert len(server.requests) < 50
    assert (one.metrics.points, one.metrics.refused_points) == (97, 3)
    assert set(one.metrics.kinds) == {"rejected"}
    assert one.pauses == []
    assert one.sender.status.connected is True
    assert one.sender.status.refused_points == 3


def test_one_bad_point_alone(bench: Callable[..., Bench]) -> None:
    with ScriptedServer(refusing(b"m v=0 0")) as server:
        one = bench(server.url)
        one.put(lines(0, 1))
        assert one.drain()
    assert one.quarantine.count() == 1
    assert len(server.requests) == 1


def test_many_bad_points_before_the_first_good_one(bench: Callable[..., Bench]) -> None:
    with ScriptedServer(refusing(*lines(0, 60))) as server:
        one = bench(server.url)
        one.put(lines(0, 100))
        assert one.drain()
    assert set(taken(server)) == set(lines(60, 100))
    assert taken(server)[-40:] == lines(60, 100)
    assert one.quarantine.count() == 60


def test_a_server_that_refuses_everything_empties_nothing(bench: Callable[..., Bench]) -> None:
    state = {"wrong": True}
    with ScriptedServer(lambda _: Answer(400, b"no such path") if state["wrong"] else OK) as server:
        one = bench(server.url)
        one.put(lines(0, 1000))

        def mend(pauses: int) -> None:
            assert one.sender.status.kind == "refused"
            assert one.quarantine.count() == 0
            state["wrong"] = pauses < 3

        one.on_pause = mend
        assert one.drain()
    assert one.pauses == [45.0, 45.0, 45.0]
    assert len(server.requests) < 4 * 100
    assert taken(server)[-1000:] == lines(0, 1000)
    assert one.quarantine.count() == 0


def test_a_server_that_refuses_everything_in_small_batches(bench: Callable[..., Bench]) -> None:
    """Each batch has too few points to tell; the run of refusals goes on from batch to batch."""
    state = {"wrong": True}
    with ScriptedServer(lambda _: Answer(400, b"no such path") if state["wrong"] else OK) as server:
        one = bench(server.url, batch_points=1)
        one.put(*([line] for line in lines(0, 100)))

        def mend(_: int) -> None:
            assert one.quarantine.count() < 20
            state["wrong"] = False

        one.on_pause = mend
        assert one.drain()
    assert one.quarantine.count() == 19
    assert taken(server)[-81:] == lines(19, 100)


def first_answers(*answers: Answer) -> Callable[[Request], Answer]:
    left = list(answers)
    return lambda _: left.pop(0) if left else OK


@pytest.mark.parametrize(
    ("status", "kind", "pauses"),
    [
        (500, "server", [1.5, 2.5, 4.5]),
        (503, "server", [1.5, 2.5, 4.5]),
        (429, "busy", [1.5, 2.5, 4.5]),
        (401, "auth", [45.0, 45.0, 45.0]),
        (403, "auth", [45.0, 45.0, 45.0]),
        (404, "missing", [45.0, 45.0, 45.0]),
        (302, "unexpected", [45.0, 45.0, 45.0]),
    ],
)
def test_a_server_that_does_not_want_now(
    bench: Callable[..., Bench], status: int, kind: str, pauses: list[float]
) -> None:
    bad = Answer(status, b'{"message":"not now"}', {"Location": "/elsewhere"})
    with ScriptedServer(first_answers(bad, bad, bad)) as server:
        one = bench(server.url)
        one.put(lines(0, 5))
        seen: list[tuple[str, bool | None, int]] = []
        one.on_pause = lambda _: seen.append(
            (one.sender.status.kind, one.sender.status.connected, one.outbox.stats().points)
        )
        assert one.drain()
    assert one.pauses == pauses
    assert one.metrics.kinds == [kind] * 3
    assert seen == [(kind, kind == "busy", 5)] * 3
    assert [request.lines for request in server.requests] == [lines(0, 5)] * 4
    assert one.sender.status.kind == ""
    assert "not now" in one.sender.status.last_error
    assert one.quarantine.count() == 0


def test_backoff_ends_at_its_bound(bench: Callable[..., Bench]) -> None:
    with ScriptedServer(first_answers(*[Answer(500)] * 9)) as server:
        one = bench(server.url)
        one.put(lines(0, 1))
        assert one.drain()
    assert one.pauses == [1.5, 2.5, 4.5, 8.5, 16.5, 30.5, 30.5, 30.5, 30.5]


@pytest.mark.parametrize(
    ("wish", "pause"),
    [
        ("17", 17.0),
        ("0", 1.5),
        ("999999", 3600.0),
        ("Sun, 28 Jun 2026 09:00:40 GMT", 40.0),
        ("soon", 1.5),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1.5),
    ],
)
def test_retry_after_is_honoured(bench: Callable[..., Bench], wish: str, pause: float) -> None:
    with ScriptedServer(first_answers(Answer(503, headers={"Retry-After": wish}))) as server:
        one = bench(server.url)
        one.put(lines(0, 1))
        assert one.drain()
    assert one.pauses == [pause]


def test_a_server_that_hangs_up(bench: Callable[..., Bench]) -> None:
    with ScriptedServer(first_answers(Answer(hang_up=True))) as server:
        one = bench(server.url)
        one.put(lines(0, 2))
        assert one.drain()
    assert one.metrics.kinds == ["unreachable"]
    assert [request.lines for request in server.requests] == [lines(0, 2)] * 2


def test_a_slow_server(bench: Callable[..., Bench]) -> None:
    hold = threading.Event()
    with ScriptedServer(first_answers(Answer(hold=hold))) as server:
        one = bench(server.url, timeout_s=0.2)
        one.put(lines(0, 2))
        assert one.drain()
        hold.set()
    assert one.metrics.kinds == ["timeout"]
    assert one.outbox.stats().points == 0


def test_an_answer_that_is_no_text(bench: Callable[..., Bench]) -> None:
    with ScriptedServer(first_answers(Answer(500, b"\xff\xfe\x00"))) as server:
        one = bench(server.url)
        one.put(lines(0, 1))
        assert one.drain()
    assert one.metrics.kinds in (["server"], ["unexpected"])


def test_nobody_there_yet(bench: Callable[..., Bench]) -> None:
    port = free_port()
    one = bench(f"http://127.0.0.1:{port}")
    one.put(lines(0, 2))
    seen: list[tuple[int, bool | None, int]] = []
    with contextlib.ExitStack() as later:

        def start_at_last(count: int) -> None:
            seen.append((one.sender.status.attempts, one.sender.status.connected, one.outbox.stats().points))
            if count == 3:
                later.enter_context(ScriptedServer(lambda _: OK, port=port))

        one.on_pause = start_at_last
        assert one.drain()
    assert one.metrics.kinds == ["unreachable"] * 3
    assert seen == [(1, False, 2), (2, False, 2), (3, False, 2)]
    assert (one.sender.status.attempts, one.sender.status.connected) == (0, True)


def test_a_failure_in_the_middle_of_splitting_loses_nothing(bench: Callable[..., Bench]) -> None:
    refuses = refusing(b"m v=3 3")
    count = iter(range(1000))

    def script(request: Request) -> Answer:
        return Answer(500) if next(count) in {2, 4} else refuses(request)

    with ScriptedServer(script) as server:
        one = bench(server.url)
        one.put(lines(0, 8))
        assert one.drain()
    server.script = refuses
    assert set(taken(server)) == set(lines(0, 8)) - {b"m v=3 3"}
    assert [entry.payload for entry in one.quarantine.newest()] == [b"m v=3 3\n"]
    assert one.metrics.points == 7


def test_a_cancelled_sender_leaves_what_is_not_accepted(bench: Callable[..., Bench]) -> None:
    hold, came = threading.Event(), threading.Event()

    def script(_: Request) -> Answer:
        came.set()
        return Answer(hold=hold)

    with ScriptedServer(script) as server:
        one = bench(server.url)
        one.put(lines(0, 2))

        async def cancel_while_sending() -> None:
            async with one.running():
                await asyncio.to_thread(came.wait, 30)
            hold.set()

        asyncio.run(cancel_while_sending())
        assert one.outbox.stats().points == 2
        server.script = lambda _: OK
        assert one.drain()
    assert one.outbox.stats().points == 0


def test_why_a_batch_waits_stands_beside_it(bench: Callable[..., Bench], tmp_path: Path) -> None:
    with ScriptedServer(first_answers(Answer(503, b"full"), Answer(503, b"full"))) as server:
        one = bench(server.url)
        one.put(lines(0, 1))
        found: list[tuple[int, int, str]] = []
        db = connect(tmp_path / "monitor.sqlite")
        one.on_pause = lambda _: found.append(db.execute("SELECT attempts, next_ms, last_error FROM outbox").fetchone())
        assert one.drain()
        db.close()
    assert [row[:2] for row in found] == [(1, NOW_MS + 1500), (2, NOW_MS + 2500)]
    assert "answered 503: full" in found[0][2]


def test_an_outbox_that_cannot_be_emptied_is_tried_again(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(lambda _: OK) as server:
        one = bench(server.url)
        one.put(lines(0, 2))
        one.outbox._db.execute("PRAGMA query_only = 1")

        def mend(_: int) -> None:
            assert one.sender.status.kind == "read_only"
            one.outbox._db.execute("PRAGMA query_only = 0")

        one.on_pause = mend
        assert one.drain()
    assert one.metrics.kinds == ["read_only"]
    assert one.outbox.stats().points == 0


def test_secrets_do_not_show() -> None:
    target = InfluxTarget(2, "http://h", token="hidden-1", username="u", password="hidden-2")
    assert "hidden" not in repr(target)
