"""What Sparkplug's metrics are: the usual names in their folders, and whose meter a folder may be."""

from __future__ import annotations

from typing import NamedTuple

from monitor.decoders.formats.sparkplug_payload import TEMPLATE
from monitor.decoders.formats.sparkplug_session import Row
from monitor.decoders.names import Names
from monitor.decoders.options import Options
from monitor.decoders.values import Measured

__all__ = ["Target", "Targets"]

_NO_READINGS = frozenset({"node control", "device control", "node info", "properties", "_types_"})
"""Folders that the specification gives another meaning, in lower case."""


class Target(NamedTuple):
    """What a metric is. Without a quantity it is nothing for us."""

    name: str
    """The whole one."""
    datatype: int
    unit: str | None
    source_id: str = ""
    usual: str = ""
    """The part of the name that means something."""
    is_plain: bool = False
    """A number and nothing else makes a reading of it."""
    quantity: Measured | None = None
    factor: float = 1.0
    offset: float = 0.0
    tariff: str = ""
    is_unit_known: bool = True


class Targets:
    """What metrics are for one source."""

    def __init__(self, names: Names, options: Options) -> None:
        self._names = names
        self._fields = options.fields

    def of_rows(self, rows: list[Row], source_id: str) -> dict[str, Target]:
        """What the metrics of one message are, by name: of a device with one meter, or with one in each folder."""
        targets: dict[str, tuple[Target, str, str]] = {}
        for row in rows:
            target, folder = self._of_row(row, source_id)
            targets[row.name] = target, folder, row.name.rpartition("/")[0]
        by_meaning: dict[tuple[Measured, str, bool], dict[str, set[str]]] = {}
        for target, folder, parent in targets.values():
            if target.quantity is not None:
                meaning = target.quantity, target.tariff, target.factor < 0
                by_meaning.setdefault(meaning, {}).setdefault(folder, set()).add(parent)
        is_split = any(len(folders) > 1 for folders in by_meaning.values())
        is_split_further = any(len(parents) > 1 for folders in by_meaning.values() for parents in folders.values())
        found = {}
        for name, (target, folder, parent) in targets.items():
            of_meter = parent if is_split_further else folder if is_split else ""
            found[name] = target._replace(source_id=f"{source_id}/{of_meter}") if of_meter else target
        return found

    def _of_row(self, row: Row, source_id: str) -> tuple[Target, str]:
        """What a metric is, and the folder that the part of its name that says so stands in."""
        name, datatype, unit = row.name, row.datatype, row.unit
        usual, folder = ("", "") if datatype == TEMPLATE else self.usual(name, unit)
        meaning = self._names.meaning(usual, unit) if usual else None
        if meaning is None:
            return Target(name, datatype, unit, source_id), ""
        is_plain = meaning.is_unit_known and meaning.quantity not in ("on", "mode")
        return Target(name, datatype, unit, source_id, usual, is_plain, *meaning), folder

    def usual(self, name: str, unit: str | None) -> tuple[str, str]:
        """The end of a name that means something, and the folder that it stands in; empty: none does.

        The last two parts come first, `Energy/Import` or `Power/Total`, but `AC/Power` is no switch.
        """
        folder, _, last = name.rpartition("/")
        if name in self._fields:
            return name, folder
        if name.partition("/")[0].lower() in _NO_READINGS:
            return "", ""
        of_last = self._names.meaning(last, unit)
        if folder:
            above, _, parent = folder.rpartition("/")
            both = f"{parent}/{last}"
            of_both = self._names.meaning(both, unit)
            if of_both is not None and (of_last is None or of_both.quantity not in ("on", "mode")):
                return both, above
        return (last, folder) if of_last is not None else ("", "")

    def with_unit(self, target: Target, unit: str) -> Target:
        """The same metric, in the unit that this message gives."""
        other, _ = self._of_row(Row(None, target.name, target.datatype, unit), target.source_id)
        return other
