"""What messages yield, one plain line a finding: how a gateway is tried before it is connected, and how formats are
tested."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from monitor.decoders.decoded import DETAIL_CHARS, Limits
from monitor.decoders.mapping import MONITORED, arrival_ms, nearest_decimal
from monitor.decoders.rejections import unaccepted
from monitor.decoders.sources import Source, SourceReader
from monitor.decoders.state import SourceState
from monitor.decoders.unmeasured import unmeasured
from monitor.decoders.values import Rejected, Value
from monitor.detect.rejection import REASONS, rejection
from monitor.ingest.message import Message

__all__ = ["Trial"]

_IS_AC = np.array([False, True])


class Trial:
    """Reads a sequence of messages as one source does, without devices.

    A reading is a line `{"source_id", "quantity", "value", "ts"}` in canonical units, ts in ISO 8601 UTC; other lines
    have the key `rejected`, `ignored`, `flagged` or `requested`.
    """

    def __init__(self, source: Source, limits: Limits | None = None, *, state: SourceState | None = None) -> None:
        """Raises KeyError for a format that is none of `FORMATS`."""
        self._limits = limits or Limits()
        self._is_native = source.format == "native"
        self._reader = SourceReader(source, self._limits, state)

    @property
    def state(self) -> SourceState:
        return self._reader.state

    def read(self, message: Message) -> Iterator[dict[str, Any]]:
        found = self._reader.read(message)
        lines, rejected, ignored = self._judged(message, found.values)
        yield from lines
        for reject in [*found.rejected, *rejected]:
            yield {"rejected": reject.reason, "detail": reject.detail[:DETAIL_CHARS], "topic": message.topic}
        ignored = [*found.ignored, *ignored]
        if not (lines or rejected or ignored or found.rejected):
            ignored = ["no_reading"]
        for reason in dict.fromkeys(ignored):
            yield {"ignored": reason, "topic": message.topic}
        for reason in dict.fromkeys(found.flagged):
            yield {"flagged": reason, "topic": message.topic}
        for request in found.requests:
            yield {"requested": request.topic}

    def _judged(
        self, message: Message, found: Sequence[Value]
    ) -> tuple[list[dict[str, Any]], list[Rejected], list[str]]:
        values: list[tuple[Value, int]] = []
        ignored: list[str] = []
        for value in found:
            ts_ms = arrival_ms(message) if value.ts_ms is None else value.ts_ms
            if ts_ms is None:
                ignored.append("retained_without_time")
            else:
                values.append((value, ts_ms))
        measured = nearest_decimal(np.array([value.value for value, _ in values], np.float64))
        quantity = [MONITORED[value.quantity] for value, _ in values]
        numbers = np.array([number for number, _ in quantity], np.int64)
        age_d = self._limits.max_age_d
        reasons = rejection(
            np.array([is_ac for _, is_ac in quantity], np.int64),
            numbers,
            np.array([min(max(ts_ms, 0), 1 << 62) for _, ts_ms in values], np.int64),
            measured,
            _IS_AC,
            latest_ms=message.received_ms + round(self._limits.max_future_s * 1000),
            earliest_ms=None if age_d is None else message.received_ms - round(age_d * 86_400_000),
        ).tolist()
        lines: list[dict[str, Any]] = []
        rejected: list[Rejected] = []
        nothing = (unmeasured(numbers, measured) & (not self._is_native)).tolist()
        for (value, ts_ms), number, reason, is_nothing in zip(values, measured.tolist(), reasons, nothing, strict=True):
            if is_nothing:
                ignored.append("no_value")
            elif reason:
                why = REASONS[reason]
                rejected.append(Rejected(why, unaccepted(why, value, ts_ms, message.received_ms)))
            else:
                lines.append(
                    {
                        "source_id": value.source_id,
                        "quantity": value.quantity,
                        "value": number + 0.0,  # -0.0 becomes 0.0
                        "ts": _iso(ts_ms),
                    }
                )
        return lines, rejected, ignored


def _iso(ts_ms: int) -> str:
    moment = dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=ts_ms)  # noqa: DTZ001  # Z is added
    return moment.isoformat(timespec="milliseconds" if ts_ms % 1000 else "seconds") + "Z"
