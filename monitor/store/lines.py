"""What a step changed, as InfluxDB line protocol: time in ms, tags are ids.

Format: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/. One point is one line here: a newline
inside a value becomes a space, so that a refused batch can be split by lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitor.readings import MODE_NAMES, QUANTITY_BY_NAME, Quantity, ReadingColumns
from monitor.registry import Item, Registry
from monitor.results import Event, IntervalColumns, LedgerEntry, Step
from monitor.store.downsample import SumColumns, Sums
from monitor.store.protocol import Applied, Moved

__all__ = ["LineBatch", "LineEncoder"]

_CHUNK_ROWS = 100_000
"""Arrow's text arrays hold 2 GiB; a line has about 200 bytes."""

_UNWRITABLE = re.compile(r"\\+(?=[,=\s]|$)")
_NAME_SPECIALS = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\t": "\\ ", "\n": "\\ ", "\r": "\\ "})
_TEXT_SPECIALS = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": " ", "\r": " "})

Texts = Any  # pyarrow ships no types: an array of strings


@dataclass(frozen=True, slots=True)
class LineBatch:
    """Points that are sent together. body: UTF-8 lines, each with its newline."""

    points: int
    body: bytes


class LineEncoder:
    """Makes lines in bulk. Keeps the escaped series prefixes of the registry it saw last.

    Formatting and joining are done by Arrow over whole columns: 2 million points a second where f-strings over
    `tolist()` reached 0.4 million. Both write the shortest digits that read back as the same float.
    """

    def __init__(self, *, batch_points: int = 5000) -> None:
        self._batch_points = batch_points
        self._registry: Registry | None = None
        self._heads: Texts = None
        self._tails: Texts = None
        self._day_tails: Texts = None
        self._periods: Texts = None
        self._ac_heads: Texts = None

    def encode(self, applied: Applied, step: Step, registry: Registry, sums: Sums | None = None) -> list[LineBatch]:
        """The points of everything that changed, of the hours and days that became other ones, and of the air
        conditioners' readings of the step, in batches."""
        self._know(registry)
        batches: list[LineBatch] = []
        for first in range(0, len(applied.intervals), _CHUNK_ROWS):
            batches += self._cut(self._consumption(applied.intervals, slice(first, first + _CHUNK_ROWS)))
        if sums is not None:
            batches += self._sums("consumption_hour", sums.hours, sums.period_names, self._tails)
            batches += self._sums("consumption_day", sums.days, sums.period_names, self._day_tails)
        readings = _merged(step.readings, step.ledger, registry)
        for first in range(0, len(readings.ts_ms), _CHUNK_ROWS):
            batches += self._cut(self._ac(readings, slice(first, first + _CHUNK_ROWS)))
        lines = [
            *_moved(applied.moved, registry),
            *_violations(applied, registry),
            *_ledger(applied.ledger_removed, registry, withdrawn=True),
            *_ledger(applied.ledger_added, registry, withdrawn=False),
        ]
        if lines:
            batches += self._cut(pa.array(lines, pa.string()))
        return _joined(batches, self._batch_points)

    def _know(self, registry: Registry) -> None:
        if registry is self._registry:
            return
        self._registry = registry
        buildings = registry.buildings
        heads = [
            tags(building=buildings[item.building].id, item=item.name, org=buildings[item.building].org)
            for item in registry.items
        ]
        limits = [_of_total(item, buildings[item.building].peak_limit_kw) for item in registry.items]
        budgets = [_of_total(item, buildings[item.building].peak_budget_kwh) for item in registry.items]
        self._heads = pa.array(heads, pa.string())
        tails = ["" if limit is None else f",limit_kw={limit!r}" for limit in limits]
        day_tails = ["" if budget is None else f",budget_kwh={budget!r}" for budget in budgets]
        self._tails = pa.array([f"{tail} " for tail in tails], pa.string())
        self._day_tails = pa.array([f"{tail}{more} " for tail, more in zip(tails, day_tails, strict=True)], pa.string())
        self._periods = _period_texts(registry.period_names)
        ac_heads = []
        for device, row in zip(registry.devices, registry.device_building.tolist(), strict=True):
            building = buildings[row]
            named = device.kind == "ac"
            ac_heads.append(f"ac{tags(building=building.id, device=device.id, org=building.org)} " if named else None)
        self._ac_heads = pa.array(ac_heads, pa.string())

    def _consumption(self, given: IntervalColumns, part: slice) -> Texts:
        item = pa.array(given.item[part])
        demand = pc.cast(pa.array(given.demand_kw[part], from_pandas=True), pa.string())  # NaN is null from here on
        return _join(
            "consumption",
            self._heads.take(item),
            self._periods.take(pa.array(given.period[part])),
            _floats(given.measured[part]),
            ",estimated=",
            _floats(given.estimated[part]),
            ",coverage=",
            _floats(given.coverage[part]),
            pc.binary_join_element_wise(",demand_kw=", demand, ""),
            self._tails.take(item),
            _integers(given.start_ms[part]),
            "\n",
        )

    def _sums(
        self, measurement: str, given: SumColumns, period_names: Sequence[str], tails: Texts
    ) -> Iterator[LineBatch]:
        for first in range(0, len(given), _CHUNK_ROWS):
            part = slice(first, first + _CHUNK_ROWS)
            item = pa.array(given.item[part])
            demand = pc.cast(pa.array(given.demand_kw[part], from_pandas=True), pa.string())
            lines = _join(
                measurement,
                self._heads.take(item),
                _period_texts(period_names).take(pa.array(given.period[part])),
                _floats(given.measured[part]),
                ",estimated=",
                _floats(given.estimated[part]),
                ",coverage=",
                _floats(given.coverage[part]),
                ",covered=",
                _floats(given.covered[part]),
                pc.binary_join_element_wise(",demand_kw=", demand, ""),
                ",intervals=",
                _integers(given.intervals[part]),
                "i",
                tails.take(item),
                _integers(given.start_ms[part]),
                "\n",
            )
            yield from self._cut(lines)

    def _ac(self, given: _AcColumns, part: slice) -> Texts:
        fields = pc.binary_join_element_wise(
            _labelled("on=", given.values[Quantity.ON][part], "i"),
            pc.binary_join_element_wise('mode="', _mode_names(given.values[Quantity.MODE][part]), '"', ""),
            _labelled("setpoint_c=", given.values[Quantity.SETPOINT_C][part], ""),
            _labelled("room_c=", given.values[Quantity.ROOM_C][part], ""),
            ",",
            null_handling="skip",
        )
        return _join(self._ac_heads.take(pa.array(given.device[part])), fields, " ", _integers(given.ts_ms[part]), "\n")

    def _cut(self, lines: Texts) -> Iterator[LineBatch]:
        """The lines as they lie in Arrow's buffer, cut where a batch is full."""
        offsets = np.frombuffer(lines.buffers()[1], np.int32, len(lines) + 1, 4 * lines.offset)
        data = lines.buffers()[2]
        for first in range(0, len(lines), self._batch_points):
            last = min(first + self._batch_points, len(lines))
            begin, end = int(offsets[first]), int(offsets[last])
            yield LineBatch(last - first, data.slice(begin, end - begin).to_pybytes())


def tags(**values: str) -> str:
    """`,key=value` for each value that is not empty; give them in the order of their keys (servers sort otherwise)."""
    return "".join(f",{key}={escape_tag(value)}" for key, value in values.items() if value)


def escape_tag(value: str) -> str:
    """A tag value. A backslash before a comma, an equals sign, a space or the end has no notation that InfluxDB and
    VictoriaMetrics both read: a `/` stands for it."""
    if "\\" in value:
        value = _UNWRITABLE.sub("/", value)
    return value.translate(_NAME_SPECIALS)


def escape_text(value: str) -> str:
    """The value of a string field, without its quotes."""
    return value.translate(_TEXT_SPECIALS)


def _of_total(item: Item, value: float | None) -> float | None:
    """Limit and budget are of what a building takes altogether."""
    return value if item.name == "total" else None


def _period_texts(names: Sequence[str]) -> Texts:
    return pa.array([f"{tags(period=name)} measured=" for name in names], pa.string())


def _join(*pieces: Texts) -> Texts:
    return pc.binary_join_element_wise(*pieces, "", null_handling="replace", null_replacement="")


def _floats(values: NDArray[np.float64]) -> Texts:
    return pc.cast(pa.array(values), pa.string())


def _integers(values: NDArray[np.int64]) -> Texts:
    return pc.cast(pa.array(values), pa.string())


def _labelled(label: str, values: NDArray[np.float64], suffix: str) -> Texts:
    """`label` + value + `suffix`; null where the value is NaN. Whole numbers are written without a point."""
    return pc.binary_join_element_wise(label, pc.cast(pa.array(values, from_pandas=True), pa.string()), suffix, "")


def _mode_names(values: NDArray[np.float64]) -> Texts:
    numbers = pc.cast(pa.array(values, from_pandas=True), pa.int8())
    return pa.array(MODE_NAMES, pa.string()).take(numbers)


@dataclass(frozen=True, slots=True)
class _AcColumns:
    """One row for each (device, ts_ms); NaN where nothing was reported."""

    device: NDArray[np.int32]
    ts_ms: NDArray[np.int64]
    values: dict[int, NDArray[np.float64]]


def _merged(readings: ReadingColumns, ledger: Sequence[LedgerEntry], registry: Registry) -> _AcColumns:
    """The air conditioners' readings, by SEMANTICS 2: of one (device, quantity, ts) the smallest value, of set-points
    the largest. A value that lost against one of an earlier step (the ledger's conflict names it) is left out: the
    winner is written already."""
    rows = np.flatnonzero(readings.quantity >= Quantity.ON)
    device, ts_ms = readings.device[rows], readings.ts_ms[rows]
    quantity, value = readings.quantity[rows], readings.value[rows]
    rank = np.where(quantity == Quantity.SETPOINT_C, -value, value)
    order = np.lexsort((rank, quantity, ts_ms, device))
    device, ts_ms, quantity, value = device[order], ts_ms[order], quantity[order], value[order]
    same_point = (device[1:] == device[:-1]) & (ts_ms[1:] == ts_ms[:-1])
    wins = np.ones(len(order), np.bool_)
    wins[1:] = ~(same_point & (quantity[1:] == quantity[:-1]))
    losers = {
        (registry.device_row.get(entry.device, -1), QUANTITY_BY_NAME.get(entry.quantity), entry.ts_ms): entry.amount
        for entry in ledger
        if entry.kind == "conflict"
    }
    if losers:
        keys = zip(device.tolist(), quantity.tolist(), ts_ms.tolist(), value.tolist(), strict=True)
        wins &= np.array([losers.get(key[:3]) != key[3] for key in keys], np.bool_)
    device, ts_ms, quantity, value = device[wins], ts_ms[wins], quantity[wins], value[wins]
    first = np.ones(len(device), np.bool_)
    first[1:] = (device[1:] != device[:-1]) | (ts_ms[1:] != ts_ms[:-1])
    point = np.cumsum(first) - 1
    values = {}
    for each in (Quantity.ON, Quantity.MODE, Quantity.SETPOINT_C, Quantity.ROOM_C):
        values[int(each)] = column = np.full(int(first.sum()), np.nan)
        of_each = quantity == each
        column[point[of_each]] = value[of_each]
    return _AcColumns(device[first], ts_ms[first], values)


def _org(registry: Registry, building: str) -> str:
    row = registry.building_row.get(building)
    return "" if row is None else registry.buildings[row].org


def _moved(moved: Iterable[Moved], registry: Registry) -> Iterator[str]:
    """A point cannot be deleted by writing: where the period changed, the old series gets zeros at that time."""
    for row in moved:
        item = registry.items[row.item]
        building = registry.buildings[item.building]
        series = tags(building=building.id, item=item.name, org=building.org, period=row.period)
        demand = ",demand_kw=0" if item.is_electricity else ""
        yield f"consumption{series} measured=0,estimated=0,coverage=0{demand} {row.start_ms}\n"


def _violations(applied: Applied, registry: Registry) -> Iterator[str]:
    for event in applied.events:
        series = tags(
            building=event.building,
            device=event.device or "-",
            org=_org(registry, event.building),
            rule=event.rule,
        )
        yield f"violation{series} {_violation_fields(event, event.event_id in applied.reopened)} {event.start_ms}\n"


def _violation_fields(event: Event, reopened: bool) -> str:
    """end_ms is left out while open; a reopened event has one in the database already, which 0 makes void."""
    end_ms = 0 if event.end_ms is None and reopened else event.end_ms
    fields = [
        f'event_id="{escape_text(event.event_id)}"',
        f'state="{event.state}"',
        f'reason="{escape_text(event.reason)}"',
        f"duration_s={event.duration_ms / 1000!r}",
        f"excess={event.excess!r}",
    ]
    fields += [
        f"{name}={value!r}" for name, value in (("limit", event.limit), ("worst", event.worst)) if value is not None
    ]
    if end_ms is not None:
        fields.append(f"end_ms={end_ms}i")
    return ",".join(fields)


def _ledger(entries: Iterable[LedgerEntry], registry: Registry, *, withdrawn: bool) -> Iterator[str]:
    """`quantity` is a tag: as a field, two conflicts of one device at one time would be one point."""
    for entry in entries:
        series = tags(
            building=entry.building,
            device=entry.device,
            kind=entry.kind,
            org=_org(registry, entry.building),
            quantity=entry.quantity,
        )
        fields = 'amount=0,detail="withdrawn"' if withdrawn else f'amount={entry.amount!r},detail=""'
        yield f"ledger{series} {fields} {entry.ts_ms}\n"


def _joined(batches: Sequence[LineBatch], batch_points: int) -> list[LineBatch]:
    """Neighbours together as long as they fit: a small step is one batch, not one for each measurement."""
    joined: list[LineBatch] = []
    waiting: list[LineBatch] = []
    points = 0
    for batch in batches:
        if waiting and points + batch.points > batch_points:
            joined.append(LineBatch(points, b"".join(each.body for each in waiting)))
            waiting, points = [], 0
        waiting.append(batch)
        points += batch.points
    if waiting:
        joined.append(LineBatch(points, b"".join(each.body for each in waiting)))
    return joined
