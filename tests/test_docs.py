"""The documents are held to the tree and to the command line: what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from monitor import cli
from monitor.config import load_registry
from monitor.metrics import Metrics

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
_BACKTICKS = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:monitor|config|tests|docs)/[\w./-]*")
_LINK = re.compile(r"\]\(([^)#]+)")
_COMMAND = re.compile(r"meter-monitor ([a-z]+)([^\n]*)")
_OPTION = re.compile(r"--[a-z][a-z-]*")
NOW_MS = 1_780_000_000_000


def outside_code(text: str) -> str:
    """Without fenced blocks, which show files of others as often as ours."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main([*command.split(), "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_paths_in_backticks_exist(name: str) -> None:
    text = outside_code((ROOT / name).read_text("utf-8"))
    paths = [path for quoted in _BACKTICKS.findall(text) if _PATH.fullmatch(path := quoted.strip())]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    document = ROOT / name
    links = [link for link in _LINK.findall(document.read_text("utf-8")) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_room_stands_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    rooms = [
        f"`{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}`"
        for path in [*(ROOT / "monitor").iterdir(), *(ROOT / "monitor").rglob("*")]
        if (path.is_dir() and (path / "__init__.py").exists())
        or (path.suffix == ".py" and path.name != "__init__.py" and path.parent.name == "monitor")
    ]
    assert "`monitor/detect/kernels/`" in rooms
    assert [room for room in sorted(set(rooms)) if room not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_options_exist(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    commands = _COMMAND.findall((ROOT / name).read_text("utf-8"))
    assert commands or name != "README.md"
    overview = help_of("", capsys)
    for command, rest in commands:
        assert re.search(rf"\b{command}\b", overview), f"meter-monitor has no command {command}"
        text = help_of(command, capsys)
        missing = [option for option in _OPTION.findall(rest) if option not in text]
        assert not missing, f"meter-monitor {command} has no {', '.join(missing)}"


def test_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = {name for name in cli.app if not name.startswith("-")}
    assert "run" in commands
    assert commands - set(re.findall(r"(?:meter-monitor|make) ([a-z]+)", readme)) == set()


def test_leads_with_the_two_commands() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    start = (ROOT / "README.md").read_text("utf-8").split("## Start", 1)[1].split("##", 1)[0]
    commands = re.findall(r"make (\w+)", start)
    assert commands[:2] == ["demo", "test"]
    assert [command for command in commands if not re.search(rf"^{command}:", makefile, re.MULTILINE)] == []


@pytest.mark.parametrize("name", ["README.md", "docs/configuration.md"])
def test_example_policies_are_good(name: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(id: .*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
    assert blocks
    (tmp_path / "policies").mkdir()
    rows = []
    for number, block in enumerate(blocks):
        (tmp_path / "policies" / f"{number}.yaml").write_text(block, "utf-8")
        rows.append(f"b{number},Asia/Ho_Chi_Minh,{yaml.safe_load(block)['id']}\n")
    (tmp_path / "buildings.csv").write_text("id,timezone,policy\n" + "".join(rows))
    (tmp_path / "devices.csv").write_text("id,building,kind\nm,b0,meter\n")
    registry, _ = load_registry(tmp_path, now_ms=NOW_MS)
    assert len(registry.policies) == len(blocks)


def test_metrics_in_the_operations_are_those_of_the_program() -> None:
    text = (ROOT / "docs/operations.md").read_text("utf-8")
    table = text.split("| metric (without prefix)", 1)[1].split("\n\n", 1)[0]
    named = {name.partition("{")[0] for row in table.splitlines()[2:] for name in _BACKTICKS.findall(row.split("|")[1])}
    registry = CollectorRegistry()
    Metrics(registry)
    families = [metric for metric in registry.collect() if metric.name.startswith("meter_monitor_")]
    known = {
        metric.name.removeprefix("meter_monitor_") + ("_total" if metric.type == "counter" else "")
        for metric in families
    }
    assert len(named) > 20
    assert named - known == set()
