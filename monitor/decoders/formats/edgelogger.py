"""EdgeLogger: an edge gateway of building automation that sends batches of meters' metrics.

Topic `device/power/up/<device id>`; `{"msgType": "up", "batch": [{"timestamp", "device_id", "metrics": {"power":
{"active": {"unit", "value": {"phase_a", …, "total"}}}, "energy": {"active": {"unit", "value": {"forward",
"reverse"}}}}}]}`, documented in its README. A timestamp is yyyyMMddHHmmssSSS of the gateway's wall clock, or epoch ms
as text. The unit of active energy reads "kW" where the documentation says that it is kWh: it is taken as kWh. Messages
with `msgType: down` are commands.

Payloads of just this shape are read by a typed decoder, others by the same rules member by member: 10 and 32 µs for two
meters with all their voltages.
"""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.decoders.formats.plain_values import PlainValues, as_id
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.times import BadTimeError
from monitor.decoders.units import UNITS
from monitor.decoders.values import Found, Measured, UnreadableError, Value
from monitor.ingest.message import Message

__all__ = ["EdgeLogger"]

_PHASES = ("phase_a", "phase_b", "phase_c")
_REGISTERS: tuple[tuple[str, Measured, str], ...] = (
    ("forward", "register", "energy.active.forward"),
    ("reverse", "export_register", "energy.active.reverse"),
)
"""Key, quantity, name."""
_POWER_FACTORS = {text: unit.factor for text, unit in UNITS.items() if unit.dimension == "power"}
_ENERGY_FACTORS = {text: unit.factor for text, unit in UNITS.items() if unit.dimension in ("energy", "power")}
"""Unit → kWh in one of it; units of power among them: see above."""
_CACHED_IDS = 5_000
_NOT_READ = frozenset({"voltage", "current", "system"})


class _Registers(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    forward: float
    reverse: float | None = None


class _Total(msgspec.Struct, gc=False):
    total: float


class _ActiveEnergy(msgspec.Struct, gc=False):
    unit: str
    value: _Registers


class _ActivePower(msgspec.Struct, gc=False):
    unit: str
    value: _Total


class _Energy(msgspec.Struct, gc=False):
    active: _ActiveEnergy


class _Power(msgspec.Struct, gc=False):
    active: _ActivePower


class _Metrics(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Those of a meter. What is not read is not looked into; other names may be readings: those go the long way."""

    energy: _Energy | None = None
    power: _Power | None = None
    voltage: msgspec.Raw = msgspec.Raw()
    current: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    power_factor: msgspec.Raw = msgspec.Raw()
    frequency: msgspec.Raw = msgspec.Raw()


class _Item(msgspec.Struct, gc=False):
    timestamp: str
    device_id: str
    metrics: _Metrics


class _Document(msgspec.Struct, tag_field="msgType", tag="up"):
    batch: list[_Item]


_decode = msgspec.json.Decoder(_Document).decode


class EdgeLogger:
    """Reads EdgeLogger's messages of one source."""

    def __init__(self, plain: PlainValues) -> None:
        self._plain = plain
        self._ids: set[str] = set()
        """That were looked at before."""

    def read_usual(self, message: Message, found: Found) -> bool:
        """Read a payload of the usual shape; false: it is another, and nothing was read."""
        try:
            items = _decode(message.payload).batch
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        devices = {item.device_id for item in items}
        if len(devices) < len(items) or not (self._ids.issuperset(devices) or self._are_ids(devices)):
            return False
        last_text: str | None = None
        last_ms: int | None = None
        # None of the quantities is one that `Found.add` looks at: its call is 0.1 µs each.
        add = found.values.append
        for item in items:
            device, metrics = item.device_id, item.metrics
            if item.timestamp != last_text:
                flags = len(found.flagged)
                try:
                    last_ms = self._plain.time_ms(message, found, item.timestamp, device)
                except BadTimeError as error:
                    found.reject(error.reason, f"{shown(device)}: {error.detail}")
                    continue
                # An ambiguous time is told by the order of each device's own readings.
                last_text = item.timestamp if len(found.flagged) == flags else None
            if metrics.power is not None:
                power = metrics.power.active
                factor = _POWER_FACTORS.get(power.unit) or _factor(power.unit, _POWER_FACTORS)
                if factor is None:
                    _add(found, device, "power_kw", power.value.total, factor, last_ms, "power.active.total")
                else:  # a number of JSON is none that `_add` has to look at
                    add(Value(device, "power_kw", power.value.total * factor, last_ms, "power.active.total"))
            if metrics.energy is not None:
                energy = metrics.energy.active
                factor = _ENERGY_FACTORS.get(energy.unit) or _factor(energy.unit, _ENERGY_FACTORS)
                forward, reverse = energy.value.forward, energy.value.reverse
                if factor is None:
                    _add(found, device, "register", forward, factor, last_ms, "energy.active.forward")
                    if reverse is not None:
                        _add(found, device, "export_register", reverse, factor, last_ms, "energy.active.reverse")
                    continue
                add(Value(device, "register", forward * factor, last_ms, "energy.active.forward"))
                if reverse is not None:
                    name = "energy.active.reverse"
                    add(Value(device, "export_register", reverse * factor, last_ms, name))
        return True

    def _are_ids(self, devices: set[str]) -> bool:
        for device in devices:
            if as_id(device) is None:  # a text that is an id is that id
                return False
        if len(self._ids) + len(devices) > _CACHED_IDS:
            self._ids.clear()
        self._ids.update(list(devices)[:_CACHED_IDS])
        return True

    def read(self, message: Message, found: Found, document: dict[str, Any]) -> None:
        kind = document.get("msgType", "up")
        if kind != "up":
            found.ignore("command" if kind == "down" else "other_message")
            return
        batch = document["batch"]
        if type(batch) is not list:
            raise UnreadableError(f"batch: expected a list, found {shown(batch)}")
        latest: dict[str, Any] = {}
        for item in batch:
            if type(item) is not dict or type(item.get("metrics")) is not dict:
                found.reject("malformed", f"batch: expected an object with metrics, found {shown(item)}")
                continue
            device = as_id(item.get("device_id")) or message.topic
            if _is_same(latest.get(device), item):
                found.ignore("duplicate")
                continue
            latest[device] = item
            raw_time = item.get("timestamp", document.get("msgCreateTime"))
            try:
                ts_ms = self._plain.time_ms(message, found, raw_time, device)
            except BadTimeError as error:
                found.reject(error.reason, f"{shown(device)}: {error.detail}")
                continue
            self._read_metrics(message, found, item["metrics"], device, ts_ms)

    def _read_metrics(
        self, message: Message, found: Found, metrics: dict[str, Any], device: str, ts_ms: int | None
    ) -> None:
        others: dict[str, Any] = {}
        for name, metric in metrics.items():
            if name in _NOT_READ:
                continue
            active = metric.get("active") if type(metric) is dict else None
            if name == "energy" and type(active) is dict:
                self._read_energy(found, active, device, ts_ms)
            elif name == "power" and type(active) is dict:
                self._read_power(found, active, device, ts_ms)
            else:
                others[name] = metric
        if others:
            self._plain.read(message, found, others, device, ts_ms)

    def _read_energy(self, found: Found, active: dict[str, Any], device: str, ts_ms: int | None) -> None:
        raw = active.get("value")
        registers = raw if type(raw) is dict else {"forward": raw}
        if "forward" not in registers and "total" in registers:
            registers = {**registers, "forward": registers["total"]}
        factor = _factor(active.get("unit"), _ENERGY_FACTORS)
        for direction, quantity, name in _REGISTERS:
            if direction in registers:
                _add(found, device, quantity, registers[direction], factor, ts_ms, name)

    def _read_power(self, found: Found, active: dict[str, Any], device: str, ts_ms: int | None) -> None:
        raw = active.get("value")
        factor = _factor(active.get("unit"), _POWER_FACTORS)
        if type(raw) is not dict:
            _add(found, device, "power_kw", raw, factor, ts_ms, "power.active")
        elif "total" in raw:
            _add(found, device, "power_kw", raw["total"], factor, ts_ms, "power.active.total")
        elif all(phase in raw for phase in _PHASES):
            parts: list[float] = []
            for phase in _PHASES:
                try:
                    number = to_number(raw[phase])
                except ValueError:
                    found.reject("bad_value", f"{shown(device)} {phase}: {shown(raw[phase])} is no number")
                    return
                if number is None:
                    found.ignore("no_value")
                    return
                parts.append(number)
            _add(found, device, "power_kw", sum(parts), factor, ts_ms, "power.active")


def _is_same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except RecursionError:  # nested as deep as JSON may be
        return False


def _factor(raw: object, factors: dict[str, float]) -> float | None:
    """To kWh or kW; None for a unit that is neither. Without a unit it is what the documentation says: kWh, kW."""
    return factors.get(raw.strip()) if isinstance(raw, str) and raw else 1.0


def _add(
    found: Found, device: str, quantity: Measured, raw: object, factor: float | None, ts_ms: int | None, name: str
) -> None:
    if type(raw) is float and raw == raw and factor is not None:
        found.add(device, quantity, raw * factor, ts_ms, name)
        return
    try:
        number = to_number(raw)
    except ValueError:
        found.reject("bad_value", f"{shown(device)} {name}: {shown(raw)} is no number")
        return
    if number is None:
        found.ignore("no_value")
    elif factor is None:
        found.reject("unknown_unit", f"{shown(device)} {name}: {shown(raw)}")
    else:
        found.add(device, quantity, number * factor, ts_ms, name)
