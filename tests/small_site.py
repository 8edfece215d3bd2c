"""One building in UTC with intervals of 15 minutes, on Monday 2 June 2025: for cases worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.naive import EventRow, NaiveResult, Row, run
from tests.vectors import parse_ts_ms


def ms(text: str) -> int:
    """'HH:MM[:SS]' on the day of the cases, or a whole ISO time."""
    ts_ms = parse_ts_ms(text if "T" in text else f"2025-06-02T{text}Z")
    assert ts_ms is not None
    return ts_ms


NOW_MS = ms("2027-01-01T00:00:00Z")


class Site:
    """A configuration of one building, b, written below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.building: dict[str, Any] = {"id": "b", "timezone": "UTC", "policy": "p"}
        self.policy: dict[str, Any] = {"id": "p"}
        self.devices: list[dict[str, Any]] = []

    def meter(self, **cells: Any) -> str:
        return self._device("m", kind="meter", **cells)

    def ac(self, **cells: Any) -> str:
        return self._device("a", kind="ac", **cells)

    def _device(self, letter: str, **cells: Any) -> str:
        device = f"{letter}{len(self.devices)}"
        self.devices.append({"id": device, "building": "b"} | cells)
        return device

    def run(self, rows: list[Row], horizon_h: float | None = None) -> NaiveResult:
        (self.folder / "policies").mkdir(exist_ok=True)
        (self.folder / "policies" / "p.yaml").write_text(yaml.safe_dump(self.policy))
        for name, records in (("buildings", [self.building]), ("devices", self.devices)):
            columns = sorted({column for record in records for column in record})
            lines = [columns, *([str(record.get(column, "")) for column in columns] for record in records)]
            (self.folder / f"{name}.csv").write_text("\n".join(",".join(line) for line in lines) + "\n")
        return run(self.folder, rows, now_ms=NOW_MS, horizon_h=horizon_h)


def series(device: str, quantity: str, *readings: tuple[str, float]) -> list[Row]:
    return [(ms(time), device, quantity, value) for time, value in readings]


def outcome(event: EventRow) -> tuple[int, int | None, str, str]:
    return event.start_ms, event.end_ms, event.state, event.reason
