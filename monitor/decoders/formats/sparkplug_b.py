"""Sparkplug B: edge nodes that declare their metrics in BIRTH messages and send values under an alias afterwards.

Topic `spBv1.0/<group>/<type>/<edge>[/<device>]`, with whatever stands before it; documented in the Sparkplug
specification 3.0 (topics: chapter 4, sessions: 5, payloads: 6). A reading's id is `group/edge[/device]`. Folders in a
metric's name (`Meters/M1/Active Power`) become part of the id only where one birth has the same quantity in two of
them, which are two meters then. The unit is a property of the metric, usually of the BIRTH's.

DATA that knows its metrics by alias waits for the births that say what the aliases are, and the node is asked for them
(`Node Control/Rebirth`), unless the source's option `rebirth` is false. The same after a death, and for an alias that
the births do not have.

A gap in the sequence numbers means that a message was lost; the node is asked for its births, too. The data is read
meanwhile if the number went on: aliases change by a NBIRTH only, which starts the count again at 0, and which the
node's death comes before. If the number went back, a NBIRTH may be what was lost: values under an alias wait then.
With `rebirth: false` they would wait for ever, so they are read, flagged. The number of a message that comes again is
no gap. It is read again, for its readings are the same, unless it is DATA from before the birth that is in force, which
may have given its aliases to other metrics, or a birth from before such a loss or a death: what waits is not of its
session.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from monitor.decoders.formats.balance import balance
from monitor.decoders.formats.sparkplug_metrics import Target, Targets
from monitor.decoders.formats.sparkplug_payload import Metric, Payload, inside, number_of, read, rebirth_request
from monitor.decoders.formats.sparkplug_session import Order, Row, Sessions, Waiting
from monitor.decoders.names import Names
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, epoch_ms
from monitor.decoders.values import Found, Request, UnreadableError
from monitor.ingest.message import Message

__all__ = ["SparkplugB"]

_NAMESPACE = "spBv1.0"
_TYPES = {"NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH", "NCMD", "DCMD"}
_DOUBLE, _DATETIME = 10, 13
_MS_FROM, _MS_BELOW = 10**11, 10**14
_LONGEST = 200
_LONGEST_TOPIC = 500
_CACHED_TOPICS = 5_000
_CACHED_ROWS = 100_000


class _Place(NamedTuple):
    """What a topic says."""

    kind: str
    node: str
    """Of the state's keys: group and edge, with what stands before the namespace."""
    device: str
    source_id: str
    rebirth_topic: str


class _Plan(NamedTuple):
    """A birth's table, made ready to read by."""

    stored: Any
    by_alias: dict[int, Target]
    by_name: dict[str, Target]
    dull: frozenset[int]
    """Aliases of metrics that mean nothing. Not 0, which may stand for none."""


_NO_PLAN = _Plan(None, {}, {}, frozenset())


class SparkplugB:
    """Format `sparkplug_b`. Option of its own: `rebirth` (true, false), whether nodes are asked for their births."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._names = Names(options)
        self._targets = Targets(self._names, options)
        self._may_ask = options.more.get("rebirth", True) is not False
        self._sessions = Sessions(state)
        self._places: dict[str, _Place | None] = {}
        self._plans: dict[tuple[str, str], _Plan] = {}
        self._planned = 0

    def read(self, message: Message, found: Found) -> None:
        place, payload = self._place(message.topic), None
        if place is None and message.payload[:1] == b"{":
            payload = read(message.payload)  # a cloud's topic: the envelope says whose it is
            place = _place(payload.topic)
        if place is None:
            raise UnreadableError(f"topic {shown(message.topic)}: expected {_NAMESPACE}/<group>/<type>/<edge>")
        kind = place.kind
        if kind == "STATE":
            found.ignore("status")
        elif kind in ("NCMD", "DCMD"):
            found.ignore("command")
        elif kind == "DDEATH":
            self._sessions.withdraw(place.node, place.device)
            self._die(place, place.device, found)
            if message.payload:
                self._follow(place, payload or read(message.payload), message, found)
        elif kind == "NDEATH":
            bd_seq = (payload or read(message.payload)).bd_seq()
            if self._sessions.end(place.node, bd_seq, message.received_ms):
                self._die(place, None, found)
            else:
                found.ignore("stale_death")
        else:
            payload = payload or read(message.payload)
            order = self._follow(place, payload, message, found)
            is_birth = kind[1:] == "BIRTH"
            if (is_birth or order == "repeated") and self._is_outdated(place, payload, message, order):
                found.ignore("repeated")
                return
            if is_birth:
                payload = payload._replace(raw=list(payload.metrics()))  # they are looked at three times
                self._birth(place, payload, message, found)
            self._data(place, payload, message, found)
            if self._names.has_outward:
                balance(found, self._names, usual=lambda name: self._targets.usual(name, "W")[0])

    def _die(self, place: _Place, device: str | None, found: Found) -> None:
        """What waits was sent in a session whose births never came: the next ones may use its aliases otherwise."""
        found.ignore("death")
        if self._sessions.drop_waiting(place.node, device):
            found.ignore("dropped_waiting")

    def _follow(self, place: _Place, payload: Payload, message: Message, found: Found) -> Order:
        """What the sequence number says of messages before this one."""
        if payload.seq is None or message.retain:  # what the broker kept is out of its order
            return "next"
        is_birth = place.kind == "NBIRTH"
        order = self._sessions.follow(place.node, payload.seq, message, is_node_birth=is_birth)
        if order in ("next", "repeated"):
            return order
        if order == "restart" and self._may_ask:
            self._sessions.lose(place.node, message.received_ms)
        else:
            found.flag("sequence_gap")
        self._ask(place, message, found)
        return order

    def _is_outdated(self, place: _Place, payload: Payload, message: Message, order: Order) -> bool:
        """Of a message that was read before, whether what it declares, or what declared its metrics then, no longer
        counts. One without a time may look the same as an earlier one."""
        stamp = payload.timestamp
        if not isinstance(stamp, int) or stamp <= 0:
            return False
        if place.kind[1:] == "BIRTH":
            is_kept = message.retain and self._sessions.has_declared(place.node, place.device, stamp)
            return (is_kept or order == "repeated") and self._sessions.table(place.node, place.device) is None
        stored = self._sessions.table(place.node, place.device)
        return not self._sessions.holds(place.node, message) if stored is None else stamp < stored[1]

    def _birth(self, place: _Place, payload: Payload, message: Message, found: Found) -> None:
        stamp = payload.timestamp
        if not isinstance(stamp, int) or not 0 <= stamp < 1 << 64:  # JSON may say anything
            stamp = 0
        if place.kind == "NBIRTH":
            self._sessions.begin(place.node, payload.bd_seq(), stamp)
        self._sessions.declare(place.node, place.device, _rows(payload), stamp)
        for late in self._sessions.release(place.node, place.device):
            self._data(place, read(late.payload), message, found, late)

    def _data(
        self, place: _Place, payload: Payload, message: Message, found: Found, late: Waiting | None = None
    ) -> None:
        """The values of a message. late: it waited, and of it only what is pending is read."""
        plan = self._plan(place)
        _, by_alias, by_name, dull = plan or _NO_PLAN
        pending = None if late is None or late.pending is None else frozenset(late.pending)
        fresh: dict[str, Target] | None = None
        waits: list[int | str] = []
        members: list[Metric] = []
        for metric in payload.metrics(dull):
            name, alias, stamp, datatype, unit, is_good, kind, value = metric
            if kind == "malformed" or (not name and alias is None):
                found.reject("malformed", f"{shown(place.source_id)}: a metric without a name or an alias")
                continue
            if pending is not None and (name or alias) not in pending:
                continue
            target = by_name.get(name) if name else by_alias.get(alias)  # type: ignore[arg-type]  # one of them is there
            if target is None and name:
                if fresh is None:
                    fresh = self._targets.of_rows(_rows(payload), place.source_id)
                target = fresh.get(name)
                if target is None:
                    continue  # a name too long to be meant
                if plan is None and late is None and not target.is_unit_known:
                    waits.append(name)
                    continue
            if target is None:
                if late is None:
                    waits.append(alias or 0)
                else:
                    found.ignore("unknown_alias")
                continue
            if kind == "template":
                members += inside(metric, target.name)
                continue
            if unit is not None and unit != target.unit:
                target = self._targets.with_unit(target, unit)
            if target.quantity is None or kind == "":
                continue
            stamp = stamp or payload.timestamp
            if type(stamp) is int and _MS_FROM <= stamp < _MS_BELOW:
                ts_ms: int | None = stamp
            else:
                try:
                    ts_ms = _ms(stamp)
                except BadTimeError as error:
                    found.reject("bad_time", f"{shown(target.source_id)} {shown(target.name)}: {error.detail}")
                    continue
                if ts_ms is None and late is not None:
                    if late.retain:
                        found.ignore("retained_without_time")
                        continue
                    ts_ms = late.received_ms
            datatype = datatype or target.datatype
            if (
                kind == "double_value"
                and target.is_plain
                and not target.tariff
                and datatype == _DOUBLE
                and is_good
                and value == value
            ):
                number = value * target.factor + target.offset  # the usual way, without the calls of the others: 1 µs
                found.add(target.source_id, target.quantity, number, ts_ms, target.name)
            else:
                self._add(metric, target, datatype, ts_ms, found)
        if members:
            self._data(place, payload._replace(raw=members), message, found, late and late._replace(pending=None))
        if waits:
            self._hold(place, waits, message, found)

    def _add(self, metric: Metric, target: Target, datatype: int, ts_ms: int | None, found: Found) -> None:
        if metric.kind == "null":
            found.ignore("no_value")
            return
        if metric.kind == "undated":
            found.ignore("late_without_time")
            return
        if not metric.is_good:
            found.ignore("bad_quality")
            return
        if datatype == _DATETIME or target.quantity is None:
            return
        try:
            raw = number_of(metric.kind, metric.value, datatype)
        except ValueError as error:
            found.reject("bad_value", f"{shown(target.source_id)} {shown(target.name)}: {error}")
            return
        if target.is_plain and (type(raw) is float or type(raw) is int):
            number = raw if type(raw) is float else to_number(raw)
            if number is None or number != number:
                found.ignore("no_value")
                return
            number = number * target.factor + target.offset
            if target.tariff:
                found.add_part(target.source_id, target.quantity, target.tariff, number, ts_ms, target.name)
            else:
                found.add(target.source_id, target.quantity, number, ts_ms, target.name)
            return
        first = len(found.values)
        self._names.add(found, target.source_id, target.usual, raw, ts_ms, target.unit)
        for position in range(first, len(found.values)):
            found.values[position] = replace(found.values[position], name=target.name)

    def _hold(self, place: _Place, waits: list[int | str], message: Message, found: Found) -> None:
        """Keep what cannot be read before a birth, and ask for it."""
        waiting = Waiting(
            place.device, message.topic, bytes(message.payload), message.retain, message.received_ms, waits
        )
        found.ignore("waits_for_birth")
        if self._sessions.hold(place.node, waiting):
            found.ignore("dropped_waiting")
        self._ask(place, message, found)

    def _ask(self, place: _Place, message: Message, found: Found) -> None:
        if self._may_ask and self._sessions.may_ask(place.node, message.received_ms):
            found.requests.append(Request(place.node, place.rebirth_topic, rebirth_request(message.received_ms)))

    def _place(self, topic: str) -> _Place | None:
        places = self._places
        if topic in places:
            return places[topic]
        place = _place(topic)
        if len(topic) <= _LONGEST_TOPIC:
            if len(places) >= _CACHED_TOPICS:
                places.clear()
            places[topic] = place
        return place

    def _plan(self, place: _Place) -> _Plan | None:
        """The table of the present birth, ready to read by; None: there is none."""
        stored = self._sessions.table(place.node, place.device)
        if stored is None:
            return None
        key = place.node, place.device
        plan = self._plans.get(key)
        if plan is not None and plan.stored is stored:
            return plan
        rows = self._sessions.rows(stored)
        by_name = self._targets.of_rows(rows, place.source_id)
        by_alias = {row.alias: by_name[row.name] for row in rows if row.alias is not None}
        dull = frozenset(alias for alias, target in by_alias.items() if alias and target.quantity is None)
        plan = _Plan(stored, by_alias, by_name, dull)
        self._planned += len(rows) + 1
        if self._planned > _CACHED_ROWS:
            self._plans.clear()
            self._planned = len(rows) + 1
        self._plans[key] = plan
        return plan


def _rows(payload: Payload) -> list[Row]:
    return [
        Row(metric.alias, metric.name, metric.datatype, metric.unit)
        for metric in payload.metrics()
        if metric.name and len(metric.name) <= _LONGEST
    ]


def _place(topic: str) -> _Place | None:
    """What a topic says; None: it is none of Sparkplug's."""
    if len(topic) > _LONGEST_TOPIC:
        return None
    levels = topic.split("/")
    if len(levels) == 2 and levels[0] == "STATE":
        return _Place("STATE", "", "", "", "")
    if _NAMESPACE not in levels:
        return None
    start = levels.index(_NAMESPACE)
    rest = levels[start + 1 :]
    if rest[:1] == ["STATE"]:
        return _Place("STATE", "", "", "", "")
    if len(rest) not in (3, 4) or rest[1] not in _TYPES or (rest[1][0] == "D") != (len(rest) == 4) or "" in rest:
        return None
    group, kind, edge, *device = rest
    node = "/".join([*levels[:start], group, edge])
    rebirth_topic = "/".join([*levels[: start + 1], group, "NCMD", edge])
    return _Place(kind, node, "".join(device), "/".join([group, edge, *device]), rebirth_topic)


def _ms(stamp: Any) -> int | None:
    """A time that does not look like ms; None: there is none. Raises BadTimeError."""
    if stamp is None or stamp == 0:
        return None
    if isinstance(stamp, bool) or not isinstance(stamp, int | float):
        raise BadTimeError(f"{shown(stamp)} is no time")
    return epoch_ms(stamp)
