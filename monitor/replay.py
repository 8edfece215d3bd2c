"""The very same core, offline: a file of readings in, four CSV files out (SEMANTICS 6)."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monitor.detect.engine import Engine
from monitor.detect.history import MemoryHistory
from monitor.detect.rejection import REASONS, UNKNOWN, rejection
from monitor.errors import InputError, MonitorError
from monitor.readings import QUANTITY_BY_NAME, ReadingColumns
from monitor.registry import Registry
from monitor.store.memory import MemoryStore
from monitor.store.protocol import ResultStore

COLUMNS = ("ts", "device", "quantity", "value")
DEFAULT_BATCH = 200_000
BLOCK_BYTES = 8 << 20
NO_TIME = -(1 << 62)


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay read and found."""

    readings: int
    accepted: int
    rejected: Counter[str]
    intervals: int
    events: int
    ledger: int


def replay(
    registry: Registry,
    source: Path,
    out: Path,
    *,
    now_ms: int,
    horizon_ms: int | None,
    max_future_ms: int = 600_000,
    batch: int = DEFAULT_BATCH,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ReplayReport:
    """Reads `source` (CSV, gzipped CSV or Parquet) in batches of `batch` rows and writes the results into `out`.

    now_ms: the time at which the replay began, UTC. on_progress: bytes (or rows) done, and all.
    Raises InputError when the file cannot be read, with the place, or `out` cannot be made; MonitorError when the
    results cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: the folder cannot be made: {error.strerror}; give another one") from error
    history = MemoryHistory(registry.device_building, len(registry.buildings))
    engine = Engine(registry, history, horizon_ms=horizon_ms)
    store = MemoryStore()
    rejected: Counter[str] = Counter()
    is_ac = np.array([device.kind == "ac" for device in registry.devices], np.bool_)
    readings = accepted = 0
    for table in _rebatched(_tables(source, on_progress), batch):
        device, quantity, ts_ms, value = _columns(source, table, registry)
        reason = rejection(device, quantity, ts_ms, value, is_ac, latest_ms=now_ms + max_future_ms)
        for code, count in zip(*np.unique(reason[reason > 0], return_counts=True), strict=True):
            rejected[REASONS[code]] += int(count)
        good = reason == 0
        readings += len(good)
        accepted += int(good.sum())
        columns = ReadingColumns.of(
            device[good].astype(np.int32), quantity[good].astype(np.int8), ts_ms[good], value[good]
        )
        store.apply(engine.step(columns, history.append(columns), defer=True), registry)
    store.apply(engine.finish(history.end), registry)
    try:
        intervals, events, ledger = write_results(store, rejected, out)
    except OSError as error:
        raise MonitorError(f"{error.filename or out}: cannot be written: {error.strerror}") from error
    return ReplayReport(readings, accepted, rejected, intervals, events, ledger)


# ---------------------------------------------------------------------- reading


def _tables(source: Path, on_progress: Callable[[int, int], None]) -> Iterator[pa.Table]:
    """The file piece by piece, its columns as they are stored (CSV: all text)."""
    try:
        if source.suffix == ".parquet":
            with pq.ParquetFile(source) as file:
                _require_columns(source, file.schema_arrow.names)
                done = 0
                for piece in file.iter_batches(batch_size=DEFAULT_BATCH, columns=list(COLUMNS)):
                    done += piece.num_rows
                    yield pa.Table.from_batches([piece])
                    on_progress(done, file.metadata.num_rows)
            return
        total = source.stat().st_size
        with source.open("rb") as raw:
            stream: Any = gzip.GzipFile(fileobj=raw) if source.suffix == ".gz" else raw
            reader = pa_csv.open_csv(
                stream,
                read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=False
                ),
            )
            _require_columns(source, reader.schema.names)
            for piece in reader:
                yield pa.Table.from_batches([piece]).select(list(COLUMNS))
                on_progress(raw.tell(), total)
    except FileNotFoundError as error:
        raise InputError(f"{source}: no such file") from error
    except (OSError, EOFError, pa.ArrowException) as error:
        raise InputError(f"{source}: cannot be read as CSV, CSV.gz or Parquet: {error}") from error


def _require_columns(source: Path, names: Iterable[str]) -> None:
    missing = [column for column in COLUMNS if column not in set(names)]
    if missing:
        found = ", ".join(names)
        raise InputError(f"{source}: no column {', '.join(missing)}; found {found}; expected {', '.join(COLUMNS)}")


def _rebatched(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Tables of exactly `rows` rows, the last one shorter."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        if count < rows:
            continue
        whole = pa.concat_tables(waiting)
        start = 0
        while count - start >= rows:
            yield whole.slice(start, rows)
            start += rows
        waiting = [whole.slice(start)]
        count -= start
    if count:
        yield pa.concat_tables(waiting)


def _columns(
    source: Path, table: pa.Table, registry: Registry
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows of the registry, quantities, times and values; UNKNOWN, NO_TIME and NaN where nothing was understood.

    Raises InputError where a Parquet column is of a type that cannot hold readings."""
    try:
        return (
            _codes(table.column("device"), registry.device_row),
            _codes(table.column("quantity"), QUANTITY_BY_NAME),
            _times(table.column("ts")),
            _values(table.column("value")),
        )
    except pa.ArrowException as error:
        types = ", ".join(f"{name} {table.schema.field(name).type}" for name in COLUMNS)
        raise InputError(
            f"{source}: found columns {types}; expected ts as text, integer (epoch ms) or timestamp with zone, device "
            f"and quantity as text, value as a number: {error}"
        ) from error


def _codes(column: Any, codes: dict[str, Any]) -> NDArray[np.int64]:
    """Text to the number that stands for it: each different text is looked up once."""
    encoded = pc.dictionary_encode(pc.fill_null(column.cast(pa.string()), "")).combine_chunks()
    numbers = np.array([int(codes.get(text, UNKNOWN)) for text in encoded.dictionary.to_pylist()], np.int64)
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    return numbers[indices] if len(numbers) else np.empty(0, np.int64)


def _values(column: Any) -> NDArray[np.float64]:
    if not pa.types.is_string(column.type):
        return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(), np.float64)
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowInvalid:
        return np.array([_number(text) for text in column.to_pylist()], np.float64)


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return float("nan")


def _times(column: Any) -> NDArray[np.int64]:
    """UTC ms of ISO 8601 with a zone, epoch ms, or Arrow timestamps."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            return np.full(len(column), NO_TIME, np.int64)  # a time without a zone is no time
        column = column.cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64())
    if pa.types.is_integer(column.type):
        return np.asarray(pc.fill_null(column.cast(pa.int64()), NO_TIME).to_numpy(), np.int64)
    texts = column.cast(pa.string()).combine_chunks()
    result = np.full(len(texts), NO_TIME, np.int64)
    is_number = pc.match_substring_regex(texts, r"^-?[0-9]{1,17}$").to_numpy(zero_copy_only=False).astype(bool)
    if is_number.any():
        result[is_number] = texts.filter(pa.array(is_number)).cast(pa.int64()).to_numpy()
    if not is_number.all():
        rest = texts.filter(pa.array(~is_number))
        try:
            result[~is_number] = rest.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy() // 1000
        except pa.ArrowInvalid:
            result[~is_number] = [_time(text) for text in rest.to_pylist()]
    return result


def _time(text: str | None) -> int:
    try:
        when = dt.datetime.fromisoformat(text or "")
    except ValueError:
        return NO_TIME
    if when.tzinfo is None:
        return NO_TIME
    return (when - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


# ---------------------------------------------------------------------- writing


def iso(ts_ms: int | None) -> str:
    """`2026-06-28T09:15:00Z`, with milliseconds only where they are not 0; empty for None."""
    if ts_ms is None:
        return ""
    when = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=ts_ms)
    text = when.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ts_ms % 1000:03d}Z" if ts_ms % 1000 else f"{text}Z"


def _figure(value: float | None) -> str:
    return "" if value is None else repr(value)


def write_results(store: ResultStore, rejected: Counter[str], out: Path) -> tuple[int, int, int]:
    """The four files, sorted by their keys, withdrawn events left out. Returns the rows of the first three."""
    out.mkdir(parents=True, exist_ok=True)
    counts = (
        _write(
            out / "intervals.csv",
            ("building", "item", "start", "period", "measured", "estimated", "coverage", "demand_kw"),
            (
                (
                    row.building,
                    row.item,
                    iso(row.start_ms),
                    row.period,
                    repr(row.measured),
                    repr(row.estimated),
                    repr(row.coverage),
                    _figure(row.demand_kw),
                )
                for row in store.intervals()
            ),
        ),
        _write(
            out / "events.csv",
            (
                "event_id",
                "rule",
                "building",
                "device",
                "start",
                "end",
                "state",
                "reason",
                "limit",
                "worst",
                "excess",
                "duration_s",
                "policy",
            ),
            (
                (
                    event.event_id,
                    event.rule,
                    event.building,
                    event.device,
                    iso(event.start_ms),
                    iso(event.end_ms),
                    event.state,
                    event.reason,
                    _figure(event.limit),
                    _figure(event.worst),
                    repr(event.excess),
                    repr(event.duration_ms / 1000),
                    event.policy,
                )
                for event in sorted(store.events(), key=lambda e: (e.rule, e.building, e.device, e.start_ms))
                if event.state != "withdrawn"
            ),
        ),
        _write(
            out / "ledger.csv",
            ("kind", "building", "device", "quantity", "ts", "amount"),
            (
                (entry.kind, entry.building, entry.device, entry.quantity, iso(entry.ts_ms), repr(entry.amount))
                for entry in sorted(store.ledger(), key=lambda e: (e.kind, e.building, e.device, e.quantity, e.ts_ms))
            ),
        ),
    )
    _write(out / "rejected.csv", ("reason", "count"), sorted(rejected.items()))
    return counts


def _write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count
