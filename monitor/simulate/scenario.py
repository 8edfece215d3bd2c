"""Buildings with a plan: who keeps the rules, who breaks them, and every reading that follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.registry import MEDIA, Building, Device, Registry
from monitor.simulate.ac_units import Use, open_hours, unit_day
from monitor.simulate.civil import CivilCalendar
from monitor.simulate.configuration import write_config
from monitor.simulate.faults import Faults
from monitor.simulate.load import DAY_MS, DayLoad, Habits, day_load, full_load_kw
from monitor.simulate.meters import Meter, first_counter
from monitor.simulate.seeds import generator
from monitor.simulate.stream import Reading, sorted_once
from monitor.simulate.truth import Truth, evaluate

__all__ = ["Scenario", "Sent", "gateway_of"]

_LITRES = 0.001


class Sent(NamedTuple):
    """A reading, and when its gateway has it [true simulated time, ms]: with a wrong clock that is not its ts."""

    taken_ms: int
    reading: Reading


class _Role(NamedTuple):
    habits: Habits
    uses: tuple[Use, ...]


_KEEPS = Habits(breaks_demand=False, breaks_budget=False)
# By the row of the building, over and over: with one building every rule is broken, with two one of them is exemplary.
_ROLES: tuple[_Role, ...] = (
    _Role(Habits(breaks_demand=True, breaks_budget=True), ("wrong_setpoint", "left_on", "always_heats", "repaired")),
    _Role(_KEEPS, ("proper",)),
    _Role(Habits(breaks_demand=True, breaks_budget=False), ("proper", "repaired")),
    _Role(_KEEPS, ("left_on", "wrong_setpoint", "always_heats")),
    _Role(Habits(breaks_demand=False, breaks_budget=True), ("proper",)),
    _Role(_KEEPS, ("proper", "proper", "wrong_setpoint")),
)


def gateway_of(device: Device) -> str:
    """The gateway that reports a device: its own, or one for each building where none is registered."""
    return device.gateway or f"gw-{device.building}"


def _rate_per_h(item: str, building: Building, load: DayLoad) -> NDArray[np.float64]:
    """float64[1440]: the flow through all meters of an item [the item's unit per hour]."""
    known = load.power_kw.get(item)
    if known is not None:
        return np.asarray(known, np.float64)
    if item == "water":
        people = building.occupants or 100.0
        return np.asarray(people * _LITRES * (0.3 + 6.0 * load.presence), np.float64)
    scale = full_load_kw(building) * (0.02 if item == "gas" else 0.5 if item in MEDIA else 0.1)
    return np.asarray(scale * (0.2 + 0.8 * load.presence), np.float64)


@dataclass(frozen=True)
class Scenario:
    """Simulated time [start_ms, end_ms) over a registry. Everything follows from these fields: the same fields, the
    same readings, to the bit."""

    registry: Registry
    seed: int
    start_ms: int
    end_ms: int
    faults: Faults = field(default_factory=Faults)

    def write_config(self, folder: Path) -> None:
        """buildings.csv, devices.csv and policies/ of this scenario's registry."""
        write_config(self.registry, folder)

    def skew_ms(self, gateway: str) -> int:
        """How far the gateway's clock is ahead [ms]."""
        rng = generator(self.seed, "skew", gateway)
        wrong, amount_ms = rng.random() < self.faults.skew, int(rng.integers(2_000, 60_000))
        return (amount_ms if rng.random() < 0.5 else -amount_ms) if wrong else 0

    def readings(self) -> Iterator[Reading]:
        """Every good reading once, in the order in which the gateways get them."""
        return (sent.reading for sent in self.sent())

    def truth_rows(self) -> list[Reading]:
        """Every good reading once, sorted. All of them in memory."""
        return sorted_once(self.readings())

    def truth(self) -> Truth:
        """What SEMANTICS demands for exactly these readings."""
        return evaluate(self.registry, self.readings())

    def sent(self) -> Iterator[Sent]:
        """As `readings`, with the true time of each. One day of simulated time in memory at once."""
        calendars = {
            (building.policy, building.timezone): CivilCalendar(
                self.registry.policies[building.policy], building.timezone
            )
            for building in self.registry.buildings
        }
        meters = {device.id: meter for device in self.registry.devices for meter in self._meter(device)}
        for day_ms in range(self.start_ms - self.start_ms % DAY_MS, self.end_ms, DAY_MS):
            day: list[Sent] = []
            hours = {key: open_hours(calendar, day_ms) for key, calendar in calendars.items()}
            for row, building in enumerate(self.registry.buildings):
                key = building.policy, building.timezone
                day.extend(self._building_day(row, building, calendars[key], hours[key], meters, day_ms))
            day.sort()
            yield from day

    def _devices(self, row: int) -> Sequence[Device]:
        return self.registry.devices[self.registry.device_start[row] : self.registry.device_start[row + 1]]

    def _meter(self, device: Device) -> list[Meter]:
        if device.kind != "meter":
            return []
        building = self.registry.buildings[self.registry.building_row[device.building]]
        together = sum(
            other.kind == "meter" and other.item == device.item
            for other in self._devices(self.registry.building_row[device.building])
        )
        rng = generator(self.seed, "meter", device.id)
        hourly = full_load_kw(building) * (0.4 if device.item == "total" else 0.1)
        if device.item in MEDIA:
            hourly = (building.occupants or 100.0) * _LITRES * 2
        per_day = 24 * hourly / together / device.multiplier
        return [Meter(device, 1 / together, first_counter(device, per_day, self._duration_ms, self.faults, rng))]

    @property
    def _duration_ms(self) -> int:
        return self.end_ms - self.start_ms

    def _building_day(
        self,
        row: int,
        building: Building,
        calendar: CivilCalendar,
        hours: NDArray[np.bool_],
        meters: dict[str, Meter],
        day_ms: int,
    ) -> Iterator[Sent]:
        role = _ROLES[row % len(_ROLES)]
        day = day_ms // DAY_MS
        load = day_load(building, role.habits, calendar, day_ms, generator(self.seed, "load", building.id, day))
        unit = 0
        for device in self._devices(row):
            rng = generator(self.seed, "device", device.id, day)
            ts_ms = self._times(device, day_ms)
            inside = (ts_ms >= self.start_ms) & (ts_ms < self.end_ms)
            if device.kind == "meter":
                rate = _rate_per_h(device.item, building, load).copy()
                if self.start_ms > day_ms:
                    rate[: (self.start_ms - day_ms) // 60_000] = 0.0  # the counter starts with the run
                values = meters[device.id].day(rate, day_ms, ts_ms, self.faults, rng)
                columns = [("register" if device.source == "register" else "power_kw", values)]
            else:
                use = role.uses[unit % len(role.uses)]
                unit += 1
                repaired_ms = self.start_ms + int(self._duration_ms * 0.55)
                state = unit_day(device, use, calendar, hours, load, day_ms, ts_ms, repaired_ms, rng)
                columns = [
                    ("on", state.on),
                    ("mode", state.mode),
                    ("setpoint_c", state.setpoint_c),
                    ("room_c", state.room_c),
                ]
            skew_ms = self.skew_ms(gateway_of(device))
            for quantity, values in columns:
                for taken_ms, value in zip(ts_ms[inside].tolist(), values[inside].tolist(), strict=True):
                    yield Sent(taken_ms, Reading(taken_ms + skew_ms, device.id, quantity, value))

    def _times(self, device: Device, day_ms: int) -> NDArray[np.int64]:
        """When the device is read on this UTC day [ms]: every cadence_s, some seconds after the mark."""
        cadence_ms = max(1, round(device.cadence_s * 1000))
        offset_ms = int(generator(self.seed, "offset", device.id).integers(0, min(15_000, cadence_ms)))
        first = -(-(day_ms - offset_ms) // cadence_ms)
        end = -(-(day_ms + DAY_MS - offset_ms) // cadence_ms)
        return np.arange(first, end, dtype=np.int64) * cadence_ms + offset_ms
