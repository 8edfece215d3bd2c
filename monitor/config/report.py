"""All that is to be said about a configuration folder, for the command `check`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monitor.config.findings import Findings
from monitor.config.registry_files import read_registry
from monitor.config.settings_file import column_of, load_settings
from monitor.config.sources import doubts_of_sources
from monitor.errors import ConfigError, Problem
from monitor.settings import SETTINGS_FILE, Settings

__all__ = ["check", "doubts_of_settings", "sources_with_ids"]


def check(config_dir: Path, env: Mapping[str, str], now_ms: int) -> list[Problem]:
    """Errors and warnings of monitor.yaml, buildings.csv, devices.csv and policies/, by file and line.

    env: where monitor.yaml's password and token variables are looked for. now_ms: UTC, see `load_registry`. Raises
    nothing for what it finds.
    """
    findings = Findings()
    if not config_dir.is_dir():
        findings.error(str(config_dir), "no such folder; give the folder that holds buildings.csv")
        return findings.problems
    settings, sources = Settings(), None
    try:
        settings = load_settings(config_dir, env)
        sources = sources_with_ids(settings)
    except ConfigError as error:
        findings.problems.extend(error.problems)
    findings.problems.extend(doubts_of_settings(settings))
    horizon_h = settings.revision_horizon_h
    read_registry(config_dir, findings, now_ms=now_ms, revision_horizon_h=horizon_h, sources=sources)
    return sorted(findings.problems, key=lambda problem: (problem.file, problem.line or 0))


def doubts_of_settings(settings: Settings) -> list[Problem]:
    """Warnings about monitor.yaml."""
    return [
        Problem(SETTINGS_FILE, doubt.text, column=column_of(doubt.place), warning=True)
        for doubt in doubts_of_sources(settings)
    ]


def sources_with_ids(settings: Settings) -> list[str]:
    """Names of the sources whose payloads have ids of their own, which devices.csv gives to devices."""
    return [source.name for source in settings.sources if source.format != "native"]
