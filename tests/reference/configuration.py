"""Section 7: a folder of files, taken as valid, with the defaults of sections 2 and 3 filled in."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.reference.rows import MINUTE_MS

MEDIA = ("water", "gas", "heat", "cooling")
SOURCE_QUANTITY = {"register": "register", "power": "power_kw"}
AC_RULES = ("ac_cool_setpoint", "ac_heat_setpoint", "ac_hours")


@dataclass(frozen=True)
class Building:
    id: str
    zone: str
    policy: dict[str, Any] = field(hash=False, compare=False)
    contract_kw: float | None
    peak_limit_kw: float | None
    peak_budget_kwh: float | None

    @property
    def interval_ms(self) -> int:
        return int(self.policy.get("demand_interval_min") or 15) * MINUTE_MS

    @property
    def grace_ms(self) -> float:
        grace_s = self.policy.get("grace_s")
        return 1000.0 * (900.0 if grace_s is None else grace_s)


@dataclass(frozen=True)
class Device:
    id: str
    building: str
    kind: str
    item: str
    source: str
    multiplier: float
    max_rate: float | None
    register_max: float | None
    jitter: float
    max_gap_ms: float
    exempt: frozenset[str]


def _cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{key: (cell or "").strip() for key, cell in row.items()} for row in csv.DictReader(file)]


def _number(row: dict[str, str], column: str) -> float | None:
    return float(row[column]) if row.get(column) else None


def default_to(value: float | None, default: float) -> float:
    return default if value is None else value


def load_config(config_dir: Path) -> tuple[dict[str, Building], dict[str, Device]]:
    policies = {}
    for path in sorted((config_dir / "policies").glob("*.yaml")):
        policy = yaml.safe_load(path.read_text(encoding="utf-8"))
        policies[policy["id"]] = policy
    buildings = {}
    for row in _cells(config_dir / "buildings.csv"):
        figures = (_number(row, column) for column in ("contract_kw", "peak_limit_kw", "peak_budget_kwh"))
        buildings[row["id"]] = Building(row["id"], row["timezone"], policies[row["policy"]], *figures)
    devices = {}
    for row in _cells(config_dir / "devices.csv"):
        item = row.get("item") or "total"
        max_rate = _number(row, "max_rate")
        contract_kw = buildings[row["building"]].contract_kw
        if max_rate is None and contract_kw is not None and item not in MEDIA:
            max_rate = 4 * contract_kw
        cadence_s = default_to(_number(row, "cadence_s"), 900.0 if row["kind"] == "meter" else 300.0)
        exempt = frozenset(rule.strip() for rule in row.get("exempt", "").split(";") if rule.strip())
        devices[row["id"]] = Device(
            id=row["id"],
            building=row["building"],
            kind=row["kind"],
            item=item,
            source=SOURCE_QUANTITY[row.get("source") or "register"],
            multiplier=default_to(_number(row, "multiplier"), 1.0),
            max_rate=max_rate,
            register_max=_number(row, "register_max"),
            jitter=default_to(_number(row, "jitter"), 0.1),
            max_gap_ms=1000.0 * default_to(_number(row, "max_gap_s"), 4 * cadence_s),
            exempt=frozenset(AC_RULES) if "all" in exempt else exempt,
        )
    return buildings, devices
