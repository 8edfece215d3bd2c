"""Line protocol read back, by a parser written from its description, and a database that keeps what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from monitor.store.outbox import Outbox

Point = tuple[str, dict[str, str], dict[str, str], int]


def split(text: str, separator: str) -> list[str]:
    """At the separators that are neither escaped nor inside quotes."""
    return re.findall(rf'((?:\\.|"(?:\\.|[^"\\])*"|[^\\{separator}])+)(?:{separator}|$)', text)


def parse(line: str) -> Point:
    series, fields, ts_ms = split(line, " ")
    name, *tags = split(series, ",")
    return name, pairs(tags), pairs(split(fields, ",")), int(ts_ms)


def pairs(texts: list[str]) -> dict[str, str]:
    """key=value with the escapes of keys and tags undone; fields keep their notation."""
    found = {}
    for text in texts:
        key, value = text.split("=", 1)
        found[key] = value if value.startswith('"') else re.sub(r"\\([,= ])", r"\1", value)
    return found


class Database:
    """Points by measurement, tags and time, as InfluxDB keeps them: of a point that comes again the new fields count,
    the others stay."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, frozenset[tuple[str, str]], int], dict[str, str]] = {}

    def write(self, body: bytes) -> int:
        """The lines of one request; returns how many they were."""
        lines = body.decode().split("\n")[:-1]
        for name, tags, fields, ts_ms in map(parse, lines):
            self.points.setdefault((name, frozenset(tags.items()), ts_ms), {}).update(fields)
        return len(lines)

    def drain(self, path: Path) -> int:
        """Take all that waits in an outbox; returns how many lines that were."""
        outbox = Outbox(path, "influx", max_bytes=1 << 40, quarantine_rows=10)
        lines = 0
        while (waiting := outbox.take(100_000)) is not None:
            lines += self.write(waiting.body)
            outbox.accepted(waiting)
        outbox.close()
        return lines

    def of(self, measurement: str) -> Iterator[tuple[dict[str, str], int, dict[str, str]]]:
        """Tags, time and fields of its points."""
        for (name, tags, ts_ms), fields in self.points.items():
            if name == measurement:
                yield dict(tags), ts_ms, fields
