"""Whole configurations from a seed: every rule, zone, window and device setting that the semantics know.

Dates lie in 2024 and 2025, so that no reading is in the future of the machine that runs the tests.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import yaml

# Days worth watching per zone: changes of the clocks first, then holidays, make-up workdays, ends of months and years.
DAYS: dict[str, tuple[str, ...]] = {
    "America/New_York": ("2025-03-09", "2025-11-02", "2025-07-04"),
    "Europe/Berlin": ("2025-03-30", "2025-10-26", "2024-12-31"),
    "Australia/Lord_Howe": ("2025-04-06", "2025-10-05"),  # half an hour
    "Asia/Kathmandu": ("2025-05-31", "2024-02-29"),  # +05:45
    "Asia/Ho_Chi_Minh": ("2025-01-27", "2025-04-30", "2025-05-02"),
    "Asia/Shanghai": ("2025-01-26", "2025-02-08", "2025-09-28", "2025-10-01"),
}
COUNTRY = {
    "America/New_York": "US",
    "Europe/Berlin": "DE",
    "Australia/Lord_Howe": "AU",
    "Asia/Kathmandu": "",
    "Asia/Ho_Chi_Minh": "VN",
    "Asia/Shanghai": "CN",
}
OFFSETS_MIN = {"Asia/Kathmandu": (345,), "Australia/Lord_Howe": (630, 660)}
DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "workday", "restday", "holiday")
PERIODS = ("peak", "peak", "critical", "offpeak", "deep", "flat")
BUILDING_COLUMNS = (
    *("id", "name", "org", "kind", "timezone", "policy"),
    *("contract_kw", "peak_limit_kw", "peak_budget_kwh", "x_note"),
)
DEVICE_COLUMNS = (
    *("id", "building", "kind", "name", "item", "source", "multiplier"),
    *("max_rate", "register_max", "jitter", "cadence_s", "max_gap_s", "exempt"),
)


@dataclass(frozen=True)
class DevicePlan:
    """A row of devices.csv, and how the device behaves. Figures in multiplied units, defaults filled in."""

    cells: dict[str, str]
    step_s: float
    """How often it really reports."""
    level: float
    """Mean power of a meter [units per hour]."""
    multiplier: float = 1.0
    max_rate: float | None = None
    register_max: float | None = None
    jitter: float = 0.1
    max_gap_s: float = 3600.0
    silent: bool = False
    """Registered, and never heard of."""


@dataclass(frozen=True)
class BuildingPlan:
    cells: dict[str, str]
    policy: dict[str, Any]
    interval_min: int
    peak_limit_kw: float | None
    devices: list[DevicePlan]


def clock(minute: int) -> str | int:
    """HH:MM; some as the minutes that YAML makes of an unquoted 17:30."""
    return minute if minute >= 600 and minute % 7 == 0 else f"{minute // 60:02}:{minute % 60:02}"


def minute_of_day(cell: str | int) -> int:
    """The inverse of `clock`."""
    return cell if isinstance(cell, int) else 60 * int(cell[:2]) + int(cell[3:])


def _some(rng: Random, names: Sequence[Any], least: int = 1) -> list[Any]:
    return rng.sample(list(names), rng.randint(least, len(names)))


def _maybe(rng: Random, section: dict[str, Any], chance: float, key: str, value: Any) -> None:
    if rng.random() < chance:
        section[key] = value


def _near(rng: Random, day: dt.date) -> dt.date:
    return day + dt.timedelta(days=rng.randint(-3, 3))


def _window(rng: Random, day: dt.date, grain_min: int) -> dict[str, Any]:
    last = 1440 // grain_min
    start = grain_min * rng.randrange(last)
    end = grain_min * rng.randint(0, last)  # up to 24:00; half of them run past midnight, some all round the clock
    if rng.random() < 0.05:
        end = start
    window: dict[str, Any] = {"from": clock(start), "to": "24:00" if end == 1440 else clock(end)}
    _maybe(rng, window, 0.75, "days", _some(rng, DAY_NAMES))
    _maybe(rng, window, 0.2, "months", sorted({day.month, *_some(rng, range(1, 13))} - {rng.randint(1, 12)}) or [1])
    _maybe(rng, window, 0.15, "since", _near(rng, day))
    _maybe(rng, window, 0.15, "until", _near(rng, day))
    return window


def _ac_section(rng: Random, day: dt.date) -> dict[str, Any]:
    section: dict[str, Any] = {}
    _maybe(rng, section, 0.85, "cool_min_c", rng.choice((25.0, 26.0, 26)))
    _maybe(rng, section, 0.6, "heat_max_c", rng.choice((20.0, 22.0, None)))
    _maybe(rng, section, 0.7, "tolerance_c", rng.choice((0.0, 0.5)))
    _maybe(rng, section, 0.8, "auto_counts", rng.choice(("", None, "cool", "heat")))
    _maybe(rng, section, 0.8, "min_duration_s", rng.choice((0, 60, 300, 600, 1800)))
    _maybe(rng, section, 0.8, "clear_duration_s", rng.choice((0, 120, 300, 900)))
    _maybe(rng, section, 0.3, "cool_months", sorted({day.month, *_some(rng, range(1, 13))}))
    _maybe(rng, section, 0.3, "heat_months", sorted(_some(rng, range(1, 13))))
    kind = rng.random()
    if kind < 0.4:
        start, end = rng.randint(420, 480), rng.randint(1020, 1079)
        section["allowed"] = [{"days": ["workday"], "from": clock(start), "to": clock(end)}]
    elif kind < 0.8:
        section["allowed"] = [_window(rng, day, 1) for _ in range(rng.randint(1, 3))]
    elif kind < 0.9:
        section["allowed"] = []
    return section


def make_policy(rng: Random, policy_id: str, zone: str, day: dt.date) -> tuple[dict[str, Any], int]:
    """A policy that may be used in `zone`, and its demand interval [min]."""
    valid = [n for n in (5, 15, 30, 60) if all(offset % n == 0 for offset in OFFSETS_MIN.get(zone, (0,)))]
    interval_min = rng.choice([*valid, 15])
    policy: dict[str, Any] = {"id": policy_id, "name": f"Policy {policy_id}"}
    if interval_min != 15 or rng.random() < 0.7:
        policy["demand_interval_min"] = interval_min
    _maybe(rng, policy, 0.8, "grace_s", rng.choice((0, 300, 900, 3600)))
    _maybe(rng, policy, 0.5, "default_period", rng.choice(("normal",) * 6 + ("flat", "peak")))
    policy["windows"] = [
        {"period": rng.choice(PERIODS)} | _window(rng, day, interval_min) for _ in range(rng.randrange(5))
    ]
    holidays: dict[str, Any] = {}
    _maybe(rng, holidays, 0.7, "country", COUNTRY[zone] or "NP")
    _maybe(rng, holidays, 0.5, "extra", [_near(rng, day)])
    _maybe(rng, holidays, 0.5, "workdays", [_near(rng, day), *holidays.get("extra", [])[: rng.randint(0, 1)]])
    _maybe(rng, policy, 0.8, "holidays", holidays)
    tolerance = rng.choice((0.0, 0.05))
    demand: dict[str, Any] = {"tolerance": tolerance, "clear_ratio": rng.choice((0.9, 1.0, 1 + tolerance))}
    _maybe(rng, demand, 0.8, "min_coverage", rng.choice((0.5, 0.8, 1.0)))
    _maybe(rng, policy, 0.8, "peak_demand", demand)
    _maybe(rng, policy, 0.9, "ac", _ac_section(rng, day))
    return policy, interval_min


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _meter(
    rng: Random, building: str, number: int, item: str, contract_kw: float | None, edge_s: float | None
) -> DevicePlan:
    """`edge_s`: the meter reports on the edges of these [s], exactly."""
    level = rng.uniform(5, 40)
    source = rng.choice(("register", "register", "power"))
    multiplier = rng.choice((None, None, 1.0, 2.5, 40.0))
    max_rate = rng.choice((None, 200.0, 200.0, round(level * 1.5, 1)))
    register_max = rng.choice((None, None, 1000.0, 100.0))
    jitter = rng.choice((None, 0.0, 2.0))
    cadence_s = rng.choice((None, None, 300.0, 3600.0))
    max_gap_s = rng.choice((None, None, None, 2000.0))
    step_s = rng.choice((300.0, 450.0, 900.0, 900.0, 1800.0))
    if edge_s is not None:
        step_s = edge_s
        max_gap_s = rng.choice((None, edge_s, 2 * edge_s))
    figures = {"multiplier": multiplier, "max_rate": max_rate, "register_max": register_max, "jitter": jitter}
    figures |= {"cadence_s": cadence_s, "max_gap_s": max_gap_s}
    words = {"id": f"{building}m{number}", "building": building, "kind": "meter", "item": item, "source": source}
    if item == "total" and rng.random() < 0.3:
        words["item"] = ""
    if source == "register" and rng.random() < 0.3:
        words["source"] = ""
    if max_rate is None and contract_kw is not None and item != "water":
        max_rate = 4 * contract_kw
    return DevicePlan(
        cells=words | {column: _cell(value) for column, value in figures.items()},
        step_s=step_s,
        level=level,
        multiplier=multiplier or 1.0,
        max_rate=max_rate,
        register_max=register_max,
        jitter=0.1 if jitter is None else jitter,
        max_gap_s=max_gap_s or 4 * (cadence_s or 900.0),
        silent=rng.random() < 0.08,
    )


def _air_conditioner(rng: Random, building: str, number: int) -> DevicePlan:
    cadence_s = rng.choice((None, 200.0, 900.0))
    max_gap_s = rng.choice((None, None, 7200.0))
    exempt = rng.choice(("",) * 7 + ("all", "ac_hours", "ac_cool_setpoint;ac_heat_setpoint"))
    cells = {"id": f"{building}a{number}", "building": building, "kind": "ac", "name": "Phòng họp", "exempt": exempt}
    cells |= {"cadence_s": _cell(cadence_s), "max_gap_s": _cell(max_gap_s)}
    gap_s = max_gap_s or 4 * (cadence_s or 300.0)
    return DevicePlan(cells, step_s=rng.choice((300.0, 600.0, 900.0)), level=0.0, max_gap_s=gap_s)


def make_building(
    rng: Random, number: int, zone: str, day: dt.date, *, ties: bool, like: BuildingPlan | None = None
) -> BuildingPlan:
    """`like`: a building of the same zone whose policy this one shares."""
    building = f"b{number}"
    if like is None:
        policy, interval_min = make_policy(rng, f"p{number}", zone, day)
    else:
        policy, interval_min = like.policy, like.interval_min
    contract_kw = rng.choice((None, 50.0, 100.0))
    items = [
        "total",
        *rng.choice(((), (), ("total",), ("hvac",), ("water",), ("pv", "total"), ("hvac", "hvac", "gas"))),
    ]
    edge_s = 60.0 * interval_min if ties else None
    meters = [_meter(rng, building, n, item, contract_kw, edge_s) for n, item in enumerate(items)]
    if rng.random() < 0.05:
        meters = []
    level = sum(meter.level for meter in meters if meter.cells["item"] in ("total", ""))
    limit_kw = round(level * rng.uniform(0.8, 1.3), 1) if rng.random() < 0.8 else None
    budget_kwh = round(level * rng.uniform(1, 8), 1) if rng.random() < 0.7 else None
    if ties and limit_kw is not None and budget_kwh is not None:
        budget_kwh = limit_kw * interval_min / 60 * rng.randint(1, 6)
    cells = {
        "id": building,
        "name": f"Tòa nhà {number}",
        "org": "Lạng Sơn/Sở Xây dựng",
        "timezone": zone,
        "policy": policy["id"],
    }
    figures = {"contract_kw": contract_kw, "peak_limit_kw": limit_kw, "peak_budget_kwh": budget_kwh}
    cells |= {column: "" if value is None else repr(value) for column, value in figures.items()}
    units = [_air_conditioner(rng, building, n) for n in range(rng.randint(0, 3))]
    return BuildingPlan(cells, policy, interval_min, limit_kw, [*meters, *units])


def _csv(columns: Sequence[str], rows: Sequence[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def config_files(plans: Sequence[BuildingPlan]) -> dict[str, str]:
    """Path below `config/` → text."""
    devices = [device.cells for plan in plans for device in plan.devices]
    files = {
        "buildings.csv": _csv(BUILDING_COLUMNS, [plan.cells for plan in plans]),
        "devices.csv": "\ufeff" + _csv(DEVICE_COLUMNS, devices),
    }
    for plan in plans:
        text = yaml.safe_dump(plan.policy, sort_keys=False, allow_unicode=True)
        files[f"policies/{plan.policy['id']}.yaml"] = text
    return files
