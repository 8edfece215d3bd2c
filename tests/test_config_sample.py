"""The sample configuration is complete, without an error, and what its policies say is what the documents say."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from monitor.calendars import compile_ac, compile_periods
from monitor.config import check, load_registry
from monitor.registry import Registry

SAMPLE = Path(__file__).parent.parent / "config"
NOW_MS = 1_782_000_000_000  # 2026-06-21


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(SAMPLE, now_ms=NOW_MS)[0]


def period_at(registry: Registry, policy_id: str, timezone: str, local: str) -> str:
    at_ms = int(dt.datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(timezone)).timestamp()) * 1000
    compiled = compile_periods(registry.policies[policy_id], timezone, at_ms, at_ms + 1, registry.period_names)
    return registry.period_names[int(compiled.period[0])]


def test_check_finds_no_error_and_warns_of_unverified_sources_alone() -> None:
    problems = check(SAMPLE, {}, NOW_MS)
    assert [str(problem) for problem in problems if not problem.warning] == []
    assert {problem.column for problem in problems} == {"sources"}
    assert all("not verified" in problem.found for problem in problems)


def test_what_the_sample_holds(registry: Registry) -> None:
    assert Counter(building.kind for building in registry.buildings) == {"office": 5, "school": 4, "hospital": 3}
    assert {building.timezone for building in registry.buildings} == {"Asia/Ho_Chi_Minh", "Asia/Shanghai"}
    assert {len(building.org.split("/")) for building in registry.buildings} == {4}
    assert not any(building.name.isascii() for building in registry.buildings)
    assert 55 <= len(registry.devices) <= 65
    assert {device.gateway for device in registry.devices} == {f"gw-{building.id}" for building in registry.buildings}
    for row, building in enumerate(registry.buildings):
        devices = registry.devices[registry.device_start[row] : registry.device_start[row + 1]]
        assert {device.kind for device in devices} == {"meter", "ac"}
        assert any(device.item == "total" for device in devices)
        assert building.peak_limit_kw is not None
        assert building.contract_kw is not None
        assert building.peak_limit_kw < building.contract_kw


def test_every_policy_names_a_source_for_every_rule(registry: Registry) -> None:
    assert list(registry.policies) == ["cn-hebei-south", "cn-sichuan", "vn-office"]
    for policy in registry.policies.values():
        assert {source.rule for source in policy.sources} >= {"windows", "ac.cool_min_c", "holidays", "peak_demand"}


@pytest.mark.parametrize(
    ("local", "period"),
    [
        ("2026-04-21T10:00", "peak"),  # Tuesday, the hours until then
        ("2026-04-21T18:00", "peak"),
        ("2026-04-21T21:00", "normal"),
        ("2026-04-21T22:00", "offpeak"),
        ("2026-04-22T03:45", "offpeak"),  # both rules
        ("2026-04-22T05:00", "offpeak"),
        ("2026-04-22T10:00", "normal"),
        ("2026-04-22T17:15", "normal"),
        ("2026-04-22T17:30", "peak"),
        ("2026-04-22T22:15", "peak"),
        ("2026-04-22T22:30", "normal"),
        ("2026-04-26T18:00", "normal"),  # Sunday
    ],
)
def test_vietnam(registry: Registry, local: str, period: str) -> None:
    assert period_at(registry, "vn-office", "Asia/Ho_Chi_Minh", local) == period


HEBEI_HOURS = {
    # one letter an hour: d deep, v offpeak, f normal, p peak, c critical
    4: "fffvvvvffffvdddfpppppppp",
    7: "fvvvvvvfffffvvffpppcccpp",
    10: "ffvvvvffff" + "fvddvfpppppppp",
    1: "ffvvvvfppffvvvvffccppppf",
}
SICHUAN_HOURS = {
    4: "vvvvvvvfffppfffppppppffv",
    7: "vvvvvvvfffppfffccppppffv",
    12: "vvvvvvvfffppfffppppccffv",
}
LETTERS = {"d": "deep", "v": "offpeak", "f": "normal", "p": "peak", "c": "critical"}


@pytest.mark.parametrize(
    ("policy_id", "month", "hours"),
    [
        *(("cn-hebei-south", month, hours) for month, hours in HEBEI_HOURS.items()),
        *(("cn-sichuan", month, hours) for month, hours in SICHUAN_HOURS.items()),
    ],
)
def test_china(registry: Registry, policy_id: str, month: int, hours: str) -> None:
    found = [
        period_at(registry, policy_id, "Asia/Shanghai", f"2026-{month:02d}-15T{hour:02d}:45") for hour in range(24)
    ]
    assert found == [LETTERS[letter] for letter in hours]


def test_air_conditioning_is_allowed_in_the_working_hours_of_a_working_day(registry: Registry) -> None:
    zone = ZoneInfo("Asia/Ho_Chi_Minh")
    start = dt.datetime(2026, 8, 21, tzinfo=zone)  # Friday; the Saturday after it is worked, the Sunday is not
    from_ms = int(start.timestamp()) * 1000
    compiled = compile_ac(registry.policies["vn-office"], "Asia/Ho_Chi_Minh", from_ms, from_ms + 3 * 86_400_000)
    inside = np.flatnonzero(compiled.flags & 1 == 0)
    assert [
        dt.datetime.fromtimestamp(int(compiled.start_ms[row]) // 1000, zone).isoformat()[:16] for row in inside
    ] == [
        "2026-08-21T08:30",
        "2026-08-22T08:30",
    ]
