"""What can be seen of a running monitor from outside: its metrics over HTTP, its results in SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.request
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from monitor.results import Event

__all__ = ["Glance", "Watch"]

_TIMEOUT_S = 10.0
_NEWEST = 8


@dataclass(frozen=True, slots=True)
class Glance:
    """The monitor at one moment."""

    messages: int = 0
    """Taken from the broker, whatever became of them."""
    readings: int = 0
    """Accepted."""
    quarantined: Counter[str] = field(default_factory=Counter)
    """By reason."""
    open: Counter[str] = field(default_factory=Counter)
    """Violations that go on, by rule."""
    found: Counter[str] = field(default_factory=Counter)
    """Violations that go on or are over, by rule."""
    newest: tuple[Event, ...] = ()
    """Latest start first."""


class Watch:
    """Looks at one monitor. Its methods block for moments; one thread at a time."""

    def __init__(self, url: str, database: Path) -> None:
        """url: http://host:port of its metrics."""
        self._url = url
        self._database = database

    def is_ready(self) -> bool:
        """Whether it is connected and can store what it gets; False also where nobody answers."""
        return self._get("/readyz") is not None

    def glance(self) -> Glance | None:
        """None while it does not answer, as when it is about to end."""
        text = self._get("/metrics")
        if text is None:
            return None
        messages = readings = 0
        quarantined: Counter[str] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "meter_monitor_messages_total":
                    messages += int(sample.value)
                elif sample.name == "meter_monitor_readings_total" and sample.labels["outcome"] == "accepted":
                    readings += int(sample.value)
                elif sample.name == "meter_monitor_quarantined_total":
                    quarantined[sample.labels["reason"]] += int(sample.value)
        return replace(self.violations(), messages=messages, readings=readings, quarantined=quarantined)

    def _get(self, path: str) -> str | None:
        """None for no answer and for any status but 200: urllib's errors are OSErrors."""
        try:
            with urllib.request.urlopen(self._url + path, timeout=_TIMEOUT_S) as page:  # noqa: S310  # our own http address
                text: str = page.read().decode()
        except OSError:
            return None
        return text

    def violations(self) -> Glance:
        """What the database says alone; it need not be running."""
        now_open: Counter[str] = Counter()
        found: Counter[str] = Counter()
        newest: tuple[Event, ...] = ()
        standing = "FROM events WHERE state <> 'withdrawn'"
        uri = f"{self._database.absolute().as_uri()}?mode=ro"
        # While the file is just being made, or its writer has it, there is nothing to see; the next look will tell.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            for rule, state, count in db.execute(f"SELECT rule, state, COUNT(*) {standing} GROUP BY rule, state"):
                found[rule] += count
                now_open[rule] += count if state == "open" else 0
            rows = db.execute(f"SELECT * {standing} ORDER BY start_ms DESC, event_id LIMIT {_NEWEST}")
            newest = tuple(Event(*row) for row in rows)
        return Glance(open=now_open, found=found, newest=newest)
