"""buildings.csv, devices.csv and policies/ to one checked registry (SEMANTICS 2, 4 and 7)."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal, cast

from monitor.calendars import PEAK_PERIODS, offset_problem
from monitor.config.csv_table import Row, read_table
from monitor.config.field_patterns import common_name
from monitor.config.findings import Bounds, Findings, nearest, shown, zone_problem
from monitor.config.policy_file import PolicyFile, read_policy
from monitor.decoders.mapping import METERED, claims, fields_of
from monitor.errors import Problem
from monitor.registry import MEDIA, Building, Device, Policy, Registry

__all__ = ["load_registry", "read_registry"]

BUILDINGS_FILE = "buildings.csv"
DEVICES_FILE = "devices.csv"
POLICIES_FOLDER = "policies"

DEFAULT_CADENCE_S = {"meter": 900.0, "ac": 300.0}
MAX_RATE_PER_CONTRACT = 4.0
MAX_GAP_PER_CADENCE = 4.0
DEFAULT_JITTER = 0.1
AC_RULES = ("ac_cool_setpoint", "ac_heat_setpoint", "ac_hours")

_OFFSET_RANGE_MS = 400 * 86_400_000
_ABOVE_0 = Bounds(above=True)
_FROM_0 = Bounds()
_NOT_0 = Bounds(low=-math.inf, nonzero=True)
_METER_COLUMNS = ("item", "source", "multiplier", "max_rate", "register_max", "jitter")
_METER_DEFAULTS = {"item": {"total"}, "source": {"register"}, "multiplier": {"1", "1.0"}, "jitter": {"0.1"}}


def load_registry(
    config_dir: Path, *, now_ms: int, revision_horizon_h: float = 168.0, sources: Collection[str] | None = None
) -> tuple[Registry, list[Problem]]:
    """The registry of a configuration folder, and the warnings about it.

    now_ms: UTC; the UTC offsets of the buildings' zones are checked within 400 days of it. revision_horizon_h and
    sources (names of those that are not native; None: not known): what monitor.yaml says, for warnings. Raises
    `ConfigError` with every error of all files at once.
    """
    findings = Findings()
    registry = read_registry(
        config_dir, findings, now_ms=now_ms, revision_horizon_h=revision_horizon_h, sources=sources
    )
    findings.raise_errors()
    return registry, findings.warnings


def read_registry(
    config_dir: Path,
    findings: Findings,
    *,
    now_ms: int,
    revision_horizon_h: float = 168.0,
    sources: Collection[str] | None = None,
) -> Registry:
    """Like `load_registry`, but leaves all problems in `findings`; with errors among them the result is incomplete."""
    policy_files = _read_policies(config_dir, findings)
    policies = {policy_id: entry.policy for policy_id, entry in policy_files.items()}
    buildings = _Buildings(findings, policies, now_ms)
    for row in read_table(
        config_dir / BUILDINGS_FILE,
        BUILDINGS_FILE,
        findings,
        required=("id", "timezone", "policy"),
        optional=(
            *("name", "org", "kind", "area_m2", "occupants"),
            *("contract_kw", "peak_limit_kw", "peak_budget_kwh"),
        ),
    ):
        buildings.read(row)
    devices = _Devices(findings, policies, buildings.by_id, revision_horizon_h, sources)
    for row in read_table(
        config_dir / DEVICES_FILE,
        DEVICES_FILE,
        findings,
        required=("id", "building", "kind"),
        optional=("name", "gateway", "source_id", "field", *_METER_COLUMNS, "cadence_s", "max_gap_s", "exempt"),
    ):
        devices.read(row)
    devices.check_ids_in_payloads()
    _warn_of_buildings(buildings, devices.by_id, policies)
    return Registry.of(
        list(buildings.by_id.values()),
        [device for device in devices.by_id.values() if device.building in buildings.by_id],
        policies,
    )


def _read_policies(config_dir: Path, findings: Findings) -> dict[str, PolicyFile]:
    folder = config_dir / POLICIES_FOLDER
    found: dict[str, PolicyFile] = {}
    paths = sorted(
        path
        for pattern in ("*.yaml", "*.yml")
        for path in folder.glob(pattern)
        if not path.name.startswith(".")  # an editor's
    )
    if not paths:
        findings.error(f"{POLICIES_FOLDER}/", "no *.yaml file is there; write a policy")
    for path in paths:
        entry = read_policy(path, f"{POLICIES_FOLDER}/{path.name}", findings)
        if entry is None or not entry.policy.id:
            continue
        policy_id = entry.policy.id
        if policy_id in found:
            first = found[policy_id]
            findings.error(
                entry.file,
                f"found {shown(policy_id)}, which {first.file}:{first.line} has already; give one another id",
                line=entry.line,
                column="id",
            )
        else:
            found[policy_id] = entry
    return found


class _Buildings:
    """Reads rows of buildings.csv."""

    def __init__(self, findings: Findings, policies: Mapping[str, Policy], now_ms: int) -> None:
        self.by_id: dict[str, Building] = {}
        self.row_of: dict[str, Row] = {}
        self._findings, self._policies, self._now_ms = findings, policies, now_ms
        self._zone_problems: dict[str, str | None] = {}
        self._offset_problems: dict[tuple[str, str], str | None] = {}

    def read(self, row: Row) -> None:
        building = Building(
            id=row.required("id"),
            timezone=row.required("timezone"),
            policy=row.required("policy"),
            name=row.text("name"),
            org=self._org(row),
            kind=row.text("kind"),
            area_m2=row.number("area_m2", _ABOVE_0),
            occupants=row.number("occupants", _FROM_0),
            contract_kw=row.number("contract_kw", _ABOVE_0),
            peak_limit_kw=row.number("peak_limit_kw", _FROM_0),
            peak_budget_kwh=row.number("peak_budget_kwh", _FROM_0),
        )
        self._check_zone_and_policy(row, building)
        if not building.id:
            return
        if building.id in self.by_id:
            row.error("id", f"found {shown(building.id)}, which line {self.row_of[building.id].line} has already")
            return
        self.by_id[building.id] = building
        self.row_of[building.id] = row

    @staticmethod
    def _org(row: Row) -> str:
        org = row.text("org")
        if org and not all(level.strip() for level in org.split("/")):
            row.error("org", f"found {shown(org)}, which has an empty level; write levels parted by one slash each")
        return "/".join(level.strip() for level in org.split("/"))

    def _check_zone_and_policy(self, row: Row, building: Building) -> None:
        zone, policy_id = building.timezone, building.policy
        if zone not in self._zone_problems:
            self._zone_problems[zone] = zone_problem(zone)
        wrong_zone = self._zone_problems[zone]
        if zone and wrong_zone is not None:
            row.error("timezone", wrong_zone)
        if policy_id and policy_id not in self._policies:
            like = nearest(policy_id, self._policies)
            known = ", ".join(sorted(self._policies)) or "none"
            row.error("policy", f"found {shown(policy_id)}, expected the id of a policy ({known}){like}")
            return
        if not zone or not policy_id or wrong_zone is not None:
            return
        pair = (policy_id, zone)
        if pair not in self._offset_problems:
            self._offset_problems[pair] = offset_problem(
                self._policies[policy_id], zone, self._now_ms - _OFFSET_RANGE_MS, self._now_ms + _OFFSET_RANGE_MS
            )
        problem = self._offset_problems[pair]
        if problem is not None:
            row.error("timezone", problem)


class _Devices:
    """Reads rows of devices.csv."""

    def __init__(
        self,
        findings: Findings,
        policies: Mapping[str, Policy],
        buildings: Mapping[str, Building],
        revision_horizon_h: float,
        sources: Collection[str] | None,
    ) -> None:
        self.by_id: dict[str, Device] = {}
        self._line_of: dict[str, int] = {}
        self._row_of: dict[str, Row] = {}
        self._findings, self._policies, self._buildings = findings, policies, buildings
        self._horizon_s = revision_horizon_h * 3600.0
        self._sources = sources

    def read(self, row: Row) -> None:
        device_id, building_id = row.required("id"), row.required("building")
        kind = row.required("kind") and row.choice("kind", "", ("meter", "ac"))
        building = self._buildings.get(building_id)
        if building is None and building_id:
            like = nearest(building_id, self._buildings)
            row.error("building", f"found {shown(building_id)}, expected the id of a building{like}")
        is_meter = kind == "meter"
        item = row.text("item", "total") if is_meter else ""
        max_rate = row.number("max_rate", _ABOVE_0)
        if max_rate is None and is_meter and item not in MEDIA and building is not None and building.contract_kw:
            max_rate = MAX_RATE_PER_CONTRACT * building.contract_kw
        cadence_s = _or(row.number("cadence_s", _ABOVE_0), DEFAULT_CADENCE_S.get(kind, 900.0))
        device = Device(
            id=device_id,
            building=sys.intern(building_id),
            kind=cast("Literal['meter', 'ac']", kind),
            name=row.text("name"),
            gateway=sys.intern(row.text("gateway")),  # a hundred thousand rows share a few of these
            source_id=row.text("source_id"),
            field=row.text("field"),
            item=sys.intern(item),
            source=cast("Literal['register', 'power']", row.choice("source", "register", ("register", "power"))),
            multiplier=_or(row.number("multiplier", _NOT_0), 1.0),
            max_rate=max_rate,
            register_max=row.number("register_max", _ABOVE_0),
            jitter=_or(row.number("jitter", _FROM_0), DEFAULT_JITTER),
            cadence_s=cadence_s,
            max_gap_s=_or(row.number("max_gap_s", _ABOVE_0), MAX_GAP_PER_CADENCE * cadence_s),
            exempt=self._exempt(row),
        )
        if device_id in self.by_id:
            row.error("id", f"found {shown(device_id)}, which line {self._line_of[device_id]} has already")
        elif device_id and kind:
            self.by_id[device_id] = device
            self._line_of[device_id] = row.line
            if row.given("source_id") or row.given("field"):
                self._row_of[device_id] = row
        self._warn(row, device, building)

    def check_ids_in_payloads(self) -> None:
        """Finds devices that would take the same values of a payload."""
        known_as: dict[str, list[Device]] = {}
        wanted = {self.by_id[device_id].source_id or device_id for device_id in self._row_of}
        for device in self.by_id.values():
            source_id = device.source_id or device.id
            if source_id not in wanted:
                continue
            doubt = ""
            for other in known_as.setdefault(source_id, []):
                if _take_the_same(device, other):
                    row = self._row_of.get(device.id) or self._row_of[other.id]
                    row.error(
                        "source_id",
                        f"{device.id} and {other.id} would both take the values of {shown(source_id)}; tell them apart "
                        "by gateway (the name of a source), by item, or by field (the payload's names of their values)",
                    )
                    break
                doubt = doubt or _may_take_the_same(device, other)
            else:
                if doubt:
                    self._row_of[device.id].warn("field", doubt)
            known_as[source_id].append(device)

    @staticmethod
    def _exempt(row: Row) -> frozenset[str]:
        names = [name.strip() for name in row.text("exempt").split(";") if name.strip()]
        for name in names:
            if name != "all" and name not in AC_RULES:
                like = nearest(name, (*AC_RULES, "all"))
                row.error("exempt", f"found {shown(name)}, expected all or any of {';'.join(AC_RULES)}{like}")
        return frozenset(AC_RULES) if "all" in names else frozenset(names)

    def _warn(self, row: Row, device: Device, building: Building | None) -> None:
        if device.max_gap_s > self._horizon_s:
            row.warn(
                "max_gap_s",
                f"{device.max_gap_s:g} s is longer than the revision horizon of {self._horizon_s:g} s; "
                "what comes after such a gap is too late to be counted",
            )
        is_of_source = bool(device.source_id or device.field)
        if is_of_source and device.gateway and self._sources is not None and device.gateway not in self._sources:
            row.warn(
                "gateway",
                f"{shown(device.gateway)} is no source of monitor.yaml, so that no payload with this source_id or "
                f"field counts{nearest(device.gateway, self._sources)}",
            )
        if device.kind == "meter":
            if device.max_rate is None:
                row.warn(
                    "max_rate", "empty: spikes and rollovers cannot be told; give the most the meter can count in 1 h"
                )
            if device.register_max is not None and device.max_rate is None:
                row.warn("register_max", "has no effect without max_rate")
            if device.multiplier < 0 and device.source == "register":
                row.warn("multiplier", "negative: the register would count down; is the meter wired backwards?")
            if device.exempt:
                row.warn("exempt", "has no effect on a meter; it exempts air conditioners from their rules")
        elif device.kind == "ac":
            for column in _METER_COLUMNS:
                if row.given(column) and row.text(column) not in _METER_DEFAULTS.get(column, ()):
                    row.warn(column, "has no effect on an ac; leave it empty")
            policy = None if building is None else self._policies.get(building.policy)
            if policy is not None and not _has_ac_rule(policy):
                row.warn("building", f"policy {policy.id} has no rule for air conditioning: the ac is never judged")


def _take_the_same(one: Device, other: Device) -> bool:
    """Of two devices with one id in payloads."""
    if _are_told_apart(one, other):
        return False
    if one.field or other.field:
        return bool(set(fields_of(one)) & set(fields_of(other)))
    if one.kind == "ac":
        return True
    return any(claims(quantity, one.item) and claims(quantity, other.item) for quantity in METERED)


def _are_told_apart(one: Device, other: Device) -> bool:
    return one.kind != other.kind or bool(one.gateway and other.gateway and one.gateway != other.gateway)


def _may_take_the_same(one: Device, other: Device) -> str:
    """What is to be said of two devices with one id in payloads whose names of values overlap; else nothing."""
    if _are_told_apart(one, other):
        return ""
    for mine in fields_of(one):
        for yours in fields_of(other):
            name = common_name(mine, yours)
            if name is not None:
                return (
                    f"{shown(mine)} and {shown(yours)} of {other.id} both fit a value that the payload calls "
                    f"{shown(name)}, and one device gets it; name the values more exactly"
                )
    return ""


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _has_ac_rule(policy: Policy) -> bool:
    return policy.ac.cool_min_c is not None or policy.ac.heat_max_c is not None or bool(policy.ac.allowed)


def _warn_of_buildings(buildings: _Buildings, devices: Mapping[str, Device], policies: Mapping[str, Policy]) -> None:
    metered = {device.building for device in devices.values() if device.kind == "meter"}
    has_total = {device.building for device in devices.values() if device.kind == "meter" and device.item == "total"}
    for building_id, building in buildings.by_id.items():
        row = buildings.row_of[building_id]
        if building_id not in metered:
            row.warn("id", f"building {building_id} has no meter")
        policy = policies.get(building.policy)
        for column, limit in (("peak_limit_kw", building.peak_limit_kw), ("peak_budget_kwh", building.peak_budget_kwh)):
            if limit is None:
                continue
            if building_id in metered and building_id not in has_total:
                row.warn(column, "has no effect: none of the building's meters measures the item total")
            if policy is not None and not _has_peak(policy):
                row.warn(column, f"has no effect: policy {policy.id} has no window of period peak or critical")


def _has_peak(policy: Policy) -> bool:
    return not PEAK_PERIODS.isdisjoint({policy.default_period, *(window.period for window in policy.windows)})
