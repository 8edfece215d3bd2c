"""The only wiring: opens every part, outputs before inputs, and closes them in reverse."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from monitor import logs
from monitor.config.sources import readers_of, sources_of, subscribed
from monitor.decoders import Memory, Reject
from monitor.decoders.routing import SourceDecoder, Sources
from monitor.decoders.unmapped import UnmappedLog
from monitor.detection import Detection
from monitor.detector import Detector
from monitor.errors import ConfigError, Problem
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
from monitor.running import Service, limits_of, now_ms
from monitor.settings import InfluxSettings, Settings
from monitor.store.influx import InfluxTarget, make_writer
from monitor.store.lines import LineEncoder
from monitor.store.outbox import Outbox
from monitor.store.protocol import Applied
from monitor.store.quarantine import Quarantine, QuarantineEntry
from monitor.store.source_memory import SourceMemory, Unmapped
from monitor.store.sqlite import SqliteStore
from monitor.trouble import Reporter

HOUR_MS = 3_600_000
KEEP_BEYOND_HORIZON_MS = 30 * HOUR_MS
"""Beyond the horizon, the longest peak occurrence (a day of 25 hours) and some room: what lies wholly inside one must
still be computed again."""
SINK = "influx"


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


class _MemorySink:
    """What sources remember, as the intake knows it."""

    def __init__(self, memory: SourceMemory) -> None:
        self._memory = memory

    def save(self, memory: Memory) -> None:
        self._memory.save(memory.state, [Unmapped(*each) for each in memory.unmapped])


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
        metrics.sources([source.name for source in settings.sources])
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
        source_memory = SourceMemory(settings.sqlite_path)
        stack.callback(source_memory.close)
        source_memory.keep_only([source.name for source in settings.sources])
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
                    subscribed(settings, broker),
                    password=password.get_secret_value() if password else None,
                    now_ms=now_ms,
                    chance=random.Random(),  # noqa: S311  # spreads reconnections, nothing secret
                    memory=memory,
                    readers=readers_of(settings, broker, source_memory.identity),
                    on_status=reporter.link,
                )
            )

        async def on_committed(columns: ReadingColumns, earliest_ms: int) -> None:
            await detection.submit(columns, journal.end, earliest_ms)

        limits = limits_of(settings)
        sources = Sources(
            sources_of(settings),
            limits,
            state=source_memory.state(),
            unmapped=UnmappedLog(source_memory.quarantined()),
        )
        intake = Intake(
            links,
            SourceDecoder(registry, limits, sources),
            journal,
            _QuarantineSink(quarantine),
            _MemorySink(source_memory),
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
            sources,
            intake,
            links,
            gauges,
            reporter,
            stopping,
        )
