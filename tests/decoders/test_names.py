"""The usual names of values, where a format leaves them to the installer."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decoders.names import DIMENSIONS, NAMES, Meaning, Names, words_of
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import QUANTITIES, Found, Measured

T = 1_782_638_100_000
Read = tuple[str, float]


def read(name: str, raw: object, unit: str | None = None, options: Options | None = None) -> list[Read | str]:
    """(quantity, value) of what is found, and the reasons of what is rejected or ignored."""
    found = Found(SourceState())
    meant = Names(options).add(found, "m", name, raw, T, unit)
    found.end_message()
    values: list[Read | str] = [(value.quantity, round(value.value, 9)) for value in found.values]
    values += [each.reason for each in found.rejected]
    values += found.ignored
    assert meant or not values
    assert all(value.name == name and value.ts_ms == T and value.source_id == "m" for value in found.values)
    return values


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Active Energy Import", "active_energy_import"), ("activeEnergyImport", "active_energy_import"),
        ("ActiveEnergyImport", "active_energy_import"), ("active-energy.import", "active_energy_import"),
        ("ACTIVE_ENERGY_IMPORT", "active_energy_import"), ("  Power (kW)", "power_kw"), ("Power [W]", "power_w"),
        ("PowerkW", "power_kw"), ("EnergyKWh", "energy_kwh"), ("energykWh", "energy_kwh"), ("EnergyMWh", "energy_mwh"),
        ("TotalKWH", "total_kwh"), ("ReactiveEnergykVArh", "reactive_energy_kvarh"), ("ApparentkVA", "apparent_kva"),
        ("setpointTemp", "setpoint_temp"), ("ACMode", "ac_mode"), ("HVACMode", "hvac_mode"), ("EP-", "ep_minus"),
        ("A+ (kWh)", "a_plus_kwh"), ("Energy - Import", "energy_import"), ("Nhiệt_độ phòng", "nhiệt_độ_phòng"),
        ("Water (m³)", "water_m³"), ("", ""), ("__", ""), ("(", ""), ("isOn", "is_on"), ("Temp°C", "temp_c"),
    ],
)  # fmt: skip
def test_words(name: str, words: str) -> None:
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("energy_kwh", 12.5, ("register", 12.5)), ("energy_wh", 12500, ("register", 12.5)),
        ("energyWh", "12500", ("register", 12.5)), ("energy_mwh", 0.0125, ("register", 12.5)),
        ("energy_total_kwh", 1, ("register", 1.0)), ("energy_import_kwh", 1, ("register", 1.0)),
        ("energyImportkWh", 1, ("register", 1.0)), ("energy_import_total_wh", 1000, ("register", 1.0)),
        ("正向有功总电能(kWh)", 1, ("register", 1.0)), ("反向有功总电能 kWh", 1, ("export_register", 1.0)),
        ("总有功功率(W)", 500, ("power_kw", 0.5)), ("室内温度", 27.5, ("room_c", 27.5)),
        ("设定温度", 26, ("setpoint_c", 26.0)),
        ("开关状态", "开", ("on", 1.0)), ("运行模式", "制冷", ("mode", 1.0)), ("累计用水量(m³)", 3, ("water_m3", 3.0)),
        ("Điện năng (kWh)", 1, ("register", 1.0)), ("Công suất (kW)", 2, ("power_kw", 2.0)),
        ("ĐIỆN NĂNG kWh", 1, ("register", 1.0)),
        ("Nhiệt độ phòng", 27.5, ("room_c", 27.5)), ("nhiet_do_cai_dat", 26, ("setpoint_c", 26.0)),
        ("Chế độ", "làm lạnh", ("mode", 1.0)), ("Bật/tắt", "tắt", ("on", 0.0)),
        ("Active Energy Import (kWh)", 1, ("register", 1.0)), ("Active Energy Import Wh", 1000, ("register", 1.0)),
        ("import_kwh", 1, ("register", 1.0)), ("kwh", 1, ("register", 1.0)), ("kWh Total", 1, ("register", 1.0)),
        ("total_kwh", 1, ("register", 1.0)), ("kwh_import", 1, ("register", 1.0)), ("wh", 1000, ("register", 1.0)),
        ("energy_export_kwh", 2, ("export_register", 2.0)), ("energyExportWh", 2000, ("export_register", 2.0)),
        ("Active Energy Export [kWh]", 2, ("export_register", 2.0)), ("EP- (kWh)", 2, ("export_register", 2.0)),
        ("EP+ (kWh)", 2, ("register", 2.0)), ("energy_export_total_kwh", 2, ("export_register", 2.0)),
        ("power_kw", 3.5, ("power_kw", 3.5)), ("power_w", 3500, ("power_kw", 3.5)),
        ("powerW", -5, ("power_kw", -0.005)),
        ("Power (kW)", "3.5", ("power_kw", 3.5)), ("Active Power (W)", 3500, ("power_kw", 3.5)),
        ("activePowerkW", 3.5, ("power_kw", 3.5)), ("watts", 3500, ("power_kw", 3.5)), ("kW", 3.5, ("power_kw", 3.5)),
        ("power_export_w", 100, ("power_kw", -0.1)), ("power_import_w", 100, ("power_kw", 0.1)),
        ("P- (kW)", 1, ("power_kw", -1.0)), ("total_power_kw", 1, ("power_kw", 1.0)),
        ("setpoint", 24, ("setpoint_c", 24.0)), ("setpoint_c", 24, ("setpoint_c", 24.0)),
        ("setpoint_temp", 24, ("setpoint_c", 24.0)), ("setpointTemperature", 24, ("setpoint_c", 24.0)),
        ("setpoint_f", 77, ("setpoint_c", 25.0)), ("target_temperature", "24.5", ("setpoint_c", 24.5)),
        ("targetTemperature", 24, ("setpoint_c", 24.0)), ("room_temp", 27, ("room_c", 27.0)),
        ("room_c", 27, ("room_c", 27.0)), ("roomTemp", 27, ("room_c", 27.0)), ("temperature", 27, ("room_c", 27.0)),
        ("temperature_f", 212, ("room_c", 100.0)), ("Temperature (°F)", 32, ("room_c", 0.0)),
        ("mode", "cool", ("mode", 1.0)), ("mode", 2, ("mode", 2.0)), ("acMode", "Fan Only", ("mode", 4.0)),
        ("on", True, ("on", 1.0)), ("on", 0, ("on", 0.0)), ("on", "OFF", ("on", 0.0)), ("isOn", "1", ("on", 1.0)),
        ("water_m3", 7, ("water_m3", 7.0)), ("water_l", 7000, ("water_m3", 7.0)), ("Water (m³)", 7, ("water_m3", 7.0)),
        ("gas_m3", 7, ("gas_m3", 7.0)), ("heat_kwh", 7, ("heat_kwh", 7.0)),
        ("heat_energy_gj", 3.6, ("heat_kwh", 1000.0)),
    ],
)  # fmt: skip
def test_names_that_say_it_all(name: str, raw: object, expected: Read) -> None:
    assert read(name, raw) == [expected]


@pytest.mark.parametrize(
    "name", ["energy", "Active Energy Import", "energyTotal", "power", "Active Power", "total", "water", "gas"]
)
def test_what_has_no_unit_is_not_guessed(name: str) -> None:
    assert read(name, 5) == ["unknown_unit"]
    assert read(name, "5") == ["unknown_unit"]
    assert read(name, 5, "furlong") == ["unknown_unit"]
    assert read(name, 5, "") == ["unknown_unit"]


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("energy", "Wh", ("register", 0.005)), ("energy", "kWh", ("register", 5.0)),
        ("energy_kwh", "Wh", ("register", 0.005)),
        ("power", "W", ("power_kw", 0.005)), ("Active Power", "kW", ("power_kw", 5.0)),
        ("power_kw", "W", ("power_kw", 0.005)),
        ("power", "MW", ("power_kw", 5000.0)), ("temperature", "°F", ("room_c", -15.0)), ("setpoint", "K", None),
        ("water", "L", ("water_m3", 0.005)), ("gas", "m³", ("gas_m3", 5.0)),
        ("heat", "GJ", ("heat_kwh", 1388.888888889)),
        ("consumption", "W", ("power_kw", 0.005)), ("consumption", "kWh", ("register", 5.0)),
        ("export", "W", ("power_kw", -0.005)),
        ("power_consumption", "kWh", ("register", 5.0)), ("power_export", "kWh", ("export_register", 5.0)),
    ],
)  # fmt: skip
def test_the_messages_unit_comes_before_the_names(name: str, unit: str, expected: Read | None) -> None:
    assert read(name, 5, unit) == (["no_value"] if expected is None else [expected])


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("energy", "kW"),
        ("energy_import", "W"),
        ("energy_kw", None),
        ("energy_w", None),
        ("energy", "°C"),
        ("power", "°C"),
        ("temperature", "kWh"),
        ("water", "kWh"),
        ("heat", "kW"),
    ],
)
def test_an_energy_in_kilowatts_is_not_guessed(name: str, unit: str | None) -> None:
    assert read(name, 5, unit) == ["unknown_unit"]


@pytest.mark.parametrize(
    "name",
    [
        "voltage", "current", "frequency", "power_factor", "apparent_power_va", "reactive_power", "energy_kvarh",
        "energy_kvah", "power_va", "Power (VA)", "energy_today", "daily_energy_kwh", "energy_yesterday_kwh",
        "monthly_energy", "power_max_kw", "power_a", "power_b", "power_c", "energy_a_kwh", "energy_c", "humidity",
        "rssi", "battery", "temperature_high", "temp_low", "setpoint_low", "power_peak_kw", "power_t1_w", "room_t1",
        "mode_2", "kwh_today",
    ],
)  # fmt: skip
def test_what_is_nothing_for_us(name: str) -> None:
    assert read(name, 5) == []
    assert Names().meaning(name) is None


def test_no_name_is_nothing() -> None:
    assert read("", 5, "kWh") == read("x" * 1000, 5, "kWh") == []


@pytest.mark.parametrize(
    ("name", "unit"), [("power", "VA"), ("energy", "kvarh"), ("power", "%"), ("temperature", "V"), ("total", "A")]
)
def test_a_unit_of_something_else_makes_it_nothing_for_us(name: str, unit: str) -> None:
    assert read(name, 5, unit) == []


@pytest.mark.parametrize(
    "names",
    [
        ("energy_kwh_t1", "energy_kwh_t2"), ("energy_t1_kwh", "energy_t2_kwh"), ("energyT1kWh", "energyT2kWh"),
        ("energy_tariff1_kwh", "energy_tariff_2_kwh"), ("energy_rate1_kwh", "energy_rate2_kwh"),
        ("energy_low_kwh", "energy_normal_kwh"), ("energy_import_peak_kwh", "energy_import_offpeak_kwh"),
        ("energy_day_kwh", "energy_night_kwh"), ("kwh_t1", "kwh_t2"), ("energy_hc_kwh", "energy_hp_kwh"),
    ],
)  # fmt: skip
def test_tariffs_add_up(names: tuple[str, str]) -> None:
    found = Found(SourceState())
    each = Names()
    for name, value in zip(names, (10.0, 5.0), strict=True):
        assert each.add(found, "m", name, value, T)
    found.end_message()
    assert [(value.quantity, value.value) for value in found.values] == [("register", 15.0)]


def test_a_day_without_a_night_may_be_todays_energy() -> None:
    assert read("energy_day_kwh", 5) == []
    assert read("energy_t1_kwh", 5) == [("register", 5.0)]


def test_a_total_comes_before_its_tariffs() -> None:
    found = Found(SourceState())
    for name, value in (("energy_t1_kwh", 10.0), ("energy_t2_kwh", 5.0), ("energy_kwh", 16.0)):
        Names().add(found, "m", name, value, T)
    found.end_message()
    assert [value.value for value in found.values] == [16.0]


@pytest.mark.parametrize(
    ("rule", "unit", "expected"),
    [
        (FieldRule("register", "kWh", 0.01), None, [("register", 5.0)]),
        (FieldRule("register", "Wh"), "kWh", [("register", 0.5)]),
        (FieldRule("power_kw"), "W", [("power_kw", 0.5)]),
        (FieldRule("power_kw"), None, ["unknown_unit"]),
        (FieldRule("power_kw", "kW", -1), None, [("power_kw", -500.0)]),
        (FieldRule("power_kw", "kWh"), None, ["unknown_unit"]),
        (FieldRule("room_c", scale=0.1), None, [("room_c", 50.0)]),
        (FieldRule("setpoint_c", "°F", 0.1), None, [("setpoint_c", 10.0)]),
        (FieldRule("mode"), None, ["bad_value"]),
        (FieldRule("on"), None, ["bad_value"]),
        (FieldRule("water_m3", "l"), None, [("water_m3", 0.5)]),
        (FieldRule("export_register", "kWh"), None, [("export_register", 500.0)]),
        (FieldRule(ignore=True), "kWh", []),
        (FieldRule(unit="kWh"), "kWh", []),  # still nothing that tag0 would mean
    ],
)
def test_the_installers_names(rule: FieldRule, unit: str | None, expected: list[Read | str]) -> None:
    assert read("tag0", 500, unit, Options(fields={"tag0": rule})) == expected


def test_the_installer_comes_before_the_usual_names() -> None:
    options = Options(fields={"energy": FieldRule(unit="Wh"), "power": FieldRule(ignore=True)}, modes={"7": 1})
    assert read("energy", 500, "kWh", options) == [("register", 0.5)]
    assert read("power", 500, "W", options) == []
    assert read("Energy", 500, "kWh", options) == [("register", 500.0)]  # the payload's own name is another one
    assert read("mode", 7, None, options) == [("mode", 1.0)]


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("power", "on", [("on", 1.0)]), ("power", "OFF", [("on", 0.0)]), ("power", True, [("on", 1.0)]),
        ("power", "1", ["unknown_unit"]), ("power", "open", [("on", 1.0)]), ("power", "", ["no_value"]),
        ("power_w", "0", [("power_kw", 0.0)]), ("power_w", "1", [("power_kw", 0.001)]),
        ("power_w", "12.5", [("power_kw", 0.0125)]),
        ("state", "ON", [("on", 1.0)]), ("state", "idle", []), ("run_status", 7, []), ("on", 7, ["bad_value"]),
        ("on", None, ["no_value"]), ("mode", None, ["no_value"]), ("mode", "eco", ["bad_value"]),
        ("mode", True, ["bad_value"]),
        ("energy_kwh", None, ["no_value"]), ("energy_kwh", "NaN", ["no_value"]), ("energy_kwh", math.nan, ["no_value"]),
        ("energy_kwh", "unavailable", ["no_value"]), ("energy_kwh", "x", ["bad_value"]),
        ("energy", "12.5 kWh", [("register", 12.5)]), ("power", "410W", [("power_kw", 0.41)]),
        ("temperature", " -3.5 °C ", [("room_c", -3.5)]), ("energy_kwh", "1500 Wh", [("register", 1.5)]),
        ("energy", "12.5 apples", ["bad_value"]), ("energy", "1 234 kWh", ["bad_value"]), ("power", "230 V", []),
        ("energy_kwh", "12,5 kWh", ["bad_value"]),
        ("energy_kwh", True, ["bad_value"]),
        ("energy_kwh", [], ["bad_value"]), ("energy_kwh", {}, ["bad_value"]), ("energy_kwh", "1" * 1000, ["bad_value"]),
        ("energy_kwh", math.inf, [("register", math.inf)]), ("energy_kwh", 10**400, [("register", math.inf)]),
        ("temperature", -127, ["no_value"]), ("setpoint", 0, ["no_value"]), ("temperature", 0, [("room_c", 0.0)]),
    ],
)  # fmt: skip
def test_values_of_many_kinds(name: str, raw: object, expected: list[Read | str]) -> None:
    assert read(name, raw) == expected


def test_the_table_is_in_its_own_words() -> None:
    for name, known in NAMES.items():
        assert words_of(name) == name
        assert known.quantity in QUANTITIES
    assert DIMENSIONS.keys() == set(QUANTITIES)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_table_can_be_written_in_many_ways(name: str) -> None:
    quantity = NAMES[name].quantity
    unit = {"energy": "kWh", "power": "kW", "temperature": "°C", "volume": "m3", None: None}[DIMENSIONS[quantity]]
    names = Names()
    meanings = {
        names.meaning(each, unit)
        for each in (name, name.upper(), name.title(), name.replace("_", " "), name.replace("_", "-"))
    }
    assert meanings == {Meaning(quantity, NAMES[name].sign)}


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.one_of(st.text(max_size=30), st.sampled_from(sorted(NAMES))),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.none()), st.binary()),
    st.one_of(st.none(), st.text(max_size=5), st.sampled_from(["kWh", "W", "°F", "l", "V"])),
)
def test_whatever_name_value_and_unit(name: str, raw: Any, unit: str | None) -> None:
    found = Found(SourceState())
    names = Names()
    meant = names.add(found, "m", name, raw, T, unit)
    found.end_message()
    assert all(isinstance(value.value, float) for value in found.values)
    assert len(found.values) + len(found.rejected) + len(found.ignored) <= 1
    assert meant == (names.meaning(name, unit) is not None)


def test_what_is_remembered_of_names_is_bounded() -> None:
    names = Names()
    for number in range(25_000):
        names.meaning(f"x{number}", f"y{number}")
    assert len(names._cache) <= 10_000
    names = Names()
    for number in range(100):
        names.meaning("x" * 100_000 + str(number))
        names.meaning("energy", "x" * 100_000 + str(number))
    assert sum(len(name) + len(unit or "") for name, unit in names._cache) < 100_000


def test_meanings_do_not_depend_on_what_was_asked_before() -> None:
    names = Names()
    asked: list[tuple[str, str | None]] = [("energy", None), ("energy", "Wh"), ("energy", "kWh"), ("energy", "")]
    assert [names.meaning(*each) for each in asked] == [Names().meaning(*each) for each in asked]
    quantity: Measured = "register"
    assert names.meaning("energy", "Wh") == Meaning(quantity, 0.001)
