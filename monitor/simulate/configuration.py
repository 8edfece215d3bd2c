"""A registry made from plain rows, and written out as the configuration folder that it stands for (SEMANTICS 7)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from monitor.registry import Building, Device, Item, Policy, Registry, Window

__all__ = ["assemble", "config_files", "write_config"]

_BUILDING_COLUMNS = (
    *("id", "name", "org", "kind", "timezone", "policy", "area_m2", "occupants"),
    *("contract_kw", "peak_limit_kw", "peak_budget_kwh"),
)
_DEVICE_COLUMNS = ("id", "building", "kind", "name", "gateway", "cadence_s", "max_gap_s", "exempt")
_METER_COLUMNS = ("item", "source", "multiplier", "max_rate", "register_max", "jitter")


def assemble(buildings: Sequence[Building], devices: Iterable[Device], policies: Mapping[str, Policy]) -> Registry:
    """Rows as `Registry` demands them: devices and items sorted by the row of their building."""
    building_row = {building.id: row for row, building in enumerate(buildings)}
    ordered = sorted(devices, key=lambda device: building_row[device.building])
    items: dict[tuple[int, str], list[int]] = {}
    for row, device in enumerate(ordered):
        if device.kind == "meter":
            items.setdefault((building_row[device.building], device.item), []).append(row)
    by_building = sorted(items.items(), key=lambda entry: entry[0][0])
    owner = np.array([building_row[device.building] for device in ordered], np.int32)
    item_owner = np.array([building for (building, _), _ in by_building], np.int32)
    edges = np.arange(len(buildings) + 1)
    names = dict.fromkeys(
        name
        for policy in policies.values()
        for name in (policy.default_period, *(window.period for window in policy.windows))
    )
    return Registry(
        buildings=tuple(buildings),
        devices=tuple(ordered),
        policies=dict(policies),
        items=tuple(Item(building, name, tuple(rows)) for (building, name), rows in by_building),
        device_row={device.id: row for row, device in enumerate(ordered)},
        building_row=building_row,
        device_building=owner,
        device_start=np.searchsorted(owner, edges).astype(np.int32),
        item_start=np.searchsorted(item_owner, edges).astype(np.int32),
        period_names=tuple(names),
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, frozenset):
        return ";".join(sorted(value))
    return repr(value) if isinstance(value, float) else str(value)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _clock(minute: int) -> str:
    minute = minute if minute <= 1440 else minute - 1440
    return f"{minute // 60:02}:{minute % 60:02}"


def _window(window: Window) -> dict[str, Any]:
    row: dict[str, Any] = {"period": window.period} if window.period else {}
    if window.days is not None:
        row["days"] = sorted(window.days)
    row |= {"from": _clock(window.from_min), "to": _clock(window.to_min)}
    if window.months is not None:
        row["months"] = sorted(window.months)
    row |= {key: day for key, day in (("since", window.since), ("until", window.until)) if day is not None}
    return row


def _policy(policy: Policy) -> dict[str, Any]:
    ac = policy.ac
    section: dict[str, Any] = {
        "cool_min_c": ac.cool_min_c,
        "heat_max_c": ac.heat_max_c,
        "tolerance_c": ac.tolerance_c,
        "auto_counts": ac.auto_counts,
        "min_duration_s": ac.min_duration_s,
        "clear_duration_s": ac.clear_duration_s,
    }
    section |= {
        key: sorted(months)
        for key, months in (("cool_months", ac.cool_months), ("heat_months", ac.heat_months))
        if months is not None
    }
    section["allowed"] = [_window(window) for window in ac.allowed]
    holidays: dict[str, Any] = {"country": policy.country} if policy.country else {}
    holidays |= {"extra": sorted(policy.extra_holidays), "workdays": sorted(policy.extra_workdays)}
    document: dict[str, Any] = {
        "id": policy.id,
        "name": policy.name,
        "demand_interval_min": policy.demand_interval_min,
        "grace_s": policy.grace_s,
        "default_period": policy.default_period,
        "windows": [_window(window) for window in policy.windows],
        "holidays": holidays,
        "peak_demand": {
            "tolerance": policy.tolerance,
            "clear_ratio": policy.clear_ratio,
            "min_coverage": policy.min_coverage,
        },
        "ac": section,
    }
    document["sources"] = [
        {"rule": source.rule, "document": source.document, "article": source.article, "verified": source.verified}
        | ({"date": source.date} if source.date is not None else {})
        for source in policy.sources
    ]
    return document


def config_files(registry: Registry) -> dict[str, str]:
    """Relative path to text of buildings.csv, devices.csv and each policy."""
    files = {
        "buildings.csv": _csv(
            _BUILDING_COLUMNS,
            ([getattr(building, column) for column in _BUILDING_COLUMNS] for building in registry.buildings),
        ),
        "devices.csv": _csv(
            _DEVICE_COLUMNS + _METER_COLUMNS,
            (
                [getattr(device, column) for column in _DEVICE_COLUMNS]
                + [getattr(device, column) if device.kind == "meter" else None for column in _METER_COLUMNS]
                for device in registry.devices
            ),
        ),
    }
    for policy in registry.policies.values():
        files[f"policies/{policy.id}.yaml"] = yaml.safe_dump(_policy(policy), allow_unicode=True, sort_keys=False)
    return files


def write_config(registry: Registry, folder: Path) -> None:
    """Write `config_files` below a folder, which is made. OSError where that cannot be."""
    for name, text in config_files(registry).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
