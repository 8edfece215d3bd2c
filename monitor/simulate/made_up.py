"""Scenarios: over a made-up town, or over a configuration that exists."""

from __future__ import annotations

from monitor.errors import InputError
from monitor.registry import MEDIA, Building, Device, Registry
from monitor.simulate.configuration import assemble
from monitor.simulate.faults import Faults
from monitor.simulate.load import full_load_kw
from monitor.simulate.places import PLACES, POLICIES
from monitor.simulate.scenario import Scenario
from monitor.simulate.seeds import generator

__all__ = ["from_registry", "make_scenario"]

_SUB_ITEMS = ("hvac", "lighting_sockets", "power", "special")
_AC_UNITS = 4


def _meter(building: Building, name: str, item: str, cadence_s: float, share: float = 1.0) -> Device:
    """A register meter with the limits that its place in the building gives it."""
    electric = item not in MEDIA
    return Device(
        id=f"{building.id}-{name}",
        building=building.id,
        kind="meter",
        name=item,
        gateway=f"gw-{building.id}",
        item=item,
        max_rate=round(4 * share * (building.contract_kw or 0.0), 1) if electric else 100.0,
        register_max=1_000_000.0,
        cadence_s=cadence_s,
        max_gap_s=4 * cadence_s,
    )


def _building(seed: int, n: int) -> Building:
    place = PLACES[n % len(PLACES)]
    rng = generator(seed, "building", n)
    size = float(rng.uniform(0.8, 1.25))
    number = n // len(PLACES)
    area_m2 = round(place.area_m2 * size, -1)
    contract_kw = round(0.05 * area_m2, -1)
    full_kw = full_load_kw(Building("", "", "", contract_kw=contract_kw))
    return Building(
        id=f"{place.policy.removeprefix('sim-')}-{n + 1:02}",
        timezone=place.timezone,
        policy=place.policy,
        name=f"{place.name} {number + 1}" if number else place.name,
        org=place.org,
        kind=place.kind,
        area_m2=area_m2,
        occupants=round(place.occupants * size),
        contract_kw=contract_kw,
        peak_limit_kw=round(0.75 * full_kw, 1),
        peak_budget_kwh=round(0.75 * full_kw * 4, 0) if n % 2 == 0 else None,
    )


def _devices(building: Building, n: int, cadence_s: float, ac_cadence_s: float) -> list[Device]:
    if n % 4 == 1:
        mains = [_meter(building, f"main-{side}", "total", cadence_s, 0.5) for side in "ab"]
    else:
        mains = [_meter(building, "main", "total", cadence_s)]
    subs = list(_SUB_ITEMS if n % 3 == 0 else _SUB_ITEMS[:1])
    subs += ["pv"] * (n % 4 == 2) + ["water"] * (n % 3 == 1)
    meters = mains + [_meter(building, item.replace("_", "-"), item, cadence_s) for item in subs]
    units = [
        Device(
            id=f"{building.id}-ac-{unit + 1}",
            building=building.id,
            kind="ac",
            name=f"AC {unit + 1}",
            gateway=f"gw-{building.id}-ac" if n % 2 else f"gw-{building.id}",
            item="",
            cadence_s=ac_cadence_s,
            max_gap_s=4 * ac_cadence_s,
        )
        for unit in range(_AC_UNITS if n % 3 == 0 else 2)
    ]
    return meters + units


def make_scenario(
    seed: int,
    *,
    start_ms: int,
    duration_s: float,
    buildings: int = 12,
    cadence_s: float = 900.0,
    ac_cadence_s: float = 300.0,
    faults: Faults | None = None,
) -> Scenario:
    """A made-up town of offices, schools and hospitals. Over 12 buildings and a day or more every rule is broken by
    somebody, and some buildings break none. cadence_s: of meters [s]. InputError for a figure that makes no sense."""
    if buildings < 1 or duration_s <= 0 or cadence_s < 1 or ac_cadence_s < 1:
        raise InputError(
            f"buildings={buildings}, duration_s={duration_s}, cadence_s={cadence_s}, ac_cadence_s={ac_cadence_s}: "
            "all must be positive, cadences at least 1 s"
        )
    made = [_building(seed, n) for n in range(buildings)]
    devices = [device for n, building in enumerate(made) for device in _devices(building, n, cadence_s, ac_cadence_s)]
    used = {building.policy: POLICIES[building.policy] for building in made}
    return from_registry(assemble(made, devices, used), seed, start_ms=start_ms, duration_s=duration_s, faults=faults)


def from_registry(
    registry: Registry, seed: int, *, start_ms: int, duration_s: float, faults: Faults | None = None
) -> Scenario:
    """Gateways for a configuration that exists. Which buildings break which rule goes by their row: the first breaks
    all for which it has limits and units, the second none (see `_ROLES` in scenario.py)."""
    if duration_s <= 0:
        raise InputError(f"duration_s={duration_s}: must be positive")
    return Scenario(registry, seed, start_ms, start_ms + round(duration_s * 1000), faults or Faults())
