"""Telegrams of a known shape are read as line by line, and those that only look alike are not taken for one."""

from __future__ import annotations

import random

import pytest

from monitor.decoders.formats import dsmr_shape
from monitor.decoders.formats.dsmr_lines import Telegram, parse
from monitor.decoders.formats.dsmr_shape import Shapes

BODY = b"\r\n".join(
    [
        *(b"/XMX5LGBBFG1009394887", b"", b"1-3:0.2.8(50)", b"0-0:1.0.0(260628111458S)", b"0-0:96.1.1(4530303437)"),
        *(b"1-0:1.8.1(000100.500*kWh)", b"1-0:1.8.2(000200.250*kWh)", b"1-0:2.8.0(000003.000*kWh)"),
        *(b"0-0:96.14.0(0002)", b"1-0:1.7.0(00.400*kW)", b"1-0:2.7.0(00.000*kW)", b"1-0:99.97.0(1)(0-0:96.7.19)"),
        *(b"0-0:96.13.0()", b"1-0:32.7.0(0230.1*V)", b"0-1:24.1.0(003)", b"0-1:96.1.0(4730303339)"),
        *(b"0-1:24.2.1(260628110000S)(01234.567*m3)", b"0-2:24.1.0(007)", b"0-2:96.1.1(57)", b"!"),
    ]
)
ODD = [b"\n", b"\r\n", b"(", b")", b")(", b"*", b"_", b":", b"e5", b" ", b"?", b"-", b"\n0-1:96.1.0()\r", b":24.3."]


@pytest.fixture
def line_by_line(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The telegrams that were read so."""
    read: list[bytes] = []

    def noted(body: bytes) -> Telegram:
        read.append(body)
        return parse(body)

    monkeypatch.setattr(dsmr_shape, "parse", noted)
    return read


def test_the_second_telegram_of_a_shape_is_cut_out(line_by_line: list[bytes]) -> None:
    shapes = Shapes()
    shapes.read(BODY)
    later = BODY.replace(b"000100.500", b"000999.125").replace(b"260628111458S", b"261228111459W")
    telegram = shapes.read(later)
    assert line_by_line == [BODY]
    assert telegram == parse(later)
    assert telegram.time == b"261228111459W"
    assert telegram.tariffs["register"]["t1"] == ("1-0:1.8.1", 999.125, b"kWh")
    assert list(telegram.channels) == ["1", "2"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"1-0:1.8.1", b"1-0:1.8.3"),
        (b"0-0:96.14.0(0002", b"1-1:1.8.3(000002"),
        (b"00.400*kW", b"00400.*Wh"),
        (b"000100.500*kWh", b"000100.500*MWh"),
        (b"(0230.1", b"\n1-0:1."),
        (b"0230.1*V", b"02301)(V"),
        (b"00.400", b"00:400"),
        (b"000100.500", b"0001_0.500"),
        (b"1-0:99.97.0(1)(0-0", b"1-0:99.97.0(1)\n0-0"),
    ],
)
def test_what_only_looks_alike_is_read_line_by_line(old: bytes, new: bytes, line_by_line: list[bytes]) -> None:
    shapes = Shapes()
    shapes.read(BODY)
    other = BODY.replace(old, new)
    assert len(other) == len(BODY)
    assert other != BODY
    assert repr(shapes.read(other)) == repr(parse(other))
    assert line_by_line == [BODY, other]


@pytest.mark.parametrize(
    "line",
    [
        b"1-0:1.7.0(00.400*kW)",  # twice
        b"1-1:1.7.0(00.400*kW)",  # the same under another code
        b"1-0:2.8.1(*kWh)",
        b"1-0:2.8.1(1_0*kWh)",
        b"1-0:2.8.1(nan*kWh)",
        b"0-3:24.3.0(260628110000)(08)(60)(1)(0-3:24.2.1)(m3)\r\n(00001.001)",
    ],
)
def test_the_unusual_makes_no_shape(line: bytes, line_by_line: list[bytes]) -> None:
    shapes = Shapes()
    unusual = BODY.replace(b"\r\n!", b"\r\n" + line + b"\r\n!")
    for _ in range(3):
        assert repr(shapes.read(unusual)) == repr(parse(unusual))
    assert line_by_line == [unusual] * 3


def test_the_number_of_the_highest_rank_counts(line_by_line: list[bytes]) -> None:
    shapes = Shapes()
    both = BODY.replace(b"0-0:96.1.1(4530303437)", b"0-0:96.1.1(11)\r\n0-0:42.0.0(22)\r\n0-0:96.1.0()")
    for number in (b"11", b"33"):
        body = both.replace(b"(11)", b"(" + number + b")")
        assert shapes.read(body).number == number
    assert len(line_by_line) == 1


def test_shapes_are_bounded_and_others_get_their_turn(line_by_line: list[bytes]) -> None:
    shapes = Shapes()
    first = [BODY.replace(b"1-0:99.97.0", b"1-0:9%d.97.0" % number) for number in range(8)]
    for body in first:
        shapes.read(body)
    line_by_line.clear()
    late = BODY.replace(b"1-0:99.97.0", b"1-0:98.96.0")
    for _ in range(192):
        shapes.read(late)
    assert line_by_line == [late] * 192  # there is no room for it
    for _ in range(3):
        shapes.read(late)
    assert line_by_line == [late] * 193


def test_anything_is_read_as_line_by_line() -> None:
    rng = random.Random(5)
    shapes = Shapes()
    for _ in range(5000):
        changed = bytearray(BODY)
        for _ in range(rng.randint(0, 30)):
            at = rng.randrange(1, len(changed) - 1)
            if chr(changed[at]).isdigit():
                changed[at] = rng.choice(b"0123456789" if rng.random() < 0.98 else b":;<=>?")
        if rng.random() < 0.3:
            at, odd = rng.randrange(1, len(changed) - 4), rng.choice(ODD)
            changed[at : at + rng.choice([0, 1, len(odd)])] = odd
        body = bytes(changed)
        assert repr(shapes.read(body)) == repr(parse(body))
