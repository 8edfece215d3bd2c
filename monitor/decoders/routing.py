"""Messages of any source to columns: each is read by the first source whose topics it fits, others as native ones.

What sources remember lives in their readers, which outlive a reload; the registry that the rows belong to does not. A
batch says what has to be remembered from there on (`Decoded.memory`), so that whoever makes its readings safe makes
that safe as well, before the messages are acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from monitor.decoders.decoded import OUTCOMES, Decoded, Limits, Memory, Outgoing, UnmappedId
from monitor.decoders.mapping import (
    FOREIGN,
    MAX_ID_CHARS,
    MONITORED,
    NOT_MONITORED,
    DeviceMap,
    arrival_ms,
    nearest_decimal,
)
from monitor.decoders.native import NativeDecoder
from monitor.decoders.payloads import shown
from monitor.decoders.rejections import Rejections, unaccepted
from monitor.decoders.sources import MAX_TOPIC_CHARS, Source, SourceReader, topic_matches
from monitor.decoders.state import SourceState
from monitor.decoders.unmapped import UnmappedLog
from monitor.decoders.unmeasured import unmeasured
from monitor.decoders.values import Found, Measured, Value
from monitor.detect.rejection import REASONS, rejection
from monitor.ingest.message import Message
from monitor.readings import ReadingColumns
from monitor.registry import Registry

__all__ = ["SourceDecoder", "Sources"]

_DAY_MS = 86_400_000
_TOPICS_CACHED = 100_000
_REQUEST_EVERY_MS = 60_000
"""A gateway is asked for the same thing once in this time."""
_REQUESTS_KEPT = 10_000


class Sources:
    """The readers of all sources, with what they remember. One thread at a time."""

    def __init__(
        self,
        sources: Sequence[Source],
        limits: Limits,
        *,
        state: Mapping[str, Mapping[str, bytes]] | None = None,
        unmapped: UnmappedLog | None = None,
    ) -> None:
        """state: what was kept for each source by its name."""
        self.unmapped = unmapped or UnmappedLog()
        self._readers = [
            SourceReader(source, limits, SourceState((state or {}).get(source.name)))
            for source in sources
            if source.format != "native"
        ]
        readers = {reader.source.name: reader for reader in self._readers}
        self._sources = tuple(sources)
        self.readers = (*(readers.get(source.name) for source in sources), None)
        """By the numbers that `number` gives; None: it is taken as a native one."""
        self._by_topic: dict[tuple[str, str], int] = {}
        self._asked: dict[tuple[str, str], int] = {}
        self._evicted = 0

    def number(self, message: Message) -> int:
        """Which source a message is of: its place among them, or how many there are where it is of none."""
        key = message.broker, message.topic
        try:
            return self._by_topic[key]
        except KeyError:
            if len(message.topic) > MAX_TOPIC_CHARS:  # as formats do, which remember topics
                return self._choose(*key)
            if len(self._by_topic) >= _TOPICS_CACHED:
                self._by_topic.clear()
            number = self._by_topic[key] = self._choose(*key)
            return number

    def _choose(self, broker: str, topic: str) -> int:
        for number, source in enumerate(self._sources):
            if source.broker in ("", broker) and any(topic_matches(topic, each) for each in source.topics):
                return number
        return len(self._sources)

    def counted(self, numbers: Sequence[int], outcome: NDArray[np.int8]) -> Counter[tuple[str, str]]:
        """How many messages of each source had each outcome.

        numbers: what `number` gives for each of m messages. outcome: int8[m], an index of `OUTCOMES`."""
        if not self._sources:
            return Counter()
        counts = np.bincount(np.array(numbers, np.int64) * len(OUTCOMES) + outcome)[
            : len(self._sources) * len(OUTCOMES)
        ]
        return Counter(
            {
                (self._sources[cell // len(OUTCOMES)].name, OUTCOMES[cell % len(OUTCOMES)]): int(counts[cell])
                for cell in np.flatnonzero(counts).tolist()
            }
        )

    def is_due(self, source: str, key: str, now_ms: int) -> bool:
        """Whether a gateway may be asked for something (again)."""
        asked = self._asked.get((source, key))
        if asked is not None and 0 <= now_ms - asked < _REQUEST_EVERY_MS:
            return False
        if len(self._asked) >= _REQUESTS_KEPT:
            self._asked.clear()
        self._asked[source, key] = now_ms
        return True

    def changes(self) -> dict[str, dict[str, bytes | None]]:
        """What each source remembers otherwise than at the last call."""
        changed = {reader.source.name: reader.state.changes() for reader in self._readers}
        return {name: changes for name, changes in changed.items() if changes}

    def forgotten(self) -> int:
        """How many entries have had to make room since the last call."""
        evicted = sum(reader.state.evicted for reader in self._readers)
        since, self._evicted = evicted - self._evicted, evicted
        return since


class _Rows:
    """The readings of known devices, as they are found."""

    def __init__(self) -> None:
        self.message: list[int] = []
        self.device: list[int] = []
        self.quantity: list[int] = []
        self.ts_ms: list[int] = []
        self.value: list[float] = []
        self.of: list[Value] = []


class SourceDecoder:
    """Decodes batches of all sources for one registry."""

    def __init__(self, registry: Registry, limits: Limits, sources: Sources) -> None:
        self._limits = limits
        self._sources = sources
        self._native = NativeDecoder(registry, limits)
        self._devices = DeviceMap(registry)
        self._is_ac = np.array([device.kind == "ac" for device in registry.devices], np.bool_)

    def decode(self, messages: Sequence[Message]) -> Decoded:
        """All readings of a batch. Never raises for what a message holds."""
        source_of, readers_of = self._sources.number, self._sources.readers
        sources = [source_of(message) for message in messages]
        decoded = self._decode(messages, [readers_of[source] for source in sources])
        return replace(decoded, of_sources=self._sources.counted(sources, decoded.outcome))

    def _decode(self, messages: Sequence[Message], readers: Sequence[SourceReader | None]) -> Decoded:
        others = [number for number, reader in enumerate(readers) if reader is not None]
        if not others:
            return self._native.decode(messages)
        native_numbers = [number for number, reader in enumerate(readers) if reader is None]
        native = self._native.decode([messages[number] for number in native_numbers])
        foreign = self._decode_sources([messages[number] for number in others], [readers[n] for n in others])
        return _merged(native, native_numbers, foreign, others, len(messages))

    def _decode_sources(self, messages: Sequence[Message], readers: Sequence[SourceReader | None]) -> Decoded:
        bad = Rejections(messages)
        ignored: Counter[str] = Counter()
        rows = _Rows()
        requests: list[Outgoing] = []
        seen: dict[tuple[str, str], UnmappedId] = {}
        for number, (message, reader) in enumerate(zip(messages, readers, strict=True)):
            assert reader is not None  # noqa: S101  # others than native ones have one
            found = reader.read(message)
            if found.values:
                self._map(number, message, reader.source.name, found, rows, bad, ignored, seen)
            if found.rejected:
                for reject in found.rejected:
                    if not bad.full(number, reject.reason):
                        bad.add(number, reject.reason, reject.detail)
            if found.ignored:
                ignored.update(found.ignored)
            elif not (found.values or found.rejected):
                ignored["no_reading"] += 1
            if found.flagged:
                ignored.update(found.flagged)
            for request in found.requests:
                if self._sources.is_due(reader.source.name, request.key, message.received_ms):
                    requests.append(Outgoing(message.broker, request.topic, request.payload))
        columns, message_of_row = self._judged(rows, messages, bad, ignored)
        taken = np.zeros(len(messages), np.bool_)
        taken[message_of_row] = True
        outcome = np.where(taken, np.where(bad.hit, 1, 0), np.where(bad.hit, 2, 3)).astype(np.int8)
        memory = Memory(self._sources.changes(), list(seen.values()))
        if forgotten := self._sources.forgotten():
            ignored["forgotten_state"] = forgotten
        return Decoded(columns, message_of_row, outcome, bad.finish(), ignored, requests, memory)

    def _map(
        self,
        number: int,
        message: Message,
        source: str,
        found: Found,
        rows: _Rows,
        bad: Rejections,
        ignored: Counter[str],
        seen: dict[tuple[str, str], UnmappedId],
    ) -> None:
        """The values of one message to rows of devices."""
        row_of = self._devices.row
        arrived_ms = arrival_ms(message)
        unmapped: dict[str, dict[Measured, float]] = {}
        foreign: set[str] = set()
        for value in found.values:
            source_id, quantity, measured, ts_ms = value.source_id, value.quantity, value.value, value.ts_ms
            row = row_of(source, source_id, quantity, value.name)
            if row >= 0:
                if ts_ms is None:
                    ts_ms = arrived_ms
                    if ts_ms is None:
                        ignored["retained_without_time"] += 1
                        continue
                rows.message.append(number)
                rows.device.append(row)
                rows.quantity.append(MONITORED[quantity][0])
                rows.ts_ms.append(ts_ms)
                rows.value.append(measured)
                rows.of.append(value)
            elif row == NOT_MONITORED:
                ignored["not_monitored"] += 1
            elif len(source_id) > MAX_ID_CHARS:
                if not bad.full(number, "malformed"):
                    bad.add(number, "malformed", f"an id of {len(source_id)} characters, most are {MAX_ID_CHARS}")
            else:
                # One of another gateway's may be another device that bears the same number: somebody has to look.
                if row == FOREIGN:
                    foreign.add(source_id)
                unmapped.setdefault(source_id, {})[quantity] = measured
        for source_id, values in unmapped.items():
            log = self._sources.unmapped
            reason, what = (
                ("foreign_device", "is registered to another gateway")
                if source_id in foreign
                else ("unknown_device", "no device has this source_id")
            )
            is_new = log.is_new(source, source_id, message.received_ms)
            if is_new:
                if not bad.full(number, reason):
                    bad.add(number, reason, f"{shown(source_id)}: {what}; see meter-monitor devices --unmapped")
            else:
                ignored["unmapped"] += len(values)
            before = seen.get((source, source_id))
            is_due = log.is_due(source, source_id, values, message.received_ms)
            if is_new or is_due or before is not None:
                last: dict[str, float] = dict(before.values) if before is not None else {}
                last.update((quantity, float(measured)) for quantity, measured in values.items())
                quarantined_ms = log.quarantined_ms(source, source_id)
                seen[source, source_id] = UnmappedId(
                    source, source_id, message.topic, message.received_ms, last, quarantined_ms
                )

    def _judged(
        self, rows: _Rows, messages: Sequence[Message], bad: Rejections, ignored: Counter[str]
    ) -> tuple[ReadingColumns, NDArray[np.int32]]:
        """The rows that are accepted (SEMANTICS 2); the others go to `bad`, what stands for no value to `ignored`."""
        if not rows.device:
            return ReadingColumns.empty(), np.empty(0, np.int32)
        message = np.array(rows.message, np.int32)
        device = np.array(rows.device, np.int64)
        quantity = np.array(rows.quantity, np.int64)
        try:
            ts_ms = np.array(rows.ts_ms, np.int64)
        except OverflowError:
            ts_ms = np.array([min(max(ts, 0), 1 << 62) for ts in rows.ts_ms], np.int64)
        value = nearest_decimal(np.array(rows.value, np.float64))
        arrival = np.array([messages[number].received_ms for number in rows.message], np.int64)
        age_d = self._limits.max_age_d
        reason = rejection(
            device,
            quantity,
            ts_ms,
            value,
            self._is_ac,
            latest_ms=arrival + round(self._limits.max_future_s * 1000),
            earliest_ms=None if age_d is None else arrival - round(age_d * _DAY_MS),
        )
        nothing = unmeasured(quantity, value)
        if nothing.any():
            ignored["no_value"] += int(nothing.sum())
        good = (reason == 0) & ~nothing
        for row in np.flatnonzero((reason != 0) & ~nothing).tolist():
            why = REASONS[reason[row]]
            if not bad.full(rows.message[row], why):
                detail = unaccepted(why, rows.of[row], rows.ts_ms[row], messages[rows.message[row]].received_ms)
                bad.add(rows.message[row], why, detail)
        kept = np.flatnonzero(good)
        columns = ReadingColumns.of(
            device[kept].astype(np.int32),
            quantity[kept].astype(np.int8),
            ts_ms[kept],
            value[kept] + 0.0,  # -0.0 becomes 0.0
        )
        return columns, message[kept]


def _merged(
    one: Decoded, one_numbers: Sequence[int], other: Decoded, other_numbers: Sequence[int], count: int
) -> Decoded:
    """Two parts of a batch as one, rows and rejections in the order of their messages."""
    outcome = np.empty(count, np.int8)
    outcome[np.array(one_numbers, np.int64)] = one.outcome
    outcome[np.array(other_numbers, np.int64)] = other.outcome
    message = np.concatenate(
        [
            np.array(one_numbers, np.int32)[one.message_of_row],
            np.array(other_numbers, np.int32)[other.message_of_row],
        ]
    )
    order = np.argsort(message, kind="stable")
    columns = ReadingColumns.concat([one.columns, other.columns])
    return Decoded(
        columns.take(order),
        message[order],
        outcome,
        [*one.rejects, *other.rejects],
        one.ignored + other.ignored,
        other.requests,
        other.memory,
    )
