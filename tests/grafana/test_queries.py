"""Every query of every dashboard, filled in as Grafana does it, gives rows in a real InfluxDB 1.x."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest

from grafana.builders.influx import ORG_LEVELS
from tests.grafana.conftest import Town
from tests.grafana.filled import DAY_MS, Model, Target, committed, fill, panels, targets

pytestmark = pytest.mark.services

DASHBOARDS = committed()
Choices = Mapping[str, Sequence[str] | None]
ALL: Choices = dict.fromkeys((*ORG_LEVELS, "building", "item"))
INFLUX_DASHBOARDS = [name for name, model in DASHBOARDS.items() if any(targets(model))]
ONE_BUILDING = [name for name, model in DASHBOARDS.items() if "building" in str(model["uid"])]


def _variables(dashboard: Model) -> list[Model]:
    return [each for each in dashboard["templating"]["list"] if each["datasource"]["type"] == "influxdb"]


def _options(town: Town, variable: Model, choices: Choices) -> list[str]:
    """What Grafana offers: the values of the query, cut by the variable's regular expression, once each."""
    found = [str(row["value"]) for row in town.rows(fill(variable["query"], choices, town.week))]
    pattern = re.compile(str(variable.get("regex") or "/(.*)/")[1:-1])
    return sorted({match[1] for match in map(pattern.search, found) if match})


def _town_buildings(town: Town) -> list[str]:
    return [building.id for building in town.plant.scenario.registry.buildings]


def _rows(town: Town, target: Target, choices: Choices) -> list[dict[str, object]]:
    """Rows with something in them."""
    chosen = town.week.of(target.panel, town.now_ms - town.now_ms % DAY_MS)
    interval = str(target.panel.get("interval") or "1h")
    rows = town.rows(fill(target.text, choices, chosen, interval))
    tags = set(choices) | {"device", "period", "org"}
    return [row for row in rows if any(value is not None for key, value in row.items() if key not in tags | {"time"})]


@pytest.mark.parametrize("name", INFLUX_DASHBOARDS)
def test_every_query_gives_rows(town: Town, name: str) -> None:
    """With All, or for one building after the other where a dashboard is of one."""
    single = name in ONE_BUILDING
    picked = [{**ALL, "building": [each]} for each in _town_buildings(town)] if single else [ALL]
    empty = [
        each.name for each in targets(DASHBOARDS[name]) if not any(_rows(town, each, choices) for choices in picked)
    ]
    assert not empty


@pytest.mark.parametrize("name", INFLUX_DASHBOARDS)
def test_every_query_takes_a_choice_of_several(town: Town, name: str) -> None:
    """Two paths, two buildings, two items at once, with the slashes and letters that such names have."""
    orgs = [building.org for building in town.plant.scenario.registry.buildings]
    choices = {**ALL, "org1": sorted({org.split("/")[0] for org in orgs}), "org4": orgs}
    choices |= {"building": _town_buildings(town)[:2], "item": ["total", "hvac"]}
    answers = {each.name: len(_rows(town, each, choices)) for each in targets(DASHBOARDS[name])}
    assert sum(rows > 0 for rows in answers.values()) > len(answers) / 2, answers


@pytest.mark.parametrize("name", INFLUX_DASHBOARDS)
def test_a_part_of_the_tree_leaves_the_others_out(town: Town, name: str) -> None:
    """Nothing is found for a path that nobody has, though others begin with the same letters."""
    nobody = {**ALL, "org1": ["Lạng S"], "building": ["no-such-building"]}
    found = [each.name for each in targets(DASHBOARDS[name]) if _rows(town, each, nobody)]
    assert not found


@pytest.mark.parametrize("name", INFLUX_DASHBOARDS)
def test_variables_offer_what_lies_below_the_choice(town: Town, name: str) -> None:
    registry = town.plant.scenario.registry
    orgs = {building.org for building in registry.buildings}
    variables = {each["name"]: each for each in _variables(DASHBOARDS[name])}
    choices = dict(ALL)
    for level, variable in enumerate(ORG_LEVELS, 1):
        offered = _options(town, variables[variable], choices)
        below = [org for org in orgs if all(org.startswith(each[0]) for each in choices.values() if each)]
        whole = variable == ORG_LEVELS[-1]
        assert offered == sorted({org if whole else "/".join(org.split("/")[:level]) for org in below})
        choices[variable] = [offered[0]]
    (org,) = choices[ORG_LEVELS[-1]] or []
    inside = sorted(building.id for building in registry.buildings if building.org == org)
    assert _options(town, variables["building"], choices) == inside
    if "item" in variables:
        choices["building"] = [inside[0]]
        items = {item.name for item in registry.items if registry.buildings[item.building].id == inside[0]}
        assert _options(town, variables["item"], choices) == sorted(items)


@pytest.mark.parametrize("name", INFLUX_DASHBOARDS)
def test_annotations_give_what_grafana_reads(town: Town, name: str) -> None:
    for annotation in DASHBOARDS[name]["annotations"]["list"]:
        model = annotation["target"]
        rows = [
            row
            for building in _town_buildings(town)
            for row in town.rows(fill(model["query"], {**ALL, "building": [building]}, town.week))
        ]
        assert rows
        title, end = (model[each].removeprefix("violation.") for each in ("titleColumn", "timeEndColumn"))
        columns = {title, model["textColumn"], *model["tagsColumn"].split(","), *([end] if end else [])}
        assert all(columns <= set(row) and row[title] for row in rows)
        assert all(value is not None for row in rows for value in row.values()), "Grafana passes over such rows"
        assert not end or all(row[end] for row in rows)


@pytest.mark.parametrize("name", INFLUX_DASHBOARDS)
def test_no_query_gives_a_series_for_each_device_of_many_buildings(town: Town, name: str) -> None:
    """Ten thousand buildings must not make ten thousand series or rows: with All, what comes back does not name
    devices or buildings, or is cut to a number."""
    if name in ONE_BUILDING:
        (building,) = [each for each in _variables(DASHBOARDS[name]) if each["name"] == "building"]
        assert not building["multi"]
        assert not building["includeAll"]
        return
    for each in targets(DASHBOARDS[name]):
        limited = re.search(r"\b(top|bottom)\(|\bLIMIT \d+", each.text)
        outer = each.text.rpartition(")")[2]
        grouped = re.search(r'GROUP BY [^)]*"(building|device)"', outer)
        assert limited or not grouped, each.name
        assert limited or re.search(r"\b(sum|count|mean|max|min|last)\(", each.text), each.name


def test_all_languages_ask_the_same() -> None:
    english = {name: [each.query for each in targets(model)] for name, model in DASHBOARDS.items()}
    for language in ("vi", "zh"):
        assert {name: [each.query for each in targets(model)] for name, model in committed(language).items()} == english
        for name, model in committed(language).items():
            places = [(panel["id"], panel["gridPos"]) for panel in panels(model)]
            assert places == [(panel["id"], panel["gridPos"]) for panel in panels(DASHBOARDS[name])]
