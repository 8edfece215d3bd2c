"""What a source remembers: bounds, what goes first, and that it comes back as it was."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decoders.state import SourceState

values = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=5,
)
keys = st.sampled_from("abcdefgh")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys, st.one_of(st.none(), values)),
        st.tuples(st.just("get"), keys, st.none()),
        st.tuples(st.just("discard"), keys, st.none()),
        st.tuples(st.just("changes"), keys, st.none()),
    ),
    max_size=60,
)


def merge(stored: dict[str, bytes], changes: dict[str, bytes | None]) -> None:
    for key, encoded in changes.items():
        stored.pop(key, None)
        if encoded is not None:
            stored[key] = encoded


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(steps, st.integers(1, 6))
def test_like_a_dict_that_forgets_the_longest_unused(steps: list[tuple[str, str, Any]], most: int) -> None:
    state = SourceState(max_entries=most)
    model: OrderedDict[str, Any] = OrderedDict()
    stored: dict[str, bytes] = {}
    evicted = 0
    for what, key, value in steps:
        if what == "put" and value is not None:
            state.put(key, value)
            model[key] = value
            model.move_to_end(key)
            if len(model) > most:
                model.popitem(last=False)
                evicted += 1
        elif what == "get":
            assert state.get(key) == model.get(key)
            if key in model:
                model.move_to_end(key)
        elif what == "changes":
            merge(stored, state.changes())
            assert {key: msgspec.msgpack.decode(each) for key, each in stored.items()} == dict(model)
            assert state.changes() == {}
        else:
            if what == "put":
                state.put(key, None)
            else:
                state.discard(key)
            model.pop(key, None)
        assert len(state) == len(model) <= most
        assert state.evicted == evicted
    merge(stored, state.changes())
    again = SourceState(stored, max_entries=most)
    assert len(again) == len(model)
    for key in "abcdefgh":
        assert again.get(key) == state.get(key) == model.get(key)
    assert again.changes() == {}


def test_nothing_is_there_at_first() -> None:
    state = SourceState()
    assert len(state) == 0
    assert state.get("a") is None
    state.discard("a")
    assert state.changes() == {}


@pytest.mark.parametrize("value", [False, 0, 0.0, "", b"", [], {}])
def test_what_is_empty_is_an_entry_all_the_same(value: Any) -> None:
    state = SourceState()
    state.put("a", value)
    assert len(SourceState({key: each for key, each in state.changes().items() if each is not None})) == 1
    assert state.get("a") == value


def test_a_tuple_comes_back_as_a_list() -> None:
    state = SourceState()
    state.put("a", (1, ("b", None)))
    encoded = state.changes()["a"]
    assert encoded is not None
    assert SourceState({"a": encoded}).get("a") == [1, ["b", None]]


def test_changes_say_what_is_gone_even_of_what_was_never_written_down() -> None:
    state = SourceState(max_entries=2)
    state.put("a", 1)
    state.put("b", 2)
    state.changes()
    state.put("c", 3)
    state.discard("b")
    changes = state.changes()
    assert changes == {"a": None, "b": None, "c": msgspec.msgpack.encode(3)}
    assert state.evicted == 1


def test_bytes_are_bounded_and_the_longest_unused_go_first() -> None:
    state = SourceState(max_bytes=1000)
    stored: dict[str, bytes] = {}
    for number in range(20):
        state.put(str(number), b"x" * 100)
        state.get("0")
        merge(stored, state.changes())
        assert sum(len(key) + len(each) for key, each in stored.items()) <= 1000
    assert list(stored)[-1] == "19"
    assert "0" in stored
    assert "1" not in stored
    assert state.evicted == 20 - len(stored) == 20 - len(state)


def test_keys_count_as_bytes() -> None:
    state = SourceState(max_bytes=1000)
    for number in range(20):
        state.put(f"{number:0200}", True)
        state.changes()
    assert len(state) < 5


def test_one_entry_may_be_larger_than_the_bound() -> None:
    state = SourceState(max_bytes=100)
    state.put("a", b"x" * 1000)
    state.put("b", b"x" * 1000)
    assert list(state.changes()) == ["a", "b"]
    assert len(state) == 1
    assert state.get("b") is not None


def test_bytes_are_given_back() -> None:
    state = SourceState(max_bytes=1000)
    for number in range(50):
        state.put("a", b"x" * (900 - number))
        state.changes()
        state.put("b", b"x" * 50)
        state.changes()
        state.discard("b")
        state.changes()
    assert state.evicted == 0


def test_an_earlier_larger_bound_is_corrected_by_the_next_entry() -> None:
    stored = {str(number): msgspec.msgpack.encode(number) for number in range(50)}
    state = SourceState(stored, max_entries=10)
    state.put("x", 1)
    assert len(state) == 10
    merge(stored, state.changes())
    assert list(stored) == [*map(str, range(41, 50)), "x"]
    state = SourceState({str(number): msgspec.msgpack.encode("x" * 99) for number in range(50)}, max_bytes=1000)
    state.put("x", 1)
    state.changes()
    assert len(state) < 11


def test_what_cannot_be_written_down_does_not_stop_the_rest() -> None:
    state = SourceState()
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    for key, value in (
        ("a", 10**30),
        ("b", "\ud800"),
        ("c", object()),
        ("d", 5),
        ("e", nested),
        ("f", {"x": [-(10**30)]}),
    ):
        state.put(key, value)
    assert state.changes() == {**dict.fromkeys("abcef"), "d": msgspec.msgpack.encode(5)}
    assert len(state) == 1
    assert state.evicted == 5
    assert state.get("a") is None
    assert state.changes() == {}


def test_a_value_changed_in_place_is_written_down_again() -> None:
    state = SourceState()
    state.put("a", [1])
    state.changes()
    state.get("a").append(2)
    assert state.changes() == {}
    state.put_back("a")
    assert state.changes() == {"a": msgspec.msgpack.encode([1, 2])}
