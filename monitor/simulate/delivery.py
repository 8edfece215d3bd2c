"""From readings to messages in order of arrival: latency, duplicates, reordering, outages with backfill, rubbish."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import numpy as np

from monitor.errors import InputError
from monitor.simulate.load import DAY_MS
from monitor.simulate.messages import REASON_BY_KIND, Style, bad_message, encode, style_of
from monitor.simulate.scenario import Scenario, gateway_of
from monitor.simulate.seeds import generator
from monitor.simulate.stream import Reading

__all__ = ["Delivery", "deliveries"]

_BATCH_MS = 60_000
_MAX_SETS = 100
_AFTER_END_MS = 30_000
"""Nothing is sent later than this after the scenario's end."""


class Delivery(NamedTuple):
    """One message. due_ms: when it is sent [simulated UTC ms]. readings: the good ones in it.

    kind: first, duplicate, backfill, or a key of `REASON_BY_KIND`. reason: its reason in quarantine, empty if good.
    """

    due_ms: int
    topic: str
    payload: bytes
    readings: tuple[Reading, ...]
    kind: str
    reason: str = ""


class _Outage(NamedTuple):
    start_ms: int
    end_ms: int
    newest_first: bool


_Sets = list[tuple[Reading, ...]]


@dataclass
class _Wire:
    """What is on its way, and what gateways that are cut off have stored."""

    scenario: Scenario
    rng: np.random.Generator
    styles: dict[str, Style]
    devices: dict[str, list[str]]
    heap: list[tuple[int, int, Delivery]] = field(default_factory=list)
    stored: defaultdict[tuple[str, _Outage], list[_Sets]] = field(default_factory=lambda: defaultdict(list))
    outages: dict[tuple[str, int], list[_Outage]] = field(default_factory=dict)
    number: int = 0

    def put(self, delivery: Delivery) -> None:
        latest_ms = self.scenario.end_ms + _AFTER_END_MS
        heapq.heappush(self.heap, (min(delivery.due_ms, latest_ms), self.number, delivery))
        self.number += 1

    def outage(self, gateway: str, at_ms: int) -> _Outage | None:
        """The outage that holds an instant; the later end where two do."""
        day = at_ms // DAY_MS
        found = [
            outage
            for n in (day - 1, day)
            for outage in self._outages(gateway, n)
            if outage.start_ms <= at_ms < outage.end_ms
        ]
        return max(found, key=lambda outage: outage.end_ms, default=None)

    def _outages(self, gateway: str, day: int) -> list[_Outage]:
        known = self.outages.get((gateway, day))
        if known is None:
            rng = generator(self.scenario.seed, "outage", gateway, day)
            known = []
            for _ in range(int(rng.poisson(self.scenario.faults.outages))):
                start_ms = day * DAY_MS + int(rng.integers(0, DAY_MS))
                end_ms = start_ms + int(rng.integers(10 * 60_000, 180 * 60_000))
                # Whoever is silent at the end of the run sends what it has before the run is over.
                known.append(_Outage(start_ms, min(end_ms, self.scenario.end_ms), bool(rng.random() < 0.3)))
            self.outages[gateway, day] = known
        return known

    def send(self, gateway: str, sets: _Sets, taken_ms: int) -> None:
        """A gateway wants to send these sets now."""
        outage = self.outage(gateway, taken_ms)
        if outage is not None:
            self.stored[gateway, outage].append(sets)
            return
        self._emit(gateway, sets, taken_ms + int(self.rng.integers(50, 2_000)), "first")

    def release(self, now_ms: int | None) -> None:
        """Backfill of the outages that have ended; of all with now_ms None."""
        over = [key for key in self.stored if now_ms is None or key[1].end_ms <= now_ms]
        for gateway, outage in over:
            waiting = self.stored.pop((gateway, outage))
            if outage.newest_first:
                waiting.reverse()
            for n, sets in enumerate(waiting):
                self._emit(gateway, sets, outage.end_ms + 1_000 + 50 * n, "backfill")

    def _emit(self, gateway: str, sets: _Sets, due_ms: int, kind: str) -> None:
        faults, rng = self.scenario.faults, self.rng
        late, twice, bad = rng.random(3) < (faults.reordering, faults.duplicates, faults.malformed)
        if late:
            due_ms += int(rng.integers(1_000, 30_000))
        topic, payload = encode(gateway, sets, self.styles[gateway])
        readings = tuple(reading for own in sets for reading in own)
        self.put(Delivery(due_ms, topic, payload, readings, kind))
        if twice:
            again_ms = due_ms + int(rng.integers(1, 600_000))
            self.put(Delivery(again_ms, topic, payload, readings, "duplicate"))
        if bad:
            wrong, topic, payload = bad_message(self.scenario.registry, self.devices, gateway, due_ms, rng)
            self.put(Delivery(due_ms + 1, topic, payload, (), wrong, REASON_BY_KIND[wrong]))

    def pop(self, before_ms: int | None) -> Iterator[Delivery]:
        while self.heap and (before_ms is None or self.heap[0][0] < before_ms):
            due_ms, _, delivery = heapq.heappop(self.heap)
            yield delivery._replace(due_ms=due_ms)


def _devices_by_gateway(scenario: Scenario) -> dict[str, list[str]]:
    devices: dict[str, list[str]] = {}
    for device in scenario.registry.devices:
        devices.setdefault(gateway_of(device), []).append(device.id)
    for gateway in devices:
        if not gateway or set(gateway) & set("/+#\0"):
            raise InputError(f"gateway {gateway!r} cannot be a level of an MQTT topic: without / + # please")
    return devices


def deliveries(scenario: Scenario) -> Iterator[Delivery]:
    """All messages of a scenario in the order in which they are sent; the same scenario, the same bytes.

    Raises InputError for a gateway whose name cannot be a topic level.
    """
    devices = _devices_by_gateway(scenario)
    styles = {gateway: style_of(scenario.seed, gateway) for gateway in devices}
    wire = _Wire(scenario, generator(scenario.seed, "delivery"), styles, devices)
    gateway_by_device = {device: gateway for gateway, own in devices.items() for device in own}
    batches: dict[str, _Sets] = {}
    cell = scenario.start_ms // _BATCH_MS
    for (taken_ms, device), sent in groupby(scenario.sent(), key=lambda one: (one.taken_ms, one.reading.device)):
        if taken_ms // _BATCH_MS > cell:
            end_ms = (cell + 1) * _BATCH_MS
            for gateway, sets in batches.items():
                wire.send(gateway, sets, end_ms)
            batches.clear()
            cell = taken_ms // _BATCH_MS
        wire.release(taken_ms)
        # What is sent from now on is due after taken_ms, or at the end of an outage that is not over yet.
        yield from wire.pop(min(taken_ms, cell * _BATCH_MS))
        own, gateway = tuple(one.reading for one in sent), gateway_by_device[device]
        if not styles[gateway].batches:
            wire.send(gateway, [own], taken_ms)
            continue
        batches.setdefault(gateway, []).append(own)
        if len(batches[gateway]) == _MAX_SETS:
            wire.send(gateway, batches.pop(gateway), taken_ms)
    for gateway, sets in batches.items():
        wire.send(gateway, sets, min((cell + 1) * _BATCH_MS, scenario.end_ms))
    wire.release(None)
    yield from wire.pop(None)
