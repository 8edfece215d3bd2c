"""The general mapper: JSON of any shape, topics that carry one value each, and lines of CSV, by configuration alone.

What a mapping may say stands in `monitor.decoders.formats.mapper_config` and, for installers, in docs/gateways.md. All
of it is compiled when the format is made; of a message only values are looked at. Without a mapping ids, times and
values are found under their usual names.

A message without a time is one of its arrival; a time that cannot be read costs its element, not the message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from monitor.decoders.formats.mapper_config import check, compile_plan
from monitor.decoders.formats.mapper_path import ABSENT, Every, Trail, spread
from monitor.decoders.formats.mapper_typed import Typed
from monitor.decoders.formats.mapper_usual import NO_ID, Ids, Usual, id_text, move
from monitor.decoders.formats.mapper_values import plain_text
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown, text_of
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["Mapper", "check"]

_KNOWN_TOPICS = 10_000
_LONGEST_TOPIC = 512
_LONGEST_ID = 200


class _Topic(NamedTuple):
    text: str
    levels: list[str]
    is_command: bool
    fallback_id: str
    """The id where the message has none: the topic, without the level that names the value."""
    source_id: str | None
    """The id that the mapping puts together from the topic alone."""


class Mapper:
    """One mapping. `Options.more` as `check` wants it; raises ValueError for any other."""

    def __init__(self, options: Options, state: SourceState) -> None:
        self._plan = plan = compile_plan(options, state)
        self._is_time_usual = not plan.time and not plan.is_arrival
        self._usual = Usual(
            plan.names,
            state,
            plan.clock if self._is_time_usual else None,
            has_own_ids=not plan.id_parts and plan.id_at is None,
            decimal=plan.decimal,
        )
        self._time_at = plan.time[0] if len(plan.time) == 1 else None
        self._has_time = bool(plan.time) or self._is_time_usual
        self._topics: dict[str, _Topic] = {}
        self._ids = Ids()
        self._typed = None if plan.layout is None else Typed(plan.layout, plan.clock, self._ids)
        self._of_element = Found(state)
        self._probe = Found(SourceState())

    def read(self, message: Message, found: Found) -> None:
        topic = self._topics.get(message.topic) or self._topic(message.topic)
        payload = message.payload
        if topic.is_command:
            found.ignore("command")
            return
        if not payload:
            found.ignore("empty")
            return
        plan = self._plan
        has_any: bool | None = None
        if self._typed is not None and (plan.id_at is not None or topic.source_id is not None):
            has_any = self._typed.read(payload, topic.source_id, message.received_ms, found)
        if has_any is None:
            has_any = self._along_trails(message, topic, found)
        if not has_any and not found.rejected:
            found.ignore("no_reading")

    def _along_trails(self, message: Message, topic: _Topic, found: Found) -> bool:
        plan, payload = self._plan, message.payload
        trails: Iterable[Trail]
        if plan.payload == "json":
            try:
                document = plan.read_json(payload)
            except UnreadableError as error:
                if payload.lstrip()[:1] in (b"{", b"["):
                    raise
                raise UnreadableError(
                    f"{error.detail}; where it is CSV or one value, say so in options: payload"
                ) from None
            trails = self._trails(document, found)
        elif plan.payload == "csv":
            trails = ((element,) for element in plan.table.elements(payload, found))
        else:
            trails = [(text_of(payload),)]
        has_any = False
        if not plan.has_parts or (type(trails) is list and len(trails) == 1):
            for trail in trails:
                if self._element(trail, topic, message.received_ms, found):
                    has_any = True
        else:
            own = self._of_element
            own.clear()
            for trail in trails:
                if self._element(trail, topic, message.received_ms, own):
                    has_any = True
                move(own, found)
        return has_any

    def _topic(self, text: str) -> _Topic:
        plan = self._plan
        levels = text.split("/")
        is_command = levels[-1].lower() in plan.commands or ("cmnd" in plan.commands and "cmnd" in levels)
        rest = list(levels)
        if plan.name_level is not None and len(levels) > 1 and -len(levels) <= plan.name_level < len(levels):
            del rest[plan.name_level]
        topic = _Topic(text, levels, is_command, "/".join(rest), None)
        if plan.id_parts and plan.is_id_of_topic:
            topic = topic._replace(source_id=self._joined_id((), topic))
        if len(text) <= _LONGEST_TOPIC:
            if len(self._topics) >= _KNOWN_TOPICS:
                self._topics.clear()
            self._topics[text] = topic
        return topic

    def _trails(self, root: Any, found: Found) -> list[Trail]:
        plan = self._plan
        if plan.each is None:
            return [(item,) for item in root] if plan.is_list_split and type(root) is list else [(root,)]

        problems: list[tuple[Every, Any]] = []
        trails = spread([(root,)], plan.each.steps, problems)
        for step, node in problems:
            expected = "a list" if step is Every.ITEM else "an object"
            found.reject("malformed", f"{plan.each.text}: expected {expected} at {step.value}, found {shown(node)}")
        return trails

    def _element(self, trail: Trail, topic: _Topic, received_ms: int, found: Found) -> bool:
        """Whether there was something to say, be it good or bad."""
        plan = self._plan
        node = trail[-1]
        if plan.wants_objects and type(node) is not dict and type(node) is not list:
            if node is not None:
                found.reject("malformed", f"expected an object, found {shown(node)}")
            return node is not None
        for condition in plan.conditions:
            if not condition.holds(trail, topic):
                found.ignore("other_message")
                return True
        if plan.id_at is not None:
            raw = plan.id_at(trail)
            source_id = (self._ids.known.get(raw) if type(raw) is str else None) or self._ids.text(raw)
        else:
            source_id = topic.source_id or self._id(trail, topic)
        if source_id is None:
            return self._refused(trail, topic, found, "no_id", NO_ID)
        ts_ms = None
        if self._has_time:
            try:
                raw = self._time_at(trail) if self._time_at is not None else self._time(trail)
                if raw is not ABSENT and raw is not None and raw != "":
                    ts_ms = plan.clock.ms(raw, source_id, received_ms, found)
            except BadTimeError as error:
                return self._refused(trail, topic, found, error.reason, error.detail)
        if not plan.values:
            return self._usual_values(node, topic, received_ms, source_id, ts_ms, found)
        has_any = False
        for read in plan.values:
            if read(found, source_id, trail, ts_ms, topic):
                has_any = True
        return has_any

    def _usual_values(
        self, node: Any, topic: _Topic, received_ms: int, source_id: str, ts_ms: int | None, found: Found
    ) -> bool:
        if self._plan.payload == "value":
            raw, unit = plain_text(node, None, self._plan.decimal)
            return self._plan.names.add(found, source_id, topic.levels[-1], raw, ts_ms, unit)
        return self._usual.read(found, node, source_id, ts_ms, received_ms)

    def _refused(self, trail: Trail, topic: _Topic, found: Found, reason: str, detail: str) -> bool:
        """An element without id or time is a mistake only if there is a value in it."""
        probe = self._probe
        probe.clear()
        if self._plan.values:
            has_any = any(read(probe, "-", trail, None, topic) for read in self._plan.values)
        else:
            has_any = self._usual_values(trail[-1], topic, 0, "-", None, probe)
        if has_any:
            found.reject(reason, detail)
        return has_any

    def _id(self, trail: Trail, topic: _Topic) -> str | None:
        """None where what should be an id is none."""
        plan = self._plan
        if plan.id_parts:
            return self._joined_id(trail, topic)
        if plan.is_id_of_topic:
            return topic.fallback_id
        for slot in plan.around:
            raw = self._usual.id_of(trail[slot])
            if raw is not ABSENT:
                return (self._ids.known.get(raw) if type(raw) is str else None) or self._ids.text(raw)
            if slot == plan.around[0] and plan.own_key is not None:
                return id_text(plan.own_key(trail))
        return topic.fallback_id

    def _joined_id(self, trail: Trail, topic: _Topic) -> str | None:
        parts = self._plan.id_parts
        if len(parts) == 1:
            return id_text(parts[0](trail, topic))
        texts = [id_text(part(trail, topic)) for part in parts]
        whole = "/".join([text for text in texts if text])
        return whole if all(texts) and len(whole) <= _LONGEST_ID else None

    def _time(self, trail: Trail) -> Any:
        """What the element says of its time, or ABSENT. Raises BadTimeError."""
        plan = self._plan
        if self._is_time_usual:
            for slot in plan.around:
                raw = self._usual.time_of(trail[slot])
                if raw is not ABSENT:
                    return raw
            return ABSENT
        parts = [get(trail) for get in plan.time]
        if any(part is ABSENT or part is None or part == "" for part in parts):
            return ABSENT
        if not all(isinstance(part, str | int) for part in parts):
            raise BadTimeError(f"{shown(parts)} is no time")
        # Thousands of digits are no part of a time, and Python does not write them down.
        return " ".join([part.strip() if isinstance(part, str) else shown(part) for part in parts])
