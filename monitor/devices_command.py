"""The command `devices`: what is registered, and what is not yet, with rows ready for devices.csv."""

from __future__ import annotations

import csv
import datetime as dt
import io
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from monitor.config import load_registry, load_settings
from monitor.config.csv_table import header_of
from monitor.config.registry_files import DEVICES_FILE
from monitor.decoders.mapping import FOREIGN, MONITORED, UNMAPPED, DeviceMap, claims
from monitor.decoders.sources import topic_matches
from monitor.decoders.values import QUANTITIES, Measured
from monitor.errors import InputError
from monitor.registry import Registry
from monitor.settings import Settings
from monitor.store.quarantine import read_refused
from monitor.store.source_memory import SeenUnmapped, read_unmapped

__all__ = ["devices_command"]

_UNLESS_GIVEN = {"source_id": "", "item": "total", "source": "register", "field": ""}
"""Columns without which a row would mean another device, and the cell that is as good as none."""
_REFUSED_MS = 86_400_000
"""What was quarantined so long ago at most is told with the ids: it may be why one is not among them."""
_ABOUT_IDS = ("unknown_device", "foreign_device")
"""Reasons of what is listed anyway, but for native messages, which no source notes."""
_UNKNOWN = "?"
"""In place of a building that only the installer knows."""


def devices_command(config: Path, *, unmapped: bool, building: str | None, env: Mapping[str, str], now_ms: int) -> None:
    """Prints the devices, or with `unmapped` the ids that no device has. Raises ConfigError, InputError, StoreError."""
    settings = load_settings(config, env)
    registry, _ = load_registry(config, now_ms=now_ms, revision_horizon_h=settings.revision_horizon_h)
    if building is not None and building not in registry.building_row:
        raise InputError(f"--building: found {building!r}, which is none of buildings.csv")
    out = sys.stdout
    if not unmapped:
        _list(registry)
        return
    if not settings.sqlite_path.exists():
        raise InputError(f"{settings.sqlite_path}: is not there; has the monitor run with this configuration?")
    devices = DeviceMap(registry)
    waiting = [seen for seen in read_unmapped(settings.sqlite_path) if _is_unmapped(devices, seen)]
    if waiting:
        if building is None:
            building = registry.buildings[0].id if len(registry.buildings) == 1 else _UNKNOWN
        _offer(devices, waiting, header_of(config / DEVICES_FILE), building, set(registry.device_row))
    refusals = read_refused(settings.sqlite_path, now_ms - _REFUSED_MS, lambda *row: _is_listed(settings, *row))
    if not waiting and not any(refused.reason in _ABOUT_IDS for refused in refusals):
        out.write("every id that was seen has a device\n")
    for refused in refusals:
        last = f"the last {_time(refused.last_ms)} on {refused.topic}: {refused.detail}"
        out.write(_comment(f"quarantined as {refused.reason} in the last day: {refused.times}, {last}"))


def _offer(
    devices: DeviceMap, waiting: Sequence[SeenUnmapped], columns: list[str], building: str, taken: set[str]
) -> None:
    out = sys.stdout
    rows_of = [list(_rows(seen, building, taken)) for seen in waiting]
    missing = _missing(columns, (row for rows in rows_of for row in rows))
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        needed = f"# devices.csv needs the {noun} {' and '.join(missing)} for these rows"
        out.write(f"{needed}: {','.join([*columns, *missing])}\n")
    if "item" not in (*columns, *missing) and any(row.get("item") for rows in rows_of for row in rows):
        out.write("# without a column item each meter is a total of its building, and totals add up\n")
    for seen, rows in zip(waiting, rows_of, strict=True):
        out.write(_told(seen, _row_of(devices, seen) == FOREIGN))
        if not rows:
            out.write(f"# no row: {_why_none(seen)}\n")
        for row in rows:
            out.write(_line([row.get(column, "") for column in [*columns, *missing]]))


def _is_listed(settings: Settings, reason: str, topic: str) -> bool:
    """Whether what was quarantined is an id that a source has noted."""
    if reason not in _ABOUT_IDS:
        return False
    of = (source for source in settings.sources if any(topic_matches(topic, each) for each in source.topics))
    source = next(of, None)
    return source is not None and source.format != "native"


def _list(registry: Registry) -> None:
    columns = ("id", "building", "kind", "item", "gateway", "source_id", "field", "name")
    sys.stdout.write(_line(columns))
    for device in registry.devices:
        sys.stdout.write(_line([getattr(device, column) for column in columns]))


def _missing(columns: list[str], rows: Iterable[dict[str, str]]) -> list[str]:
    """What devices.csv has no column for, of what these rows cannot do without."""
    given = {column for row in rows for column, cell in row.items() if cell != _UNLESS_GIVEN.get(column, cell)}
    return [column for column in _UNLESS_GIVEN if column in given and column not in columns]


def _is_unmapped(devices: DeviceMap, seen: SeenUnmapped) -> bool:
    """Whether that is still so under today's configuration."""
    return bool(seen.unmapped.values) and _row_of(devices, seen) in (UNMAPPED, FOREIGN)


def _row_of(devices: DeviceMap, seen: SeenUnmapped) -> int:
    """Whether an id is nobody's or another gateway's does not depend on the quantity."""
    quantity = next(quantity for quantity in QUANTITIES if quantity in seen.unmapped.values)
    return devices.row(seen.unmapped.source, seen.unmapped.source_id, quantity, "")


def _why_none(seen: SeenUnmapped) -> str:
    if _has_control(seen.unmapped.source_id):
        return f"the id has characters that cannot be shown: {seen.unmapped.source_id!a}"
    return "neither a meter's register or power nor an air conditioner's mode or set-point"


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character).startswith("C") for character in text)


def _told(seen: SeenUnmapped, is_foreign: bool) -> str:
    unmapped = seen.unmapped
    values = ", ".join(f"{quantity} {value:.10g}" for quantity, value in unmapped.values.items())
    text = f"{unmapped.source}, last seen {_time(unmapped.seen_ms)} on {unmapped.topic}: {values}"
    if is_foreign:
        text += " (another gateway has a device of this id)"
    return _comment(text)


def _time(time_ms: int) -> str:
    return dt.datetime.fromtimestamp(time_ms // 1000, dt.UTC).isoformat().replace("+00:00", "Z")


def _comment(text: str) -> str:
    """One line, whatever gateways have written into it."""
    return "# " + "".join(character if character.isprintable() else "?" for character in text) + "\n"


def _rows(seen: SeenUnmapped, building: str, taken: set[str]) -> Iterator[dict[str, str]]:
    """One for each device that the values speak of: a meter of electricity, of each medium, an air conditioner."""
    if _has_control(seen.unmapped.source_id):  # a terminal would do what they say
        return
    quantities = [cast("Measured", quantity) for quantity in seen.unmapped.values]
    electricity = [quantity for quantity in quantities if not MONITORED[quantity][1] and claims(quantity, "total")]
    if electricity:
        source = "register" if "register" in electricity else "power"
        yield _row(seen, building, taken, "", kind="meter", item="total", source=source)
    for quantity, item in (("water_m3", "water"), ("gas_m3", "gas"), ("heat_kwh", "heat")):
        if quantity in quantities:
            suffix = f"-{item}" if len(quantities) > 1 else ""
            yield _row(seen, building, taken, suffix, kind="meter", item=item, source="register")
    if "setpoint_c" in quantities or "mode" in quantities:  # a plug says on, a probe room_c: neither is an ac
        yield _row(seen, building, taken, "-ac" if electricity else "", kind="ac")
    if not electricity and "export_register" in quantities:
        yield _row(seen, building, taken, "", kind="meter", item="pv", source="register", field="export_register")


def _row(seen: SeenUnmapped, building: str, taken: set[str], suffix: str, **cells: str) -> dict[str, str]:
    """An id of its own: the payload's where it is free, and would not begin a comment."""
    device_id = wanted = f"{seen.unmapped.source_id}{suffix}".lstrip("#") or seen.unmapped.source
    number = 1
    while device_id in taken:
        number += 1
        device_id = f"{wanted}-{number}"
    taken.add(device_id)
    return {
        "id": device_id,
        "building": building,
        "gateway": seen.unmapped.source,
        "source_id": seen.unmapped.source_id,
        **cells,
    }


def _line(cells: list[str] | tuple[str, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
