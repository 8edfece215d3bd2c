"""What holds for every dashboard file: it is what the builders make; nothing in it is missing, doubled or too long."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.builders import colours
from grafana.builders.files import DASHBOARDS, GRAFANA, generated, stale
from grafana.builders.provisioning import provisioning
from grafana.builders.texts import LANGUAGES, Catalogue, TextError
from tests.grafana.filled import Model, dashboard_files, panels

FILES = dashboard_files()
_DARK, _LIGHT = "#181b1f", "#ffffff"
"""Panels of Grafana's two themes."""
_LONGEST_TITLES = {4: 21, 5: 26}
"""By the panel's columns, in a window of 1440 px with Grafana's menu open, which is how it begins there."""
_LONGEST_TITLE = 40


def _load(path: Path) -> Model:
    model: Model = json.loads(path.read_text(encoding="utf-8"))
    return model


def _id(path: Path) -> str:
    return path.relative_to(GRAFANA / "dashboards").as_posix()


every_file = pytest.mark.parametrize("path", FILES, ids=_id)


def test_what_is_committed_is_what_the_builders_make() -> None:
    files = generated()
    assert not stale(files)
    for name, content in files.items():
        assert (GRAFANA / name).read_text(encoding="utf-8") == content, f"{name}: run python -m grafana.builders"


def test_every_dashboard_is_there_in_every_language() -> None:
    assert {_id(path) for path in FILES} == {f"{each}/{name}.json" for each in LANGUAGES for name in DASHBOARDS}
    uids = [_load(path)["uid"] for path in FILES]
    assert len(set(uids)) == len(uids)
    assert all(8 <= len(uid) <= 40 for uid in uids)


@every_file
def test_panels_have_their_own_number_and_place(path: Path) -> None:
    board = _load(path)
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    for one, other in itertools.combinations([panel["gridPos"] for panel in board["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert all(0 <= panel["gridPos"]["x"] <= 24 - panel["gridPos"]["w"] for panel in board["panels"])


@every_file
def test_panels_say_what_they_show(path: Path) -> None:
    board = _load(path)
    assert board["schemaVersion"] >= 39
    assert board["timezone"] == "browser"
    assert board["description"]
    for panel in panels(board):
        where = f"panel {panel['id']} {panel['title']!r}"
        assert panel["title"], where
        assert len(panel["description"]) >= 15, where
        assert panel["description"] != panel["title"], where
        assert panel["fieldConfig"]["defaults"]["unit"], where
        assert panel["fieldConfig"]["defaults"].get("noValue") or panel["type"] == "heatmap", where
        uid = panel["datasource"]["uid"]
        assert uid in ("influxdb", "prometheus"), where
        assert all(query["datasource"]["uid"] == uid for query in panel["targets"]), where
        refs = [query["refId"] for query in panel["targets"]]
        assert refs, where
        assert len(set(refs)) == len(refs), where


def _shown_length(text: str) -> int:
    """Chinese characters are as wide as two letters."""
    return sum(2 if ord(letter) >= 0x2E80 else 1 for letter in text)


@every_file
def test_titles_fit_their_panels(path: Path) -> None:
    for panel in _load(path)["panels"]:
        longest = _LONGEST_TITLES.get(panel["gridPos"]["w"], _LONGEST_TITLE)
        assert _shown_length(panel["title"]) <= longest, panel["title"]


def _found(node: object, key: str) -> Iterator[Any]:
    """Every value under this key, however deep."""
    if isinstance(node, dict):
        for name, below in node.items():
            if name == key:
                yield below
            yield from _found(below, key)
    elif isinstance(node, list):
        for below in node:
            yield from _found(below, key)


@every_file
def test_limits_come_from_the_data(path: Path) -> None:
    """No threshold with a figure of its own anywhere: what is too much differs from building to building."""
    board = _load(path)
    steps = list(_found(board, "steps"))
    assert steps
    assert all(len(each) == 1 and each[0]["value"] is None for each in steps)


@every_file
def test_links_keep_range_and_variables(path: Path) -> None:
    board = _load(path)
    (link,) = board["links"]
    assert link["keepTime"]
    assert link["includeVars"]
    assert link["tags"] == board["tags"] == [f"meter-monitor-{path.parent.name}"]
    uids = {_load(each)["uid"] for each in FILES if each.parent == path.parent}
    for url in _found(board, "url"):
        if not url:
            continue  # that of the link to all dashboards, which go by their tag
        target = re.fullmatch(r"/d/([\w-]+)\?\$\{__url_time_range\}&.+&var-\w+=\$\{__value\.raw\}", url)
        assert target, url
        assert target[1] in uids, url


@every_file
def test_variables_begin_with_all(path: Path) -> None:
    """But for the dashboard of one building, which begins with the first. `All` is a pattern of its own: a list of
    all that there is would make a query of megabytes."""
    for variable in _load(path)["templating"]["list"]:
        if variable["type"] == "query" and not (variable["name"] == "building" and "building" in path.stem):
            assert variable["includeAll"], variable["name"]
            assert variable["current"]["value"] == ["$__all"], variable["name"]
            assert variable["allValue"] == ".*", variable["name"]


def _lost(given: object, back: object, where: str = "") -> Iterator[str]:
    """What of `given` is not in `back`; that a model adds defaults of its own does no harm."""
    if isinstance(given, dict) and isinstance(back, dict):
        for name, value in given.items():
            yield from _lost(value, back.get(name), f"{where}/{name}")
    elif isinstance(given, list) and isinstance(back, list) and len(given) == len(back):
        for row, (one, other) in enumerate(zip(given, back, strict=True)):
            yield from _lost(one, other, f"{where}/{row}")
    elif given != back:
        yield where


@every_file
def test_grafanas_own_models_know_every_key(path: Path) -> None:
    """Read by the models that are made of Grafana's schema and written again, nothing is lost. They know no InfluxQL
    annotations."""
    register_default_plugins()
    board = _load(path)
    del board["annotations"]
    back = json.loads(json.dumps(Dashboard.from_json(_load(path)), cls=JSONEncoder))
    assert not list(_lost(board, back))


@every_file
def test_nulls_are_gaps(path: Path) -> None:
    """Bridged at most where data comes less often than the interval, by a given number of ms."""
    for value in _found(_load(path), "spanNulls"):
        assert value is not True


def _luminance(colour: str) -> float:
    """WCAG 2.1, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", colours.__all__)
def test_colours_stand_out_from_both_themes(name: str) -> None:
    own = _luminance(getattr(colours, name))
    for ground in map(_luminance, (_DARK, _LIGHT)):
        assert (max(own, ground) + 0.05) / (min(own, ground) + 0.05) >= 3


@every_file
def test_only_known_colours(path: Path) -> None:
    known = {getattr(colours, name) for name in colours.__all__}
    board = _load(path)
    named = [*_found(board, "fixedColor"), *_found(board, "color"), *_found(board, "iconColor")]
    assert {each for each in named if isinstance(each, str)} <= known


def test_a_missing_text_is_an_error_that_names_it(tmp_path: Path) -> None:
    texts = yaml.safe_load((GRAFANA / "texts.yaml").read_text(encoding="utf-8"))
    del texts["overview"]["open"]["title"]["zh"]
    texts["overview"]["nobody"] = {"en": "a", "vi": "b", "zh": "c"}
    path = tmp_path / "texts.yaml"
    path.write_text(yaml.safe_dump(texts, allow_unicode=True), encoding="utf-8")
    catalogue = Catalogue.load(path)
    provisioning(catalogue)
    for language in LANGUAGES:
        for build in DASHBOARDS.values():
            build(catalogue.words(language)).build()
    with pytest.raises(TextError) as caught:
        catalogue.check_complete()
    assert str(caught.value).splitlines()[1:] == [
        "  overview.open.title: no text in zh",
        "  overview.nobody: nothing shows it",
    ]


def test_provisioning_knows_the_data_sources_of_the_panels() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/meter-monitor.yaml").read_text(encoding="utf-8"))
    known = {source["uid"]: source["type"] for source in sources["datasources"]}
    used = {(each["uid"], each["type"]) for path in FILES for each in _found(_load(path), "datasource")}
    assert used <= set(known.items())
    providers = yaml.safe_load((GRAFANA / "provisioning/dashboards/meter-monitor.yaml").read_text(encoding="utf-8"))
    assert [Path(each["options"]["path"]).name for each in providers["providers"]] == list(LANGUAGES)
