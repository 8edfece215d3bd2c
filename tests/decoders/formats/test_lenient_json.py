"""Payloads that are almost JSON."""

from __future__ import annotations

import pytest

from monitor.decoders.formats.lenient_json import lenient_json
from monitor.decoders.values import UnreadableError
from tests.decoders.promises import processor_time_below


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2,], }', {"a": [1, 2]}),
        ('{"a": 1, // one\n "b": 2 // two\n}', {"a": 1, "b": 2}),
        ('{"a": 1, // the last\n}', {"a": 1}),
        ('{"a": "x, } // y",}', {"a": "x, } // y"}),
        ('{"a": "\\"",}', {"a": '"'}),
        ("{“a”: “b”}", {"a": "b"}),
        ('{"a": NaN}', None),
    ],
)
def test_what_is_read(payload: str, expected: object) -> None:
    found = lenient_json(payload.encode())
    if expected is None:
        assert found["a"] != found["a"]
    else:
        assert found == expected


@pytest.mark.parametrize(
    "payload", ["", "{", '{"a": 1, "b": 2', '{"a": "x', '{"a": 1,,}', "{'a': 1}", "x", '"\\', "//"]
)
def test_what_is_cut_off_or_none_is_not_guessed(payload: str) -> None:
    with pytest.raises(UnreadableError):
        lenient_json(payload.encode())


def test_other_encodings_are_not_guessed() -> None:
    with pytest.raises(UnreadableError):
        lenient_json('{"水表": 1,}'.encode("gbk"))


@pytest.mark.parametrize("part", ['\\"', '"', ",  ", ", ", "//", "/", "\\", '"\\', "[", '{"a":'])
def test_takes_no_longer_than_the_payload_is_long(part: str) -> None:
    payload = (part * (50_000 // len(part))).encode()
    with processor_time_below(2.0):
        for lead in (b"", b'"', b"{,"):
            with pytest.raises(UnreadableError):
                lenient_json(lead + payload)
