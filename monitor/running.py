"""The running service: its life from the first step to the last, reload, the outbox as a brake."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from monitor import __version__
from monitor.config import load_registry, load_settings, sources_with_ids
from monitor.config.kept import keep_configuration, kept_registry
from monitor.decoders import Limits
from monitor.decoders.routing import SourceDecoder, Sources
from monitor.detection import Detection
from monitor.errors import ConfigError, JournalError, MonitorError, StoreError
from monitor.gauges import Gauges
from monitor.health import Health, HealthServer
from monitor.ingest.intake import Intake
from monitor.ingest.mqtt import BrokerLink
from monitor.journal.segments import Journal
from monitor.metrics import Metrics
from monitor.settings import Settings
from monitor.store.influx import LineWriter
from monitor.store.outbox import Outbox
from monitor.store.protocol import Applied
from monitor.store.quarantine import Quarantine
from monitor.store.sender import OutboxSender, SenderSettings
from monitor.store.sqlite import SqliteStore
from monitor.trouble import Reporter

log = structlog.get_logger(__name__)

DRAIN_S = 10.0
"""So long the outbox may go on sending when the service stops; what is left waits on disk."""
GAUGES_S = 5.0
LOOP_VALID_S = 120.0
"""An event loop that has not come round for so long hangs."""
KEPT = "configuration"
"""Folder of the state directory with the configuration in force."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Service:
    """The running parts. Built by `open_service`, outputs before inputs."""

    config: Path
    settings: Settings
    env: Mapping[str, str]
    metrics: Metrics
    health: Health
    server: HealthServer
    store: SqliteStore
    quarantine: Quarantine
    outbox: Outbox | None
    writer: LineWriter | None
    journal: Journal
    detection: Detection
    sources: Sources
    intake: Intake
    links: list[BrokerLink]
    gauges: Gauges
    reporter: Reporter
    stopping: threading.Event

    async def run(self, stop: asyncio.Event, reload: asyncio.Event) -> None:
        """Until `stop`; reloads whenever `reload` is set. Any part that fails ends all."""
        kept = self.settings.state_dir / KEPT
        registry = self.detection.detector.registry
        # A store that takes nothing may hold the start up for ever; whoever says stop is heard all the same.
        hearing = asyncio.create_task(self._stopping_with(stop), name="stop-at-start")
        try:
            await self.detection.start(await asyncio.to_thread(kept_registry, kept, self.config, now_ms=now_ms()))
        finally:
            hearing.cancel()
        await self._keep_configuration()
        await asyncio.to_thread(self.gauges.configured, registry, self.store.events_since)
        self.health.set("detector", True, "running")
        self.health.set("store", True, "writable")
        self.health.set("intake", True, "running")
        async with asyncio.TaskGroup() as outputs:
            sender = self._sender()
            sending = outputs.create_task(sender.run(), name="outbox") if sender else None
            watching = outputs.create_task(self._watch(sender), name="gauges")
            reloading = outputs.create_task(self._reload_when(reload), name="reload")
            detecting = outputs.create_task(self.detection.run(), name="detection")
            intaking = outputs.create_task(self.intake.run(), name="intake")
            log.info("running", version=__version__, brokers=[link.name for link in self.links])
            try:
                await _first_of(stop, detecting, intaking)
            finally:
                self.stopping.set()
            log.info("stopping")
            reloading.cancel()
            if not intaking.done():
                await self.intake.stop()
            await self.detection.stop()
            await detecting
            if sender and sending and not sending.done():
                sender.wake()
                await sender.drained(DRAIN_S)
                sending.cancel()
            watching.cancel()

    async def _stopping_with(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.stopping.set()

    async def _keep_configuration(self) -> None:
        """Without the copy a change made while the service is stopped is taken over a little less exactly."""
        try:
            await asyncio.to_thread(keep_configuration, self.config, self.settings.state_dir / KEPT)
        except JournalError as error:
            log.warning("no copy of the configuration", error=str(error))

    def _sender(self) -> OutboxSender | None:
        influx = self.settings.influx
        if self.outbox is None or self.writer is None or influx is None:
            return None
        pauses = self.settings.outbox
        return OutboxSender(
            self.outbox,
            self.writer,
            settings=SenderSettings(influx.batch_points, pauses.retry_min_s, pauses.retry_max_s),
            metrics=self.metrics,
            now_ms=now_ms,
            random=random.Random().random,  # noqa: S311  # spreads retries, nothing secret
        )

    async def _watch(self, sender: OutboxSender | None) -> None:
        """Gauges, readiness, and the outbox as a brake."""
        braked = False
        while True:
            stats = await asyncio.to_thread(self.gauges.update, self, sender)
            if stats is not None:
                if stats.is_full and not braked:
                    log.error("outbox full: no message is acknowledged until there is room", bytes=stats.bytes)
                    await self.intake.pause("outbox")
                elif braked and not stats.is_nearly_full:
                    await self.intake.resume("outbox")
                braked = stats.is_full or (braked and stats.is_nearly_full)
            if sender:
                sender.wake()
                self.reporter.sink(sender.status)
            self.health.set("event loop", True, "turning", valid_s=LOOP_VALID_S)
            await asyncio.sleep(GAUGES_S)

    async def _reload_when(self, reload: asyncio.Event) -> None:
        while not self.stopping.is_set():
            await reload.wait()
            reload.clear()
            try:
                await self.reload()
            except ConfigError as error:
                self.metrics.reload(ok=False)
                for problem in error.problems:
                    log.error("reload refused, the old configuration stays in force", problem=str(problem))
            except MonitorError as error:
                if not (isinstance(error, JournalError) and error.retryable):
                    raise
                self.metrics.reload(ok=False)
                log.error("reload failed, the old configuration stays in force", error=str(error))

    async def reload(self) -> None:
        """Buildings, devices and policies. Raises ConfigError or MonitorError before anything live is touched."""
        horizon_h = self.settings.revision_horizon_h
        registry, warnings = await asyncio.to_thread(
            load_registry,
            self.config,
            now_ms=now_ms(),
            revision_horizon_h=horizon_h,
            sources=sources_with_ids(self.settings),
        )
        for warning in warnings:
            log.warning("configuration", problem=str(warning))
        if await asyncio.to_thread(load_settings, self.config, self.env) != self.settings:
            log.warning("monitor.yaml has changed: that takes effect at the next start, not with a reload")
        decoder = SourceDecoder(registry, limits_of(self.settings), self.sources)

        def change_over() -> Applied:
            applied = self.detection.detector.reload(registry)
            # With it, whatever becomes of the waiting task: journal and decoder must number devices alike.
            self.intake.decoder = decoder
            return applied

        async with self.intake.quiet():
            applied = await self.detection.exclusively(change_over)
            await self._keep_configuration()
        self.gauges.applied(applied)
        try:
            await asyncio.to_thread(self.gauges.configured, registry, self.store.events_since)
        except StoreError as error:
            log.warning("reloaded, but the number of open violations is not known", error=str(error))
        self.metrics.reload(ok=True)
        log.info("reloaded", buildings=len(registry.buildings), devices=len(registry.devices))


async def _first_of(stop: asyncio.Event, *tasks: asyncio.Task[None]) -> None:
    """Waits for the event, or for a task to end before its time."""
    waiting = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def limits_of(settings: Settings) -> Limits:
    return Limits(
        max_future_s=settings.max_future_s,
        max_age_d=settings.max_age_d,
        max_payload_bytes=settings.max_payload_bytes,
    )
