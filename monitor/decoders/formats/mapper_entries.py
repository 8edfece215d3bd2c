"""Entries of the mapper's `values`: what is checked of one, and what it is compiled to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from monitor.decoders.formats.mapper_checks import YAML_WORDS, Sections, nearest, quoted
from monitor.decoders.formats.mapper_path import ROOT, Path, Scope, getter
from monitor.decoders.formats.mapper_typed import Direct
from monitor.decoders.formats.mapper_values import Label, Read, Rule, compile_value, over_many, plain_of
from monitor.decoders.names import DIMENSIONS, Meaning, Names
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.payloads import shown
from monitor.decoders.units import UNITS, Dimension, unit_of
from monitor.decoders.values import QUANTITIES, Measured
from monitor.readings import MODE_NAMES

__all__ = ["Entries"]

_VALUE_KEYS = (
    *("path", "name", "quantity", "unit", "unit_path", "scale", "offset", "part", "modes", "on", "off", "no_value"),
)
_OF_NUMBERS = ("unit", "unit_path", "scale", "offset", "part")
_MOST_VALUES = 500
_EXAMPLES: dict[Dimension, str] = {"energy": "kWh or Wh", "power": "kW or W", "volume": "m3 or l", "temperature": "°C"}


class Entries(Sections):
    """A mapping's values."""

    def _values(self, more: Mapping[str, Any]) -> tuple[Read, ...]:
        if "values" not in more:
            return ()
        raw = more["values"]
        if not isinstance(raw, list) or not raw or len(raw) > _MOST_VALUES:
            what = f"{len(raw)} entries" if isinstance(raw, list) else quoted(raw)
            self._add("values", f"found {what}, expected a list of 1 to {_MOST_VALUES} values")
            return ()
        if self._payload == "value" and len(raw) > 1:
            self._add("values", f"found {len(raw)} entries; a payload that is one value has one")
        reads = []
        seen: dict[str, int] = {}
        for row, each in enumerate(raw):
            where = f"values.{row}"
            section = self._section(each, where, _VALUE_KEYS)
            if section is None:
                continue
            same = repr([section.get(key) for key in ("path", "name", "quantity", "part")])
            if same in seen:
                self._add(where, f"the same as values.{seen[same]}")
            seen.setdefault(same, row)
            read = self._value(section, where)
            if read is not None:
                reads.append(read)
        return tuple(reads)

    def _value(self, section: dict[str, Any], where: str) -> Read | None:
        count = len(self.problems)
        path, head, inner = self._value_path(section, where)
        quantity = self._quantity(section, where)
        name = self._name(section, where, path, quantity, inner, head)
        meaning = self._meaning(section, where, path, quantity, name)
        if meaning is not None:
            quantity = meaning.quantity
        self._check_kind(section, where, quantity, is_named=not isinstance(name, str))
        unit_at = self._get(section["unit_path"], f"{where}.unit_path", inner, head) if "unit_path" in section else None
        part = self._part(section, where)
        if part is None and meaning is not None and meaning.tariff:
            part = meaning.tariff
        if head is not None and quantity is not None and isinstance(name, str) and part is None:
            many = f"found {path.text!r}, which leads to many values that would all be {quantity} of one id"
            self._add(where, f"{many}: iterate with each, give a name, or part to add them up")
        switch, has_both = self._switch(section, where)
        rule = Rule(
            quantity=quantity,
            name=name if name is not None else "",
            unit=self._text(section, "unit", where),
            unit_at=unit_at,
            factor=None if meaning is None or not meaning.is_unit_known else meaning.factor,
            shift=0.0 if meaning is None else meaning.offset,
            scale=self._number(section, "scale", where, 1.0),
            offset=self._number(section, "offset", where, 0.0),
            no_value=self._words(section["no_value"], f"{where}.no_value") if "no_value" in section else frozenset(),
            switch=switch,
            has_usual_words=not has_both,
            modes={**self._options.modes, **self._modes(section, where)},
            part=part,
            part_at=None if inner is None or part is None else getter(inner.element - 1, ()),
            decimal=self._decimal,
        )
        self._has_parts |= part is not None or quantity is None
        if len(self.problems) > count:
            return None
        get = self._bind(inner or self._scope, path, where)
        if get is None:
            return None
        dimension = DIMENSIONS[quantity] if quantity else None
        read = compile_value(get, rule, self._names, dimension)
        if head is None and isinstance(rule.name, str) and unit_at is None and get in self._places:
            plain = None if dimension == "temperature" else plain_of(rule)
            alone = compile_value(getter(0, ()), rule, self._names, dimension)
            self._direct.append(Direct(self._places[get], plain, alone))
        return read if head is None else over_many(read, head.steps)

    def _value_path(self, section: dict[str, Any], where: str) -> tuple[Path, Path | None, Scope | None]:
        """The path of a value; where it goes over many places: within one of them, and the way to these."""
        whole = Path("", 0, ())
        if "path" not in section:
            if self._payload == "csv":
                self._add(where, f"found {sorted(section)}, expected path: a column's name or its number")
            return whole, None, None
        path = self._path(section["path"], f"{where}.path")
        if path is None:
            return whole, None, None
        last = path.last_every()
        if not last:
            return path, None, None
        if path.ups and (self._each is not None or path.ups != ROOT):
            text = "which goes over many places outside of the element, once more for each element: name them in each"
            self._add(f"{where}.path", f"found {path.text!r}, {text}")
            return whole, None, None
        head = Path(path.text, path.ups, path.steps[:last])
        steps = (*(self._each.steps if self._each else ()), *head.steps)
        return Path(path.text, 0, path.steps[last:], path.is_key), head, Scope(Path("", 0, steps))

    def _quantity(self, section: dict[str, Any], where: str) -> Measured | None:
        raw = section.get("quantity")
        if raw is True:  # what YAML makes of an `on` without quotes
            return "on"
        if "quantity" in section and raw not in QUANTITIES:
            text = f"found {quoted(raw)}, expected one of {', '.join(QUANTITIES)}{nearest(raw, QUANTITIES)}"
            self._add(f"{where}.quantity", text)
            return None
        return cast("Measured | None", raw)

    def _name(
        self,
        section: dict[str, Any],
        where: str,
        path: Path,
        quantity: Measured | None,
        inner: Scope | None,
        head: Path | None,
    ) -> str | Label | None:
        """What the value is called: a text, or where the message says it."""
        if "name" in section:
            return self._label(section["name"], f"{where}.name", inner, head)
        if self._payload == "value":
            return self._label({"topic": -1}, where)
        return path.text

    def _meaning(
        self, section: dict[str, Any], where: str, path: Path, quantity: Measured | None, name: str | Label | None
    ) -> Meaning | None:
        """What is known of the value before any message; None: nothing, or a problem is noted."""
        if name is None or ("quantity" in section and quantity is None):
            return None
        is_named = not isinstance(name, str)
        unit = self._text(section, "unit", where)
        if unit is not None and unit_of(unit) is None:
            near = nearest(unit, UNITS)
            self._add(f"{where}.unit", f"found {unit!r}, expected a unit such as kWh, Wh, kW, W, m3 or °C{near}")
            return None
        if unit is not None and "unit_path" in section:
            self._add(where, "found both unit and unit_path, expected one of them")
            return None
        if quantity is None:
            return None if is_named else self._usual_meaning(section, where, path, unit)
        keys = [step for step in path.steps if isinstance(step, str)]
        last = keys[-1] if keys and not is_named else ""
        names = Names(Options(fields={last: FieldRule(quantity)}))
        meaning = names.meaning(last, unit)
        dimension = DIMENSIONS[quantity]
        if dimension is None:
            return Meaning(quantity)
        if meaning is not None and meaning.is_unit_known and meaning.quantity == quantity:
            # The name may lend its unit; what it means else, import or a tariff, the quantity says.
            return Meaning(quantity, abs(meaning.factor), meaning.offset)
        if unit is None and dimension == "temperature" and "unit_path" not in section:
            return Meaning(quantity)
        if unit is not None:
            found = unit_of(unit)
            what = "something else" if found is None or found.dimension == "other" else found.dimension
            text = f"found {unit!r}, which measures {what}; {quantity} needs {dimension}: {_EXAMPLES[dimension]}"
            self._add(f"{where}.unit", text)
            return None
        if "unit_path" not in section and self._payload != "value":
            self._add(where, f"{quantity} has no unit: expected unit ({_EXAMPLES[dimension]}) or unit_path")
            return None
        if "unit_path" not in section:
            self._add(where, f"{quantity} has no unit: expected unit ({_EXAMPLES[dimension]})")
            return None
        return Meaning(quantity, is_unit_known=False)

    def _usual_meaning(self, section: dict[str, Any], where: str, path: Path, unit: str | None) -> Meaning | None:
        """By the path's last keys: `energy.total` is an energy before it is a total."""
        keys = [step for step in path.steps if isinstance(step, str)]
        for first in range(max(len(keys) - 3, 0), len(keys)):
            name = ".".join(keys[first:])
            meaning = self._names.meaning(name, unit)
            if meaning is None:
                continue
            if meaning.is_unit_known or "unit_path" in section:
                return meaning
            dimension = DIMENSIONS[meaning.quantity]
            example = _EXAMPLES[dimension] if dimension else ""
            found = f"unit {unit!r} does not fit" if unit else "has no unit"
            self._add(
                where, f"{name!r} is {meaning.quantity} by its name and {found}: expected unit ({example}) or unit_path"
            )
            return None
        if not path.steps and self._each is None and self._payload == "json":
            self._add(where, "found neither path nor quantity, expected at least a path")
        else:
            text = f"no usual name says what {path.text or 'the element'!r} is: expected quantity, one of"
            self._add(where, f"{text} {', '.join(QUANTITIES)}")
        return None

    def _check_kind(self, section: dict[str, Any], where: str, quantity: Measured | None, *, is_named: bool) -> None:
        """Options that say nothing for this quantity are mistakes."""
        if quantity is None:
            if is_named and "quantity" not in section:
                for key in ("scale", "offset", "part", "modes", "on", "off"):
                    if key in section:
                        text = "the name in the message says what the value is: give quantity, or use the source's"
                        self._add(f"{where}.{key}", f"{text} {'modes' if key == 'modes' else 'fields'}")
            return
        wrong = {
            "mode": (*_OF_NUMBERS, "on", "off"),
            "on": (*_OF_NUMBERS, "modes"),
        }.get(quantity, ("modes", "on", "off"))
        for key in wrong:
            if key in section:
                self._add(f"{where}.{key}", f"it says nothing of {quantity}")

    def _text(self, section: Mapping[str, Any], key: str, where: str) -> str | None:
        raw = section.get(key)
        if key in section and (not isinstance(raw, str) or not raw):
            problem = (f"{where}.{key}", f"found {quoted(raw)}, expected a text")
            if problem not in self.problems:
                self.problems.append(problem)
            return None
        return raw

    def _part(self, section: Mapping[str, Any], where: str) -> str | None:
        raw = section.get("part")
        if "part" not in section:
            return None
        if isinstance(raw, bool) or not isinstance(raw, str | int) or raw == "":
            self._add(f"{where}.part", f"found {quoted(raw)}, expected a name for this part of the sum, such as t1")
            return None
        return str(raw)

    def _switch(self, section: Mapping[str, Any], where: str) -> tuple[dict[str, float], bool]:
        words: dict[str, float] = {}
        for key, value in (("on", 1.0), ("off", 0.0)):
            if key in section:
                for word in sorted(self._words(section[key], f"{where}.{key}")):
                    if words.setdefault(word, value) != value:
                        self._add(f"{where}.{key}", f"{shown(word)!r} stands for on already")
        return words, "on" in section and "off" in section

    def _modes(self, section: Mapping[str, Any], where: str) -> dict[str, int]:
        raw = section.get("modes", {})
        if not isinstance(raw, Mapping):
            self._add(f"{where}.modes", f"found {quoted(raw)}, expected words with their mode, such as {{cold: cool}}")
            return {}
        modes: dict[str, int] = {}
        for word, mode in raw.items():
            number = MODE_NAMES.index(mode) if isinstance(mode, str) and mode in MODE_NAMES else mode
            if mode is False:  # what YAML makes of an `off` without quotes
                number = 0
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(MODE_NAMES):
                text = f"found {quoted(mode)}, expected one of {', '.join(MODE_NAMES)}{nearest(mode, MODE_NAMES)}"
                self._add(f"{where}.modes.{word}", text)
                continue
            words = YAML_WORDS[word] if isinstance(word, bool) else (str(word).strip().lower(),)
            modes.update(dict.fromkeys(words, number))
        return modes
