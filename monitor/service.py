"""The command `run`: settings, signals, exit code."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
import uvloop

from monitor import logs
from monitor.assembly import open_service
from monitor.config import doubts_of_settings, load_registry, load_settings, sources_with_ids
from monitor.decoders import native_scan
from monitor.decoders.formats import crc16
from monitor.detect.warm_up import warm_up
from monitor.errors import MonitorError, ungrouped
from monitor.registry import Registry
from monitor.running import Service, now_ms
from monitor.settings import Settings

log = structlog.get_logger(__name__)


def run_service(config: Path, env: Mapping[str, str]) -> int:
    """Runs until SIGTERM or SIGINT. Raises ConfigError and MonitorError; returns the exit code."""
    settings = load_settings(config, env)
    registry, warnings = load_registry(
        config,
        now_ms=now_ms(),
        revision_horizon_h=settings.revision_horizon_h,
        sources=sources_with_ids(settings),
    )
    logs.configure(settings.log.format, settings.log.level, secrets=_secrets(settings, env))
    for warning in (*doubts_of_settings(settings), *warnings):
        log.warning("configuration", problem=str(warning))
    # Until the handlers are there a SIGHUP would end the process; what it asks for is done anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    compile_all(lambda: log.info("compiling the kernels, once: this takes about a minute"))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config, settings, registry, env))
    return 0


def compile_all(on_compile: Callable[[], None] = lambda: None) -> None:
    """Everything that the service has compiled, so that it need not be while messages wait. A container image does
    this when it is built."""
    warm_up(on_compile, also=[native_scan.warm_up, crc16.warm_up])


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
        with ungrouped(MonitorError):
            async with open_service(config, settings, registry, env) as service:
                on_ready(service)
                await service.run(stop, reload)
    finally:
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(name)
    log.info("stopped")


def _secrets(settings: Settings, env: Mapping[str, str]) -> list[str]:
    """All that must never stand in a log."""
    found = [broker.password(env) for broker in settings.brokers]
    if settings.influx:
        found += [settings.influx.token(env), settings.influx.password(env)]
    return [secret.get_secret_value() for secret in found if secret]
