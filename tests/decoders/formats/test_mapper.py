"""The general mapper beyond its cases: every problem of a mapping, all formats of time, equal ways, no exception."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decoders.formats.mapper import Mapper, check
from monitor.decoders.formats.mapper_config import compile_plan
from monitor.decoders.formats.mapper_path import Every, PathError, parse
from monitor.decoders.formats.mapper_time import Clock
from monitor.decoders.formats.mapper_wanted import reader_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, LocalClock
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

RECEIVED_MS = 1_782_638_100_000
REGISTER = {"path": "e", "quantity": "register", "unit": "kWh"}


def read(more: dict[str, Any], payload: Any, topic: str = "a/b", zone: str | None = None) -> Found:
    state = SourceState()
    found = Found(state)
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    mapper = Mapper(Options(timezone=ZoneInfo(zone) if zone else None, more=more), state)
    mapper.read(Message(topic, data, False, RECEIVED_MS, "main"), found)
    found.end_message()
    return found


def values(found: Found) -> list[tuple[str, str, float]]:
    return [(value.source_id, value.quantity, value.value) for value in found.values]


@pytest.mark.parametrize(
    ("text", "decimal", "is_hinted"),
    [("12,5", ".", True), ("-1201,75 kWh", ".", True), ("a,5", ".", False), ("12.5", ",", False)],
)
def test_a_decimal_comma_that_was_not_expected_is_told(text: str, decimal: str, *, is_hinted: bool) -> None:
    (rejected,) = read({"values": [REGISTER], "decimal": decimal}, {"e": text}).rejected
    assert rejected.reason == "bad_value"
    assert rejected.detail.startswith(f"a/b e: {text} is no number")
    assert ("decimal sign" in rejected.detail) == is_hinted


@pytest.mark.parametrize(
    ("text", "ups", "steps", "is_key"),
    [
        ("a", 0, ("a",), False),
        ("a.b c.d", 0, ("a", "b c", "d"), False),
        ('a."b.c"[0][-1]', 0, ("a", "b.c", 0, -1), False),
        ("a['x]y'].z", 0, ("a", "x]y", "z"), False),
        ("[*].v{*}", 0, (Every.ITEM, "v", Every.MEMBER), False),
        ("$.gw", -1, ("gw",), False),
        ("$", -1, (), False),
        ("^^.x", 2, ("x",), False),
        ("~", 0, (), True),
        ("v{*}~", 0, ("v", Every.MEMBER), True),
    ],
)
def test_paths(text: str, ups: int, steps: tuple[object, ...], is_key: bool) -> None:
    assert parse(text) == (text, ups, steps, is_key)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 1), ("a..b", 3), ("a.", 3), ("a[", 3), ("a[x]", 3), ("a[1.5]", 3), ("a{x}", 2), ("$a", 2), ("^a", 2),
        ("a~b", 3), ('"a', 1), ("a]", 2), ("a .b", 1), ("a['x'", 6), ("a[1]b", 5),
        ("a[99999999999]", 3), ("x" * 300, 201),
    ],
)  # fmt: skip
def test_a_bad_path_names_the_character(text: str, position: int) -> None:
    with pytest.raises(PathError, match=f"at character {position} "):
        parse(text)


def test_csv_that_was_not_said_to_be_is_told_how_to_say_it() -> None:
    mapper = Mapper(Options(), SourceState())
    for payload, is_told in ((b"Date;Meter\n28.06.2026;Z1\n", True), (b'{"energy_kwh": 5', False)):
        with pytest.raises(UnreadableError, match="no JSON") as raised:
            mapper.read(Message("logger", payload, False, 0, "main"), Found(SourceState()))
        assert ("options: payload" in raised.value.detail) == is_told


@pytest.mark.parametrize(
    ("more", "where", "text"),
    [
        ({"paylod": "csv"}, "paylod", "did you mean payload"),
        ({"payload": "xml"}, "payload", "expected one of json, csv, value"),
        ({"payload": None}, "payload", "a ~ needs quotes"),
        ({"each": "a.b"}, "each", "expected [*]"),
        ({"each": "^.a[*]"}, "each", "from the root"),
        ({"each": 5}, "each", "expected a path"),
        ({"each": "a[*", "id": "x"}, "each", "at character"),
        ({"payload": "csv", "each": "a[*]"}, "each", "every line is an element"),
        ({"payload": "value", "each": "a[*]"}, "each", "the whole payload is one"),
        ({"id": []}, "id", "empty list"),
        ({"id": ["a", None]}, "id.1", "a ~ needs quotes"),
        ({"id": {"topic": 0}}, "id.topic", "counted from 1"),
        ({"id": {"topic": True}}, "id.topic", "counted from 1"),
        ({"id": {"topic": [1, "x"]}}, "id.topic", "counted from 1"),
        ({"id": {"fixed": ""}}, "id.fixed", "expected a text"),
        ({"id": {"topic": 1, "fixed": "x"}}, "id", "expected one of path, topic, fixed"),
        ({"id": {"topik": 1}}, "id.topik", "did you mean topic"),
        ({"id": "^.x"}, "id", "no object stands around the element"),
        ({"each": "a.b[*]", "id": "^^^.x"}, "id", "only 2 stand around"),
        ({"id": "~"}, "id", "~ belongs after"),
        ({"id": "x[*].y"}, "id", "leads to many places"),
        ({"payload": "value", "id": "x"}, "id", "has no paths"),
        ({"time": {"path": "t", "format": "%H:%M"}}, "time.format", "gives no date"),
        ({"time": {"path": "t", "format": "%Y-%m-%d"}}, "time.format", "gives no hour"),
        ({"time": {"path": "t", "format": "%Y%m%d%I"}}, "time.format", "%I and %p belong together"),
        ({"time": {"path": "t", "format": "%Y%m%d%H%q"}}, "time.format", "found %q at character 9"),
        ({"time": {"path": "t", "format": "%Y%m%d%H%y"}}, "time.format", "a second time"),
        ({"time": {"path": "t", "format": "%Y%m%d%"}}, "time.format", "found % at character 7"),
        ({"time": {"path": "t", "format": "sec"}}, "time.format", "expected one of auto"),
        ({"time": {"format": "s"}}, "time.path", "expected a path"),
        ({"time": {"path": "t", "fmt": "s"}}, "time.fmt", "unknown key"),
        ({"payload": "value", "time": "t"}, "time", "expected arrival"),
        ({"values": []}, "values", "expected a list"),
        ({"values": {"path": "x"}}, "values", "expected a list"),
        ({"values": ["x"]}, "values.0", "expected keys"),
        ({"payload": "value", "values": [REGISTER, REGISTER]}, "values", "has one"),
        ({"values": [REGISTER, REGISTER]}, "values.1", "the same as values.0"),
        ({"values": [{"path": "x", "quantity": "power", "unit": "W"}]}, "values.0.quantity", "did you mean power_kw"),
        ({"values": [{"path": "x", "quantity": "register", "unit": "kwhs"}]}, "values.0.unit", "did you mean"),
        ({"values": [{"path": "x", "quantity": "register", "unit": "W"}]}, "values.0.unit", "measures power"),
        ({"values": [{"path": "x", "quantity": "register", "unit": 5}]}, "values.0.unit", "expected a text"),
        ({"values": [{"path": "x", "quantity": "register"}]}, "values.0", "has no unit"),
        ({"values": [{"path": "energy"}]}, "values.0", "has no unit"),
        ({"values": [{"path": "xyz"}]}, "values.0", "no usual name"),
        ({"values": [{"quantity": "register"}]}, "values.0", "has no unit"),
        ({"values": [{"unit": "kWh"}]}, "values.0", "expected at least a path"),
        ({"values": [{**REGISTER, "scale": "10"}]}, "values.0.scale", "expected a number"),
        ({"values": [{**REGISTER, "scale": 0}]}, "values.0.scale", "found 0"),
        ({"values": [{**REGISTER, "offset": float("inf")}]}, "values.0.offset", "expected a number"),
        ({"values": [{**REGISTER, "unit_path": "u"}]}, "values.0", "both unit and unit_path"),
        ({"values": [{**REGISTER, "modes": {}}]}, "values.0.modes", "says nothing of register"),
        ({"values": [{**REGISTER, "part": []}]}, "values.0.part", "expected a name"),
        ({"values": [{**REGISTER, "no_value": [None]}]}, "values.0.no_value.0", "a ~ needs quotes"),
        ({"values": [{"path": "m", "quantity": "mode", "unit": "W"}]}, "values.0.unit", "says nothing of mode"),
        ({"values": [{"path": "m", "quantity": "mode", "modes": {"x": "cold"}}]}, "values.0.modes.x", "mean cool"),
        ({"values": [{"path": "m", "quantity": "mode", "modes": {"x": 6}}]}, "values.0.modes.x", "expected one of off"),
        ({"values": [{"path": "m", "quantity": "mode", "modes": ["x"]}]}, "values.0.modes", "expected words"),
        ({"values": [{"path": "s", "quantity": "on", "on": [1], "off": ["1"]}]}, "values.0.off", "on already"),
        ({"values": [{**REGISTER, "path": "v[*].e"}]}, "values.0", "many values that would all be register"),
        ({"each": "a[*]", "values": [{**REGISTER, "path": "$.v[*].e", "part": "p"}]}, "values.0.path", "them in each"),
        ({"values": [{"path": "v[*].e", "name": "w[*].n"}]}, "values.0.name", "does not go over the same places"),
        ({"values": [{"path": "e", "name": "w[*].n"}]}, "values.0.name", "leads to many places"),
        ({"values": [{"path": "v[*].e", "name": "v[*].n", "scale": 2}]}, "values.0.scale", "the source's fields"),
        ({"when": "x"}, "when", "expected keys"),
        ({"when": {"is": 1}}, "when", "expected path or topic"),
        ({"when": {"path": "x", "is": 1, "is_not": 2}}, "when", "both is and is_not"),
        ({"when": [{"path": "x", "is": [[]]}]}, "when.0.is.0", "expected a text"),
        ({"commands": "set"}, "commands", "expected a list"),
        ({"columns": ["a"]}, "columns", "belongs to payload: csv"),
        ({"payload": "csv", "columns": ["a", "a"]}, "columns", "twice"),
        ({"payload": "csv", "columns": []}, "columns", "empty list"),
        ({"payload": "csv", "columns": "a,b"}, "columns", "expected a list of names"),
        ({"payload": "csv", "columns": ["time"], "id": "tim"}, "id", "did you mean time"),
        ({"payload": "csv", "columns": ["time"], "id": 2}, "id", "found column 2, expected 1 to 1"),
        ({"payload": "csv", "separator": "::"}, "separator", "one character"),
        ({"payload": "csv", "separator": ",", "decimal": ","}, "separator", "decimal sign"),
        ({"payload": "csv", "header": "no"}, "header", "true or false"),
        ({"payload": "csv", "header": False, "id": "x"}, "header", "columns are named"),
        ({"payload": "csv", "values": [{"quantity": "on"}]}, "values.0", "expected path: a column"),
        ({"decimal": ";"}, "decimal", "expected one of"),
    ],
)  # fmt: skip
def test_a_problem_says_where_and_what(more: dict[str, Any], where: str, text: str) -> None:
    problems = check(more)
    assert [problem for problem in problems if problem[0] == where and text in problem[1]], problems
    with pytest.raises(ValueError, match=r"."):
        Mapper(Options(more=more), SourceState())


def test_all_problems_come_at_once() -> None:
    more = {"each": "x", "id": "a..b", "time": {"path": "t", "format": "x"}, "values": [{"path": "p"}], "wen": 1}
    assert {where for where, _ in check(more)} == {"each", "id", "time.format", "values.0", "wen"}


SECTIONS = st.sampled_from(["payload", "each", "id", "time", "values", "when", "commands", "columns", "x"])
SUBSECTIONS = st.sampled_from(
    ["path", "name", "quantity", "unit", "unit_path", "scale", "part", "modes", "on", "off", "no_value", "is", "topic",
     "fixed", "format"]
)  # fmt: skip
SCALARS = (
    st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from([None, True, "csv", "a[*]", "$.x", "value"])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SUBSECTIONS, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(SECTIONS, ANYTHING, max_size=6))
@settings(max_examples=200, deadline=None)
def test_no_options_make_the_check_raise(more: dict[str, Any]) -> None:
    for where, text in check(more):
        assert isinstance(where, str)
        assert text


def ms(form: str, raw: object, zone: str = "Asia/Ho_Chi_Minh") -> int:
    state = SourceState()
    return Clock(form, LocalClock(ZoneInfo(zone), state)).ms(raw, "m", RECEIVED_MS, Found(state))


@pytest.mark.parametrize(
    ("form", "raw", "expected"),
    [
        ("auto", 1_782_638_100, "2026-06-28T09:15:00"),
        ("auto", 1_782_638_100.08, "2026-06-28T09:15:00.080"),
        ("auto", "1782638100123", "2026-06-28T09:15:00.123"),
        ("auto", 1_782_638_100_123_456, "2026-06-28T09:15:00.123"),
        ("auto", "1782638100123456789", "2026-06-28T09:15:00.123"),
        ("auto", "1782638100.5", "2026-06-28T09:15:00.500"),
        ("auto", "2026-06-28T09:15:00Z", "2026-06-28T09:15:00"),
        ("auto", " 2026-06-28 16:15:00 ", "2026-06-28T09:15:00"),
        ("auto", "2026/06/28 16:15:00", "2026-06-28T09:15:00"),
        ("auto", "20260628161500", "2026-06-28T09:15:00"),
        ("auto", 20260628161500123, "2026-06-28T09:15:00.123"),
        ("auto", "20260628T161500", "2026-06-28T09:15:00"),
        ("iso", "2026-06-28T16:15:00,25", "2026-06-28T09:15:00.250"),
        ("s", "1782638100.9999", "2026-06-28T09:15:00.999"),
        ("s", 1_782_638_100, "2026-06-28T09:15:00"),
        ("ms", "1782638100123.9", "2026-06-28T09:15:00.123"),
        ("us", 1_782_638_100_123_999, "2026-06-28T09:15:00.123"),
        ("ns", "1782638100123999999", "2026-06-28T09:15:00.123"),
        ("%Y%m%d%H%M%S%f", "20260628161500123", "2026-06-28T09:15:00.123"),
        ("%Y%m%d%H%M%S%f", 202606281615001, "2026-06-28T09:15:00.100"),
        ("%d.%m.%Y %H:%M", "28.06.2026 16:15", "2026-06-28T09:15:00"),
        ("%d.%m.%Y %H:%M", "28.6.2026   16:15", "2026-06-28T09:15:00"),
        ("%m/%d/%Y %I:%M:%S %p", "6/28/2026 4:15:00 PM", "2026-06-28T09:15:00"),
        ("%m/%d/%Y %I:%M:%S %p", "6/28/2026 12:15:00 a.m.", "2026-06-27T17:15:00"),
        ("%d %b %y %H.%M", "28 Jun 26 16.15", "2026-06-28T09:15:00"),
        ("%A, %d %B %Y %H:%M", "Sunday, 28 June 2026 16:15", "2026-06-28T09:15:00"),
        ("%Y-%j %H:%M:%S.%f", "2026-179 16:15:00.123456789", "2026-06-28T09:15:00.123"),
        ("%Y-%m-%d %H:%M:%S %z", "2026-06-28 11:15:00 +02:00", "2026-06-28T09:15:00"),
        ("%Y-%m-%d %H:%M:%S %z", "2026-06-28 09:15:00 Z", "2026-06-28T09:15:00"),
        ("%Y%m%d%H%%", "2026062816%", "2026-06-28T09:00:00"),
    ],
)
def test_times(form: str, raw: object, expected: str) -> None:
    moment = dt.datetime.fromisoformat(expected + "+00:00")
    assert ms(form, raw) == (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("form", "raw"),
    [
        ("auto", "soon"), ("auto", True), ("auto", [1]), ("auto", {}), ("auto", float("nan")), ("auto", 10**400),
        ("auto", "9" * 5000), ("auto", -(10**400)), ("auto", "2026-13-01T00:00:00Z"), ("auto", "20261301000000"),
        ("auto", "0001-01-01T00:00:00"), ("auto", "1e400"), ("iso", 5), ("iso", "28.06.2026"), ("s", "x"), ("s", None),
        ("s", 1e300), ("ns", "inf"), ("%Y%m%d%H", "2026063024"), ("%Y%m%d%H", "2026023012"), ("%Y%m%d%H", "२०२६०६२८१६"),
        ("%Y%m%d%H", 5.5), ("%Y%m%d%H", "x" * 5000), ("%Y%m%d%H%M%S%f", "20260628161500+07:00"),
        ("%Y %b %d %H", "2026 Foo 01 00"), ("%Y-%m-%d %H:%M:%S %z", "2026-06-28 09:15:00 +99:99"),
        ("%Y-%j %H", "2026-367 00"), ("%Y-%j %H", "9999-366 00"), ("%Y-%m-%d %I %p", "2026-06-28 13 PM"),
    ],
)  # fmt: skip
def test_what_is_no_time(form: str, raw: object) -> None:
    with pytest.raises(BadTimeError):
        ms(form, raw)


@given(
    st.datetimes(dt.datetime(2001, 1, 1), dt.datetime(2068, 12, 31)),
    st.sampled_from(
        [
            "%Y%m%d%H%M%S%f",
            "%d.%m.%Y %H:%M:%S",
            "%Y-%m-%dT%H:%M",
            "%y%m%d%H%M%S",
            "%d %b %Y %I:%M %p",
            "%Y-%j %H:%M:%S.%f",
        ]
    ),
)
@settings(max_examples=200, deadline=None)
def test_patterns_read_what_strptime_reads(moment: dt.datetime, pattern: str) -> None:
    text = moment.strftime(pattern)
    naive = dt.datetime.strptime(text, pattern)
    expected = (naive - dt.datetime(1970, 1, 1)) // dt.timedelta(milliseconds=1)
    assert ms(pattern, text, "UTC") == expected


def test_gree_says_its_state_under_get() -> None:
    more = {"payload": "value", "commands": ["set"], "id": {"topic": 1}, "values": [{"quantity": "setpoint_c"}]}
    assert values(read(more, b"24", "ac1/temperature/get")) == [("ac1", "setpoint_c", 24.0)]
    assert read(more, b"24", "ac1/temperature/SET").ignored == ["command"]
    assert read({}, {"energy_kwh": 1}, "cmnd/x/y").ignored == ["command"]


def test_what_yaml_makes_of_on_and_off() -> None:
    entry = {"path": "s", "quantity": True, True: [True, "AN"], False: [False, 7]}
    assert check({"values": [entry]}) == []
    for raw, expected in (("ON", 1.0), ("an", 1.0), (True, 1.0), ("off", 0.0), (7, 0.0), (7.0, 0.0), ("No", 0.0)):
        assert values(read({"values": [entry]}, {"s": raw})) == [("a/b", "on", expected)]
    assert read({"values": [entry]}, {"s": 1}).rejected[0].reason == "bad_value"
    mode = {"path": "m", "quantity": "mode", "modes": {"x": False, False: 4}}
    assert values(read({"values": [mode]}, {"m": "X"})) == [("a/b", "mode", 0.0)]
    assert values(read({"values": [mode]}, {"m": "off"})) == [("a/b", "mode", 4.0)]


def test_text_and_number_give_the_very_same_reading() -> None:
    more = {"id": {"fixed": "x"}, "values": [{**REGISTER, "unit": "Wh", "scale": 0.1, "offset": 3}]}
    for number in (1234.7, 0.1, -5.0, 99999999.9):
        assert values(read(more, {"e": number})) == values(read(more, {"e": str(number)}))
    with_unit = values(read(more, {"e": "12.5 kWh"}))
    assert with_unit[0][2] == pytest.approx((12.5 * 0.1) + 3)


@pytest.mark.parametrize("unit", ["kWh", "Wh", "MWh", None, "V", "", 5, "x" * 500])
def test_unit_out_of_the_message(unit: object) -> None:
    more = {"id": {"fixed": "x"}, "values": [{"path": "e", "quantity": "register", "unit_path": "u"}]}
    found = read(more, {"e": 2, "u": unit})
    factor = {"kWh": 1.0, "Wh": 0.001, "MWh": 1000.0}.get(str(unit))
    if factor is None:
        assert [each.reason for each in found.rejected] == ["unknown_unit"]
    else:
        assert values(found) == [("x", "register", 2 * factor)]


@pytest.mark.parametrize(
    "raw", ["", " ", None, [], {}, True, -1, 1.5, 10**40, "x" * 201, "a\nb", "a\u202eb", float("inf")]
)
def test_what_is_no_id(raw: object) -> None:
    found = read({"id": "m", "values": [REGISTER]}, {"m": raw, "e": 1})
    assert found.values == []
    assert [each.reason for each in found.rejected] == ["no_id"]


def test_an_element_without_value_needs_no_id() -> None:
    assert read({"id": "m", "values": [REGISTER]}, {"x": 1}).ignored == ["no_reading"]


def test_ids_out_of_the_topic() -> None:
    entry = {"values": [REGISTER]}
    for rule, expected in (
        ({"topic": 2}, "b"), ({"topic": -1}, "c d"), ({"topic": [3, 1]}, "c d/a"), ({"topic": "all"}, "a/b/c d"),
        ([{"fixed": "z"}, {"topic": 2}], "z/b"), (["q", {"topic": 1}], "Q/a"),
    ):  # fmt: skip
        assert values(read({"id": rule, **entry}, {"e": 1, "q": "Q"}, "a/b/c d"))[0][0] == expected
    assert read({"id": {"topic": 4}, **entry}, {"e": 1}, "a/b/c").rejected[0].reason == "no_id"


def test_a_key_of_an_object_is_the_usual_id() -> None:
    more = {"each": "m{*}", "values": [REGISTER]}
    assert values(read(more, {"id": "gw", "m": {"A": {"e": 1}, "B": {"e": 2, "sn": "7"}}})) == [
        ("A", "register", 1.0),
        ("7", "register", 2.0),
    ]


def test_caches_are_bounded_against_any_number_of_topics_ids_and_shapes() -> None:
    state = SourceState()
    mapper = Mapper(Options(), state)
    found = Found(state)
    for number in range(11_000):
        payload = json.dumps({f"key{number}": 1, "id": f"m{number}", "energy_kwh": 1}).encode()
        mapper.read(Message(f"t/{number}", payload, False, RECEIVED_MS, "main"), found)
        found.clear()
    mapper.read(Message("t/" + "x" * 60_000, b'{"a":1}', False, RECEIVED_MS, "main"), found)
    assert len(mapper._topics) <= 10_000
    assert len(mapper._ids.known) <= 10_000
    assert len(mapper._usual._shapes) <= 1000
    assert len(state) == 0


def test_each_element_sums_its_own_registers() -> None:
    more = {"payload": "csv", "columns": ["ts", "energy_t1_kwh", "energy_t2_kwh"]}
    found = read(more, b"1782637800,1,2\n1782637860,3,4\n")
    assert [(value.value, value.ts_ms) for value in found.values] == [
        (3.0, 1_782_637_800_000),
        (7.0, 1_782_637_860_000),
    ]


def test_reading_twice_is_harmless() -> None:
    state = SourceState()
    parts = [{**REGISTER, "path": "a", "part": 1}, {**REGISTER, "path": "b", "part": 2}]
    mapper = Mapper(Options(more={"id": {"fixed": "x"}, "time": "t", "values": parts}), state)
    seen = []
    for _ in range(2):
        found = Found(state)
        mapper.read(Message("t", b'{"a": 1, "b": 2, "t": 1782637800}', False, RECEIVED_MS, "main"), found)
        found.end_message()
        seen.append(list(found.values))
    assert seen[0] == seen[1]


PATHS = st.lists(
    st.sampled_from(
        [
            "a",
            "b.c",
            "a.b",
            "a[*].b",
            "a{*}.c",
            "a[0]",
            "b[-1].a",
            "[*].a",
            "{*}",
            "a[*][*]",
            "c[*].a.b",
            "c[*].b",
            "b.a",
        ]
    ),
    min_size=1,
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=15,
)


@given(PATHS, JSON, st.booleans())
@settings(max_examples=300, deadline=None)
def test_what_is_skipped_makes_no_difference(texts: list[str], document: object, is_list_split: bool) -> None:
    """The reader for some paths sees at each of them what the reader of everything sees."""
    steps = [parse(text).steps for text in texts]
    payload = json.dumps(document).encode()
    narrow, whole = reader_of(steps, is_list_split=is_list_split)(payload), read_json(payload)
    for each in steps:
        assert repr(follow(narrow, each)) == repr(follow(whole, each))


def follow(node: Any, steps: tuple[Any, ...]) -> Any:
    """The obvious way along a path."""
    if not steps:
        return node
    if steps[0] is Every.ITEM:
        return [follow(item, steps[1:]) for item in node] if isinstance(node, list) else None
    if steps[0] is Every.MEMBER:
        return {key: follow(item, steps[1:]) for key, item in node.items()} if isinstance(node, dict) else None
    try:
        inside = node[steps[0]] if isinstance(node, dict if isinstance(steps[0], str) else list) else None
    except (KeyError, IndexError):
        inside = None
    return follow(inside, steps[1:])


KEYS = st.sampled_from(
    ["id", "sn", "ts", "time", "e", "power_w", "energy_kwh", "energy", "power", "mode", "on", "value", "name", "unit",
     "data", "meters", "temperature", "power_export_w", "power_import_w", "energy_t1_kwh", "switch"]
)  # fmt: skip
LEAVES = st.sampled_from(
    [
        "cool",
        "on",
        "kWh",
        "2026-06-28 09:15:00",
        "20260628091500",
        "12.5 °C",
        "NaN",
        "\ud800",
        "x" * 300,
        10**400,
        -(10**20),
    ]
)
PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
INNER = st.sampled_from(["e", "sn", "data.e", "power_w", "meters[0].value", '"name"'])
IDS = st.sampled_from(["sn", "$.id", ["$.id", "sn"], {"topic": 1}, {"fixed": "x"}, {"topic": [1, -1]}])
TIMES = st.sampled_from(
    ["ts", "$.time", "arrival", {"path": "ts", "format": "s"}, {"path": ["ts", "time"], "format": "%Y%m%d%H%M%S %f"}]
)
VALUES = st.one_of(
    st.fixed_dictionaries(
        {"path": INNER, "quantity": st.sampled_from(["register", "heat_kwh"]), "unit": st.sampled_from(["kWh", "Wh"])},
        optional={
            "scale": st.floats(0.1, 10),
            "part": st.just("p"),
            "no_value": st.just([0, "x"]),
            "offset": st.just(1),
        },
    ),
    st.fixed_dictionaries({"path": INNER, "quantity": st.sampled_from(["mode", "on", "room_c", "setpoint_c"])}),
    st.fixed_dictionaries(
        {"path": INNER, "name": st.sampled_from(["name", {"topic": 1}])}, optional={"unit": st.just("W")}
    ),
    st.just({"path": "meters[*].value", "name": "meters[*].name", "unit_path": "meters[*].unit"}),
    st.just({"path": "data{*}", "name": "data{*}~"}),
    st.just({"path": "data[*].e", "quantity": "power_kw", "unit": "W", "part": "q"}),
)
MAPPINGS = st.fixed_dictionaries(
    {},
    optional={
        "each": st.sampled_from(["[*]", "{*}", "data[*]", "meters{*}", "data[*].meters[*]", "$[*][*]"]),
        "id": IDS,
        "time": TIMES,
        "values": st.lists(VALUES, min_size=1, max_size=4, unique_by=repr),
        "when": st.sampled_from([{"path": "switch", "is": ["on", 1]}, {"path": "e"}, {"topic": 2, "is_not": "x"}]),
        "decimal": st.just(","),
    },
)


@given(MAPPINGS, PAYLOADS, st.sampled_from([None, "Europe/Paris"]))
@settings(max_examples=500, deadline=None)
def test_nothing_but_unreadable_is_raised(more: dict[str, Any], payload: object, zone: str | None) -> None:
    if any("the same as" not in text for _, text in check(more)):
        pytest.fail(f"{check(more)}")
    if check(more):
        return
    try:
        found = read(more, payload, "x/y", zone)
    except UnreadableError:
        return
    assert found.values or found.rejected or found.ignored
    for value in found.values:
        value.source_id.encode()
        assert isinstance(value.value, float)


CELLS = st.sampled_from(
    [",", ";", "\t", '"', "a", "1.5", "1,5", "ts", "id", "energy_kwh", "\n", "\r\n", "#", " ", "\0", "é"]
)
TABLES = st.sampled_from(
    [
        {},
        {"decimal": ","},
        {"columns": ["id", "energy_kwh"]},
        {"id": 1, "time": 2, "values": [{"path": 3, "quantity": "on"}]},
    ]
)


@given(st.lists(CELLS, max_size=30), TABLES)
@settings(max_examples=300, deadline=None)
def test_no_csv_raises(pieces: list[str], more: dict[str, Any]) -> None:
    try:
        read({"payload": "csv", **more}, "".join(pieces).encode())
    except UnreadableError:
        return


@given(st.binary(max_size=60), st.sampled_from(["json", "csv", "value"]))
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise(payload: bytes, kind: str) -> None:
    try:
        read({"payload": kind}, payload, "x/power_w")
    except UnreadableError:
        return


def test_long_and_deep_payloads_cost_no_more_than_their_length() -> None:
    for payload in (b"[" * 100_000, b'{"data":' * 3000 + b"1" + b"}" * 3000, b'{"id":"' + b"x" * 1_000_000 + b'"}'):
        for more in ({}, {"each": "data[*]", "id": "sn", "time": "ts", "values": [REGISTER]}):
            try:
                read(more, payload)
            except UnreadableError:
                continue


AS_SAID = {
    "each": "d.m[*]",
    "id": "sn",
    "time": "ts",
    "values": [
        {"path": "e.in", "quantity": "register", "unit": "Wh", "scale": 2, "offset": -1},
        {"path": "t", "quantity": "room_c"},
        {"path": "on", "quantity": "on"},
        {"path": "p", "quantity": "power_kw", "unit": "W", "no_value": "none"},
    ],
}
METER = {"sn": "A", "ts": 1_782_638_100, "e": {"in": 5.5}, "t": 21.5, "on": "off", "p": 12, "more": [{"x": None}]}


def _changed(**members: Any) -> list[dict[str, Any]]:
    return [METER, {**METER, **members}, METER]


@pytest.mark.parametrize(
    ("document", "is_as_said"),
    [
        ({"d": {"m": _changed()}}, True),
        ({"d": {"m": []}}, True),
        ({"d": {}}, True),
        ({}, True),
        ({"d": {"m": _changed(e={})}}, True),
        ({"d": {"m": _changed(e={"in": "7 kWh"}, t=-127, on=3, p="none")}}, True),
        ({"d": {"m": _changed(e={"in": 10**18}, t=None, on=None, p={"v": 1})}}, True),
        ({"d": {"m": _changed(e={"in": 10**30}, p=True)}}, True),
        ({"d": {"m": _changed(sn=17)}}, True),
        ({"d": {"m": _changed(sn=None)}}, True),
        ({"d": {"m": _changed(sn={"A": 1})}}, True),
        ({"d": {"m": [{"sn": "\n", "ts": 1}, {"sn": "B", "ts": "then"}]}}, True),
        ({"d": {"m": _changed(ts="then")}}, True),
        ({"d": {"m": _changed(ts="2026-10-25 02:30:00")}}, True),
        ({"d": {"m": _changed(ts=None)}}, True),
        ({"d": {"m": _changed(ts="")}}, True),
        ({"d": {"m": _changed(e=None)}}, False),
        ({"d": {"m": _changed(e=[5])}}, False),
        ({"d": {"m": [METER, None, 5]}}, False),
        ({"d": {"m": METER}}, False),
        ({"d": {"m": _changed(p=float("nan"))}}, False),
        ([], False),
    ],
)
def test_payloads_built_as_the_mapping_says_are_read_as_along_trails(document: Any, is_as_said: bool) -> None:
    payload = json.dumps(document).encode()
    told = []
    for has_short_way in (True, False):
        state = SourceState()
        mapper = Mapper(Options(timezone=ZoneInfo("Europe/Paris"), more=AS_SAID), state)
        assert mapper._typed is not None
        assert (mapper._typed.read(payload, None, RECEIVED_MS, Found(SourceState())) is not None) is is_as_said
        if not has_short_way:
            mapper._typed = None
        found = Found(state)
        mapper.read(Message("a/b", payload, False, RECEIVED_MS, "main"), found)
        told.append((found.values, found.rejected, found.ignored, found.flagged, state.changes()))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("change", "has_short_way"),
    [
        ({}, True),
        ({"each": "[*]"}, True),
        ({"time": "$.ts"}, True),
        ({"time": "arrival"}, True),
        ({"id": {"topic": 2}}, True),
        ({"id": "$.gw"}, False),
        ({"id": ["$.gw", "sn"]}, False),
        ({"each": "m{*}"}, False),
        ({"each": "g[*].m[*]"}, False),
        ({"each": "[*]", "time": "$.ts"}, False),
        ({"time": ["date", "time"]}, False),
        ({"time": "$.d.m"}, False),
        ({"when": {"path": "sn"}}, False),
        ({"values": [REGISTER, {"path": "e.in", "quantity": "export_register", "unit": "kWh"}]}, False),
        ({"values": [{**REGISTER, "path": "e[0]"}]}, False),
        ({"values": [{**REGISTER, "part": "t1"}]}, False),
        ({"values": [{"path": "e", "quantity": "register", "unit_path": "u"}]}, False),
        ({"values": [{**REGISTER, "name": {"path": "n"}}]}, False),
        ({"values": [{**REGISTER, "path": "x[*].e", "name": "e", "part": "x"}]}, False),
        ({"values": [{**REGISTER, "path": "'a\"b'"}]}, False),
    ],
)
def test_mappings_that_say_how_payloads_are_built(change: dict[str, Any], has_short_way: bool) -> None:
    assert (compile_plan(Options(more={**AS_SAID, **change}), SourceState()).layout is not None) is has_short_way
