"""One log on standard error, as text or JSON: ours through structlog, that of the libraries through logging.

Modules write `structlog.get_logger(__name__)` and name events in snake case, with figures and ids as fields. Secrets
are masked by the names of fields, by the shapes that they have in texts, and by value where the caller knows them.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["Format", "Level", "Throttle", "configure"]

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

_OURS = "monitor"
_MASK = "***"
_MIN_SECRET_CHARS = 4
"""Shorter ones would mask half of every line."""
_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|token|authorization|credential|api_?key|private_?key", re.IGNORECASE
)
_SECRET_SHAPES = (
    re.compile(r"(?P<before>://[^/\s:@]*:)[^/\s@]+(?=@)"),  # user:password@ in a url
    re.compile(r"(?P<before>\b(?:Bearer|Basic|Token)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE),
    re.compile(
        r"(?P<before>\b(?:password|passwd|token|secret|p)=)[^\s&;,'\"]+", re.IGNORECASE
    ),  # p: InfluxDB 1's query
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What could end a line, command a terminal or not be written as UTF-8; topics and payloads are strangers' texts."""
_CONTROL_IN_BLOCK = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LEFT_BY_JSON = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""JSON escapes the other ones itself."""
_BLOCKS = frozenset({"exception", "stack"})
"""Fields of several lines."""
_MAX_DEPTH = 4


def configure(format: Format, level: Level, *, stream: TextIO | None = None, secrets: Sequence[str] = ()) -> None:  # noqa: A002  # as in monitor.yaml
    """Set logging up for the process; calling it again replaces what was set.

    level: the least that is shown of ours; of the libraries never less than a warning. stream: standard error if not
    given. secrets: values that are masked wherever they occur."""
    stream = sys.stderr if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    clean = _Clean(tuple(secret for secret in secrets if len(secret) >= _MIN_SECRET_CHARS), escape=format == "text")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # loggers of modules are made before this is called
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _without_repetition],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,  # as plain text: the richer ones show local variables
            clean,
            _renderer(format, stream),
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger(_OURS).setLevel(threshold)


def _renderer(format: Format, stream: TextIO) -> Processor:  # noqa: A002  # as in monitor.yaml
    if format == "json":
        return structlog.processors.JSONRenderer(serializer=_json)
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), pad_event_to=32, exception_formatter=structlog.dev.plain_traceback
    )


def _json(event: EventDict, **options: Any) -> str:
    text = json.dumps(event, ensure_ascii=False, **options)
    return _LEFT_BY_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _without_repetition(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Another handler that has formatted a library's record before leaves the whole text in it."""
    event.pop("message", None)
    return event


class _Clean:
    """A processor: masks secrets, and in text also escapes control characters (JSON does so itself)."""

    def __init__(self, secrets: tuple[str, ...], *, escape: bool) -> None:
        self._secrets = sorted(secrets, key=len, reverse=True)  # one may be part of another
        self._escape = escape

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: self._field(key, value, 0) for key, value in event.items()}

    def _field(self, key: object, value: Any, depth: int) -> Any:
        if isinstance(key, str) and _SECRET_NAME.search(key) and isinstance(value, str | bytes):
            return _MASK if value else value
        if isinstance(value, str):
            return self._text(value, _CONTROL_IN_BLOCK if key in _BLOCKS else _CONTROL)
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth < _MAX_DEPTH:
            if isinstance(value, Mapping):
                return {
                    name if isinstance(name, str) else repr(name): self._field(name, item, depth + 1)
                    for name, item in value.items()
                }
            if isinstance(value, list | tuple | set | frozenset):
                return [self._field(None, item, depth + 1) for item in value]
        return self._text(str(value) if isinstance(value, BaseException) else repr(value), _CONTROL)

    def _text(self, text: str, control: re.Pattern[str]) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        for shape in _SECRET_SHAPES:
            text = shape.sub(rf"\g<before>{_MASK}", text)
        return control.sub(lambda found: repr(found.group())[1:-1], text) if self._escape else text


class Throttle:
    """Lets one message of each kind through in a while, so that an outage does not flood the log.

    ```
    if (hidden := throttle.admit(broker)) is not None:
        log.warning("broker_unreachable", broker=broker, hidden=hidden)
    ...
    log.info("broker_connected", broker=broker, hidden=throttle.over(broker))
    ```
    All methods may be called from any thread."""

    def __init__(
        self, every_s: float = 60.0, *, max_keys: int = 1000, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """every_s: one message of each key in so many seconds. max_keys: so many are remembered, the ones used last.
        now_s: seconds of a clock that never goes back."""
        self._every_s = every_s
        self._max_keys = max_keys
        self._now_s = now_s
        self._lock = threading.Lock()
        self._seen: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()
        """Key to when one was let through, and how many were not since."""

    def admit(self, key: Hashable) -> int | None:
        """None: say nothing. Otherwise say it, and that so many of the same were not said since the last one."""
        now_s = self._now_s()
        with self._lock:
            said_s, hidden = self._seen.get(key, (None, 0))
            if said_s is not None and now_s - said_s < self._every_s:
                self._seen[key] = (said_s, hidden + 1)
                self._seen.move_to_end(key)
                return None
            self._seen[key] = (now_s, 0)
            self._seen.move_to_end(key)
            if len(self._seen) > self._max_keys:
                self._seen.popitem(last=False)
            return hidden

    def over(self, key: Hashable) -> int:
        """It is over: the next one is said at once. How many were not said since the last one."""
        with self._lock:
            return self._seen.pop(key, (0.0, 0))[1]
