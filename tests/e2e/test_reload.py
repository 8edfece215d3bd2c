"""SIGHUP: another configuration for what comes from now on, and a bad one for nothing at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.monitor_process import Monitor
from tests.e2e.plant import STOP_WITHIN_S
from tests.services.mosquitto import Mosquitto, Publisher

pytestmark = pytest.mark.services

HOUR_MS = 3_600_000
QUARTER_MS = HOUR_MS // 4
POWER_KW = 80.0
POLICY = """
id: always-peak
name: Always peak
grace_s: 0
windows: [{period: peak, from: "00:00", to: "24:00"}]
ac: {cool_min_c: 26.0, min_duration_s: 600, clear_duration_s: 300}
sources: [{rule: windows, document: Made up, article: "-", verified: false}]
"""


class Site:
    """One building whose meter counts 80 kW all the time, on a plant that a test reloads."""

    def __init__(self, monitor: Monitor, publisher: Publisher, start_ms: int) -> None:
        self.monitor = monitor
        self.start_ms = start_ms
        self._publisher = publisher
        self._accepted = 0.0

    def configure(self, limit_kw: float, *devices: str) -> None:
        config = self.monitor.config
        (config / "policies").mkdir(exist_ok=True)
        (config / "policies" / "always-peak.yaml").write_text(POLICY)
        (config / "buildings.csv").write_text(
            f"id,timezone,policy,contract_kw,peak_limit_kw\nB1,UTC,always-peak,500,{limit_kw}\n"
        )
        rows = "".join(f"{device}\n" for device in ("M1,B1,meter", *devices))
        (config / "devices.csv").write_text(f"id,building,kind\n{rows}")

    def at(self, hours: float) -> int:
        return self.start_ms + round(hours * HOUR_MS)

    def meter(self, from_h: float, to_h: float) -> None:
        """Its register at every quarter of an hour in [from_h, to_h]; returns when the results are stored."""
        for ts_ms in range(self.at(from_h), self.at(to_h) + 1, QUARTER_MS):
            kwh = 1000.0 + POWER_KW * (ts_ms - self.start_ms) / HOUR_MS
            self._publisher.publish("meters/gw/M1", json.dumps({"ts": ts_ms, "register": kwh}))
        self._publisher.settle()
        due = round(to_h * 4)
        self.monitor.until(lambda: len(self.intervals()) == due, f"{due} intervals are due")

    def unit(self, from_h: float, to_h: float) -> None:
        """AC1 cools to 20 °C, reported every five minutes."""
        for ts_ms in range(self.at(from_h), self.at(to_h) + 1, 300_000):
            payload = {"ts": ts_ms, "on": 1, "mode": "cool", "setpoint_c": 20.0}
            self._publisher.publish("meters/gw/AC1", json.dumps(payload))
        self._publisher.settle()

    def intervals(self) -> list[tuple[object, ...]]:
        return self.monitor.rows("SELECT * FROM intervals ORDER BY building, item, start_ms")

    def events(self) -> list[tuple[object, ...]]:
        """Those that stand: (rule, device, start_ms, state, limit)."""
        return self.monitor.rows(
            "SELECT rule, device, start_ms, state, \"limit\" FROM events WHERE state <> 'withdrawn' ORDER BY start_ms"
        )

    def quarantined(self, reason: str) -> int:
        return self.monitor.number("SELECT COUNT(*) FROM quarantine WHERE reason = ?", reason)

    def reload(self, outcome: str, count: int) -> None:
        self.monitor.reload()
        self.monitor.until(
            lambda: self.monitor.metric("reloads_total", outcome=outcome) == count, f"{count} reloads are {outcome}"
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Mosquitto(tmp_path / "broker") as broker, Publisher(broker.port) as publisher:
        monitor = Monitor(tmp_path, broker.url)
        now_ms = time.time_ns() // 1_000_000
        made = Site(monitor, publisher, now_ms - now_ms % HOUR_MS - 8 * HOUR_MS)
        made.configure(100.0)
        monitor.start()
        yield made
        monitor.kill()


def test_a_reload_holds_for_what_comes_after_it(site: Site) -> None:
    site.meter(0, 2)
    site.unit(1, 1.5)
    site.monitor.until(lambda: site.quarantined("unknown_device") == 21, "an unknown device's readings are set aside")
    before = site.intervals()
    assert site.events() == []

    site.configure(50.0, "AC1,B1,ac")
    site.reload("ok", 1)
    assert site.intervals() == before
    assert site.events() == []

    site.meter(2.25, 4)
    site.unit(2.5, 3.5)
    site.monitor.until(lambda: len(site.events()) == 2, "two events")
    assert site.intervals()[: len(before)] == before
    demand, setpoint = site.events()
    assert demand == ("peak_demand", "", site.at(2), "open", 50.0)
    assert setpoint == ("ac_cool_setpoint", "AC1", site.at(2.5), "closed", 26.0)
    assert site.quarantined("unknown_device") == 21

    # What only a restart takes over is not passed over in silence.
    said = "monitor.yaml has changed"
    assert said not in site.monitor.tail()
    settings = site.monitor.config / "monitor.yaml"
    settings.write_text(settings.read_text() + "max_age_d: 300\n")
    site.reload("ok", 2)
    assert said in site.monitor.tail()

    # A restart comes to the same: the past was judged by the limit of its time.
    stood = site.intervals(), site.events()
    site.monitor.terminate(STOP_WITHIN_S)
    assert (site.intervals(), site.events()) == stood
    site.monitor.start()
    site.meter(4.25, 5)
    assert site.intervals()[: len(stood[0])] == stood[0]
    assert site.events() == stood[1]
    site.monitor.terminate(STOP_WITHIN_S)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("buildings.csv", "id,timezone,policy,peak_limit_kw\nB1,Mars/Olympus,always-peak,50\n", "Mars/Olympus"),
        ("devices.csv", "id,building,kind\nM1,B1,meter\nM1,B1,meter\nM2,B9,meter\n", "B9"),
        ("policies/always-peak.yaml", POLICY + "windoes: []\n", "windoes"),
        ("policies/always-peak.yaml", "id: [", "always-peak.yaml"),
    ],
)
def test_a_bad_file_changes_nothing(site: Site, file: str, text: str, said: str) -> None:
    site.meter(0, 2)
    before = site.intervals()
    good = (site.monitor.config / file).read_text()
    (site.monitor.config / "buildings.csv").write_text(
        "id,timezone,policy,contract_kw,peak_limit_kw\nB1,UTC,always-peak,500,50\n"
    )
    (site.monitor.config / file).write_text(text)
    site.reload("failed", 1)
    assert said in site.monitor.tail()
    assert site.monitor.metric("config_reload_failed") == 1
    assert site.monitor.status("/healthz") == 200
    assert site.monitor.status("/readyz") == 200
    assert site.intervals() == before

    site.meter(2.25, 4)  # judged by the limit of 100 kW, which stays in force
    assert site.intervals()[: len(before)] == before
    assert site.events() == []

    (site.monitor.config / file).write_text(good)
    site.configure(50.0)
    site.reload("ok", 1)
    assert site.monitor.metric("config_reload_failed") == 0
    site.meter(4.25, 5)
    site.monitor.until(lambda: len(site.events()) == 1, "the good file is in force")
    assert site.events() == [("peak_demand", "", site.at(4), "open", 50.0)]
    site.monitor.terminate(STOP_WITHIN_S)


def test_what_check_doubts_stands_in_the_log(site: Site) -> None:
    doubt = "'plug' is no source of monitor.yaml"
    site.monitor.terminate(STOP_WITHIN_S)
    settings = site.monitor.config / "monitor.yaml"
    settings.write_text(
        settings.read_text()
        + "sources:\n- {name: all, format: tasmota, topics: ['#']}\n"
        + "- {name: plugs, format: tasmota, topics: ['tele/#']}\n"
    )
    (site.monitor.config / "devices.csv").write_text("id,building,kind,gateway,source_id\nM1,B1,meter,plugs,x\n")
    site.monitor.start()
    assert "is read by 'all', which stands before it" in site.monitor.tail()
    assert doubt not in site.monitor.tail()

    (site.monitor.config / "devices.csv").write_text("id,building,kind,gateway,source_id\nM1,B1,meter,plug,x\n")
    site.reload("ok", 1)
    assert doubt in site.monitor.tail()
    site.monitor.terminate(STOP_WITHIN_S)
