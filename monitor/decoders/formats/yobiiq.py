"""Objects of Yobiiq's codecs (EM4301, EM2101, EM4302, P1): tariff registers that add up, and the time of the reading.

A value is `{"data": 12000, "unit": "Wh"}`, or the bare number with the codec of one level, which is in Wh and W. The
reading is of `dataloggerTimestamp` [s], at a P1 port of `telegramTimestamp`; `timestamp` is when the frame was made.
What the P1 codec calls delivered and received are power to the client and from the client; some meters have a total,
with tariffs or without, and its logger sends a list of values with their times. Public codecs:
github.com/Yobiiq-BV/codecs. With a Modbus error the registers are what the bridge had, often 0: not taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from monitor.decoders.payloads import shown, to_number
from monitor.decoders.times import BadTimeError, epoch_ms
from monitor.decoders.units import Dimension, unit_of
from monitor.decoders.values import Found, Measured

__all__ = ["is_codec_object", "read_codec_object"]


class _Meaning(NamedTuple):
    quantity: Measured
    unit: str
    dimension: Dimension
    tariff: str = ""


_IMPORT, _EXPORT, _POWER = (
    _Meaning("register", "Wh", "energy"),
    _Meaning("export_register", "Wh", "energy"),
    _Meaning("power_kw", "W", "power"),
)
_MEANINGS: dict[str, _Meaning] = {
    f"activeEnergy{direction}{phases}T{tariff}": meaning._replace(tariff=f"T{tariff}")
    for direction, meaning in (("Import", _IMPORT), ("Export", _EXPORT))
    for phases in ("L123", "L1")
    for tariff in (1, 2)
}
_MEANINGS |= {
    f"electricityDelivered{direction}ClientT{tariff}": meaning._replace(tariff=f"T{tariff}")
    for direction, meaning in (("To", _IMPORT), ("By", _EXPORT))
    for tariff in (1, 2)
}
_TOTALS = {"electricityDeliveredToClient": _IMPORT, "electricityDeliveredByClient": _EXPORT}
_MEANINGS |= _TOTALS
_MEANINGS["activePowerL123"] = _POWER
_ONE_PHASE_POWER = "activePowerL1"
_P1_POWER, _P1_POWER_OUT = "electricityPowerDelivered", "electricityPowerReceived"
_TIMES = ("dataloggerTimestamp", "telegramTimestamp")
_LOGGED = "listOfMeasurements"
_MOST_LOGGED = 100
_OWN = frozenset(
    {
        "dataloggerTimestamp", "telegramTimestamp", "activeEnergyImportL123T1", "activeEnergyImportL1T1",
        "electricityDeliveredToClientT1", "modbusErrorCode", "activePowerL123", *_TOTALS, _P1_POWER, _LOGGED,
    }
)  # fmt: skip


def is_codec_object(keys: Iterable[str]) -> bool:
    return not _OWN.isdisjoint(keys)


def read_codec_object(found: Found, source_id: str, codec: Mapping[Any, Any], ts_ms: int | None) -> None:
    """ts_ms: when the message was received, for an object without a time of its own."""
    if _bare(codec.get("modbusErrorCode")):
        found.ignore("device_error")
        return
    for name in _TIMES:
        at_s = _bare(codec.get(name))
        if at_s:  # 0: the clock was never set
            if isinstance(at_s, bool) or not isinstance(at_s, int | float):
                raise BadTimeError(f"{name}: {shown(at_s)}")
            ts_ms = epoch_ms(at_s)
            break
    totals = [name for name in _TOTALS if _bare(codec.get(name)) is not None]
    for name, raw in codec.items():
        meaning = _MEANINGS.get(name)
        if totals and name not in totals and name.startswith(tuple(totals)):
            continue  # a tariff of the total
        if meaning is None:
            # Of a meter of three phases it is one of them.
            if name != _ONE_PHASE_POWER or "activeEnergyImportL123T1" in codec or "activePowerL123" in codec:
                continue
            meaning = _POWER
        _add(found, source_id, name, meaning, raw, ts_ms)
    if _P1_POWER in codec:
        _add_net_power(found, source_id, codec, ts_ms)
    if isinstance(logged := codec.get(_LOGGED), list):
        for at_s, values in _by_time(logged).items():
            try:
                read_codec_object(found, source_id, values, epoch_ms(at_s))
            except BadTimeError as error:
                found.reject(error.reason, error.detail)


def _by_time(logged: list[Any]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for each in logged[:_MOST_LOGGED]:
        if isinstance(each, dict) and type(at_s := each.get("ts")) is int:
            name = each.get("name")
            if isinstance(name, str) and name != _LOGGED:
                found.setdefault(at_s, {})[name] = each.get("data")
    return found


def _add_net_power(found: Found, source_id: str, codec: Mapping[Any, Any], ts_ms: int | None) -> None:
    """Power to the client less power from the client; nothing where one of them cannot be read."""
    start = len(found.values)
    names = [name for name in (_P1_POWER, _P1_POWER_OUT) if name in codec]
    for name in names:
        _add(found, source_id, name, _POWER, codec[name], ts_ms)
    powers = found.values[start:]
    found.values[start:] = []
    if len(powers) == len(names):
        net_kw = powers[0].value - sum(power.value for power in powers[1:])
        found.values.append(replace(powers[0], value=net_kw))


def _bare(raw: Any) -> Any:
    return raw.get("data") if isinstance(raw, dict) else raw


def _add(found: Found, source_id: str, name: str, meaning: _Meaning, raw: object, ts_ms: int | None) -> None:
    factor = 0.001
    if isinstance(raw, dict):
        unit = raw.get("unit", meaning.unit)
        measured = unit_of(unit) if isinstance(unit, str) else None
        if measured is None or measured.dimension != meaning.dimension:
            found.reject("unknown_unit", f"{source_id} {name}: {shown(raw.get('data'))} with unit {shown(unit)}")
            return
        factor = measured.factor
        raw = raw.get("data")
    try:
        number = to_number(raw)
    except ValueError:
        found.reject("bad_value", f"{source_id} {name}: {shown(raw)} is no number")
        return
    if number is None:
        found.ignore("no_value")
    elif meaning.tariff:
        found.add_part(source_id, meaning.quantity, meaning.tariff, number * factor, ts_ms, name)
    else:
        found.add(source_id, meaning.quantity, number * factor, ts_ms, name)
