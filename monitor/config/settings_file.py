"""monitor.yaml to settings: every error at once, each with its line, none with a secret in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from monitor.config.findings import Findings, nearest, shown
from monitor.config.sources import wrong_with_sources
from monitor.config.yaml_nodes import duplicate_keys, is_null, kind_of, line_of, read_yaml
from monitor.errors import ConfigError, Problem
from monitor.settings import (
    SETTINGS_FILE,
    BrokerSettings,
    CheckpointSettings,
    FieldSettings,
    IdSettings,
    InfluxSettings,
    JournalSettings,
    LogSettings,
    MetricsSettings,
    OutboxSettings,
    QuarantineSettings,
    Settings,
    SourceSettings,
    SqliteSettings,
)

__all__ = ["column_of", "load_settings"]

_DEEPEST = 16
_ANY = "*"
"""In place of a key that is a name of the installer's."""
_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): Settings,
    ("brokers",): BrokerSettings,
    ("sources",): SourceSettings,
    ("sources", "id"): IdSettings,
    ("sources", "fields", _ANY): FieldSettings,
    ("journal",): JournalSettings,
    ("checkpoint",): CheckpointSettings,
    ("sqlite",): SqliteSettings,
    ("influx",): InfluxSettings,
    ("outbox",): OutboxSettings,
    ("quarantine",): QuarantineSettings,
    ("metrics",): MetricsSettings,
    ("log",): LogSettings,
}
_SECRET_WORDS = ("password", "token", "secret", "key")


def load_settings(config_dir: Path, env: Mapping[str, str]) -> Settings:
    """The settings of a configuration folder; all defaults if it has no monitor.yaml.

    `env` is looked at for the variables that are named, but nothing of it is kept. The files of brokers and of influx
    are taken relative to the folder, `state_dir` and `sqlite.path` relative to the working directory. Raises
    `ConfigError` with every error at once.
    """
    path = config_dir / SETTINGS_FILE
    if not path.exists():
        return Settings()
    findings = Findings()
    node = read_yaml(path, SETTINGS_FILE, findings)
    findings.raise_errors()
    if node is None or is_null(node):
        return Settings()
    plain = _plain(node, findings, "")
    settings = Settings()
    try:
        settings = _resolved(Settings.model_validate(plain), config_dir)
    except ValidationError as error:
        # Pydantic's text may repeat what it found, so each is worded anew.
        findings.problems += [_problem(found, node) for found in error.errors(include_url=False)]
        findings.problems += _wrong_with_readable_sources(plain, node)
    findings.problems += _missing_files(settings, env, node)
    findings.problems += [_placed(node, wrong.place, wrong.text) for wrong in wrong_with_sources(settings)]
    findings.raise_errors()
    return settings


def _plain(node: yaml.Node, findings: Findings, path: str) -> Any:
    """Dicts, lists and scalars. Empty values are left out: they take the default. Keys given twice are findings."""
    if path.count(".") > _DEEPEST:
        findings.error(SETTINGS_FILE, "nested too deeply to be a configuration", line=line_of(node))
    elif isinstance(node, yaml.MappingNode):
        duplicate_keys(node, SETTINGS_FILE, findings, path)
        return {
            str(key.value): _plain(value, findings, f"{path}{key.value}.")
            for key, value in node.value
            if not is_null(value)
        }
    elif isinstance(node, yaml.SequenceNode):
        return [_plain(item, findings, f"{path}{row}.") for row, item in enumerate(node.value)]
    elif isinstance(node, yaml.ScalarNode):
        if node.tag.rpartition(":")[2] in ("null", "bool", "int", "float"):
            return yaml.SafeLoader("").construct_object(node)
        return str(node.value)
    return None


def _resolved(settings: Settings, config_dir: Path) -> Settings:
    """The same with the files of brokers and of influx made independent of the working directory."""

    def within(section: BrokerSettings | InfluxSettings) -> dict[str, Path]:
        return {
            name: config_dir / value
            for name in type(section).model_fields
            if name.endswith("_file") and (value := getattr(section, name)) is not None
        }

    return settings.model_copy(
        update={
            "brokers": tuple(broker.model_copy(update=within(broker)) for broker in settings.brokers),
            "influx": settings.influx and settings.influx.model_copy(update=within(settings.influx)),
        }
    )


def _wrong_with_readable_sources(plain: Any, root: yaml.Node) -> list[Problem]:
    """What is wrong with those sources that fit the schema, where something else does not: nobody mends twice."""
    entries = plain.get("sources") if isinstance(plain, dict) else None
    problems: list[Problem] = []
    for row, entry in enumerate(entries if isinstance(entries, list) else ()):
        # Brokers may be what is wrong, so none is asked for.
        alone = {key: value for key, value in entry.items() if key != "broker"} if isinstance(entry, dict) else entry
        try:
            settings = Settings.model_validate({"sources": [alone]})
        except ValidationError:
            continue
        for wrong in wrong_with_sources(settings):
            problems.append(_placed(root, ("sources", row, *wrong.place[2:]), wrong.text))
    return problems


def _missing_files(settings: Settings, env: Mapping[str, str], root: yaml.Node) -> list[Problem]:
    """Certificates that cannot be read and secrets that are not there."""
    problems: list[Problem] = []
    sections: list[tuple[BrokerSettings | InfluxSettings, tuple[str | int, ...]]] = [
        (broker, ("brokers", row)) for row, broker in enumerate(settings.brokers)
    ]
    if settings.influx is not None:
        sections.append((settings.influx, ("influx",)))
    for section, place in sections:
        for name in ("ca_file", "cert_file", "key_file"):
            file: Path | None = getattr(section, name, None)
            if file is not None and not file.is_file():
                problems.append(_placed(root, (*place, name), f"found {shown(str(file))}, which is no file"))
        for name in ("password", "token"):
            read = getattr(section, name, None)
            if read is None:
                continue
            try:
                read(env)
            except ConfigError as error:
                key = f"{name}_file" if getattr(section, f"{name}_file") is not None else f"{name}_env"
                problems += [_placed(root, (*place, key), problem.found) for problem in error.problems]
    return problems


def _problem(error: Any, root: yaml.Node) -> Problem:
    """One of pydantic's errors with its line and in our words."""
    place: tuple[str | int, ...] = tuple(error["loc"])
    key = str(place[-1]) if place else ""
    if error["type"] == "monitor":
        return _placed(root, place, error["ctx"]["text"])
    if error["type"] == "extra_forbidden":
        fields = _model_at(place[:-1]).model_fields
        if any(word in key for word in _SECRET_WORDS) and f"{key}_env" in fields:
            return _placed(root, place, f"secrets are not written here; use {key}_env or {key}_file")
        return _placed(root, place, f"unknown key; expected one of {', '.join(fields)}{nearest(key, fields)}")
    if error["type"] == "missing":
        return _placed(root, place, "missing, and there is no default; add it")
    expected = str(error["msg"]).replace("Input should be ", "expected ").replace("String should", "the text should")
    if error["type"] == "path_type":
        expected = "expected a path"
    at = _walk(root, place)[0]
    if error["type"] == "string_type" and isinstance(at, yaml.ScalarNode) and not is_null(at):
        expected += ", as it is in quotes (YAML reads on, off, yes, no and numbers as something else)"
    found = kind_of(at)
    return _placed(
        root, place, expected if any(word in key for word in _SECRET_WORDS) else f"found {found}, {expected}"
    )


def _model_at(place: tuple[str | int, ...]) -> type[BaseModel]:
    keys = tuple(part for part in place if isinstance(part, str))
    return _MODELS[keys] if keys in _MODELS else _MODELS[(*keys[:-1], _ANY)]


def _placed(root: yaml.Node, place: tuple[str | int, ...], found: str) -> Problem:
    return Problem(SETTINGS_FILE, found, _walk(root, place)[1], column_of(place))


def column_of(place: tuple[str | int, ...]) -> str | None:
    """A place as errors name it: keys parted by dots, entries of lists counted from 1."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".") or None


def _walk(node: yaml.Node, place: tuple[str | int, ...]) -> tuple[yaml.Node, int]:
    """The node at a place, or the last one on the way to it that is there, and the line of its key."""
    line = line_of(node)
    for part in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = line_of(node)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    node, line = value, line_of(key)
                    break
            else:
                break
        else:
            break
    return node, line
