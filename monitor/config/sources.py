"""The `sources` of monitor.yaml, from settings to what decoders take, and everything that is wrong with them."""

from __future__ import annotations

import zlib
import zoneinfo
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from monitor.config.findings import nearest, shown, text_problem, zone_problem
from monitor.decoders.formats import FORMATS
from monitor.decoders.formats.mapper_path import Every, PathError, parse
from monitor.decoders.names import DIMENSIONS
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.sources import IdRule, Source
from monitor.decoders.units import UNITS, unit_of
from monitor.decoders.values import QUANTITIES, Measured
from monitor.readings import MODE_NAMES
from monitor.settings import BrokerSettings, FieldSettings, IdSettings, Settings, SourceSettings

__all__ = ["Wrong", "doubts_of_sources", "mode_of", "readers_of", "sources_of", "subscribed", "wrong_with_sources"]

_SHARED_KEYS = frozenset({"timezone", "id", "fields", "modes", "scale", "options"})


class Wrong(NamedTuple):
    """One finding: the keys and positions that lead to it in monitor.yaml, and what is wrong there."""

    place: tuple[str | int, ...]
    text: str


def wrong_with_sources(settings: Settings) -> list[Wrong]:
    """Everything about sources that the schema cannot know."""
    found = [
        Wrong(("sources", row, *wrong.place), wrong.text)
        for row, source in enumerate(settings.sources)
        for wrong in _wrong(source)
    ]
    brokers = [broker.name for broker in settings.brokers]
    for row, source in enumerate(settings.sources):
        if source.broker is not None and source.broker not in brokers:
            like = nearest(source.broker, brokers)
            text = f"found {shown(source.broker)}, expected the name of a broker ({', '.join(brokers)}){like}"
            found.append(Wrong(("sources", row, "broker"), text))
    for row, broker in enumerate(settings.brokers):
        if not subscribed(settings, broker).topics:
            found.append(Wrong(("brokers", row, "topics"), "found an empty list, and no source is for it"))
    return found


def doubts_of_sources(settings: Settings) -> list[Wrong]:
    """What is no error, and hardly meant."""
    found = []
    shared = {broker.name for broker in settings.brokers if broker.share_group is not None}
    for row, source in enumerate(settings.sources):
        if problem := text_problem(source.name):
            text = f"{problem}: the name stands in logs and metrics, and the column gateway of devices.csv refuses it"
            found.append(Wrong(("sources", row, "name"), text))
        for number, topic in enumerate(source.topics):
            for earlier in settings.sources[:row]:
                is_same = earlier.broker is None or earlier.broker == source.broker
                if is_same and any(_covers(other, topic) for other in earlier.topics):
                    text = f"{shown(topic)} is read by {earlier.name!r}, which stands before it; put this one first"
                    found.append(Wrong(("sources", row, "topics", number), text))
                    break
        if source.format != "native" and shared & ({source.broker} if source.broker else shared):
            text = "the broker has a share_group: what belongs together may come to another monitor; give it one alone"
            found.append(Wrong(("sources", row), text))
    return found


def _covers(wide: str, narrow: str) -> bool:
    """Whether every topic of the one filter is one of the other's."""
    ours, theirs = wide.split("/"), narrow.split("/")
    for position, level in enumerate(ours):
        if level == "#":
            return True
        if position >= len(theirs) or theirs[position] == "#" or level not in ("+", theirs[position]):
            return False
    return len(ours) == len(theirs)


def _wrong(source: SourceSettings) -> Iterator[Wrong]:
    entry = FORMATS.get(source.format)
    if entry is None:
        like = nearest(source.format, FORMATS)
        yield Wrong(("format",), f"found {shown(source.format)}, expected one of {', '.join(FORMATS)}{like}")
    elif source.format == "native":
        for name in sorted(_SHARED_KEYS & source.model_fields_set):
            yield Wrong((name,), "has no effect on the native format, which says all of it itself; take it out")
    else:
        for path, text in entry.check(source.options):
            yield Wrong(("options", *_steps(path)), text)
    if source.timezone is not None and (problem := zone_problem(source.timezone)):
        yield Wrong(("timezone",), problem)
    if source.id is not None and source.id.path is not None:
        try:
            _id_path(source.id.path)
        except PathError as error:
            yield Wrong(("id", "path"), str(error))
    for name, rule in source.fields.items():
        yield from _wrong_rule(name, rule)
    for word, mode in source.modes.items():
        if mode_of(mode) is None:
            yield Wrong(("modes", word), f"found {mode!r}, expected one of {', '.join(MODE_NAMES)}")
    for quantity in source.scale:
        if quantity not in QUANTITIES:
            like = nearest(quantity, QUANTITIES)
            yield Wrong(("scale", quantity), f"expected one of {', '.join(QUANTITIES)}{like}")


def _wrong_rule(name: str, rule: FieldSettings) -> Iterator[Wrong]:
    if rule.quantity is not None and rule.quantity not in QUANTITIES:
        like = nearest(rule.quantity, QUANTITIES)
        text = f"found {shown(rule.quantity)}, expected one of {', '.join(QUANTITIES)}{like}"
        yield Wrong(("fields", name, "quantity"), text)
    if rule.unit is None:
        return
    unit = unit_of(rule.unit)
    if unit is None:
        like = nearest(rule.unit, UNITS)
        yield Wrong(
            ("fields", name, "unit"), f"found {shown(rule.unit)}, expected a unit as kWh, Wh, kW, W, °C, m3{like}"
        )
    elif rule.quantity in QUANTITIES and unit.dimension != DIMENSIONS[rule.quantity]:
        text = f"found {shown(rule.unit)}, which is no unit of {rule.quantity}"
        yield Wrong(("fields", name, "unit"), text)


def _steps(path: str) -> tuple[str | int, ...]:
    return tuple(int(step) if step.isdecimal() else step for step in path.split(".") if step)


def mode_of(mode: str | int) -> int | None:
    """The mode that a configuration names, by word or number."""
    if isinstance(mode, int):
        return mode if 0 <= mode < len(MODE_NAMES) else None
    return MODE_NAMES.index(mode) if mode in MODE_NAMES else None


def sources_of(settings: Settings) -> tuple[Source, ...]:
    """The sources of checked settings, in their order."""
    return tuple(
        Source(
            name=source.name,
            format=source.format,
            topics=source.topics,
            broker=source.broker or "",
            options=Options(
                timezone=None if source.timezone is None else zoneinfo.ZoneInfo(source.timezone),
                fields={
                    name: FieldRule(cast("Measured | None", rule.quantity), rule.unit, rule.scale, rule.ignore)
                    for name, rule in source.fields.items()
                },
                modes={word.lower(): mode_of(mode) or 0 for word, mode in source.modes.items()},
                more=source.options,
            ),
            id=None if source.id is None else _id_rule(source.id),
            scale={cast("Measured", quantity): factor for quantity, factor in source.scale.items()},
        )
        for source in settings.sources
    )


def _id_path(text: str) -> tuple[str | int, ...]:
    """Raises PathError."""
    path = parse(text)
    steps = tuple(step for step in path.steps if not isinstance(step, Every))
    if path.ups or path.is_key or steps != path.steps:
        raise PathError(text, 0, "the id of a whole message stands in one place: expected a path as meter.sn")
    return steps


def _id_rule(settings: IdSettings) -> IdRule:
    topic: Sequence[int] = ()
    if settings.topic is not None:
        topic = settings.topic if isinstance(settings.topic, tuple) else (settings.topic,)
    return IdRule(tuple(topic), _id_path(settings.path) if settings.path else (), settings.fixed or "")


def subscribed(settings: Settings, broker: BrokerSettings) -> BrokerSettings:
    """The broker with the topics of its sources beside its own."""
    of_sources = [
        topic for source in settings.sources if source.broker in (None, broker.name) for topic in source.topics
    ]
    return broker.model_copy(update={"topics": tuple(dict.fromkeys((*broker.topics, *of_sources)))})


def readers_of(settings: Settings, broker: BrokerSettings, memory: int) -> dict[str, str]:
    """Of each topic of the broker's sources, a mark that changes with what reads it, and with what that remembers.

    memory: identity of what sources remember (`SourceMemory.identity`)."""
    told: dict[str, str] = {}
    for source in settings.sources:
        if source.broker in (None, broker.name):
            for topic in source.topics:
                told[topic] = told.get(topic, "") + repr(source)
    return {topic: f"{zlib.crc32(f'{memory} {text}'.encode()):08x}" for topic, text in told.items()}
