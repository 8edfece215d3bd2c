"""Line protocol: what fixtures cannot say."""

from __future__ import annotations

import random
from typing import Any

import pytest

from monitor.decoders.formats.line_protocol import LineProtocol, check_options
from monitor.decoders.formats.line_syntax import MalformedLineError, read, value_of
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message
from tests.decoders.promises import processor_time_below

ARRIVAL_MS = 1_782_638_100_000


def found_in(payload: bytes, **options: Any) -> Found:
    state = SourceState()
    found = Found(state)
    LineProtocol(Options(**options), state).read(Message("t", payload, False, ARRIVAL_MS, "main"), found)
    found.end_message()
    return found


@pytest.mark.parametrize(
    "line",
    ["m,a=b f=1,g=2i 12", "m f=t", 'm f=1,g="x" 7', "m,a=1,b=2 f=-1.5e3"],
)
def test_a_line_is_the_same_with_and_without_escapes(line: str) -> None:
    plain = read(line)
    head, rest = line.split(" ", 1)
    escaped = read(f"{head},z=\\ {head} {rest}" if "," in head else f"{head},z=\\  {rest}")
    assert (escaped.fields, escaped.stamp) == (plain.fields, plain.stamp)
    assert escaped.series()[0] == plain.series()[0]


def test_escapes_are_undone() -> None:
    line = read(r'my\ meter,room\=no=1\,2,path=C:\dir fie\ ld="a \"b\" \\ , c=d" 5')
    assert line.series() == ("my meter", [("room=no", "1,2"), ("path", "C:\\dir")])
    assert [(name, value_of(raw)) for name, raw in line.fields] == [("fie ld", 'a "b" \\ , c=d')]
    assert line.stamp == 5


@pytest.mark.parametrize("raw", ["t", "T", "true", "True", "TRUE"])
def test_true(raw: str) -> None:
    assert value_of(raw) is True


@pytest.mark.parametrize("raw", ["abc", "1x", "1_000", "i", "9" * 100, "--1", "0x10"])
def test_values_that_are_none(raw: str) -> None:
    with pytest.raises(MalformedLineError):
        value_of(raw)


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({}, 0),
        ({"precision": "ms", "id_tag": "serial"}, 0),
        ({"precision": "m"}, 1),
        ({"precision": ["ms"]}, 1),
        ({"id_tag": ""}, 1),
        ({"id_tag": 3, "other": 1}, 2),
    ],
)
def test_options_are_checked(more: dict[str, Any], count: int) -> None:
    assert len(check_options(more)) == count


def test_many_bad_lines_are_counted() -> None:
    found = found_in(b"nonsense\n" * 5000)
    assert len(found.rejected) == 101
    assert sum(one.readings for one in found.rejected) == 5000


@pytest.mark.parametrize(
    "payload",
    [
        b'm f="' + b"a\n" * 200_000,
        b'"\n' * 200_000,
        b"m,a=" + b"\\," * 300_000 + b" f=1",
        b"m," + b"a" * 600_000 + b"\\",
        b"\\" * 600_000,
        b"m " + b"f=1," * 150_000,
        b"m " + b"f=" * 300_000,
        b"m,a=b f=" + b"9" * 600_000,
        b"m,a=b power_kw=1 " + b"9" * 600_000,
        b'm f="' + b'\\"' * 300_000,
        b"m " + b"=\\" * 300_000,
    ],
)
def test_time_is_bounded_by_length(payload: bytes) -> None:
    with processor_time_below(5.0):
        found = found_in(payload)
    assert found.values == []


def test_any_bytes_are_read_or_refused() -> None:
    rng = random.Random(5)
    alphabet = [b"m", b",", b"=", b" ", b"\\", b'"', b"\n", b"power_kw", b"1", b"i", b"t", b"id", b"\x00", b"\xc3\xa9"]
    state = SourceState()
    reader = LineProtocol(Options(), state)
    for _ in range(3000):
        payload = b"".join(rng.choices(alphabet, k=rng.randrange(40)))
        found = Found(state)
        try:
            reader.read(Message("t", payload, False, ARRIVAL_MS, "main"), found)
        except UnreadableError:
            continue
    assert len(state) == 0


@pytest.mark.parametrize("fields", [("energy_kwh", "temperature", "x"), ("energy_kwh", "on", "x")])
def test_lines_of_a_shape_seen_often_are_read_as_new_ones(fields: tuple[str, ...]) -> None:
    state = SourceState()
    often = LineProtocol(Options(), state)
    found = Found(state)
    usual = ",".join(f"{field}=1" for field in fields)
    for _ in range(30):
        often.read(Message("t", f"m,id=a {usual} 1782637200".encode(), False, ARRIVAL_MS, "main"), found)
    assert [shape.match is not None for shape in often._shapes.values()] == [True]
    values = ["5", "-5.5", "+5", "5i", "5.5u", "1e3", "1e999", "nan", "inf", "-127", "true", "cool", "-", "e5", "1.2.3"]
    values += ["", "1_0", "0x10", "5=5", "٣", "5ii", "9" * 49, "9" * 50, "9" * 51, "9" * 60, "9" * 61]
    lines = [f"m,id=a {fields[0]}={value},{fields[1]}={value},x=1 1782637201" for value in values]
    lines += [f"m,id=a {usual} {stamp}" for stamp in ("-5", "", "x", "9" * 19, "9" * 20, "9" * 21, "1 2", "+1", "٣")]
    lines += [f"m,id=a {usual}", f"m,id=a {usual},y=1 5", f"m,id=a y=1,{usual} 5", f"m,id=a {usual[:-1]} 5"]
    for line in lines:
        found.clear()
        often.read(Message("t", line.encode(), False, ARRIVAL_MS, "main"), found)
        found.end_message()
        new = found_in(line.encode())
        assert (repr(found.values), found.rejected, found.ignored) == (repr(new.values), new.rejected, new.ignored)


@pytest.mark.parametrize(("power_in", "power_out"), [(3, 0), (0, 1.5), (2, 1)])
@pytest.mark.parametrize("name", ["power_kw", "active_power_kw"])
def test_directions_in_tags_make_one_power(name: str, power_in: float, power_out: float) -> None:
    lines = f"p,id=a,direction=import {name}={power_in}\np,id=a,direction=export {name}={power_out}"
    values = found_in(lines.encode()).values
    assert [(value.quantity, value.value) for value in values] == [("power_kw", power_in - power_out)]


def test_memory_of_series_is_bounded() -> None:
    state = SourceState()
    reader = LineProtocol(Options(), state)
    for first in range(0, 12_000, 3000):
        payload = "\n".join(f"m,id={number} power_kw=1" for number in range(first, first + 3000)).encode()
        reader.read(Message("t", payload, False, ARRIVAL_MS, "main"), Found(state))
    assert len(reader._cache) <= 5000
    reader.read(Message("t", b"m,id=" + b"x" * 5000 + b" power_kw=1", False, ARRIVAL_MS, "main"), Found(state))
    assert all(len(head) < 1000 for _, head, _ in reader._cache)
    reader.read(Message("t", b"m,id=a " + b"x" * 5000 + b"=1,power_kw=1", False, ARRIVAL_MS, "main"), Found(state))
    assert [*reader._cache["t", "m,id=a", None].targets] == ["power_kw"]


def test_memory_of_shapes_is_bounded() -> None:
    state = SourceState()
    found = Found(state)
    reader = LineProtocol(Options(), state)
    for number in range(1200):
        fields = ",".join(f"f{number}_{each}{'x' * 60}=1" for each in range(number % 60))
        reader.read(Message("t", f"m a=1,{fields or 'b=2'} 5".encode(), False, ARRIVAL_MS, "main"), found)
        found.clear()
    assert 0 < len(reader._shapes) <= 500
    assert max(sum(len(field) for field, _ in shape) for shape in reader._shapes) <= 2000
