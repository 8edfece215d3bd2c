"""Payloads to plain values, plain values to numbers and to texts for people."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decoders.payloads import read_json, shown, text_of, to_number
from monitor.decoders.values import UnreadableError
from tests.decoders.promises import processor_time_below


@pytest.mark.parametrize(
    ("payload", "document"),
    [
        (b'{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1}\0\0', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": NaN, "a": 2}', {"a": 2}),
        (b" 5 ", 5),
        (b'{"a": 1e999, "b": 1}', {"a": math.inf, "b": 1}),
        (b'{"a": -Infinity}', {"a": -math.inf}),
        (b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        (rb'{"a\ud800": "\uDC00b", "c": "\ud83d\ude00"}', {"a?": "?b", "c": "😀"}),
        (rb'["\ud800", NaN, "\\ud800"]', ["?", pytest.approx(math.nan, nan_ok=True), "\\ud800"]),
    ],
)
def test_json_as_gateways_write_it(payload: bytes, document: Any) -> None:
    assert read_json(payload) == document


def test_nan_is_lost_without_its_neighbours() -> None:
    document = read_json(b'{"a": NaN, "b": 1}')
    assert math.isnan(document["a"])
    assert document["b"] == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"a": "\xff"}',
        b'{"a\xa2": 1}',
        b"{'a': 1}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 100_000,
        b"nope",
        b'"\x01"',
        b"{}{}",
    ],
)
def test_what_is_no_json(payload: bytes) -> None:
    with processor_time_below(5.0), pytest.raises(UnreadableError) as caught:
        read_json(payload)
    assert caught.value.reason == "malformed"
    assert len(caught.value.detail) < 300


@pytest.mark.parametrize("payload", [b"", b" \r\n\0"])
def test_an_empty_payload_is_called_so(payload: bytes) -> None:
    with pytest.raises(UnreadableError, match="the payload is empty"):
        read_json(payload)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b" 12.5\r\n", "12.5"),
        (b'"on"', "on"),
        (b'"', '"'),
        (b"", ""),
        (b"\xef\xbb\xbfoff\0", "off"),
        (b'""', ""),
        (b'"a', '"a'),
    ],
)
def test_plain_text(payload: bytes, text: str) -> None:
    assert text_of(payload) == text


def test_no_text() -> None:
    with pytest.raises(UnreadableError, match="no UTF-8"):
        text_of(b"\xff" * 1000)


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (5, 5.0),
        (2.5, 2.5),
        ("12.5", 12.5),
        (" 7 ", 7.0),
        ("-1e3", -1000.0),
        (10**400, math.inf),
        (1e308 * 10, math.inf),
    ],
)
def test_numbers(raw: Any, number: float) -> None:
    assert to_number(raw) == number
    assert isinstance(to_number(raw), float)


@pytest.mark.parametrize(
    "raw", [None, math.nan, "nan", "NaN", "-nan", "", " ", "null", "None", "UNKNOWN", "unavailable", "n/a", "-", "--"]
)
def test_what_says_that_there_is_no_value(raw: Any) -> None:
    assert to_number(raw) is None


@pytest.mark.parametrize("raw", [True, False, [], {}, b"5", "5 kWh", "1_000", "0x10", "5,5", "x" * 61, "9" * 61])
def test_what_is_no_number(raw: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        to_number(raw)


def nested(depth: int) -> Any:
    document: Any = []
    for _ in range(depth):
        document = [document]
    return document


def test_shown_is_short_printable_and_writable() -> None:
    long = ("x" * 100_000, b"\xff\x00" * 100_000, "ế" * 60, "😀" * 70, "\x00" * 70)
    odd = ("a\nb\x00\ud800", "\u202e", "", b"", 10**6000, {"a": 10**6000}, nested(100_000))
    for raw in (*long, *odd, None, 5, object()):
        text = shown(raw)
        assert text.isprintable()
        text.encode()
        assert len(text) <= 60


def test_shown_leaves_plain_things_alone() -> None:
    assert shown("Đồng hồ 1") == "Đồng hồ 1"
    assert shown(b"abc") == "abc"
    assert shown("x" * 61) == "x" * 59 + "…"
    assert shown(2.5) == "2.5"


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.lists(st.text())))
def test_shown_of_anything(raw: Any) -> None:
    text = shown(raw)
    assert text.isprintable()
    assert len(text) <= 60


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
        max_leaves=8,
    )
)
def test_json_comes_back(document: Any) -> None:
    assert read_json(json.dumps(document).encode()) == document
