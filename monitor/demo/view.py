"""The demo in the terminal while it runs; a line now and then where there is no terminal."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from monitor.demo.watch import Glance
from monitor.results import RULES, Event
from monitor.simulate.scenario import Scenario

__all__ = ["Screen", "State", "local_time", "recent_view"]

_LINE_EVERY_S = 10.0
_BAR_CHARS = 40
_WORDS = {
    "peak_demand": "demand over the limit at peak hours",
    "peak_budget": "energy over the budget of a peak period",
    "ac_cool_setpoint": "cooling set too low",
    "ac_heat_setpoint": "heating set too high",
    "ac_hours": "air conditioning on outside its hours",
}
_UNITS = {"peak_demand": "kW", "peak_budget": "kWh", "ac_cool_setpoint": "°C", "ac_heat_setpoint": "°C"}


class State:
    """What there is to show."""

    def __init__(self) -> None:
        self.glance = Glance()
        self.simulated_ms = 0
        self.messages_per_s = 0.0
        self.doing = "starting"


class Screen:
    """Shows a `State` as often as it is told that it has changed."""

    def __init__(self, console: Console, scenario: Scenario) -> None:
        self._console = console
        self._scenario = scenario
        self._live: Live | None = None
        self._last_line_s = 0.0

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Until the block ends; on a terminal the picture then goes, to make room for the summary."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=4, transient=True) as self._live:
            yield
        self._live = None

    def show(self, state: State, now_s: float) -> None:
        """now_s: seconds of a clock that never goes back."""
        if self._live is not None:
            self._live.update(self._picture(state))
        elif now_s - self._last_line_s >= _LINE_EVERY_S:
            self._last_line_s = now_s
            glance = state.glance
            self._console.print(
                f"{state.doing}: {self._share(state):4.0%} of simulated time, {glance.readings:,} readings, "
                f"{state.messages_per_s:,.0f} messages/s, {glance.quarantined.total():,} quarantined, "
                f"{glance.open.total():,} violations open, {glance.found.total():,} found",
                markup=False,
                soft_wrap=True,
            )

    def _share(self, state: State) -> float:
        scenario = self._scenario
        done = (state.simulated_ms - scenario.start_ms) / (scenario.end_ms - scenario.start_ms)
        return min(1.0, max(0.0, done))

    def _picture(self, state: State) -> RenderableType:
        glance = state.glance
        now_ms = max(state.simulated_ms, self._scenario.start_ms)
        time = Table.grid(padding=(0, 2))
        time.add_row(
            state.doing,
            ProgressBar(total=1.0, completed=self._share(state), width=_BAR_CHARS),
            f"{self._share(state):.0%}",
            f"{dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC):%a %d %b %H:%M} UTC",
        )
        figures = Text(
            f"{glance.readings:,} readings in   {glance.messages:,} messages ({state.messages_per_s:,.0f}/s)   "
            f"{glance.quarantined.total():,} quarantined"
        )
        return Group(time, figures, Text(), recent_view(self._scenario, glance))


def recent_view(scenario: Scenario, glance: Glance) -> RenderableType:
    """Violations by rule, and the newest ones."""
    rules = Table(title="Violations", title_justify="left", title_style="bold")
    rules.add_column("rule")
    rules.add_column("what it means")
    rules.add_column("open now", justify="right")
    rules.add_column("found", justify="right")
    for rule in RULES:
        now_open = glance.open[rule]
        rules.add_row(rule, _WORDS[rule], Text(str(now_open), "bold red" if now_open else ""), str(glance.found[rule]))
    newest = Table(title="The newest", title_justify="left", title_style="bold")
    for name in ("since (there)", "building", "unit", "rule", "worst / limit", "state"):
        newest.add_column(name, no_wrap=True, overflow="ellipsis")
    for event in glance.newest:
        row = scenario.registry.building_row.get(event.building)
        name = scenario.registry.buildings[row].name if row is not None else ""
        newest.add_row(
            local_time(scenario, event.building, event.start_ms),
            Text(f"{event.building} {name}"),
            Text(event.device.removeprefix(f"{event.building}-")),
            event.rule,
            _extent(event),
            Text(event.state, "bold red") if event.state == "open" else Text(event.reason),
        )
    return Group(rules, newest)


def local_time(scenario: Scenario, building: str, ts_ms: int) -> str:
    """Day and wall clock at the building."""
    row = scenario.registry.building_row.get(building)
    zone = ZoneInfo(scenario.registry.buildings[row].timezone) if row is not None else dt.UTC
    return f"{dt.datetime.fromtimestamp(ts_ms / 1000, zone):%a %H:%M}"


def _extent(event: Event) -> str:
    if event.worst is None or event.limit is None:
        return f"{event.excess:.1f} h"
    return f"{event.worst:,.1f} / {event.limit:,.1f} {_UNITS[event.rule]}"
