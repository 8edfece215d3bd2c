"""A violation of the demo's town on its way to the page, by real servers from Mosquitto to Alertmanager."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.results import Event
from monitor.simulate.delivery import Delivery, deliveries
from monitor.simulate.run import live_scenario
from monitor.simulate.scenario import Scenario
from tests.deploy.shortened import WAIT_S, shortened_alertmanager, shortened_prometheus
from tests.deploy.webhook import Webhook, until
from tests.e2e.monitor_process import DEADLINE_S
from tests.e2e.plant import Gateways, Plant
from tests.services.alertmanager import Alertmanager
from tests.services.mosquitto import Mosquitto
from tests.services.prometheus import Prometheus

pytestmark = pytest.mark.services

HOURS, BUILDINGS, SEED = 30.0, 4, 4
RULE, ALERT = "peak_demand", "PeakLimitExceeded"
PROMISE_S = 5 * WAIT_S
"""As in test_alerts.py."""
MACHINE_S = 10.0
"""What a busy machine may take on top."""


def town() -> Scenario:
    """It ends late on the last Wednesday, so that there are peak windows in it whatever the day of the test is."""
    now = datetime.now(UTC)
    wednesday = (now - timedelta(days=(now.weekday() - 3) % 7 + 1)).replace(hour=20, minute=0, second=0, microsecond=0)
    return live_scenario(
        seed=SEED,
        duration_s=HOURS * 3600,
        speed=math.inf,
        now_ms=round(wednesday.timestamp() * 1000),
        buildings=BUILDINGS,
    )


def last_violation(scenario: Scenario) -> tuple[Event, int]:
    """Over before the town's course ends, and the last of its building; with its end [UTC ms]."""
    last = {event.building: event for event in scenario.truth().events if event.rule == RULE}
    over = [(event.end_ms, event) for event in last.values() if event.end_ms is not None]
    assert over, "no building of the town exceeds its peak limit: choose another seed"
    end_ms, violation = max(over, key=lambda one: one[0])
    return violation, end_ms


class Relay:
    """Prometheus and Alertmanager beside a plant; what is paged comes to the webhook."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self.webhook = Webhook()
        self._alertmanager = Alertmanager(folder / "am", shortened_alertmanager(folder / "am", self.webhook.url))
        targets = {
            "meter-monitor": plant.monitor.url.removeprefix("http://"),
            "alertmanager": f"127.0.0.1:{self._alertmanager.port}",
        }
        config = shortened_prometheus(folder / "prometheus", targets, targets["alertmanager"])
        self.prometheus = Prometheus(folder / "prometheus", config)

    def run(self, stack: ExitStack) -> None:
        stack.enter_context(self.webhook)
        for server in (self._alertmanager, self.prometheus):
            server.start()
            stack.callback(server.stop)

    def told(self, receiver: str, status: str) -> list[tuple[str, str, str]]:
        found = self.webhook.told(receiver, status)
        return [(labels["alertname"], labels["building"], labels["org"]) for labels in found]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with Plant(tmp_path, town(), Mosquitto(tmp_path / "broker")) as made:
        yield made


def test_a_violation_of_the_demo_is_paged_in_time_and_called_off_when_it_is_over(plant: Plant, tmp_path: Path) -> None:
    scenario, monitor = plant.scenario, plant.monitor
    violation, end_ms = last_violation(scenario)
    (building,) = [each for each in scenario.registry.buildings if each.id == violation.building]
    news = (ALERT, building.id, building.org)
    sent = list(deliveries(scenario))

    def open_now() -> bool:
        return monitor.metric("open_violations", building=building.id, rule=RULE) == 1

    def until_told(status: str, since_s: float) -> None:
        # The demo's orgs have no route of their own in the example, so the operators are told.
        for receiver in ("operations-page", "operations-mail"):
            monitor.until(lambda receiver=receiver: news in relay.told(receiver, status), f"{receiver}: {status}")  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
        assert time.monotonic() - since_s < PROMISE_S + MACHINE_S

    with ExitStack() as stack:
        plant.subscribe()
        relay = Relay(plant, tmp_path)
        relay.run(stack)
        until(lambda: relay.prometheus.query("meter_monitor_open_violations == 0"), "it is scraped", DEADLINE_S)

        # 1. Gateways send until the violation is about to end: what comes next would be the interval after it.
        until_its_end = [delivery for delivery in sent if not _is_after(delivery, end_ms)]
        Gateways(until_its_end, plant.broker.url).finish()
        monitor.until(open_now, "the monitor has found it")
        until_told("firing", time.monotonic())

        # 2. And the rest.
        Gateways([delivery for delivery in sent if _is_after(delivery, end_ms)], plant.broker.url).finish()
        monitor.until(lambda: not open_now(), "the monitor has seen its end")
        until_told("resolved", time.monotonic())

    verdicts = {event.building for event in scenario.truth().events if event.rule == RULE}
    told = {of for name, of, _ in relay.told("operations-page", "firing") if name == ALERT}
    assert told <= verdicts, "nobody is blamed who has not exceeded it"


def _is_after(delivery: Delivery, time_ms: int) -> bool:
    return delivery.due_ms > time_ms
