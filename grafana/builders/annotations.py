"""Marks over time on all panels of a dashboard."""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import AnnotationQuery

from grafana.builders.colours import RED
from grafana.builders.influx import INFLUX, NOT_WITHDRAWN, one_building
from grafana.builders.texts import Words

__all__ = ["Marks", "violations"]


class Marks(AnnotationQuery, Builder[AnnotationQuery]):
    """InfluxQL annotations name the columns that Grafana is to read; the SDK's model has no place for them, so they
    are added to its JSON, both beside and inside the target: versions differ in where they look.

    Grafana calls a column `measurement.field`. Title and end have to be equal to that; of text and tags a part is
    enough. It passes over a row in which any column is null."""

    def __init__(self, name: str, query: str, *, title: str, text: str, tags: str, end: str = "") -> None:
        super().__init__(name=name, datasource=INFLUX, icon_color=RED)
        self._columns: dict[str, object] = {
            "query": " ".join(query.split()),
            "textColumn": text,
            "tagsColumn": tags,
            "timeEndColumn": end,
            "titleColumn": title,
        }

    def build(self) -> AnnotationQuery:
        return self

    def to_json(self) -> dict[str, object]:
        target = {"refId": "Anno", "rawQuery": True, "resultFormat": "table", "fromAnnotations": True}
        return super().to_json() | self._columns | {"target": {**target, **self._columns, "datasource": INFLUX}}


def violations(words: Words) -> list[Marks]:
    """From a violation's start to its end. An open one has no end and is a line; end_ms 0 is that of a reopened one."""
    common = words.of("common")
    which = f'FROM "violation" WHERE {one_building()} AND $timeFilter AND'
    return [
        Marks(
            common("violations"),
            f"""SELECT "rule", "state", "device", "end_ms" {which} {NOT_WITHDRAWN} AND "state" <> 'open'""",
            title="violation.rule",
            text="state",
            tags="device",
            end="violation.end_ms",
        ),
        Marks(
            common("open_violations"),
            f"""SELECT "rule", "state", "device" {which} "state" = 'open'""",
            title="violation.rule",
            text="state",
            tags="device",
        ),
    ]
