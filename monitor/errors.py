"""The exception tree. Whether to try again is a field of ours, never read from a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


class MonitorError(Exception):
    """Base of all errors of this project.

    `retryable`: the same call may succeed later without anybody changing anything.
    """

    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about the configuration. `str()` gives the line that `check` prints."""

    file: str
    found: str
    """What stands there and why it is wrong, with what was expected and what to do."""
    line: int | None = None
    column: str | None = None
    warning: bool = False

    def __str__(self) -> str:
        place = self.file
        if self.line is not None:
            place += f":{self.line}"
        if self.column is not None:
            place += f" {self.column}"
        return f"{place}: {'warning: ' if self.warning else ''}{self.found}"


class ConfigError(MonitorError):
    """The configuration cannot be used. Carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class InputError(MonitorError):
    """A file given to a command (replay input) cannot be read. The message names file and row."""


class DecodeError(MonitorError):
    """A payload that no reading can be taken from. `reason` is the quarantine's reason."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        super().__init__(f"{reason}: {detail}" if detail else reason)


class JournalError(MonitorError):
    """The journal or a checkpoint cannot be read or written. Nothing may be acknowledged."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        self.retryable = retryable
        super().__init__(message)


class StoreError(MonitorError):
    """A store did not take a write. `kind` is the label of `sink_errors_total`."""

    def __init__(self, message: str, *, kind: str, retryable: bool) -> None:
        self.kind = kind
        self.retryable = retryable
        super().__init__(message)


class BrokerError(MonitorError):
    """The connection to an MQTT broker failed."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        self.retryable = retryable
        super().__init__(message)


@contextmanager
def ungrouped(*kinds: type[MonitorError]) -> Iterator[None]:
    """Where a group of tasks ended with errors of these kinds alone, the first of them is raised in its place.

    Not by `except*`: what is raised there comes in a group again before Python 3.11.4."""
    try:
        yield
    except BaseExceptionGroup as group:
        _, others = group.split(kinds)
        if others is not None:
            raise
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group
