"""What scripts of Tasmota's Smart Meter Interface call their values.

Names and units: the scripts in Tasmota's documentation, "Smart Meter Interface", and those of github.com/ottelo9/
tasmota-sml-script. A script says the unit on the device's own page and not in its messages. So a name is read where
all scripts give it the same unit, and of those that some scripts use for kW and others for W, nothing is guessed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from monitor.decoders.values import Measured

__all__ = ["METER_ID", "NAMES", "UNCLEAR", "Meant", "plain"]

Side = Literal["in", "out", ""]
_KILO = 1000.0
_LONGEST_NAME = 60


class Meant(NamedTuple):
    quantity: Measured
    divisor: float = 1.0
    tariff: str = ""
    """Not empty: one of several registers that add up."""
    side: Side = ""
    """Of a power that is only what is drawn, or only what is fed in, and never negative."""


_REGISTER = (
    "totalin", "ein", "energyin", "energytotalin", "gesamtverbrauch", "zaehlerstand", "zählerstand", "180", "total",
    "etotal", "totalenergy", "energytotal", "totalimport", "importtotal", "totalkwh", "kwh", "bezuggesamt",
    "gesamtbezug", "verbrauchgesamt", "verbrauchsumme", "bezugsumme", "totalsumme", "importactive", "kwhin",
    "counterpos", "energytot", "energytotimport", "enrgimp", "eti180", "poswirktariflos", "realenergyconsumed",
    "totalconsumedkwh", "powertotalin", "zaehleraplus", "zaehlerstand180", "elzpv180", "plusa", "te", "timp",
)  # fmt: skip
_EXPORT = (
    "totalout", "eout", "energyout", "energytotalout", "gesamteinspeisung", "280", "totalfeed", "totalexport",
    "exporttotal", "einspeisunggesamt", "einspeisungges", "einspeisungsumme", "totaleinsp", "exportactive", "kwhout",
    "counterneg", "energytotexport", "enrgexp", "eto280", "negwirktariflos", "realenergydelivered",
    "totaldeliveredkwh", "totalkwhout", "powertotalout", "zaehleraminus", "zaehlerstand280", "elzpv280", "minusa",
    "tre", "texp", "enout",
)  # fmt: skip
_POWER = (
    "powercurr", "powercur", "powercurrent", "pcurr", "pcur", "power", "ptotal", "psum", "1670", "leistung",
    "leistungaktuell", "aktuelleleistung", "aktuellewirkleistung", "wirkleistung", "momentanleistung",
    "momentanwirkleistung", "currentpower", "currpower", "poweractual", "poweract", "actualpower", "effectivepower",
    "pact", "activepower", "actpow", "currentconsumption", "momentanverbrauch", "p", "watt", "watts", "wattsumme",
    "currw", "leistungtotal", "pl1l2l3",
)  # fmt: skip
_TARIFFS: dict[str, tuple[str, ...]] = {
    "register": ("totalint", "totalin", "totaltariff", "totaltarif", "totalt", "eint", "ein", "18", "tarif",
                 "verbrauchtarif", "verbraucht", "enrgimpt", "kwhint", "poswirktarif"),
    "export_register": ("totaloutt", "totalout", "eoutt", "eout", "28", "enrgexpt", "kwhoutt", "negwirktarif"),
}  # fmt: skip
"""What stands before a tariff's number."""
NAMES: dict[str, Meant] = {
    **dict.fromkeys(_REGISTER, Meant("register")),
    **dict.fromkeys(_EXPORT, Meant("export_register")),
    **dict.fromkeys(_POWER, Meant("power_kw", _KILO)),
    **{f"{name}{tariff}": Meant("register", 1.0, tariff) for name in _TARIFFS["register"] for tariff in "12"},
    **{
        f"{name}{tariff}": Meant("export_register", 1.0, tariff)
        for name in _TARIFFS["export_register"]
        for tariff in "12"
    },
    **{
        name: Meant("register", 1.0, tariff)
        for tariff in ("ht", "nt")
        for name in (f"ein{tariff}", f"totalin{tariff}", f"{tariff}totalin")
    },
    **{f"eout{tariff}": Meant("export_register", 1.0, tariff) for tariff in ("ht", "nt")},
    **dict.fromkeys(("powerin", "pin", "plusp"), Meant("power_kw", _KILO, side="in")),
    **dict.fromkeys(("powerout", "pout", "minusp"), Meant("power_kw", _KILO, side="out")),
    **dict.fromkeys(("kwin", "pwrimp"), Meant("power_kw", side="in")),
    **dict.fromkeys(("kwout", "pwrexp"), Meant("power_kw", side="out")),
    "tp": Meant("power_kw"),
    "heatenergye1": Meant("heat_kwh", 0.001),  # MWh
}
"""Names, as `plain` gives them, → what they are."""
UNCLEAR: dict[str, Meant] = {
    "powertotal": Meant("power_kw", 0.0),
    "powerimport": Meant("power_kw", 0.0, side="in"),
    "powerexport": Meant("power_kw", 0.0, side="out"),
    "import": Meant("register", 0.0),
    "export": Meant("export_register", 0.0),
    "totalconsumption": Meant("register", 0.0),
    "totalactiveenergy": Meant("register", 0.0),
}
"""Names that scripts give to values in different units, or in Wh, where others would take kWh for granted."""
METER_ID = frozenset({"meterid", "meternumber", "meternr", "serverid", "zaehlernummer", "zählernummer", "deviceid"})


def plain(key: str) -> str:
    """A name in lower case, without what only divides its parts; a sign before or behind it becomes a word."""
    name = key.strip()[:_LONGEST_NAME].lower()
    for sign, word in (("+", "plus"), ("-", "minus")):
        if name[:1] == sign:
            name = word + name[1:]
        elif name[-1:] == sign:
            name = name[:-1] + word
    for between in "_-.+ ":
        name = name.replace(between, "")
    return name
