"""From a meter's reading to the page: Mosquitto, monitor, Prometheus, Alertmanager, all of them real."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.deploy.shortened import WAIT_S, shortened_alertmanager, shortened_prometheus
from tests.deploy.webhook import Webhook, until
from tests.e2e.monitor_process import DEADLINE_S, Monitor
from tests.services.alertmanager import Alertmanager
from tests.services.mosquitto import Mosquitto, Publisher
from tests.services.prometheus import Prometheus

pytestmark = pytest.mark.services

INTERVAL_S = 300
LIMIT_KW = 10.0
POLICY = {
    "id": "always-peak",
    "demand_interval_min": INTERVAL_S // 60,
    "windows": [{"period": "peak", "from": "00:00", "to": "24:00"}],
}
PROMISE_S = 5 * WAIT_S
"""A scrape, two evaluations (one finds it, one after `for`), `for` and group_wait: as test_prometheus_rules.py adds up
those of the real files."""
MACHINE_S = 10.0
"""What a busy machine may take on top: four servers start on two cores."""


class Site:
    """One building with one meter, and the servers that carry the news of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.webhook = Webhook()
        self.broker = Mosquitto(folder / "broker")
        self.monitor = Monitor(folder, self.broker.url)
        (self.monitor.config / "policies").mkdir()
        (self.monitor.config / "policies/p.yaml").write_text(yaml.safe_dump(POLICY))
        (self.monitor.config / "buildings.csv").write_text(
            "id,timezone,policy,org,peak_limit_kw\n"
            f"town-hall,Asia/Ho_Chi_Minh,{POLICY['id']},Việt Nam/Lạng Sơn/Sở Xây dựng,{LIMIT_KW:g}\n",
            "utf-8",
        )
        (self.monitor.config / "devices.csv").write_text("id,building,kind\nmain,town-hall,meter\n")
        self.alertmanager = Alertmanager(folder / "am", shortened_alertmanager(folder / "am", self.webhook.url))
        targets = {
            "meter-monitor": self.monitor.url.removeprefix("http://"),
            "alertmanager": f"127.0.0.1:{self.alertmanager.port}",
        }
        config = shortened_prometheus(folder / "prometheus", targets, targets["alertmanager"])
        self.prometheus = Prometheus(folder / "prometheus", config)
        self._register_kwh = 0.0

    def run(self, stack: ExitStack) -> None:
        stack.enter_context(self.webhook)
        stack.enter_context(self.broker)
        for server in (self.monitor, self.alertmanager, self.prometheus):
            server.start()
            stack.callback(server.stop)

    def draw(self, power_kw: float, *ends_s: int) -> None:
        """The meter's register at these times, each an interval after the one before."""
        with Publisher(self.broker.port) as gateway:
            for end_s in ends_s:
                self._register_kwh += power_kw * INTERVAL_S / 3600
                reading = {"ts": end_s * 1000, "register": self._register_kwh}
                gateway.publish("meters/gateway/main", json.dumps(reading))
            gateway.settle()

    def until_scraped(self, expression: str) -> None:
        until(lambda: self.prometheus.query(expression), f"Prometheus has seen {expression}", DEADLINE_S)

    def open_violations(self) -> float:
        return self.monitor.metric("open_violations", building="town-hall", rule="peak_demand")

    def told(self, receiver: str, status: str) -> list[tuple[str, str]]:
        return [(labels["alertname"], labels["building"]) for labels in self.webhook.told(receiver, status)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        made = Site(tmp_path)
        made.run(stack)
        yield made


def test_a_limit_that_is_exceeded_is_paged_in_time_and_called_off_when_it_is_over(site: Site) -> None:
    """And not before, when the monitor is killed and started again."""
    monitor = site.monitor
    edge_s = int(time.time()) // INTERVAL_S * INTERVAL_S
    news = ("PeakLimitExceeded", "town-hall")
    site.until_scraped("meter_monitor_open_violations == 0")

    site.draw(5 * LIMIT_KW, edge_s - 3 * INTERVAL_S, edge_s - 2 * INTERVAL_S, edge_s - INTERVAL_S)
    monitor.until(lambda: site.open_violations() == 1, "the monitor has found it")
    found_s = time.monotonic()
    monitor.until(lambda: news in site.told("lang-son-page", "firing"), "it is paged")
    assert time.monotonic() - found_s < PROMISE_S + MACHINE_S
    monitor.until(lambda: news in site.told("lang-son-mail", "firing"), "it is mailed")

    monitor.kill()
    site.until_scraped('up{job="meter-monitor"} == 0')
    monitor.start()
    site.until_scraped("meter_monitor_open_violations == 1")
    assert site.told("lang-son-page", "resolved") == []

    site.draw(0.1 * LIMIT_KW, edge_s)
    monitor.until(lambda: site.open_violations() == 0, "the monitor has seen its end")
    over_s = time.monotonic()
    monitor.until(lambda: news in site.told("lang-son-page", "resolved"), "it is called off")
    assert time.monotonic() - over_s < PROMISE_S + MACHINE_S

    everybody = {request.path for request in site.webhook.requests}
    assert everybody == {"/lang-son-page", "/lang-son-mail"}
    assert site.told("lang-son-page", "firing") == [news], "said once, and nothing else"
