"""The native format: topic `meters/<gateway>/<device>`, one JSON object with one reading set or a list of them.

    {"ts": "2026-06-28T09:15:00Z", "register": 10234.5, "power_kw": 41.2}
    {"readings": [{"device": "AC-01", "ts": 1782638100000, "on": 1, "mode": "cool", "setpoint_c": 24.5}]}

ts is ISO 8601 with a zone, or an epoch time in s or ms (see native_rules); parts of a millisecond are cut off. Without
ts a reading has its time of arrival; on a retained message, whose arrival says nothing, it is no reading then. A set
without `device` is the topic's device's. `on` is 0, 1, true or false; `mode` a number or a name in any case; all else
JSON numbers. A key beside ts, device and readings that is no quantity is rejected as unknown_quantity, for what a
gateway says and nobody reads is a mistake worth seeing.

Two readers, one result: `native_scan` takes the usual shapes, `native_json` everything that it leaves. Measured with
messages of 100 readings of 80 bytes each on one core: 3.5 million readings/s with the scanner, 0.11 million without;
a one-reading message in a batch 1 µs, 7 µs without. msgspec into typed structs, its fields turned to lists and the
devices looked up, came to 2.5 million before a single time was read or a value judged, and it cannot see a key that
stands twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.decoders.decoded import Decoded, Limits
from monitor.decoders.native_json import Found, MalformedError, Misplaced, read, shown
from monitor.decoders.native_rows import Rows, empty_rows, first_rows, joined_rows
from monitor.decoders.native_rules import BAD_TIME, FOREIGN, UNKNOWN
from monitor.decoders.native_scan import device_table, scan
from monitor.decoders.rejections import Rejections, far_off
from monitor.detect.rejection import REASONS as ACCEPTANCE
from monitor.detect.rejection import rejection
from monitor.ingest.message import Message
from monitor.readings import QUANTITY_NAMES, ReadingColumns
from monitor.registry import Registry

__all__ = ["NativeDecoder"]

_DAY_MS = 86_400_000
_NO_QUANTITY = len(QUANTITY_NAMES)
"""In place of a quantity: a key that is none."""
_REASONS = (*ACCEPTANCE, "foreign_device")
_FOREIGN_DEVICE = len(ACCEPTANCE)
_ANY_GATEWAY = -1
"""In place of a gateway: any may report the device."""
_NO_GATEWAY = -2
"""In place of a topic's gateway: one to which no device is registered."""


class _Origin(NamedTuple):
    """Where the messages of a batch come from. Arrays of length m; payloads that are not looked at are empty."""

    payloads: list[bytes]
    device_id: list[str]
    device: NDArray[np.int32]
    gateway: NDArray[np.int32]
    arrival_ms: NDArray[np.int64]
    retain: NDArray[np.bool_]


class NativeDecoder:
    """Decodes batches for one registry. Keeps no state between batches; one thread at a time."""

    def __init__(self, registry: Registry, limits: Limits = Limits(), *, scanner: bool = True) -> None:  # noqa: B008  # frozen
        """`scanner=False` reads everything the slow way: for tests, and to see what the scanner gains."""
        self._limits = limits
        self._scanner = scanner
        self._device_row = registry.device_row
        gateways = sorted({device.gateway for device in registry.devices if device.gateway})
        self._gateway_rank = {name: rank for rank, name in enumerate(gateways)}
        self._gateway = np.array(
            [self._gateway_rank.get(device.gateway, _ANY_GATEWAY) for device in registry.devices], np.int32
        )
        self._gateway_of = [device.gateway for device in registry.devices]
        self._table = device_table(tuple(device.id for device in registry.devices), self._gateway)
        self._is_ac = np.array([device.kind == "ac" for device in registry.devices], np.bool_)

    def decode(self, messages: Sequence[Message]) -> Decoded:
        """All readings of a batch. Never raises for what a message holds."""
        bad = Rejections(messages)
        origin, looked_at = self._origin(messages, bad)
        rows, joined, unusual = self._scan(origin)
        ignored: Counter[str] = Counter()
        found: list[tuple[int, Found]] = []
        for message in np.flatnonzero(unusual & looked_at).tolist():
            self._read(message, origin, found, ignored, bad)
        scanned = len(rows.message)
        if found:
            rows = self._with_found(rows, found, origin)
        reason = self._judge(rows, origin)
        good = reason == 0
        # Bad rows are few as a rule; only they are worth a look from Python.
        for row in np.flatnonzero(~good).tolist():
            message, why = int(rows.message[row]), _REASONS[reason[row]]
            if not bad.full(message, why):
                if row < scanned:
                    detail = self._scanned_detail(rows, row, origin, joined, why)
                else:
                    detail = self._found_detail(found[row - scanned], origin, why)
                bad.add(message, why, detail)
        order = np.flatnonzero(good)
        if found:  # they stand behind the others
            order = order[np.argsort(rows.message[order], kind="stable")]
        columns = ReadingColumns.of(
            rows.device[order],
            rows.quantity[order],
            rows.ts_ms[order],
            rows.value[order] + 0.0,  # -0.0 becomes 0.0
        )
        message_of_row = rows.message[order]
        taken = np.zeros(len(messages), np.bool_)
        taken[message_of_row] = True
        outcome = np.where(taken, np.where(bad.hit, 1, 0), np.where(bad.hit, 2, 3)).astype(np.int8)
        return Decoded(columns, message_of_row, outcome, bad.finish(), ignored)

    def _origin(self, messages: Sequence[Message], bad: Rejections) -> tuple[_Origin, NDArray[np.bool_]]:
        payloads: list[bytes] = []
        device_id: list[str] = []
        device: list[int] = []
        gateway: list[int] = []
        looked_at = np.ones(len(messages), np.bool_)
        longest = self._limits.max_payload_bytes
        for index, message in enumerate(messages):
            topic, payload = message.topic, bytes(message.payload)
            levels = topic.rsplit("/", 2)
            if len(payload) > longest:
                if not bad.full(index, "payload_too_large"):
                    bad.add(index, "payload_too_large", f"{len(payload)} bytes, expected at most {longest}")
            elif len(levels) != 3:
                if not bad.full(index, "malformed"):
                    bad.add(index, "malformed", f"topic {shown(topic)}: expected meters/<gateway>/<device>")
            else:
                payloads.append(payload)
                device_id.append(levels[2])
                device.append(self._device_row.get(levels[2], UNKNOWN))
                gateway.append(self._gateway_rank.get(levels[1], _NO_GATEWAY))
                continue
            looked_at[index] = False
            payloads.append(b"")
            device_id.append("")
            device.append(UNKNOWN)
            gateway.append(_NO_GATEWAY)
        return _Origin(
            payloads,
            device_id,
            np.array(device, np.int32),
            np.array(gateway, np.int32),
            np.array([message.received_ms for message in messages], np.int64),
            np.array([message.retain for message in messages], np.bool_),
        ), looked_at

    def _scan(self, origin: _Origin) -> tuple[Rows, bytes, NDArray[np.bool_]]:
        """Rows of the usual messages, the joined payloads into which their spans point, and which are not usual."""
        unusual = np.ones(len(origin.payloads), np.bool_)
        joined = b"".join(origin.payloads) if self._scanner else b""
        if not joined:
            return empty_rows(0), joined, unusual
        start = np.zeros(len(origin.payloads) + 1, np.int64)
        np.cumsum([len(payload) for payload in origin.payloads], out=start[1:])
        # No reading is shorter than `"on":1,`, and memory that is not written costs nothing.
        rows = empty_rows(len(joined) // 7 + 1)
        # bytearray: a read-only array would be another type to the compiler.
        buffer = np.frombuffer(bytearray(joined), np.uint8)
        count = scan(
            buffer, start, origin.device, origin.gateway, origin.arrival_ms, origin.retain, self._table, rows, unusual
        )
        rows = first_rows(rows, count)
        for row in np.flatnonzero(rows.patch).tolist():
            rows.value[row] = float(joined[rows.value_from[row] : rows.value_to[row]])
        return rows, joined, unusual

    def _read(
        self, message: int, origin: _Origin, found: list[tuple[int, Found]], ignored: Counter[str], bad: Rejections
    ) -> None:
        """One message the slow way."""
        readings = 0
        try:
            for one in read(origin.payloads[message]):
                readings += 1
                if isinstance(one, Misplaced):
                    if not bad.full(message, "malformed"):
                        detail = f"readings[{one.position}]: expected an object, found {shown(one.raw)}"
                        bad.add(message, "malformed", detail)
                elif one.ts_ms is None and origin.retain[message]:
                    ignored["retained_without_time"] += 1
                else:
                    found.append((message, one))
        except MalformedError as error:
            if not bad.full(message, error.reason):
                bad.add(message, error.reason, error.detail)
            return
        if readings == 0:
            ignored["empty"] += 1

    def _with_found(self, rows: Rows, found: list[tuple[int, Found]], origin: _Origin) -> Rows:
        """The rows of the scanner, and behind them those of the slow way."""
        count = len(found)
        more = empty_rows(count)
        for row, (message, one) in enumerate(found):
            if one.device is None:
                device = int(origin.device[message])
            else:
                device = self._device_row.get(one.device, UNKNOWN) if isinstance(one.device, str) else UNKNOWN
            if device >= 0 and self._gateway[device] not in (_ANY_GATEWAY, origin.gateway[message]):
                device = FOREIGN
            more.message[row] = message
            more.device[row] = device
            more.quantity[row] = _NO_QUANTITY if one.quantity is None else one.quantity
            # Beyond these bounds a time is bad however far beyond; so it fits into 64 bits.
            ts_ms = origin.arrival_ms[message] if one.ts_ms is None else max(one.ts_ms, BAD_TIME)
            more.ts_ms[row] = ts_ms
            more.value[row] = one.value
        return joined_rows(rows, more)

    def _judge(self, rows: Rows, origin: _Origin) -> NDArray[np.int8]:
        """int8[n]: 0, or the index in `_REASONS` of the first reason that holds."""
        arrival_ms = origin.arrival_ms[rows.message]
        age_d = self._limits.max_age_d
        reason = rejection(
            rows.device.astype(np.int64),
            rows.quantity.astype(np.int64),
            rows.ts_ms,
            rows.value,
            self._is_ac,
            latest_ms=arrival_ms + round(self._limits.max_future_s * 1000),
            earliest_ms=None if age_d is None else arrival_ms - round(age_d * _DAY_MS),
        )
        reason[rows.device == FOREIGN] = _FOREIGN_DEVICE  # known, but not to this gateway: it comes second
        return reason

    def _scanned_detail(self, rows: Rows, row: int, origin: _Origin, joined: bytes, reason: str) -> str:
        device: object = origin.device_id[rows.message[row]]
        if rows.device_from[row] >= 0:
            device = joined[rows.device_from[row] : rows.device_to[row]].decode()
        raw = joined[rows.value_from[row] : rows.value_to[row]].decode()
        key, ts_ms = QUANTITY_NAMES[rows.quantity[row]], int(rows.ts_ms[row])
        hint = self._hint(reason, device, ts_ms, origin.arrival_ms[rows.message[row]])
        return f"device {shown(device)}, {key}: {raw}, ts {ts_ms}{hint}"

    def _found_detail(self, found: tuple[int, Found], origin: _Origin, reason: str) -> str:
        message, one = found
        device = origin.device_id[message] if one.device is None else one.device
        key = one.key if one.quantity is not None else shown(one.key)
        ts = "" if one.raw_ts is None else f", ts {shown(one.raw_ts)}"
        hint = self._hint(reason, device, one.ts_ms, origin.arrival_ms[message])
        return f"device {shown(device)}, {key}: {shown(one.raw)}{ts}{hint}"

    def _hint(self, reason: str, device: object, ts_ms: int | None, arrival_ms: int) -> str:
        """What to look at."""
        if reason == "foreign_device":
            row = self._device_row.get(device, UNKNOWN) if isinstance(device, str) else UNKNOWN
            return f": it is registered to the gateway {shown(self._gateway_of[row])}" if row >= 0 else ""
        if reason != "bad_time" or ts_ms is None:
            return ""
        if ts_ms <= BAD_TIME:
            return ": expected ISO 8601 with Z or an offset, or epoch s or ms"
        return f": {far_off(ts_ms, int(arrival_ms))}"
