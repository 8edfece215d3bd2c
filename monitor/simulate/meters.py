"""What a meter shows: true energy or power, counted and rounded as meters do, with the meter's own faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.registry import Device
from monitor.simulate.faults import Faults
from monitor.simulate.load import DAY_MS
from monitor.simulate.stream import rounded

__all__ = ["Meter", "first_counter"]

_STEPS_PER_UNIT = 100.0  # a register counts hundredths


@dataclass(slots=True)
class Meter:
    """One meter of the simulation: `counter` is its register before the multiplier, never cut at register_max."""

    device: Device
    share: float
    """Its share of the item, where several meters add up."""
    counter: float
    zero: float = 0.0
    """What a replacement of the meter took off the counter."""

    def day(
        self,
        rate_per_h: NDArray[np.float64],
        day_ms: int,
        ts_ms: NDArray[np.int64],
        faults: Faults,
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """float64[n] as reported at ts_ms, int64[n] within the UTC day from day_ms; moves the counter a day on.

        rate_per_h: float64[1440], the item's flow in each minute of the day [the item's unit per hour].
        """
        device, raw = self.device, rate_per_h * self.share / self.device.multiplier
        at_min = (ts_ms - day_ms) / 60_000
        spikes = rng.random(len(ts_ms)) < faults.spikes
        height = rng.uniform(5.0, 50.0, len(ts_ms))
        resets = rng.poisson(faults.resets)
        reset_at_min = rng.uniform(0.0, 1440.0, resets)
        if device.source == "power":
            power_kw = np.interp(at_min, np.arange(1440) + 0.5, raw)
            highest_kw = max(1.0, float(raw.max())) if device.max_rate is None else device.max_rate / device.multiplier
            return rounded(np.where(spikes, height * highest_kw, power_kw), 1)
        edges = np.concatenate(([0.0], np.cumsum(raw) / 60))
        minutes = np.arange(1441)
        shown = self.counter + np.interp(at_min, minutes, edges) - self.zero
        for moment_min in np.sort(reset_at_min):
            old = self.counter + float(np.interp(moment_min, minutes, edges)) - self.zero
            shown = np.where(at_min >= moment_min, shown - old, shown)
            self.zero += old
        self.counter += float(edges[-1])
        if device.register_max is not None:
            shown = shown % (device.register_max / device.multiplier)
        shown = np.floor(shown * _STEPS_PER_UNIT + 1e-6) / _STEPS_PER_UNIT  # a count is never rounded up
        daily = max(1.0, float(edges[-1]))
        return rounded(np.where(spikes, shown + height * daily, shown), 2)


def first_counter(
    device: Device, expected_per_day: float, duration_ms: int, faults: Faults, rng: np.random.Generator
) -> float:
    """Where a register stands at the start, so that the share `rollovers` of them pass register_max during the run.

    expected_per_day: before the multiplier. The others stand where they cannot reach it.
    """
    expected = expected_per_day * duration_ms / DAY_MS
    somewhere, rolls = float(rng.random()), bool(rng.random() < faults.rollovers)
    if device.register_max is None:
        return round(1000.0 + somewhere * 90_000.0, 2)
    highest = device.register_max / device.multiplier
    if rolls:
        return round(max(0.0, highest - expected * (0.2 + 0.6 * somewhere)), 2)
    return round(max(0.0, highest - 3.0 * expected) * 0.9 * somewhere, 2)
