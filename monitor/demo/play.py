"""Broker, monitor and gateways together, from the first message until everything sent has been judged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from monitor.config import load_registry
from monitor.demo.view import State
from monitor.demo.watch import Watch
from monitor.errors import MonitorError
from monitor.running import Service
from monitor.service import serve
from monitor.settings import BrokerSettings, JournalSettings, MetricsSettings, Settings
from monitor.simulate.broker import embedded_broker
from monitor.simulate.delivery import deliveries
from monitor.simulate.gateways import Progress, publish
from monitor.simulate.scenario import Scenario

__all__ = ["Played", "demo_settings", "play"]

_GLANCE_EVERY_S = 1.0
_LOOK_AGAIN_S = 0.1
_READY_WITHIN_S = 120.0
_STALLED_S = 60.0
"""A monitor that takes no message for so long, while some wait, is given up."""


@dataclass(slots=True)
class Played:
    """How it went."""

    progress: Progress = field(default_factory=Progress)
    is_complete: bool = False
    """Everything was sent and judged: nobody has broken it off."""


def demo_settings(broker_url: str, state_dir: Path) -> Settings:
    """As a configuration without monitor.yaml but for what the demo needs."""
    return Settings(
        brokers=(BrokerSettings(name="embedded", url=broker_url, client_id="meter-monitor-demo", version="3.1.1"),),
        state_dir=state_dir,
        journal=JournalSettings(min_free_mb=16.0),
        metrics=MetricsSettings(port=0),
        settle_s=0.5,
    )


async def play(
    scenario: Scenario,
    config: Path,
    state_dir: Path,
    *,
    speed: float,
    on_start: Callable[[str, str], None] = lambda metrics_url, broker_url: None,
    on_change: Callable[[State], None] = lambda state: None,
) -> Played:
    """Until all is judged, or SIGINT or SIGTERM; the monitor is then stopped in order either way.

    config: folder with buildings.csv, devices.csv and policies/ of the scenario. on_start: gets the
    addresses of the monitor's metrics and of the broker. Raises MonitorError when a part of it fails.
    """
    registry, _ = load_registry(config, now_ms=time.time_ns() // 1_000_000)
    played, state = Played(), State()
    stop, ready = asyncio.Event(), asyncio.Event()
    watches: list[Watch] = []

    async with embedded_broker() as broker_url:
        settings = demo_settings(broker_url, state_dir)

        def on_ready(service: Service) -> None:
            watches.append(Watch(service.server.url, settings.sqlite_path))
            on_start(service.server.url, broker_url)
            ready.set()

        async def act() -> None:
            await ready.wait()
            await _until_connected(watches[0])
            state.doing = "running"
            on_change(state)
            watching = asyncio.create_task(_watch(watches[0], state, on_change), name="demo-watch")
            try:
                await publish(
                    deliveries(scenario),
                    broker_url,
                    speed=speed,
                    on_progress=lambda progress: _note(progress, played, state),
                    version="3.1.1",
                )
                state.doing = "finishing"
                await _until_taken(watches[0], played.progress.acknowledged)
                played.is_complete = True
            finally:
                watching.cancel()

        serving = asyncio.create_task(
            serve(config, settings, registry, {}, stop=stop, on_ready=on_ready), name="demo-service"
        )
        acting = asyncio.create_task(act(), name="demo-gateways")
        stopping = asyncio.create_task(stop.wait(), name="demo-stop")
        try:
            await asyncio.wait({serving, acting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not acting.done():
                acting.cancel()
                await asyncio.wait({acting})
            stop.set()
            await serving
            if not acting.cancelled():
                acting.result()
        finally:
            for task in (serving, acting, stopping):
                task.cancel()
            await asyncio.gather(serving, acting, stopping, return_exceptions=True)
    return played


def _note(progress: Progress, played: Played, state: State) -> None:
    played.progress = progress
    state.simulated_ms = max(state.simulated_ms, progress.simulated_ms)


async def _until_connected(watch: Watch) -> None:
    """A broker keeps nothing for a monitor that has never subscribed, so the gateways must wait for it."""
    begun_s = time.monotonic()
    while not await asyncio.to_thread(watch.is_ready):
        if time.monotonic() - begun_s > _READY_WITHIN_S:
            raise MonitorError(f"the monitor was not ready within {_READY_WITHIN_S:g} s")
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _until_taken(watch: Watch, messages: int) -> None:
    """Until the monitor has as many messages on its disk; what it has then is judged before it ends."""
    most, since_s = -1, time.monotonic()
    while True:
        glance = await asyncio.to_thread(watch.glance)
        taken = most if glance is None else glance.messages
        if taken >= messages:
            return
        if taken > most:
            most, since_s = taken, time.monotonic()
        elif time.monotonic() - since_s > _STALLED_S:
            raise MonitorError(f"the monitor has taken {most:,} of {messages:,} messages and takes no more")
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _watch(watch: Watch, state: State, on_change: Callable[[State], None]) -> None:
    last_messages, last_s = 0, time.monotonic()
    while True:
        await asyncio.sleep(_GLANCE_EVERY_S)
        glance = await asyncio.to_thread(watch.glance)
        if glance is not None:
            now_s = time.monotonic()
            state.messages_per_s = (glance.messages - last_messages) / max(1e-3, now_s - last_s)
            last_messages, last_s = glance.messages, now_s
            state.glance = glance
        with contextlib.suppress(OSError):  # nobody reads the terminal any more; that is no reason to end
            on_change(state)
