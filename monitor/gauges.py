"""What the service shows of itself besides events as they happen: figures looked up every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from monitor.detect.state import NONE
from monitor.detector import Seen
from monitor.errors import MonitorError
from monitor.health import Health
from monitor.journal.segments import Journal
from monitor.metrics import Metrics
from monitor.registry import Registry
from monitor.results import Event
from monitor.store.outbox import Outbox, OutboxStats
from monitor.store.protocol import Applied
from monitor.store.quarantine import Quarantine
from monitor.store.sender import OutboxSender

OLD_S = 600.0
"""Lines that wait longer than this make the monitor not ready."""
FOREVER_MS = 1 << 61


class Watched(Protocol):
    """The parts that are looked at."""

    @property
    def journal(self) -> Journal: ...
    @property
    def quarantine(self) -> Quarantine: ...
    @property
    def outbox(self) -> Outbox | None: ...


class Gauges:
    """Turns results and states into metrics and health."""

    def __init__(
        self,
        metrics: Metrics,
        health: Health,
        registry: Registry,
        *,
        seen: Callable[[], Seen],
        checkpoint_ms: Callable[[], int | None],
        now_ms: Callable[[], int],
    ) -> None:
        """seen: what the detector knows. checkpoint_ms: when the newest checkpoint was written [UTC ms]."""
        self._metrics = metrics
        self._health = health
        self._registry = registry
        self._seen = seen
        self._checkpoint_ms = checkpoint_ms
        self._now_ms = now_ms
        self._late = 0
        metrics.buildings(registry)

    def start(self, events_since: Callable[[Mapping[str, int]], list[Event]]) -> None:
        """Learns the open events from the store."""
        self._metrics.open_events(events_since({building.id: FOREVER_MS for building in self._registry.buildings}))

    def configured(self, registry: Registry, events_since: Callable[[Mapping[str, int]], list[Event]]) -> None:
        """After a reload."""
        self._registry = registry
        self._late = 0
        self._metrics.buildings(registry)
        self.start(events_since)

    def applied(self, applied: Applied) -> None:
        """What a step changed."""
        self._metrics.violations(event for event in applied.new_events if event.state != "withdrawn")
        self._metrics.events(applied.events)
        self._metrics.revised(applied.revised_intervals + applied.withdrawn_events)

    def update(self, parts: Watched, sender: OutboxSender | None) -> OutboxStats | None:
        """Looks everything up; may block. Returns the outbox' fill, None where there is none or it cannot be read."""
        now_ms = self._now_ms()
        metrics, health = self._metrics, self._health
        self._buildings(now_ms)
        stats = None
        try:
            metrics.journal(parts.journal.end, parts.journal.size_bytes)
            metrics.disk(parts.journal.free_bytes(), parts.journal.min_free_bytes)
            metrics.quarantine(parts.quarantine.count(), parts.quarantine.dropped())
            written_ms = self._checkpoint_ms()
            if written_ms is not None:
                metrics.checkpoint_age((now_ms - written_ms) / 1000)
            if parts.outbox is not None:
                stats = parts.outbox.stats()
                metrics.outbox(stats, now_ms)
                self._outbox(stats, sender, now_ms)
        except MonitorError as error:
            health.set("state", False, str(error))
        else:
            health.set("state", True, "readable")
        return stats

    def _outbox(self, stats: OutboxStats, sender: OutboxSender | None, now_ms: int) -> None:
        age_s = 0.0 if stats.oldest_ms is None else (now_ms - stats.oldest_ms) / 1000
        trouble = sender.status.last_error if sender else ""
        detail = f"{stats.points} points wait, the oldest for {age_s:.0f} s"
        if trouble and stats.points:
            detail += f"; {trouble}"
        is_good = not stats.is_nearly_full and not (age_s > OLD_S and trouble)
        self._health.set("outbox", is_good, detail)

    def _buildings(self, now_ms: int) -> None:
        seen, registry = self._seen(), self._registry
        if seen.registry is not registry:
            return  # a reload is on its way
        max_gap_ms = np.array([device.max_gap_s * 1000 for device in registry.devices])
        is_silent = now_ms - seen.last_ts > max_gap_ms
        silent = np.bincount(registry.device_building[is_silent], minlength=len(registry.buildings))
        clock = seen.clock
        lag_s = np.where(clock == NONE, np.nan, (now_ms - clock) / 1000)
        self._metrics.building_states(registry, silent, lag_s)
        self._metrics.late(max(0, seen.late - self._late))
        self._late = seen.late
