"""The command `run`: the only wiring. Outputs start first, inputs last; it stops in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from monitor import __version__, logs
from monitor.config import load_registry, load_settings
from monitor.config.kept import keep_configuration, kept_registry
from monitor.decoders import DECODERS, Limits, Reject, native_scan
from monitor.detect.warm_up import warm_up
from monitor.detection import Detection
from monitor.detector import Detector
from monitor.errors import ConfigError, JournalError, MonitorError, Problem, StoreError
from monitor.gauges import Gauges
from monitor.health import Health, HealthServer
from monitor.ingest.intake import Intake, IntakeSettings
from monitor.ingest.mqtt import BrokerLink
from monitor.ingest.sessions import SubscriptionFile
from monitor.journal.checkpoint import CheckpointLadder
from monitor.journal.segments import Journal
from monitor.metrics import Metrics
from monitor.readings import ReadingColumns
from monitor.registry import Registry
from monitor.settings import InfluxSettings, Settings
from monitor.store.influx import InfluxTarget, LineWriter, make_writer
from monitor.store.lines import LineEncoder
from monitor.store.outbox import Outbox
from monitor.store.protocol import Applied
from monitor.store.quarantine import Quarantine, QuarantineEntry
from monitor.store.sender import OutboxSender, SenderSettings
from monitor.store.sqlite import SqliteStore
from monitor.trouble import Reporter

log = structlog.get_logger(__name__)

HOUR_MS = 3_600_000
KEEP_BEYOND_HORIZON_MS = 30 * HOUR_MS
"""Beyond the horizon, the longest peak occurrence (a day of 25 hours) and some room: what lies wholly inside one must
still be computed again."""
DRAIN_S = 10.0
"""So long the outbox may go on sending when the service stops; what is left waits on disk."""
GAUGES_S = 5.0
LOOP_VALID_S = 120.0
"""An event loop that has not come round for so long hangs."""
SINK = "influx"
KEPT = "configuration"
"""Folder of the state directory with the configuration in force."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def run_service(config: Path, env: Mapping[str, str]) -> int:
    """Runs until SIGTERM or SIGINT. Raises ConfigError and MonitorError; returns the exit code."""
    settings = load_settings(config, env)
    registry, warnings = load_registry(config, now_ms=now_ms(), revision_horizon_h=settings.revision_horizon_h)
    logs.configure(settings.log.format, settings.log.level, secrets=_secrets(settings, env))
    for warning in warnings:
        log.warning("configuration", problem=str(warning))
    # Until the handlers are there a SIGHUP would end the process; what it asks for is done anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    warm_up(lambda: log.info("compiling the kernels, once: this takes about a minute"), also=[native_scan.warm_up])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config, settings, registry, env))
    return 0


async def serve(
    config: Path,
    settings: Settings,
    registry: Registry,
    env: Mapping[str, str],
    *,
    stop: asyncio.Event | None = None,
    on_ready: Callable[[Service], None] = lambda service: None,
) -> None:
    """The whole service, until it is stopped or a part of it fails for good. `stop`: ends it as SIGTERM does."""
    stop = stop or asyncio.Event()
    reload = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name, event in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, reload)):
        loop.add_signal_handler(name, event.set)
    try:
        async with open_service(config, settings, registry, env) as service:
            on_ready(service)
            await service.run(stop, reload)
    except* MonitorError as errors:
        raise _first(errors) from errors
    finally:
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(name)
    log.info("stopped")


def _first(errors: BaseExceptionGroup[MonitorError]) -> MonitorError:
    """The error that a group of tasks ended with."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MonitorError)  # noqa: S101  # except* has seen to it
    return error


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
    intake: Intake
    links: list[BrokerLink]
    gauges: Gauges
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
            load_registry, self.config, now_ms=now_ms(), revision_horizon_h=horizon_h
        )
        for warning in warnings:
            log.warning("configuration", problem=str(warning))
        decoder = DECODERS["native"](registry, _limits(self.settings))

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


def _secrets(settings: Settings, env: Mapping[str, str]) -> list[str]:
    """All that must never stand in a log."""
    found = [broker.password(env) for broker in settings.brokers]
    if settings.influx:
        found += [settings.influx.token(env), settings.influx.password(env)]
    return [secret.get_secret_value() for secret in found if secret]


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_future_s=settings.max_future_s,
        max_age_d=settings.max_age_d,
        max_payload_bytes=settings.max_payload_bytes,
    )


def _target(influx: InfluxSettings, env: Mapping[str, str]) -> InfluxTarget:
    token, password = influx.token(env), influx.password(env)
    return InfluxTarget(
        version=influx.version,
        url=influx.url,
        org=influx.org or "",
        bucket=influx.bucket or influx.database or "",
        token=token.get_secret_value() if token else "",
        database=influx.database or "",
        retention_policy=influx.retention_policy or "",
        username=influx.username or "",
        password=password.get_secret_value() if password else "",
        timeout_s=influx.timeout_s,
        gzip=influx.gzip,
        verify_tls=influx.verify_tls,
    )


class _QuarantineSink:
    """The quarantine as the intake knows it."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine

    def add(self, rejects: Sequence[Reject]) -> None:
        self._quarantine.add(
            [
                QuarantineEntry(
                    time_ms=reject.received_ms,
                    topic=reject.topic,
                    payload=reject.payload,
                    reason=reject.reason,
                    detail=reject.detail,
                )
                for reject in rejects
            ]
        )


@contextlib.asynccontextmanager
async def open_service(
    config: Path, settings: Settings, registry: Registry, env: Mapping[str, str]
) -> AsyncIterator[Service]:
    """Opens all that holds files or ports, in order; closes it in reverse. Raises MonitorError and ConfigError."""
    async with contextlib.AsyncExitStack() as stack:
        # 1. Where one looks at it.
        prometheus = CollectorRegistry()
        metrics = Metrics(prometheus)
        health = Health(
            {
                "event loop": "live",
                "detector": "ready",
                "store": "ready",
                "state": "ready",
                "intake": "ready",
                "checkpoint": "info",
                **({"outbox": "ready"} if settings.influx else {}),
                **{f"broker {broker.name}": "ready" for broker in settings.brokers},
            }
        )
        reporter = Reporter(metrics, health, logs.Throttle())
        for broker in settings.brokers:
            metrics.connected(broker.name, False)
        server = HealthServer(settings.metrics.host, settings.metrics.port, prometheus, health)
        server.start()
        stack.callback(server.stop)
        # 2. The state directory, locked by the journal.
        state = settings.state_dir
        try:
            state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            found = f"{state} cannot be made: {error.strerror}; give a folder that the service may write"
            raise ConfigError([Problem("monitor.yaml", found, column="state_dir")]) from error
        journal = Journal.open(
            state / "journal",
            device_ids=[device.id for device in registry.devices],
            segment_max_bytes=round(settings.journal.segment_max_mb * 1_000_000),
            min_free_bytes=round(settings.journal.min_free_mb * 1_000_000),
            now=now_ms,
        )
        stack.callback(journal.close)
        # 3. Outputs.
        influx = settings.influx
        store = SqliteStore(
            settings.sqlite_path,
            sinks=(SINK,) if influx else (),
            encoder=LineEncoder(batch_points=influx.batch_points) if influx else None,
            now_ms=now_ms,
        )
        stack.callback(store.close)
        quarantine = Quarantine(settings.sqlite_path, max_rows=settings.quarantine.max_rows)
        stack.callback(quarantine.close)
        outbox = writer = None
        if influx is not None:
            outbox = Outbox(
                settings.sqlite_path,
                SINK,
                max_bytes=round(settings.outbox.max_mb * 1_000_000),
                quarantine_rows=settings.quarantine.max_rows,
            )
            stack.callback(outbox.close)
            writer = make_writer(_target(influx, env), now_ms=now_ms)
            stack.callback(writer.close)
        # 4. Detection.
        stopping = threading.Event()
        horizon_ms = round(settings.revision_horizon_h * HOUR_MS)
        keep_ms = horizon_ms + KEEP_BEYOND_HORIZON_MS

        ladder = CheckpointLadder(state / "checkpoints", keep_ms=keep_ms)
        detector = Detector(
            registry,
            journal,
            ladder,
            store,
            horizon_ms=horizon_ms,
            keep_ms=keep_ms,
            now_ms=now_ms,
            on_trouble=reporter.store,
            is_stopping=stopping.is_set,
        )
        gauges = Gauges(
            metrics,
            health,
            registry,
            seen=lambda: detector.seen,
            checkpoint_ms=lambda: ladder.newest_written_ms,
            now_ms=now_ms,
        )

        def on_applied(applied: Applied, earliest_ms: int | None) -> None:
            gauges.applied(applied)
            if earliest_ms is not None:
                metrics.result_latency((now_ms() - earliest_ms) / 1000)

        detection = Detection(
            detector,
            settle_s=settings.settle_s,
            checkpoint_interval_s=settings.checkpoint.interval_s,
            now_ms=now_ms,
            on_applied=on_applied,
            on_checkpoint=reporter.checkpoint,
        )
        stack.callback(detection.close)
        stack.callback(stopping.set)
        # 5. Inputs.
        memory = SubscriptionFile(state / "subscriptions.json")
        links = []
        for broker in settings.brokers:
            password = broker.password(env)
            links.append(
                BrokerLink(
                    broker,
                    password=password.get_secret_value() if password else None,
                    now_ms=now_ms,
                    chance=random.Random(),  # noqa: S311  # spreads reconnections, nothing secret
                    memory=memory,
                    on_status=reporter.link,
                )
            )

        async def on_committed(columns: ReadingColumns, earliest_ms: int) -> None:
            await detection.submit(columns, journal.end, earliest_ms)

        intake = Intake(
            links,
            DECODERS["native"](registry, _limits(settings)),
            journal,
            _QuarantineSink(quarantine),
            metrics,
            on_committed,
            settings=IntakeSettings(
                commit_interval_ms=settings.journal.commit_interval_ms,
                commit_readings=settings.journal.commit_readings,
            ),
            chance=random.Random(),  # noqa: S311  # spreads retries, nothing secret
            on_status=reporter.intake,
        )
        yield Service(
            config,
            settings,
            env,
            metrics,
            health,
            server,
            store,
            quarantine,
            outbox,
            writer,
            journal,
            detection,
            intake,
            links,
            gauges,
            stopping,
        )
