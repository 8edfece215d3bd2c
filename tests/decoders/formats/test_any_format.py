"""Whatever comes, every format keeps what `monitor.decoders.values.Format` promises.

Nothing but UnreadableError is raised; findings, time and state are bounded; a restart between any two messages changes
nothing; a message that comes again says nothing new. Payloads are noise, random JSON, and the format's fixtures with
their bytes, values, keys and order changed.

The suite looks at a few, always the same. For a long look by hand, with other random numbers each time:

    MONITOR_FUZZ_SECONDS=600 python -m pytest -q -s --timeout=0 -k long tests/decoders/formats/test_any_format.py

shares the seconds among the formats (`-k "long and senml"` for one) and shows the messages that broke a promise.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.decoders.formats import FORMATS, sparkplug_payload
from monitor.decoders.options import Options
from monitor.decoders.sources import MAX_TOPIC_CHARS
from monitor.decoders.state import SourceState
from monitor.decoders.values import UnreadableError
from monitor.ingest.message import Message
from tests.decoders.mutations import RECEIVED_MS, Sequence, fixtures, mutated, options_for, vocabulary
from tests.decoders.promises import Reader, Told, containers, read_all, restarted_each_time
from tests.decoders.topics import ODD_TOPICS, TOPICS

FUZZ_S = float(os.environ.get("MONITOR_FUZZ_SECONDS", "0"))
FEW = settings(max_examples=15, deadline=None, derandomize=True, database=None)
FORMAT_NAMES = list(FORMATS)
WITH_FIXTURES = [name for name in FORMATS if fixtures(name)]
OPTIONS = Options(timezone=ZoneInfo("Europe/Paris"))
MANY_IDS = 12_000
MOST_CACHED = 10_001
"""Entries of any dict or list of a format's own: what it may compute again."""
LONG_IDS, LONG_ID_CHARS = 500, 50_000
MOST_CACHED_CHARS = 8_000_000
NUMBER_IN_JSON = re.compile(rb"(?<=[:\[,\s])-?\d+(?:\.\d+)?(?=\s*[,\]}])")
DAY_MS = 86_400_000
SPARKPLUG_NODE = re.compile(r"/[ND](?:BIRTH|DATA)/([^/]+)")
LEARNS_ITS_ID = frozenset({"ac_controllers", "ams_han"})
"""Formats that tell a message under a better id once a later message has named it."""


def message(topic: str, payload: bytes, *, retain: bool = False) -> Message:
    return Message(topic, payload, retain, RECEIVED_MS, "main")


def topics_of(name: str) -> list[str]:
    usual = [*TOPICS.get(name, ()), *(each.topic for sequence in fixtures(name)[:20] for each in sequence.messages[:3])]
    return list(dict.fromkeys([*usual, *ODD_TOPICS]))


@functools.cache
def documents(name: str) -> st.SearchStrategy[Any]:
    """JSON of the format's own words and of everything else."""
    words = st.sampled_from(vocabulary(name))
    scalars = st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), words),
        st.sampled_from([10**400, -(10**30), "\ud800", "NaN", "2026-06-28T09:15:00Z", 1_782_638_100_000, "12.5"]),
    )
    keys = st.one_of(words, words, words, st.text(max_size=5))
    return st.recursive(
        scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=5)),
        max_leaves=12,
    )


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_noise(name: str) -> None:
    """Bytes and JSON that mean nothing, on any topic."""
    topics = st.one_of(st.sampled_from(topics_of(name)), st.text(st.characters(exclude_characters="\0", codec="utf-8")))
    payloads = st.one_of(st.binary(max_size=200), documents(name).map(lambda each: json.dumps(each).encode()))

    @FEW
    @given(st.lists(st.tuples(topics, payloads, st.booleans()), min_size=1, max_size=6))
    def check(parts: list[tuple[str, bytes, bool]]) -> None:
        messages = [message(topic, payload, retain=retain) for topic, payload, retain in parts]
        assert_same(read_all(name, OPTIONS, messages)[0], restarted_each_time(name, OPTIONS, messages)[0])

    check()


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_odd_topics(name: str) -> None:
    payloads = [b"", b"1", b"on", b"{}", b"[]", b"\xff", b'{"value": 1}', b"[[[[1]]]]", b"NaN", b"null", b'"x"']
    payloads += [each.payload for sequence in fixtures(name)[:4] for each in sequence.messages[:1]]
    reader = Reader(name, OPTIONS)
    for topic in (*topics_of(name)[:60], *ODD_TOPICS):
        for payload in payloads:
            reader.read(message(topic, payload))


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_long_payloads_take_no_longer_than_their_length(name: str) -> None:
    size = 200_000
    words = vocabulary(name)
    many_keys = {f"{words[number % len(words)]}{number}": number for number in range(size // 30)}
    texts = [
        *(b"[" * size, b'{"a":' * (size // 5), b"9" * size, b'"' + b"\\u0000" * (size // 6) + b'"', b"\n" * size),
        *(b"\x0a" * size, b"\x80" * size, b"/" * size, b"1-0:1.8.0(1*kWh)\r\n" * (size // 18), b" " * size),
        *(b"a,b=c d=1 1\n" * (size // 12), json.dumps(many_keys).encode(), json.dumps([many_keys]).encode()),
        *(json.dumps([[1, "x"]] * (size // 12)).encode(), json.dumps([{"a": []}] * 9000).encode(), b"\xff" * size),
        json.dumps(dict.fromkeys(words[:10], "x" * 20_000)).encode(),
        b"{" + b",".join(b'"%d":{"%d":1}' % (i, i) for i in range(9000)) + b"}",
    ]  # fmt: skip
    topics = [sequence.messages[0].topic for sequence in fixtures(name)[:2]] or list(TOPICS.get(name, ("a/b",)))[:2]
    for sequence in fixtures(name)[:6]:
        payload = sequence.messages[-1].payload
        texts += [
            b"[" + b",".join([payload] * (size // (len(payload) + 1))) + b"]",
            payload * (size // (len(payload) + 1)),
        ]
    reader = Reader(name, OPTIONS)
    for topic in topics:
        for text in texts:
            reader.read(message(topic, text))
    reader.state.changes()


@pytest.mark.parametrize("name", WITH_FIXTURES)
def test_messages_that_are_nearly_right(name: str) -> None:
    @FEW
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        for step in range(4):
            keeps_promises(name, mutated(name, Random(seed + step)))

    check()


@pytest.mark.parametrize("name", WITH_FIXTURES)
def test_numbers_of_any_size_can_be_remembered(name: str) -> None:
    """JSON has integers that nothing else has."""
    for sequence in fixtures(name):
        for at, each in enumerate(sequence.messages[:6]):
            for match in list(NUMBER_IN_JSON.finditer(each.payload))[:25]:
                for other in (b"9" * 30, b"-" + b"9" * 30, b"9" * 400, b"1e999"):
                    reader = Reader(name, sequence.options)
                    for before in sequence.messages[max(0, at - 2) : at]:
                        reader.read(before)
                    payload = each.payload[: match.start()] + other + each.payload[match.end() :]
                    reader.read(replace(each, payload=payload))
                    reader.state.changes()
                    assert reader.state.evicted == 0, payload[:1000]


@pytest.mark.parametrize("name", WITH_FIXTURES)
def test_what_comes_again_says_nothing_new(name: str) -> None:
    """After a crash: the state knows messages that the broker sends once more."""
    for sequence in fixtures(name):
        for count in (1, 2, 5):
            says_nothing_new(name, sequence, count)


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_many_ids_do_not_fill_the_memory(name: str) -> None:
    options, shapes, ids = shapes_and_ids(name)
    state = SourceState(max_entries=100, max_bytes=1_000_000)
    reader = Reader(name, options, state)
    for number in range(MANY_IDS):
        shape = shapes[number % len(shapes)]
        # As long as it was, so that lengths inside stay right.
        others = {part: f"{number:x}".rjust(len(part), part[0])[-len(part) :] for part in ids}
        topic, payload = renamed(shape, others)
        if topic == shape.topic:
            topic = f"{topic}{number}" if number % 2 else f"{number}{topic}"
        reader.read(message(topic, payload))
        assert len(state) <= 100
        if number % 50 == 0:
            state.changes()
            assert state._bytes <= 1_000_000 or len(state) == 1
    largest = max((len(each) for each in containers(reader.format)), default=0)
    assert largest <= MOST_CACHED


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_long_ids_do_not_fill_the_memory(name: str) -> None:
    """Topics are as long as a source lets them be, payloads much longer."""
    options, shapes, ids = shapes_and_ids(name)
    reader = Reader(name, options, SourceState(max_entries=100))
    for number in range(LONG_IDS):
        shape = shapes[number % len(shapes)]
        topic, _ = renamed(shape, {part: f"{part}{number}" for part in ids[:1]})
        _, payload = renamed(shape, {part: f"{part}{number}" + "x" * LONG_ID_CHARS for part in ids[:1]})
        reader.read(message(f"{topic}{number}"[:MAX_TOPIC_CHARS].ljust(MAX_TOPIC_CHARS, "x"), payload))
        reader.read(message(topic, payload))
    strings = {
        id(each): len(each) for box in containers(reader.format) for each in box if isinstance(each, str | bytes)
    }
    assert sum(strings.values()) <= MOST_CACHED_CHARS


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_no_cache_of_the_module_is_unbounded(name: str) -> None:
    module = sys.modules[FORMATS[name].make.__module__]
    for each in vars(module).values():
        if hasattr(each, "cache_info"):
            assert each.cache_info().maxsize is not None, each


def shapes_and_ids(name: str) -> tuple[Options, list[Message], list[str]]:
    """Some messages of the fixtures, and the parts of the ids that they give, the longest first."""
    known = fixtures(name)[:8]
    shapes = [each for sequence in known for each in sequence.messages[:2]]
    if not shapes:
        return OPTIONS, [message(TOPICS[name][0], b'{"id": "abc", "energy_kwh": 5}')], ["abc"]
    told = [each for sequence in known for each in read_all(name, sequence.options, sequence.messages[:2])[0]]
    parts = {part for each in told for value in each.values for part in value[0].replace("#", "/").split("/")}
    return known[0].options, shapes, sorted((part for part in parts if len(part) > 2), key=len, reverse=True)


def renamed(shape: Message, others: dict[str, str]) -> tuple[str, bytes]:
    topic, payload = shape.topic, shape.payload
    for part, other in others.items():
        topic, payload = topic.replace(part, other), payload.replace(part.encode(), other.encode())
    return topic, payload


def assert_same(whole: list[Told], other: list[Told]) -> None:
    assert len(whole) == len(other)
    for number, (one, two) in enumerate(zip(whole, other, strict=True)):
        assert one == two, f"message {number} after a restart"


def keeps_promises(name: str, sequence: Sequence) -> None:
    whole, state = read_all(name, sequence.options, sequence.messages)
    again, stored = restarted_each_time(name, sequence.options, sequence.messages)
    assert_same(whole, again)
    size = sum(len(each.payload) + len(each.topic) for each in sequence.messages)
    assert sum(map(len, [*stored, *stored.values()])) <= 50 * size + 100_000
    assert len(state) == len(stored)


def says_nothing_new(name: str, sequence: Sequence, count: int) -> None:
    """Readings without a time of their own are as of their arrival, whenever that is. A message that said nothing had
    to wait for another one, and may speak when it comes again. Of a local time that comes twice nobody can tell. A sum
    bears the name of the part that came, whichever it was: the reading is the same. Where the times of one quantity are
    more than a day apart a clock was wrong, and what came late is no longer told from what is new. Of births of one
    time that differ, nobody can tell later which of them a value under an alias was sent by, nor where a node's clock
    went back, nor of one without a time or a number whether it comes again."""
    if name == "sparkplug_b" and births_are_unclear(sequence):
        return
    reader = Reader(name, sequence.options)
    first = [reader.read(each) for each in sequence.messages]
    values = [value for told in first for value in told.values]
    said = {known(name, value) for value in values}
    times: dict[tuple[str, str], list[int]] = {}
    for source_id, quantity, _, ts_ms, _ in values:
        if ts_ms is not None:
            times.setdefault((source_id, quantity), []).append(ts_ms)
    jumped = {meter for meter, all_ms in times.items() if max(all_ms) - min(all_ms) > DAY_MS}
    for each, before in list(zip(sequence.messages, first, strict=True))[-count:]:
        told = reader.read(each)
        if not before.values or "ambiguous_time" in told.reasons[2]:
            continue
        new = [
            value
            for value in told.values
            if value[3] is not None and known(name, value) not in said and value[:2] not in jumped
        ]
        assert not new, f"the last {count} again: {new}, from {each.topic} {each.payload[:200]!r}"


def births_are_unclear(sequence: Sequence) -> bool:
    """Whether births of one node or device at one time are not the same, one is older than what its node said before,
    or one has no time or no number."""
    births: dict[tuple[str, int], bytes] = {}
    latest: dict[str, int] = {}
    for each in sequence.messages:
        try:
            payload = sparkplug_payload.read(each.payload)
        except UnreadableError:
            continue
        stamp = payload.timestamp
        node = "".join(SPARKPLUG_NODE.findall(each.topic))
        is_dated = isinstance(stamp, int) and stamp > 0
        if "BIRTH" in each.topic and (
            not is_dated
            or payload.seq is None
            or stamp < latest.get(node, 0)
            or births.setdefault((each.topic, stamp), each.payload) != each.payload
        ):
            return True
        if is_dated:
            latest[node] = max(stamp, latest.get(node, 0))
    return False


def known(name: str, value: tuple[str, str, str, int | None, str]) -> tuple[object, ...]:
    """(source_id, quantity, value, ts_ms), without the id where it may become a better one."""
    return value[1:4] if name in LEARNS_ITS_ID else value[:4]


@pytest.mark.skipif(not FUZZ_S, reason="by hand: see the module's docstring")
@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_long(name: str, request: pytest.FixtureRequest) -> None:
    session = request.session
    share_s = FUZZ_S / max(sum("test_long[" in item.name for item in session.items), 1)
    random = Random()
    failures: dict[str, str] = {}
    until = time.monotonic() + share_s
    sequences = 0
    while time.monotonic() < until:
        sequence = mutated(name, random) if fixtures(name) and random.random() < 0.9 else noise(name, random)
        sequences += 1
        for check in (keeps_promises, functools.partial(says_nothing_new, count=random.choice([1, 2, 5]))):
            what = failure(check, name, sequence)
            if what is not None and what not in failures:
                failures[what] = shortened(check, name, sequence, what)
    print(f"\n{name}: {sequences} sequences")
    for what, example in failures.items():
        print(f"--- {what}\n{example}")
    assert not failures


def noise(name: str, random: Random) -> Sequence:
    def document(depth: int) -> Any:
        what = random.random()
        if depth > 3 or what < 0.3:
            return random.choice(
                [None, True, -1, 5.5, "x", "5", float("nan"), 10**30, "\ud800", random.choice(vocabulary(name))]
            )
        if what < 0.5:
            return [document(depth + 1) for _ in range(random.randrange(4))]
        return {random.choice(vocabulary(name)): document(depth + 1) for _ in range(random.randrange(6))}

    topics = topics_of(name)
    payloads = [json.dumps(document(0)).encode() if random.random() < 0.9 else random.randbytes(40) for _ in range(5)]
    messages = tuple(message(random.choice(topics), each, retain=random.random() < 0.2) for each in payloads)
    return Sequence(options_for(name, random), messages)


def failure(check: Callable[..., None], name: str, sequence: Sequence) -> str | None:
    """Where a check fails, and how; None if it does not."""
    try:
        check(name, sequence)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/monitor/" in frame.filename] or frames
        inner = ours[-1] if not isinstance(error, AssertionError) else frames[-1]
        return f"{type(error).__name__} at {Path(inner.filename).name}:{inner.lineno} {inner.name}"
    return None


def shortened(check: Callable[..., None], name: str, sequence: Sequence, what: str) -> str:
    """The fewest messages that fail alike, with what is said of them."""
    messages = list(sequence.messages)
    at = 0
    while at < len(messages):
        fewer = Sequence(sequence.options, (*messages[:at], *messages[at + 1 :]))
        if failure(check, name, fewer) == what:
            messages = list(fewer.messages)
        else:
            at += 1
    try:
        check(name, Sequence(sequence.options, tuple(messages)))
        said = "(not again)"
    except Exception as error:  # noqa: BLE001  # see above
        said = str(error)[:1500]
    lines = [f"{each.topic[:200]!r} {each.payload[:1500]!r} {each.retain} {each.received_ms}" for each in messages[:12]]
    return "\n".join([said, repr(sequence.options)[:600], *lines])
