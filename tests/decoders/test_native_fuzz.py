"""Whatever comes in, a batch comes out: no exception, and the neighbours are whole."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from monitor.decoders.native import NativeDecoder
from tests.decoders.made import message, registry

DECODER = NativeDecoder(registry())
GOOD = b'{"ts": 1782638100, "register": 77}'

documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.text(max_size=8), st.sampled_from(["ts", "device", "readings", "register", "on", "mode"])),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def check(payload: bytes, topic: str = "meters/gw-1/M-1", *, retain: bool = False) -> None:
    good = message(GOOD)
    decoded = DECODER.decode([good, message(payload, topic, retain=retain), good])
    assert decoded.columns.value[decoded.message_of_row != 1].tolist() == [77.0, 77.0]
    rows = int((decoded.message_of_row == 1).sum())
    assert rows or decoded.rejects or decoded.ignored, "silently dropped"
    for reject in decoded.rejects:
        assert len(reject.detail) <= 200
        assert reject.detail.isprintable()


@seed(1)
@settings(max_examples=250, deadline=None, database=None)
@given(st.binary(max_size=200), st.booleans())
def test_bytes(payload: bytes, retain: bool) -> None:
    check(payload, retain=retain)


@seed(2)
@settings(max_examples=300, deadline=None, database=None)
@given(documents, st.text(max_size=20), st.booleans())
def test_documents(document: object, topic: str, retain: bool) -> None:
    check(json.dumps(document).encode(), retain=retain)
    check(json.dumps({"readings": [document]}, ensure_ascii=True).encode(), f"meters/{topic}/M-1")


@seed(3)
@settings(max_examples=250, deadline=None, database=None)
@given(st.data())
def test_damaged(data: st.DataObject) -> None:
    whole = bytearray(b'{"readings": [{"device": "AC-01", "ts": "2026-06-28T09:15:00Z", "on": 1, "setpoint_c": 24.5}]}')
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


BOMBS: dict[str, Callable[[int], bytes]] = {
    "lists": lambda size: b"[" * size,
    "objects": lambda size: b'{"a":' * (size // 5),
    "closed": lambda size: b'{"readings":' + b"[" * (size // 2 - 10) + b"]" * (size // 2 - 10) + b"}",
    "below the limit": lambda _: b'{"x":' + b"[" * 300 + b"]" * 300 + b"}",
    "digits": lambda size: b'{"register": ' + b"9" * (size - 20) + b"}",
    "fraction": lambda size: b'{"register": 0.' + b"1" * (size - 20) + b"}",
    "exponent": lambda size: b'{"register": 1e' + b"9" * (size - 20) + b"}",
    "keys": lambda size: b"{" + b",".join(b'"%d":1' % number for number in range(size // 10)) + b"}",
    "one key": lambda size: b"{" + b",".join([b'"on":1'] * (size // 7 - 1)) + b"}",
    "spaces": lambda size: b" " * size,
    "quote": lambda size: b'{"' + b"a" * (size - 2),
    "escapes": lambda size: b'{"device": "' + b"\\u0000" * (size // 6 - 10) + b'", "on": 1}',
    "zeros": lambda size: b"\0" * size,
    "many sets": lambda size: b'{"readings": [' + b",".join([b"{}"] * (size // 3 - 10)) + b"]}",
    "strings": lambda size: b'{"readings": [' + b",".join([b'""'] * (size // 3 - 10)) + b"]}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    payload = BOMBS[name](262_144)
    assert len(payload) <= 262_144
    check(payload)
