"""Sparkplug B payloads, as an edge node writes them."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.decoders.formats.sparkplug_schema import payload_class

DOUBLE, STRING, INT64 = 10, 12, 4

Scalar = float | str


def birth(
    ts_ms: int, *, seq: int, bd_seq: int | None = None, metrics: Mapping[int, tuple[str, str, Scalar]] | None = None
) -> bytes:
    """An NBIRTH (with bd_seq) or DBIRTH. metrics: alias → name, unit, value."""
    payload = payload_class()(timestamp=ts_ms, seq=seq)
    if bd_seq is not None:
        payload.metrics.add(name="bdSeq", timestamp=ts_ms, datatype=INT64, long_value=bd_seq)
    for alias, (name, unit, value) in (metrics or {}).items():
        metric = payload.metrics.add(name=name, alias=alias, timestamp=ts_ms)
        if unit:
            metric.properties.keys.append("engUnit")
            metric.properties.values.add(type=STRING, string_value=unit)
        _set(metric, value, with_type=True)
    return bytes(payload.SerializeToString())


def data(ts_ms: int, *, seq: int, values: Mapping[int, Scalar]) -> bytes:
    """An NDATA or DDATA with aliases alone."""
    payload = payload_class()(timestamp=ts_ms, seq=seq)
    for alias, value in values.items():
        _set(payload.metrics.add(alias=alias, timestamp=ts_ms), value, with_type=False)
    return bytes(payload.SerializeToString())


def _set(metric: object, value: Scalar, *, with_type: bool) -> None:
    name, kind = ("string_value", STRING) if isinstance(value, str) else ("double_value", DOUBLE)
    setattr(metric, name, value)
    if with_type:
        metric.datatype = kind  # type: ignore[attr-defined]  # the class is made at run time
