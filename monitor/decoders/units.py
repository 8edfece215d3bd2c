"""Units as gateways write them, and what one of each is in ours."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["UNITS", "Dimension", "Unit", "unit_of"]

Dimension = Literal["energy", "power", "temperature", "volume", "other"]


class Unit(NamedTuple):
    """value * factor + offset is in kWh, kW, °C or m3. `other`: nothing that the monitor computes with."""

    dimension: Dimension
    factor: float = 1.0
    offset: float = 0.0


_KWH = Unit("energy")
_WH = Unit("energy", 0.001)
_KW = Unit("power")
_W = Unit("power", 0.001)
_C = Unit("temperature")
_F = Unit("temperature", 5 / 9, -160 / 9)
_K = Unit("temperature", 1.0, -273.15)
_M3 = Unit("volume")
_LITRE = Unit("volume", 0.001)
_OTHER = Unit("other")

UNITS: dict[str, Unit] = {
    "kWh": _KWH, "kwh": _KWH, "KWH": _KWH, "KWh": _KWH, "Kwh": _KWH, "kW·h": _KWH, "kW.h": _KWH, "kW h": _KWH,
    "kW*h": _KWH, "kW-h": _KWH, "kWhr": _KWH, "kwhr": _KWH, "kilowatt_hour": _KWH, "kilowatthour": _KWH,
    "kilowatt-hour": _KWH, "度": _KWH, "千瓦时": _KWH, "千瓦·时": _KWH, "千瓦小时": _KWH, "瓦时": _WH,
    "兆瓦时": Unit("energy", 1000.0), "千瓦": _KW, "瓦": _W, "兆瓦": Unit("power", 1000.0), "摄氏度": _C, "立方米": _M3,
    "㎥": _M3, "㎾": _KW, "升": _LITRE,
    "Wh": _WH, "wh": _WH, "WH": _WH, "W·h": _WH, "W.h": _WH, "W h": _WH, "watt_hour": _WH, "watthour": _WH,
    "MWh": Unit("energy", 1000.0), "mwh": Unit("energy", 1000.0), "MWH": Unit("energy", 1000.0),
    "mWh": Unit("energy", 1e-6), "GWh": Unit("energy", 1e6), "gwh": Unit("energy", 1e6),
    "W·min": Unit("energy", 1 / 60_000), "Wmin": Unit("energy", 1 / 60_000), "wmin": Unit("energy", 1 / 60_000),
    "J": Unit("energy", 1 / 3.6e6), "j": Unit("energy", 1 / 3.6e6), "Ws": Unit("energy", 1 / 3.6e6),
    "kJ": Unit("energy", 1 / 3600), "kj": Unit("energy", 1 / 3600), "MJ": Unit("energy", 1 / 3.6),
    "mj": Unit("energy", 1 / 3.6), "GJ": Unit("energy", 1000 / 3.6), "gj": Unit("energy", 1000 / 3.6),
    "kcal": Unit("energy", 1.163e-3), "Gcal": Unit("energy", 1163.0), "kW": _KW, "kw": _KW, "KW": _KW, "Kw": _KW,
    "kilowatt": _KW, "W": _W, "w": _W, "watt": _W, "watts": _W, "Watt": _W, "MW": Unit("power", 1000.0),
    "mW": Unit("power", 1e-6), "°C": _C, "℃": _C, "C": _C, "c": _C, "degC": _C, "degc": _C, "deg_c": _C, "Cel": _C,
    "cel": _C, "celsius": _C, "Celsius": _C, "ºC": _C, "°c": _C, "CEL": _C, "DEG C": _C, "°F": _F, "℉": _F, "F": _F,
    "f": _F, "degF": _F, "degf": _F, "deg_f": _F, "fahrenheit": _F, "Fahrenheit": _F, "°f": _F, "ºF": _F, "DEG F": _F,
    "[degF]": _F, "K": _K, "kelvin": _K, "Kelvin": _K, "m3": _M3, "m³": _M3, "M3": _M3, "m^3": _M3, "cbm": _M3,
    "cubic_meter": _M3, "CUB MTR": _M3, "l": _LITRE, "L": _LITRE, "ltr": _LITRE, "litre": _LITRE, "liter": _LITRE,
    "liters": _LITRE, "litres": _LITRE, "dm3": _LITRE, "dm³": _LITRE, "ft3": Unit("volume", 0.028316846592),
    "ft³": Unit("volume", 0.028316846592), "gal": Unit("volume", 0.003785411784), "V": _OTHER, "v": _OTHER,
    "mV": _OTHER, "kV": _OTHER, "A": _OTHER, "a": _OTHER, "mA": _OTHER, "Hz": _OTHER, "hz": _OTHER, "%": _OTHER,
    "VA": _OTHER, "va": _OTHER, "kVA": _OTHER, "kva": _OTHER, "VAh": _OTHER, "kVAh": _OTHER, "var": _OTHER,
    "VAr": _OTHER, "kvar": _OTHER, "kVAr": _OTHER, "varh": _OTHER, "kvarh": _OTHER, "kVArh": _OTHER, "%RH": _OTHER,
    "s": _OTHER, "min": _OTHER, "h": _OTHER, "dB": _OTHER, "dBm": _OTHER, "Pa": _OTHER, "hPa": _OTHER, "bar": _OTHER,
    "lx": _OTHER, "ppm": _OTHER, "deg C": _C,
}  # fmt: skip
"""As it is written → what it is. mWh and MWh differ by nothing but a capital: only lower case `mwh` is taken as MWh,
since no meter counts in mWh without writing it properly."""


def unit_of(text: str) -> Unit | None:
    """The unit, or None where it is unknown."""
    unit = UNITS.get(text)
    if unit is None:
        text = text.strip().strip("[]()")
        unit = UNITS.get(text) or UNITS.get(text.lower())
    return unit
