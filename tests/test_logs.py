"""What stands in the log, and what must never."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from monitor.logs import Format, Level, Throttle, configure


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging belongs to the process: leave it as it was found."""
    loggers = [logging.getLogger(), logging.getLogger("monitor")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    structlog.reset_defaults()
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


class Log:
    def __init__(self, format: Format, level: Level = "info", *secrets: str) -> None:  # noqa: A002  # as in monitor.yaml
        self.stream = io.StringIO()
        self.ours = structlog.get_logger("monitor.probe")  # before configure, as those of modules
        configure(format, level, stream=self.stream, secrets=secrets)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def test_json_has_one_object_a_line_with_fields_as_they_are() -> None:
    log = Log("json")
    log.ours.info("step_stored", readings=3, building="Trụ sở", share=0.5, open=None, ids=["a", "b"], first=True)
    [record] = log.records
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", record.pop("timestamp"))
    assert record == {
        "event": "step_stored",
        "level": "info",
        "logger": "monitor.probe",
        "readings": 3,
        "building": "Trụ sở",
        "share": 0.5,
        "open": None,
        "ids": ["a", "b"],
        "first": True,
    }
    assert "Trụ sở" in log.lines[0]


def test_text_is_a_line_without_colours_where_there_is_no_terminal() -> None:
    log = Log("text")
    log.ours.warning("disk_low", free_bytes=12)
    [line] = log.lines
    assert re.search(r"Z \[warning *\] disk_low +\[monitor\.probe\] free_bytes=12$", line)
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["ours debug", "ours info", "ours warning", "ours error", "theirs warning", "theirs error"]),
        ("info", ["ours info", "ours warning", "ours error", "theirs warning", "theirs error"]),
        ("warning", ["ours warning", "ours error", "theirs warning", "theirs error"]),
        ("error", ["ours error", "theirs error"]),
    ],
)
def test_the_level_is_for_ours_and_libraries_begin_at_warning(level: Level, shown: list[str]) -> None:
    log = Log("json", level)
    theirs = logging.getLogger("library.part")
    for name in ("debug", "info", "warning", "error"):
        getattr(log.ours, name)(f"ours {name}")
    for name in ("debug", "info", "warning", "error"):
        getattr(theirs, name)("theirs %s", name)
    assert [record["event"] for record in log.records] == shown


def test_configuring_again_replaces_what_was_set() -> None:
    first = Log("json")
    second = Log("json", "error")
    second.ours.warning("hidden")
    second.ours.error("shown")
    assert first.lines == []
    assert [record["event"] for record in second.records] == ["shown"]


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exception_is_told_without_its_local_variables(format: Format) -> None:  # noqa: A002  # as in monitor.yaml
    log = Log(format)
    key = "local" + "-" + "value"
    try:
        int(f"{len(key)} characters")
    except ValueError:
        log.ours.exception("failed")
    written = log.stream.getvalue()
    assert "Traceback (most recent call last)" in written
    assert "ValueError: invalid literal for int() with base 10: '11 characters'" in written
    assert "local-value" not in written


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize(
    "fields",
    [
        {"password": "hunter22"},
        {"INFLUX_TOKEN": "hunter22"},
        {"api_key": b"hunter22"},
        {"headers": {"Authorization": "Token hunter22"}},
        {"options": [{"deep": {"client_secret": "hunter22"}}]},
        {"secret": SecretStr("hunter22")},
        {"url": "mqtt://monitor:hunter22@broker.example"},
        {"request": "POST /write?db=m&u=a&p=hunter22&precision=ms"},
        {"detail": "refused: Bearer hunter22"},
        {"error": ValueError("password=hunter22")},
    ],
)
def test_secrets_are_masked_by_name_and_by_shape(format: Format, fields: dict[str, Any]) -> None:  # noqa: A002  # as in monitor.yaml
    log = Log(format)
    log.ours.info("connecting", **fields)
    assert "***" in log.stream.getvalue()
    assert "hunter22" not in log.stream.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_secrets_that_are_known_are_masked_wherever_they_occur(format: Format) -> None:  # noqa: A002  # as in monitor.yaml
    log = Log(format, "info", "s3cr3t", "s3cr3t-and-more", "", "abc")
    log.ours.info("said s3cr3t", detail=["x s3cr3t-and-more y"], other="abc")
    logging.getLogger("library").error("with %s", "s3cr3t")
    try:
        int("s3cr3t")
    except ValueError:
        log.ours.exception("failed")
    written = log.stream.getvalue()
    assert "s3cr3t" not in written
    assert "and-more" not in written
    assert "abc" in written
    assert written.count("***") == 5  # the last two: the line that failed, and what it said


def test_ordinary_fields_are_left_alone() -> None:
    log = Log("json")
    fields = {
        "url": "mqtt://broker.example:1883",
        "tokens": 4,
        "topic": "meters/a@b:c/d",
        "step=": "p=",
        "password": "",
    }
    log.ours.info("connecting", **fields)
    [record] = log.records
    assert {key: record[key] for key in fields} == fields


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_strangers_text_cannot_make_a_line_of_its_own(format: Format) -> None:  # noqa: A002  # as in monitor.yaml
    log = Log(format)
    log.ours.info("odd\nevent", topic="a\r\n2026-01-01 [error] forged\x1b[31m\x85", deep=["\n"], kind={"a\nb": 1})
    logging.getLogger("library").warning("odd\nline \x1b[2J")
    assert len(log.lines) == 2
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", log.stream.getvalue())


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exceptions_text_cannot_command_a_terminal(format: Format) -> None:  # noqa: A002  # as in monitor.yaml
    log = Log(format)
    log.ours.error("failed", exc_info=ValueError("\x1b]0;title\x07\x9b31m"))
    assert "title" in log.stream.getvalue()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", log.stream.getvalue())


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_text_that_has_no_utf8_is_still_written(format: Format) -> None:  # noqa: A002  # as in monitor.yaml
    log = Log(format)
    log.ours.info("odd", topic="a\ud800b", other="\u2028")
    if format == "json":
        assert "\\ud800" in log.lines[0]
        assert (log.records[0]["topic"], log.records[0]["other"]) == ("a\ud800b", "\u2028")
    assert log.stream.getvalue().count("\n") == 1
    assert len(log.stream.getvalue().encode("utf-8")) > 10


def test_what_json_does_not_know_is_still_written() -> None:
    log = Log("json")
    log.ours.info("odd", what=object, deep=[[[[[[1]]]]]], names={1: {2}}, number=float("nan"))
    [record] = log.records
    assert record["what"] == "<class 'object'>"
    assert record["names"] == {"1": [2]}


def test_lines_of_libraries_carry_their_fields() -> None:
    log = Log("json")
    logging.getLogger("library").warning("odd", extra={"broker": "main", "password": "hunter22"})
    [record] = log.records
    assert (record["logger"], record["broker"], record["password"]) == ("library", "main", "***")


# -- throttle ----------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_one_message_of_each_key_is_let_through_in_a_while() -> None:
    clock = Clock()
    throttle = Throttle(10.0, now_s=clock)
    assert [throttle.admit("a"), throttle.admit("a"), throttle.admit("b"), throttle.admit("a")] == [0, None, 0, None]
    clock.now_s = 9.9
    assert throttle.admit("a") is None
    clock.now_s = 10.0
    assert throttle.admit("a") == 3
    assert throttle.admit("a") is None


def test_when_it_is_over_the_next_one_is_said_at_once() -> None:
    throttle = Throttle(10.0, now_s=Clock())
    throttle.admit("a")
    throttle.admit("a")
    assert throttle.over("a") == 1
    assert throttle.over("a") == 0
    assert throttle.admit("a") == 0


def test_it_remembers_no_more_keys_than_it_may() -> None:
    throttle = Throttle(10.0, max_keys=2, now_s=Clock())
    for key in ("a", "b", "a", "c"):
        throttle.admit(key)
    assert throttle.admit("a") is None
    assert throttle.admit("c") is None
    assert throttle.admit("b") == 0
