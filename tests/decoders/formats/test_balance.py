"""Power in and out of one meter, beside powers that may be another's."""

from __future__ import annotations

import pytest

from monitor.decoders.formats.balance import balance
from monitor.decoders.names import Names
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found

HYBRID = {"grid_import": 0.0, "grid_export": 1200.0, "load_power": 800.0}
OWN = {"pv": FieldRule("power_kw", "W"), "bought": FieldRule("power_kw", "W"), "sold": FieldRule("power_kw", "W", -1.0)}


def found_in(names: Names, *powers_w: tuple[str, str, float]) -> Found:
    found = Found(SourceState())
    for source_id, name, power_w in powers_w:
        assert names.add(found, source_id, name, power_w, None, "W")
    return found


def balanced(powers_w: dict[str, float], names: Names) -> dict[str, float]:
    found = found_in(names, *(("m", name, power_w) for name, power_w in powers_w.items()))
    balance(found, names)
    return {value.name: round(value.value, 9) for value in found.values}


@pytest.mark.parametrize(
    ("powers_w", "expected"),
    [
        ({"power_import": 0, "power_export": 250}, {"power_import": -0.25}),
        ({"power_export": 250, "power": -250, "power_import": 0}, {"power": -0.25}),
        (HYBRID, {"load_power": 0.8, "grid_import": -1.2}),
        (HYBRID | {"grid_power": -1200.0}, {"load_power": 0.8, "grid_power": -1.2}),
        (HYBRID | {"pv": 2000.0}, {"load_power": 0.8, "pv": 2.0, "grid_import": -1.2}),
        ({"pv": 2000, "power_export": 1200}, {"pv": 2.0, "power_export": -1.2}),
        ({"load_power": 800, "power_export": 1200}, {"load_power": 0.8, "power_export": -1.2}),
        ({"bought": 0, "sold": 300}, {"bought": 0.0, "sold": -0.3}),
    ],
)
def test_what_may_be_another_meters_stays(powers_w: dict[str, float], expected: dict[str, float]) -> None:
    assert balanced(powers_w, Names(Options(fields=OWN))) == expected


def test_where_nothing_adds_up_the_order_stays() -> None:
    names = Names()
    powers = [("a", "power", 1.0), ("b", "power", 2.0), ("a", "load_power", 3.0)]
    found = found_in(names, *powers)
    balance(found, names)
    assert [(value.source_id, value.name) for value in found.values] == [(one, name) for one, name, _ in powers]
