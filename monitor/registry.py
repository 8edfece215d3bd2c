"""Buildings, devices and policies, and the dense row numbers under which kernels know them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MEDIA: frozenset[str] = frozenset({"water", "gas", "heat", "cooling"})
"""Items that are no electricity: no demand, no default for max_rate (SEMANTICS 2)."""


@dataclass(frozen=True, slots=True)
class Window:
    """A recurring stretch of local wall-clock time. Minutes of the day on which it starts; `to_min` may pass 1440."""

    period: str
    """Empty for the `allowed` windows of air conditioning."""
    from_min: int
    to_min: int
    """Exclusive; always greater than from_min: a window past midnight ends at 1440 + its minute."""
    days: frozenset[str] | None = None
    """Any of mon..sun, workday, restday, holiday; None is every day."""
    months: frozenset[int] | None = None
    since: dt.date | None = None
    until: dt.date | None = None
    """Exclusive."""


@dataclass(frozen=True, slots=True)
class AcRules:
    """The policy's section `ac` [°C, s]."""

    cool_min_c: float | None = None
    heat_max_c: float | None = None
    tolerance_c: float = 0.0
    auto_counts: Literal["", "cool", "heat"] = ""
    min_duration_s: float = 600.0
    clear_duration_s: float = 300.0
    cool_months: frozenset[int] | None = None
    heat_months: frozenset[int] | None = None
    allowed: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure of the policy comes from."""

    rule: str
    document: str
    date: dt.date | None = None
    article: str = ""
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    id: str
    name: str = ""
    demand_interval_min: int = 15
    grace_s: float = 900.0
    default_period: str = "normal"
    windows: tuple[Window, ...] = ()
    country: str = ""
    """python-holidays code; empty: no public holidays, weekend on Saturday and Sunday."""
    extra_holidays: frozenset[dt.date] = frozenset()
    extra_workdays: frozenset[dt.date] = frozenset()
    tolerance: float = 0.0
    clear_ratio: float = 1.0
    min_coverage: float = 0.8
    ac: AcRules = field(default_factory=AcRules)
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Building:
    id: str
    timezone: str
    policy: str
    name: str = ""
    org: str = ""
    kind: str = ""
    area_m2: float | None = None
    occupants: float | None = None
    contract_kw: float | None = None
    peak_limit_kw: float | None = None
    peak_budget_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class Device:
    id: str
    building: str
    kind: Literal["meter", "ac"]
    name: str = ""
    gateway: str = ""
    """Level of a native topic, or name of a source, through which alone it may be reported; empty: any."""
    source_id: str = ""
    """How payloads that are not native call it; empty: like `id`."""
    field: str = ""
    """Names of values in the payload that are this device's, parted by `;`, with `*` for anything; empty: all that no
    other device of the same source_id claims."""
    item: str = "total"
    """Meters only; empty for ac."""
    source: Literal["register", "power"] = "register"
    multiplier: float = 1.0
    max_rate: float | None = None
    """Units per hour, in multiplied units; the default of 4 x contract_kw for electricity is already filled in."""
    register_max: float | None = None
    jitter: float = 0.1
    cadence_s: float = 900.0
    max_gap_s: float = 3600.0
    """The default of 4 x cadence_s is already filled in."""
    exempt: frozenset[str] = frozenset()
    """Names of ac rules; `all` is already expanded to the three."""


@dataclass(frozen=True, slots=True)
class Item:
    """What the meters of a building that measure the same thing add up to."""

    building: int
    """Row of the building."""
    name: str
    meters: tuple[int, ...]
    """Rows of its meters, ascending."""

    @property
    def is_electricity(self) -> bool:
        return self.name not in MEDIA


@dataclass(frozen=True, slots=True)
class Registry:
    """One configuration, checked. Rows are dense: devices are sorted by the row of their building (file order kept
    within it) and items likewise, so that all that belongs to one building is one slice."""

    buildings: tuple[Building, ...]
    devices: tuple[Device, ...]
    policies: dict[str, Policy]
    items: tuple[Item, ...]
    device_row: dict[str, int]
    building_row: dict[str, int]
    device_building: NDArray[np.int32]
    """int32[devices]: row of the building."""
    device_start: NDArray[np.int32]
    """int32[buildings + 1]: devices of building b are rows device_start[b] to device_start[b + 1]."""
    item_start: NDArray[np.int32]
    """int32[buildings + 1], likewise for items."""
    period_names: tuple[str, ...]
    """Every period of every policy, each once."""

    @classmethod
    def of(cls, buildings: Sequence[Building], devices: Sequence[Device], policies: Mapping[str, Policy]) -> Registry:
        """Number what is already checked: every device's building and every building's policy is there, ids are unique.

        Rows of buildings are in the order given, items in that of their first meter, policies in that of their ids.
        """
        building_row = {building.id: row for row, building in enumerate(buildings)}
        ordered = sorted(devices, key=lambda device: building_row[device.building])
        device_building = np.array([building_row[device.building] for device in ordered], np.int32)
        meters: dict[tuple[int, str], list[int]] = {}
        for row, device in enumerate(ordered):
            if device.kind == "meter":
                meters.setdefault((int(device_building[row]), device.item), []).append(row)
        items = tuple(Item(building, name, tuple(rows)) for (building, name), rows in meters.items())
        bounds = np.arange(len(buildings) + 1)
        periods: dict[str, None] = {}
        for policy_id in sorted(policies):
            policy = policies[policy_id]
            periods.update(dict.fromkeys((policy.default_period, *(window.period for window in policy.windows))))
        return cls(
            buildings=tuple(buildings),
            devices=tuple(ordered),
            policies={policy_id: policies[policy_id] for policy_id in sorted(policies)},
            items=items,
            device_row={device.id: row for row, device in enumerate(ordered)},
            building_row=building_row,
            device_building=device_building,
            device_start=np.searchsorted(device_building, bounds).astype(np.int32),
            item_start=np.searchsorted([item.building for item in items], bounds).astype(np.int32),
            period_names=tuple(periods),
        )
