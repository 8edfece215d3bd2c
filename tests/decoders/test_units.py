"""Units as gateways write them."""

from __future__ import annotations

import pytest

from monitor.decoders.units import UNITS, Dimension, unit_of

CANONICAL: dict[Dimension, float] = {"energy": 3.6e6, "power": 1000.0, "volume": 1.0}
"""One of ours, in J, W and m3."""


@pytest.mark.parametrize(
    ("text", "dimension", "in_si"),
    [
        ("kWh", "energy", 3.6e6), ("Wh", "energy", 3600.0), ("MWh", "energy", 3.6e9), ("GWh", "energy", 3.6e12),
        ("mWh", "energy", 3.6), ("mwh", "energy", 3.6e9), ("W·min", "energy", 60.0), ("J", "energy", 1.0),
        ("Ws", "energy", 1.0), ("kJ", "energy", 1e3), ("MJ", "energy", 1e6), ("GJ", "energy", 1e9),
        ("kcal", "energy", 4186.8), ("Gcal", "energy", 4186.8e6), ("度", "energy", 3.6e6), ("KWH", "energy", 3.6e6),
        ("W", "power", 1.0), ("kW", "power", 1e3), ("MW", "power", 1e6), ("mW", "power", 1e-3), ("KW", "power", 1e3),
        ("m3", "volume", 1.0), ("m³", "volume", 1.0), ("l", "volume", 1e-3), ("L", "volume", 1e-3),
        ("dm3", "volume", 1e-3), ("ft³", "volume", 0.028316846592), ("gal", "volume", 0.003785411784),
        (" kWh ", "energy", 3.6e6), ("[kWh]", "energy", 3.6e6), ("(W)", "power", 1.0), ("KILOWATT", "power", 1e3),
        ("千瓦时", "energy", 3.6e6), ("瓦时", "energy", 3600.0), ("兆瓦时", "energy", 3.6e9), ("kW*h", "energy", 3.6e6),
        ("kWhr", "energy", 3.6e6), ("千瓦", "power", 1e3), ("瓦", "power", 1.0), ("立方米", "volume", 1.0),
        ("㎾", "power", 1e3), ("升", "volume", 1e-3),
    ],
)  # fmt: skip
def test_units_against_si(text: str, dimension: Dimension, in_si: float) -> None:
    unit = unit_of(text)
    assert unit is not None
    assert unit.dimension == dimension
    assert unit.offset == 0.0
    assert unit.factor * CANONICAL[dimension] == pytest.approx(in_si)


@pytest.mark.parametrize("text", ["°C", "℃", "C", "Cel", "celsius", "degC", "摄氏度"])
def test_celsius(text: str) -> None:
    assert unit_of(text) == ("temperature", 1.0, 0.0)


@pytest.mark.parametrize("text", ["°F", "℉", "F", "fahrenheit", "[degF]"])
def test_fahrenheit(text: str) -> None:
    unit = unit_of(text)
    assert unit is not None
    for fahrenheit, celsius in ((32.0, 0.0), (212.0, 100.0), (-40.0, -40.0), (75.2, 24.0)):
        assert fahrenheit * unit.factor + unit.offset == pytest.approx(celsius)


def test_kelvin() -> None:
    unit = unit_of("K")
    assert unit is not None
    assert 300.15 * unit.factor + unit.offset == pytest.approx(27.0)


@pytest.mark.parametrize("text", ["V", "A", "Hz", "%", "VA", "kVA", "var", "kvarh", "kVAh", "dBm", "hPa"])
def test_units_of_what_is_not_watched(text: str) -> None:
    unit = unit_of(text)
    assert unit is not None
    assert unit.dimension == "other"


@pytest.mark.parametrize("text", ["", " ", "furlong", "kWh/d", "m3/h", "l/min", "unknown", "x" * 100_000, "EUR", "[]"])
def test_no_unit(text: str) -> None:
    assert unit_of(text) is None


def test_spellings_that_differ_in_nothing_but_capitals_agree() -> None:
    # Where they do not, the table says which is which: m is milli, M mega.
    for text, unit in UNITS.items():
        other = unit_of(text.lower())
        if (
            other is not None
            and other.dimension != "other"
            and unit.dimension == other.dimension
            and text[0] not in "mM"
        ):
            assert unit == other, text
