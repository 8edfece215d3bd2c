"""What is looked up every few seconds, as a scrape shows it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from monitor.detect.state import NONE
from monitor.detector import Seen
from monitor.gauges import Gauges
from monitor.health import Health
from monitor.journal.segments import Journal
from monitor.metrics import Metrics
from monitor.registry import Building, Device, Policy, Registry
from monitor.store.outbox import Outbox
from monitor.store.quarantine import Quarantine

NOW_MS = 1_780_000_000_000
SITE = Registry.of(
    [Building("office", "UTC", "p", org="a/b"), Building("school", "UTC", "p")],
    [
        Device("m", "office", "meter", max_gap_s=60),
        Device("ac", "office", "ac", max_gap_s=60),
        Device("n", "school", "meter"),
    ],
    {"p": Policy("p")},
)
LAST_TS = np.array([NOW_MS - 60_000, NOW_MS - 60_001, NONE])
CLOCK = np.array([NOW_MS - 60_000, NONE])


@dataclass
class Parts:
    journal: Journal
    quarantine: Quarantine
    outbox: Outbox | None = None


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    ids = [device.id for device in SITE.devices]
    journal = Journal.open(
        tmp_path / "journal", device_ids=ids, segment_max_bytes=1 << 20, now=lambda: NOW_MS, min_free_bytes=12_345
    )
    quarantine = Quarantine(tmp_path / "monitor.sqlite", max_rows=10)
    yield Parts(journal, quarantine)
    quarantine.close()
    journal.close()


def test_an_update_shows_silent_devices_lag_and_disk(parts: Parts) -> None:
    shown = CollectorRegistry()
    gauges = Gauges(
        Metrics(shown),
        Health({"state": "ready"}),
        SITE,
        seen=lambda: Seen(SITE, LAST_TS, CLOCK, 0),
        checkpoint_ms=lambda: NOW_MS - 5_000,
        now_ms=lambda: NOW_MS,
    )
    assert gauges.update(parts, None) is None

    def value(name: str, **labels: str) -> float | None:
        return shown.get_sample_value(f"meter_monitor_{name}", labels)

    assert value("silent_devices", building="office") == 1
    assert value("silent_devices", building="school") == 1
    assert value("building_clock_lag_seconds", building="office") == 60
    assert value("building_clock_lag_seconds", building="school") is None
    assert value("building_info", building="office", org="a/b", policy="p") == 1
    assert value("air_conditioners", building="office") == 1
    assert value("disk_reserved_bytes") == 12_345
    assert (value("disk_free_bytes") or 0) > 0
    assert value("checkpoint_age_seconds") == 5
