"""The command `decode`: what payloads in files yield, before their gateway is connected."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from monitor.config.findings import nearest, shown, zone_problem
from monitor.config.settings_file import load_settings
from monitor.config.sources import sources_of
from monitor.decoders.decoded import Limits
from monitor.decoders.formats import FORMATS
from monitor.decoders.options import Options
from monitor.decoders.sources import Source, topic_matches
from monitor.decoders.times import epoch_ms, iso_ms
from monitor.decoders.trial import Trial
from monitor.decoders.values import UnreadableError
from monitor.errors import InputError
from monitor.ingest.message import Message

__all__ = ["DecodeOptions", "decode_command"]


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """The command's arguments as they were given."""

    files: Sequence[Path]
    topics: Sequence[str]
    format: str | None = None
    source: str | None = None
    config: Path | None = None
    retain: str | None = None
    received_at: str | None = None
    timezone: str | None = None


def decode_command(options: DecodeOptions, env: Mapping[str, str], now_ms: int) -> None:
    """Prints JSON lines. Raises InputError and ConfigError."""
    source, limits = _source(options, env)
    messages = list(_messages(options, now_ms))
    trial = Trial(source, limits)
    for message in messages:
        if options.source is not None and not any(topic_matches(message.topic, topic) for topic in source.topics):
            wanted = ", ".join(source.topics)
            sys.stderr.write(
                f"meter-monitor: warning: {message.topic!r} fits none of the topics of {source.name} ({wanted}): the "
                "monitor would not read it as this source\n"
            )
        for line in trial.read(message):
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


def _source(options: DecodeOptions, env: Mapping[str, str]) -> tuple[Source, Limits]:
    if options.format is not None and options.format not in FORMATS:
        like = nearest(options.format, FORMATS)
        raise InputError(f"--format: found {shown(options.format)}, expected one of {', '.join(FORMATS)}{like}")
    if (options.source is None) != (options.config is None):
        raise InputError("--source and --config belong together")
    # A try is of payloads of any age.
    limits = Limits(max_age_d=None)
    if options.source is None or options.config is None:
        if options.format is None:
            raise InputError("--format: expected a format, or --source and --config")
        zone = None if options.timezone is None else _zone(options.timezone)
        return Source("decode", options.format, ("#",), options=Options(timezone=zone)), limits
    if options.timezone is not None:
        raise InputError("--timezone: the source's own counts; give it in monitor.yaml")
    if not options.config.is_dir():
        raise InputError(f"--config: found {options.config}, which is no folder")
    settings = load_settings(options.config, env)
    by_name = {source.name: source for source in sources_of(settings)}
    found = by_name.get(options.source)
    if found is None:
        known = ", ".join(by_name) or "none"
        raise InputError(
            f"--source: found {shown(options.source)}, expected one of monitor.yaml's ({known})"
            f"{nearest(options.source, by_name)}"
        )
    if options.format not in (None, found.format):
        raise InputError(f"--format: found {options.format}, but the source {found.name} is {found.format}")
    limits = Limits(max_future_s=settings.max_future_s, max_age_d=None, max_payload_bytes=settings.max_payload_bytes)
    return found, limits


def _zone(name: str) -> ZoneInfo:
    if problem := zone_problem(name):
        raise InputError(f"--timezone: {problem}")
    return ZoneInfo(name)


def _messages(options: DecodeOptions, now_ms: int) -> Iterator[Message]:
    topics, files = options.topics, options.files
    if not files:
        raise InputError("expected the file of a payload")
    if len(topics) not in (1, len(files)):
        raise InputError(f"--topic: found {len(topics)}, expected one, or one for each of the {len(files)} files")
    retained = _retained(options.retain, len(files))
    received_ms = now_ms if options.received_at is None else _time(options.received_at)
    for number, file in enumerate(files, 1):
        topic = topics[0] if len(topics) == 1 else topics[number - 1]
        yield Message(topic, _payload(file), number in retained, received_ms, "decode")


def _payload(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None


def _retained(text: str | None, count: int) -> frozenset[int]:
    if text is None:
        return frozenset()
    if text == "all":
        return frozenset(range(1, count + 1))
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= count for part in numbers):
        raise InputError(f"--retain: found {shown(text)}, expected all, or numbers of files from 1 to {count} as 1,4")
    return frozenset(int(part) for part in numbers)


def _time(text: str) -> int:
    try:
        return epoch_ms(float(text)) if text.replace(".", "", 1).isdecimal() else iso_ms(text)
    except UnreadableError:
        expected = "a time as 2026-06-28T09:15:00Z, or since the epoch"
        raise InputError(f"--received-at: found {shown(text)}, expected {expected}") from None
