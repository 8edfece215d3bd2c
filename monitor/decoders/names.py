"""The usual names of values, where a format leaves them to the installer, and what they mean.

A name is taken apart into words (`Active Energy Import`, `activeEnergyImport` and `active_energy_import` are one name),
a unit at its end is taken off (`energy_kwh`, `Power (kW)`), and so is a tariff (`energy_t1`). What is left is looked up
in one literal table. The unit comes from the source's options, else from the message, else from the name; without one
anywhere energy, power and volume are not guessed.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from monitor.decoders.options import FieldRule, Options
from monitor.decoders.payloads import shown, to_number
from monitor.decoders.units import Dimension, Unit, unit_of
from monitor.decoders.values import Found, Measured
from monitor.decoders.words import mode_number, switch_value

__all__ = ["NAMES", "Meaning", "Names", "words_of"]

_REGISTER = (
    "energy", "energy_total", "total_energy", "energy_import", "import_energy", "energy_import_total",
    "total_energy_import", "energy_imported", "imported_energy", "energy_in", "input_energy", "active_energy",
    "active_energy_total", "total_active_energy", "active_energy_import", "active_energy_import_total",
    "total_active_energy_import", "active_energy_imported", "active_import_energy", "import_active_energy",
    "energy_active", "energy_active_import", "energy_active_total", "energy_consumed", "consumed_energy",
    "total_energy_consumed", "energy_consumption", "total_energy_consumption", "energy_consumption_total",
    "consumption_energy", "electricity", "electric_energy", "electrical_energy", "electricity_consumption",
    "electricity_total", "energy_forward", "forward_energy", "forward_active_energy", "active_energy_forward",
    "active_forward_energy", "total_forward_active_energy", "forward_active_energy_total", "energy_positive",
    "positive_energy", "positive_active_energy", "active_energy_positive", "total_positive_active_energy",
    "positive_active_energy_total", "energy_plus", "active_energy_plus", "energy_active_plus",
    "energy_delivered_to_client", "energy_from_grid", "grid_import", "grid_energy_import", "energy_counter",
    "energy_meter", "energy_register", "energy_reading", "energy_index", "meter_reading", "register",
    "cumulative_energy", "energy_cumulative", "accumulated_energy", "energy_accumulated", "energy_sum", "sum_energy",
    "total", "import", "import_total", "total_import", "ep", "epi", "ep_imp", "ep_plus", "wp_plus", "ap_energy",
    "kwh_total", "total_kwh", "kwh", "wh", "kwh_del", "lifetime_energy", "energy_lifetime", "active_electric_energy",
    "combined_active_energy", "total_combined_active_energy", "combined_active_energy_total", "e_total",
    "total_act_energy", "act_energy", "meter_total", "dien_nang", "power_consumption_total",
    "total_power_consumption", "consumption", "total_consumption", "consumption_total",
    "dien_nang_tieu_thu", "tong_dien_nang", "dien_nang_tac_dung", "chi_so_dien", "电能", "总电能", "有功电能",
    "总有功电能", "有功总电能", "正向有功电能", "正向有功总电能", "正向总有功电能", "组合有功电能", "组合有功总电能",
    "用电量", "总用电量", "累计用电量", "电度", "总电度", "有功电度", "正向有功电度", "电表读数",
)  # fmt: skip
_EXPORT = (
    "energy_export", "export_energy", "energy_export_total", "total_energy_export", "energy_exported",
    "exported_energy", "energy_out", "output_energy", "active_energy_export", "active_energy_export_total",
    "total_active_energy_export", "active_energy_exported", "active_export_energy", "export_active_energy",
    "energy_active_export", "energy_returned", "returned_energy", "energy_return", "return_energy", "energy_reverse",
    "reverse_energy", "reverse_active_energy", "active_energy_reverse", "active_reverse_energy",
    "total_reverse_active_energy", "reverse_active_energy_total", "energy_negative", "negative_energy",
    "negative_active_energy", "active_energy_negative", "total_negative_active_energy",
    "negative_active_energy_total", "energy_minus", "active_energy_minus", "energy_active_minus", "energy_fed_in",
    "energy_feed_in", "feed_in_energy", "feed_in", "energy_to_grid", "grid_export", "grid_energy_export", "export",
    "export_total", "total_export", "export_register", "epe", "ep_exp", "ep_minus", "wp_minus",
    "kwh_rec", "total_act_ret_energy", "energy_injected", "injected_energy", "energy_injection",
    "反向有功电能", "反向有功总电能", "反向总有功电能", "反向有功电度",
)  # fmt: skip
_POWER = (
    "power", "active_power", "power_active", "power_total", "total_power", "active_power_total", "total_active_power",
    "power_active_total", "total_power_active", "instantaneous_power", "power_instantaneous", "current_power",
    "power_current", "momentary_power", "real_power", "power_real", "power_usage", "power_draw", "power_load",
    "load_power", "apower", "act_power", "total_act_power", "grid_power", "power_grid", "electric_power",
    "electrical_power", "p", "p_total", "p_tot", "ptot", "p_sum", "psum", "pt", "kw", "kw_total", "kw_tot", "total_kw",
    "active_power_sum", "sum_active_power", "combined_active_power", "three_phase_active_power", "watt", "watts",
    "power_now", "power_consumption", "cong_suat", "instant_power", "power_instant", "active_power_instantaneous",
    "tong_cong_suat", "cong_suat_tac_dung", "功率", "总功率", "有功功率", "总有功功率", "有功总功率", "瞬时有功功率",
    "瞬时总有功功率", "合相有功功率", "三相总有功功率",
)  # fmt: skip
_POWER_IMPORT = (
    "power_import", "import_power", "active_power_import", "import_active_power", "power_consumed",
    "power_delivered_to_client", "active_power_plus", "power_plus", "positive_active_power", "active_power_positive",
    "power_in", "power_from_grid", "power_imported", "forward_active_power", "p_plus",
)  # fmt: skip
_POWER_EXPORT = (
    "power_export", "export_power", "active_power_export", "export_active_power", "power_returned",
    "active_power_minus", "power_minus", "negative_active_power", "active_power_negative", "power_out",
    "power_to_grid", "power_exported", "reverse_active_power", "power_fed_in", "power_feed_in", "p_minus",
)  # fmt: skip
_SETPOINT = (
    "setpoint", "set_point", "setpoint_temperature", "temperature_setpoint", "set_point_temperature",
    "temperature_set_point", "setpoint_temp", "temp_setpoint", "temp_set", "temperature_set", "set_temp",
    "set_temperature", "target_temperature", "target_temp", "temperature_target", "temp_target", "cooling_setpoint",
    "heating_setpoint", "cool_setpoint", "heat_setpoint", "setpoint_cool", "setpoint_heat", "setpoint_cooling",
    "setpoint_heating", "current_setpoint", "setpoint_current", "current_heating_setpoint",
    "current_cooling_setpoint", "occupied_heating_setpoint", "occupied_cooling_setpoint", "ac_setpoint",
    "ac_set_temp", "ac_target_temperature", "room_setpoint", "room_temperature_setpoint", "thermostat_setpoint",
    "nhiet_do_cai_dat",
    "nhiet_do_dat", "设定温度", "设置温度", "目标温度", "温度设定",
)  # fmt: skip
_ROOM = (
    "room_temp", "room_temperature", "room", "temperature_room", "temp_room", "temperature", "temp",
    "current_temperature", "current_temp", "temperature_current", "temp_current", "indoor_temperature", "indoor_temp",
    "temperature_indoor", "temp_indoor", "inside_temperature", "inside_temp", "local_temperature",
    "ambient_temperature", "ambient_temp", "temperature_ambient", "air_temperature", "air_temp",
    "measured_temperature", "temperature_measured", "actual_temperature", "actual_temp", "temperature_actual",
    "return_air_temperature", "return_air_temp", "space_temperature", "zone_temperature", "ac_room_temp",
    "nhiet_do_phong",
    "nhiet_do", "nhiet_do_trong_phong", "室温", "室内温度", "房间温度", "环境温度", "当前温度", "回风温度", "温度",
)  # fmt: skip
_ON = (
    "on", "power_on", "is_on", "on_off", "onoff", "power_switch", "switch", "switch_state", "power_state",
    "power_status", "ac_power", "ac_on", "ac_switch", "run_state", "running", "run_status", "running_status",
    "ac_status", "relay_state", "socket_status", "state",
    "bat_tat", "开关", "开关机", "开关状态", "开关机状态", "启停", "启停状态", "运行状态",
)  # fmt: skip
_MODE = (
    "mode", "ac_mode", "hvac_mode", "work_mode", "working_mode", "operation_mode", "operating_mode", "system_mode",
    "thermostat_mode", "run_mode", "running_mode", "climate_mode", "control_mode", "temperature_control_mode",
    "temperature_ctl_mode", "mode_state", "che_do",
    "che_do_van_hanh", "模式", "运行模式", "工作模式", "空调模式",
)  # fmt: skip
_WATER = (
    "water", "water_volume", "water_total", "total_water", "water_consumption", "water_meter", "water_register",
    "cold_water", "water_consumption_total", "total_water_consumption", "water_usage", "cold_water_volume",
    "volume_water",
    "nuoc", "luong_nuoc", "chi_so_nuoc", "用水量", "累计用水量", "累计水量", "水表读数",
)  # fmt: skip
_GAS = (
    "gas", "gas_volume", "gas_total", "total_gas", "gas_consumption", "gas_meter", "gas_register", "gas_volume_total",
    "gas_usage", "gas_consumption_total", "total_gas_consumption", "volume_gas",
    "用气量", "累计用气量", "燃气用量",
)  # fmt: skip
_HEAT = (
    "heat", "heat_energy", "energy_heat", "heat_total", "total_heat", "heat_consumption", "heat_meter",
    "heat_register", "thermal_energy", "heating_energy", "heat_energy_total", "total_heat_energy", "heat_quantity",
    "energy_thermal",
    "用热量", "累计热量",
)  # fmt: skip


class _Name(NamedTuple):
    quantity: Measured
    sign: float = 1.0


NAMES: dict[str, _Name] = {
    **dict.fromkeys(_REGISTER, _Name("register")),
    **dict.fromkeys(_EXPORT, _Name("export_register")),
    **dict.fromkeys(_POWER, _Name("power_kw")),
    **dict.fromkeys(_POWER_IMPORT, _Name("power_kw")),
    **dict.fromkeys(_POWER_EXPORT, _Name("power_kw", -1.0)),
    **dict.fromkeys(_SETPOINT, _Name("setpoint_c")),
    **dict.fromkeys(_ROOM, _Name("room_c")),
    **dict.fromkeys(_ON, _Name("on")),
    **dict.fromkeys(_MODE, _Name("mode")),
    **dict.fromkeys(_WATER, _Name("water_m3")),
    **dict.fromkeys(_GAS, _Name("gas_m3")),
    **dict.fromkeys(_HEAT, _Name("heat_kwh")),
}
"""Name, its words in lower case joined by `_`, without unit and tariff → what it is, and its sign."""

DIMENSIONS: dict[Measured, Dimension | None] = {
    "register": "energy",
    "export_register": "energy",
    "power_kw": "power",
    "on": None,
    "mode": None,
    "setpoint_c": "temperature",
    "room_c": "temperature",
    "water_m3": "volume",
    "gas_m3": "volume",
    "heat_kwh": "energy",
}
"""What a quantity's unit must measure; None: it has none."""

_UNIT_WORDS: dict[str, str] = {
    "kwh": "kWh", "wh": "Wh", "mwh": "MWh", "gj": "GJ", "mj": "MJ", "kj": "kJ", "kw": "kW", "w": "W", "watt": "W",
    "watts": "W", "c": "°C", "degc": "°C", "celsius": "°C", "f": "°F", "degf": "°F", "fahrenheit": "°F", "m3": "m3",
    "m³": "m3", "l": "l", "liter": "l", "litre": "l", "liters": "l", "litres": "l", "va": "VA", "kva": "kVA",
    "var": "var", "kvar": "kvar", "varh": "varh", "kvarh": "kvarh", "v": "V", "a": "A", "hz": "Hz",
}  # fmt: skip
"""Last word of a name → the unit that it is."""
_LEADING_UNITS = frozenset({"kwh", "wh", "mwh", "kw", "watt", "watts"})
"""Units that also begin a name: `kwh_total`."""
_TARIFF = re.compile(
    r"_(?:t|tariff_?|rate_?|tarif_?)([1-9])$|_(low|normal|high|peak|offpeak|off_peak|night|day|hp|hc)$"
)
_WATT_HOURS = re.compile(r"[kKM][wW][hH](?![a-z])")
_UNIT_WITH_PREFIX = re.compile(r"[kM](?:W|VA|VAr|Var|var|varh|VArh)(?![a-z])")
_LOWER_UPPER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SIGN = re.compile(r"(?<=\w)([+-])(?=$|[\s(\[])")
_NUMBER_AND_UNIT = re.compile(r"\s*([+-]?\d{1,15}(?:\.\d{1,15})?)\s*([^\d\s.,].{0,15}?)\s*", re.ASCII)
"""As in `21.5 °C`, which is what a display shows."""
_NO_WORD = re.compile(r"[\W_]+")
_MARKS = re.compile(r"[\u0300-\u036f]")
_PART_OF_DAY = frozenset({"day", "night"})
"""Tariffs that alone may be something else: `energy_day` is today's on many devices."""
_MEASURED = frozenset(quantity for quantity, dimension in DIMENSIONS.items() if dimension is not None)
_COUNTED = frozenset({"register", "export_register", "water_m3", "gas_m3", "heat_kwh"})
"""What tariffs are of. `temperature_high` and `power_peak` are limits and maxima."""
_LONGEST_NAME = 120
_CACHED = 10_000


class Meaning(NamedTuple):
    """value * factor + offset is in the quantity's unit."""

    quantity: Measured
    factor: float = 1.0
    offset: float = 0.0
    tariff: str = ""
    """Not empty: one of several registers that add up."""
    is_unit_known: bool = True


def words_of(name: str) -> str:
    """The words of a name, in lower case, joined by `_`."""
    name = _WATT_HOURS.sub(lambda unit: "_" + unit[0].lower(), name[:_LONGEST_NAME])
    name = _SIGN.sub(lambda sign: "_plus" if sign[0] == "+" else "_minus", name)
    name = _UNIT_WITH_PREFIX.sub(lambda unit: "_" + unit[0].lower(), name)
    name = _LOWER_UPPER.sub("_", name)
    return _NO_WORD.sub("_", name).strip("_").lower()


class Names:
    """The usual names, and before them what the source's options say."""

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options()
        self._fields = self._options.fields
        self._cache: dict[tuple[str, str | None], Meaning | None] = {}
        self.own = self._options.fields.keys()
        """Names that the installer has explained."""
        self.has_outward = False
        """Whether a name of what flows out has been asked for."""

    def meaning(self, name: str, unit: str | None = None) -> Meaning | None:
        """What a name means with the unit that the message carries for it (None: none); None: nothing for us."""
        key = name, unit
        cache = self._cache
        if key in cache:
            return cache[key]
        if len(cache) >= _CACHED:
            cache.clear()
        meaning = self._look_up(name, unit or None)
        if meaning is not None and (meaning.quantity == "export_register" or meaning.factor < 0):
            self.has_outward = True
        if len(name) <= _LONGEST_NAME and (unit is None or len(unit) <= _LONGEST_NAME):
            cache[key] = meaning
        return meaning

    def is_outward(self, name: str) -> bool:
        """Whether it is power that flows out, which counts negative."""
        meaning = self.meaning(name, "W")
        return meaning is not None and meaning.quantity == "power_kw" and meaning.factor < 0

    def add(
        self, found: Found, source_id: str, name: str, raw: object, ts_ms: int | None, unit: str | None = None
    ) -> bool:
        """Put a value into `found` if its name means something; true then. Values that are none are ignored, wrong ones
        and those without a unit rejected. A unit behind the number of a text comes first."""
        try:
            meaning = self._cache[name, unit]
        except KeyError:
            meaning = self.meaning(name, unit)
        if meaning is None:
            return False
        quantity, factor, offset, tariff, is_unit_known = meaning
        if (
            type(raw) is float and is_unit_known and not tariff and quantity in _MEASURED and raw == raw
        ):  # the usual way
            found.add(source_id, quantity, raw * factor + offset, ts_ms, name)
            return True
        if quantity == "mode":
            if raw is None:
                found.ignore("no_value")
            elif (mode := mode_number(raw, self._options.modes)) is not None:
                found.add(source_id, "mode", float(mode), ts_ms, name)
            else:
                found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is no mode")
            return True
        if quantity == "on" or (quantity == "power_kw" and isinstance(raw, bool | str)):
            state = switch_value(raw)
            # "power" is a switch on some devices and a figure on others; a figure may come as text.
            if state is not None and (quantity == "on" or not (isinstance(raw, str) and raw.strip() in ("0", "1"))):
                found.add(source_id, "on", state, ts_ms, name)
                return True
            if quantity == "on":
                if raw is None:
                    found.ignore("no_value")
                elif not words_of(name).endswith(("state", "status")):  # these say many other things, too
                    found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is neither on nor off")
                return True
        try:
            number = to_number(raw)
        except ValueError:
            behind = _NUMBER_AND_UNIT.fullmatch(raw[:_LONGEST_NAME]) if isinstance(raw, str) else None
            if behind is not None and unit_of(behind[2]) is not None:
                return self.add(found, source_id, name, float(behind[1]), ts_ms, behind[2])
            found.reject("bad_value", f"{shown(source_id)} {shown(name)}: {shown(raw)} is no number")
            return True
        if number is None:
            found.ignore("no_value")
        elif not is_unit_known:
            what = f"unit {shown(unit)}" if unit else "no unit"
            found.reject("unknown_unit", f"{shown(source_id)} {shown(name)}: {shown(raw)} with {what}")
        elif tariff:
            value = number * factor + offset
            found.add_part(source_id, quantity, tariff, value, ts_ms, name, alone=tariff not in _PART_OF_DAY)
        else:
            found.add(source_id, quantity, number * factor + offset, ts_ms, name)
        return True

    def _look_up(self, name: str, unit: str | None) -> Meaning | None:
        rule = self._fields.get(name) or FieldRule()
        if rule.ignore:
            return None
        words = words_of(name)
        if not words.isascii():  # điện_năng: dien_nang
            words = _MARKS.sub("", unicodedata.normalize("NFD", words)).replace("đ", "d")
        base, tariff, of_name = _apart(words)
        if rule.quantity is not None:
            known: _Name | None = _Name(rule.quantity)
            tariff = ""
        else:
            known = NAMES.get(words) or NAMES.get(base)
        if known is None:
            return None
        if words in NAMES:
            tariff = ""
        elif tariff and known.quantity not in _COUNTED:
            return None
        dimension = DIMENSIONS[known.quantity]
        if dimension is None:
            return Meaning(known.quantity)
        text = rule.unit or unit or of_name
        measured = unit_of(text) if text else Unit("temperature") if dimension == "temperature" else None
        if measured is None:
            return Meaning(known.quantity, is_unit_known=False)
        if measured.dimension != dimension:
            # A consumption in W is a power; what is in V or VA is nothing for us.
            other = None if rule.quantity or "energy" in words else _IN_DIMENSION.get((known, measured.dimension))
            if other is None:
                is_phase = not (rule.unit or unit) and measured.dimension in ("temperature", "volume")  # power_c
                is_nothing = is_phase or measured.dimension == "other"
                return None if is_nothing else Meaning(known.quantity, is_unit_known=False)
            if tariff and other.quantity not in _COUNTED:
                return None
            known = other
        factor = measured.factor * rule.scale * known.sign
        return Meaning(known.quantity, factor, measured.offset, tariff)


_IN_DIMENSION: dict[tuple[_Name, Dimension], _Name] = {
    (_Name("register"), "power"): _Name("power_kw"),
    (_Name("export_register"), "power"): _Name("power_kw", -1.0),
    (_Name("power_kw"), "energy"): _Name("register"),
    (_Name("power_kw", -1.0), "energy"): _Name("export_register"),
}
"""A name that usually is one thing, with a unit that says that it is another. What calls itself an energy and has a
unit of power is not among them: gateways that write kW where they mean kWh exist."""


def _apart(words: str) -> tuple[str, str, str | None]:
    """A name's words without tariff and unit, the tariff, the unit. Either may come last."""
    base, tariff, unit = words, "", None
    for _ in range(2):
        if not tariff and (match := _TARIFF.search(base)):
            tariff = match[1] or match[2]
            base = base[: match.start()]
        head, _, last = base.rpartition("_")
        if unit is None and head and last in _UNIT_WORDS:
            unit = _UNIT_WORDS[last]
            base = head
    if unit is None:
        first, _, rest = base.partition("_")
        if first in _LEADING_UNITS:
            unit = _UNIT_WORDS[first]
            base = base if base in NAMES else rest
    return base, tariff, unit
