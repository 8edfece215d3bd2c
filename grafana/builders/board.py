"""One dashboard: takes panels in reading order and gives each its place, number, title and description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana.builders.texts import Words

__all__ = ["Board", "PanelBuilder", "dashboard_uid"]

_COLUMNS = 24


class PanelBuilder(Protocol):
    """What all panel builders of the SDK have in common; it has no class for that."""

    def id(self, id_val: int) -> Self: ...
    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def grid_pos(self, grid_pos: model.GridPos) -> Self: ...
    def build(self) -> model.Panel: ...


def dashboard_uid(name: str, words: Words) -> str:
    """Fixed, since links between dashboards name it: `meter-overview-vi`."""
    return f"meter-{name}-{words.language}"


class Board:
    """A dashboard of a section of the catalogue: keys `title`, `description`, and for each panel `<key>.title` and
    `<key>.description`."""

    def __init__(
        self,
        name: str,
        words: Words,
        *,
        variables: Sequence[Builder[model.VariableModel]],
        annotations: Sequence[Builder[model.AnnotationQuery]] = (),
        since: str,
        refresh: str = "5m",
    ) -> None:
        """name: the section, and part of the uid. since: begin of the time range at first, as `now-7d`."""
        self.words = words.of(name)
        tag = f"meter-monitor-{words.language}"
        common = words.of("common")
        link = (
            sdk.DashboardLink(common("dashboards"))
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([tag])
            .keep_time(True)
            .include_vars(True)
        )
        self._board = (
            sdk.Dashboard(self.words("title"))
            .uid(dashboard_uid(name, words))
            .description(self.words("description"))
            .tags([tag])
            .timezone("browser")
            .time(since, "now")
            .refresh(refresh)
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .readonly()
            .variables(list(variables))
            .annotations(list(annotations))
            .links([link])
        )
        self._panels: list[model.Panel | model.RowPanel] = []
        self._x = 0
        self._y = 0
        self._line_height = 0

    def row(self, key: str) -> None:
        """A heading over the panels that follow."""
        self._break_line()
        place = model.GridPos(h=1, w=_COLUMNS, x=0, y=self._y)
        self._panels.append(
            model.RowPanel(title=self.words(f"{key}.title"), id_val=self._number(), grid_pos=place, collapsed=False)
        )
        self._y += 1

    def add(self, key: str, panel: PanelBuilder, *, width: int, height: int) -> None:
        """Beside the one before, or on the next line where it does not fit."""
        if self._x + width > _COLUMNS:
            self._break_line()
        place = model.GridPos(h=height, w=width, x=self._x, y=self._y)
        panel.id(self._number()).grid_pos(place)
        panel.title(self.words(f"{key}.title")).description(self.words(f"{key}.description"))
        self._panels.append(panel.build())
        self._x += width
        self._line_height = max(self._line_height, height)

    def build(self) -> model.Dashboard:
        built = self._board.build()
        built.panels = self._panels
        built.version = None  # Grafana's own counter of changes
        return built

    def _number(self) -> int:
        return len(self._panels) + 1

    def _break_line(self) -> None:
        self._y += self._line_height
        self._x = self._line_height = 0
