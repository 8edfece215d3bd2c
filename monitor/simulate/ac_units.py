"""How one air conditioner is used: well, with a wrong set-point, or after hours."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.readings import MODE_NAMES
from monitor.registry import Device
from monitor.simulate.civil import MINUTE_MS, CivilCalendar
from monitor.simulate.load import DAY_MS, DayLoad
from monitor.simulate.stream import rounded

__all__ = ["AcDay", "Use", "open_hours", "unit_day"]

Use = Literal["proper", "wrong_setpoint", "left_on", "always_heats", "repaired"]
_OFF, _COOL, _HEAT = (float(MODE_NAMES.index(name)) for name in ("off", "cool", "heat"))
_COOL_C, _HEAT_C = 26.0, 20.0


class AcDay(NamedTuple):
    """float64[n] each, at the n instants asked for: on 0/1, mode, set-point and room temperature [°C]."""

    on: NDArray[np.float64]
    mode: NDArray[np.float64]
    setpoint_c: NDArray[np.float64]
    room_c: NDArray[np.float64]


def open_hours(calendar: CivilCalendar, day_ms: int) -> NDArray[np.bool_]:
    """bool[4320]: whether units may run, minute by minute over the UTC day, the one before and the one after.

    Where the policy has no `allowed` windows, usual hours of work.
    """
    first_ms, end_ms = day_ms - DAY_MS, day_ms + 2 * DAY_MS
    hours = np.zeros(3 * 1440, np.bool_)
    if not calendar.policy.ac.allowed:
        for minute in range(len(hours)):
            local = calendar.local(first_ms + minute * MINUTE_MS)
            hours[minute] = 8 <= local.hour < 17 and "workday" in calendar.day_names(local.date())
        return hours
    spans = calendar.ac_spans(first_ms, end_ms)
    for n, span in enumerate(spans):
        until_ms = spans[n + 1].start_ms if n + 1 < len(spans) else end_ms
        hours[(span.start_ms - first_ms) // MINUTE_MS : (until_ms - first_ms) // MINUTE_MS] = span.allowed
    return hours


def _shrunk(hours: NDArray[np.bool_], margin_min: int) -> NDArray[np.bool_]:
    """Each stretch shortened at both ends: what is switched off must be reported off before the window ends."""
    inside = hours.copy()
    for shift in range(1, margin_min + 1):
        inside[shift:] &= hours[:-shift]
        inside[:-shift] &= hours[shift:]
    return inside


def unit_day(
    device: Device,
    use: Use,
    calendar: CivilCalendar,
    hours: NDArray[np.bool_],
    load: DayLoad,
    day_ms: int,
    ts_ms: NDArray[np.int64],
    repaired_ms: int,
    rng: np.random.Generator,
) -> AcDay:
    """The unit at the instants ts_ms (int64[n], within the UTC day that begins at day_ms). hours: of `open_hours`.

    repaired_ms: from when on a `repaired` unit is used properly; before, it has a wrong set-point and is left on.
    """
    rules = calendar.policy.ac
    inside = _shrunk(hours, int(device.cadence_s // 60) + 5)
    proper = inside[1440:2880]
    # Left on from the working day into the night, or found running in the small hours.
    late = proper.copy()
    length_min = int(rng.integers(60, 240))
    for shift in range(1, length_min):
        late |= inside[1440 - shift : 2880 - shift]
    if rng.random() < 0.4:
        first = int(rng.integers(0, 1440 - 120))
        late[first : first + int(rng.integers(30, 120))] = True
    minute = np.clip((ts_ms - day_ms) // MINUTE_MS, 0, 1439)
    broken = np.full(len(ts_ms), use in ("wrong_setpoint", "left_on", "always_heats"))
    if use == "repaired":
        broken = ts_ms < repaired_ms
    outside = load.outdoor_c[minute]
    month = calendar.local(day_ms + DAY_MS // 2).month
    mean_c = float(load.outdoor_c.mean())
    heats = mean_c < 15.0 or (
        rules.cool_months is not None and month not in rules.cool_months and month in (rules.heat_months or ())
    )
    if use == "always_heats":
        heats = True
    runs = np.where(broken & (use in ("left_on", "repaired")), late[minute], proper[minute])
    keep_c = (
        (_HEAT_C if rules.heat_max_c is None else rules.heat_max_c)
        if heats
        else (_COOL_C if rules.cool_min_c is None else rules.cool_min_c)
    )
    sign = 1.0 if heats else -1.0
    wrong_c = keep_c + sign * (rules.tolerance_c + float(rng.integers(2, 9)) / 2)
    good_c = keep_c - sign * float(rng.integers(0, 3)) / 2
    wrong = broken & (use != "left_on")
    # On some days somebody sets it right for an hour or two, and somebody sets it back.
    start_min = int(rng.integers(0, 1440))
    wrong = wrong & ~((minute >= start_min) & (minute < start_min + int(rng.integers(30, 120))))
    setpoint_c = np.where(wrong, wrong_c, good_c)
    on = runs.astype(np.float64)
    mode = np.where(runs, _HEAT if heats else _COOL, _OFF)
    room_c = np.where(runs, setpoint_c + rng.normal(0.0, 0.3, len(ts_ms)), 0.6 * outside + 10.0)
    return AcDay(on, mode, rounded(setpoint_c * 2, 0) / 2, rounded(room_c, 1))
