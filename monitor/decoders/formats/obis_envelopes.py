"""What gateways wrap OBIS codes in, taken off.

- Sinapsi's Alfa (Italian meters): `[{"du": meter, "data": [{"ts": "1782637800", "1-0:1.8.0.255_3,0_2": "57110"}]}]`.
- RL-DSP of the Swiss VSE: `{"meter": {"ts": "2026-06-28T09:10:00+00:00", "1.8.0": 57110.0}}`.
- smartmeter-datacollector, a message for each value: `{"value": 57110.0, "timestamp": 1782637800, "obis": "1.8.0"}`.
"""

from __future__ import annotations

from typing import Any

from monitor.decoders.formats.obis import code_of

__all__ = ["rows_of"]

_SINGLE = frozenset({"value", "timestamp", "time", "ts", "unit"})


def rows_of(body: object) -> list[Any]:
    """The objects in a payload that are to be read one after the other; itself where it is none of these."""
    if isinstance(body, dict):
        meter, obis = body.get("meter"), body.get("obis")
        if isinstance(meter, dict) and any(code_of(name) is not None for name in meter):
            return [meter]
        if isinstance(obis, str) and "value" in body and code_of(obis) is not None:
            rest = {name: raw for name, raw in body.items() if name not in _SINGLE and name != "obis"}
            return [{**rest, obis: {name: raw for name, raw in body.items() if name in _SINGLE}}]
    meters: list[Any] = body if isinstance(body, list) else [body]
    if not meters or not all(isinstance(each, dict) and "du" in each and "data" in each for each in meters):
        return [body]
    return [
        {"0-0:96.1.0": meter["du"], **row}
        for meter in meters
        for row in (meter["data"] if isinstance(meter["data"], list) else [meter["data"]])
        if isinstance(row, dict)
    ]
