"""Home Assistant's discovery messages for climate entities: which topic carries what.

Topic `<prefix>/climate/[<node>/]<object>/config`, retained; keys and their abbreviations:
home-assistant.io/integrations/climate.mqtt and /integrations/mqtt. Read are the state topics, the simple templates
(`{{ value }}`, `{{ value_json.x }}` with filters that change no meaning, also where it is given only if it is there:
`{{ value_json.x if value_json.x is defined else 'off' }}`) and the unit of temperatures.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from monitor.decoders.formats.climate import Role

__all__ = ["Told", "path_of", "told_of"]

_TOPICS: dict[str, tuple[Role, str]] = {
    # key of the topic, its abbreviation → role; the key of its template begins alike
    "mode_state_topic": ("mode", "mode_state_template"),
    "mode_stat_t": ("mode", "mode_stat_tpl"),
    "temperature_state_topic": ("setpoint_c", "temperature_state_template"),
    "temp_stat_t": ("setpoint_c", "temp_stat_tpl"),
    "temperature_low_state_topic": ("low", "temperature_low_state_template"),
    "temp_lo_stat_t": ("low", "temp_lo_stat_tpl"),
    "temperature_high_state_topic": ("high", "temperature_high_state_template"),
    "temp_hi_stat_t": ("high", "temp_hi_stat_tpl"),
    "current_temperature_topic": ("room_c", "current_temperature_template"),
    "curr_temp_t": ("room_c", "curr_temp_tpl"),
    "power_state_topic": ("on", "power_state_template"),
    "pow_stat_t": ("on", "pow_stat_tpl"),
}
_COMMAND_KEYS = ("mode_command_topic", "mode_cmd_t", "temperature_command_topic", "temp_cmd_t",
    "temperature_low_command_topic", "temp_lo_cmd_t", "temperature_high_command_topic", "temp_hi_cmd_t",
    "power_command_topic", "pow_cmd_t")  # fmt: skip
_PATH = re.compile(
    r"\{\{-?\s*value(?:_json((?:\.\w+|\[['\"][^'\"\]]*['\"]\])+))?\s*+"
    r"(?:\|\s*+(?:float|int|string|lower|trim|round|default)\s*+(?:\([^()|]*\)\s*+)?)*+"
    r"(?:if\b([^{}]*?)(?:\belse\b([^{}]*?))?)?-?\}\}"
)
"""Possessive: the spaces around each of many filters could be parted in ever so many ways."""
_MENTIONED = re.compile(r"\bvalue(?:_json((?:\.\w+|\[['\"][^'\"\]]*['\"]\])*))?")
_IS_THERE = re.compile(r"(?:\b(?:is|not|and|or|defined|none|None|int|float|length|number)\b|[\s()|<>=!.\d])*")
"""What is left of a condition that asks whether a value is there, or makes sense, and nothing else."""
_COMPARES = re.compile(r"[<>=]")
_STEP = re.compile(r"\.(\w+)|\[['\"]([^'\"\]]*)['\"]\]")
_LONGEST = 400
_DEEPEST = 4


class Told(NamedTuple):
    """What one state topic of an entity carries."""

    role: Role
    topic: str
    path: list[str] | None
    """Keys to go down in a JSON payload; empty: the payload itself; None: a template that cannot be followed."""


def path_of(template: object) -> list[str] | None:
    """The keys that a simple template goes down, [] for the value as it is, None for anything else."""
    if template is None:
        return []
    if not isinstance(template, str) or len(template) > _LONGEST:
        return None
    match = _PATH.fullmatch(template.strip())
    if match is None:
        return None
    path = _steps(match[1])
    if match[2]:
        others = [steps for steps in map(_steps, _MENTIONED.findall(match[2])) if steps != path[: len(steps)]]
        if others or not _IS_THERE.fullmatch(_MENTIONED.sub("", match[2])):
            return None
        if match[3] and _COMPARES.search(match[2]) and _MENTIONED.search(match[3]):
            return None  # which of two values it is depends on a number
    return path if len(path) <= _DEEPEST else None


def _steps(text: str | None) -> list[str]:
    return [key or quoted for key, quoted in _STEP.findall(text or "")]


def told_of(body: dict[str, Any]) -> tuple[list[Told], list[str], bool | None]:
    """State topics, command topics, and whether temperatures are in Fahrenheit (None: not said)."""
    base = body.get("~")
    told = []
    for key, (role, template_key) in _TOPICS.items():
        if topic := _topic(body.get(key), base):
            template = body.get(template_key, body.get("value_template", body.get("val_tpl")))
            told.append(Told(role, topic, path_of(template)))
    commands = [topic for key in _COMMAND_KEYS if (topic := _topic(body.get(key), base))]
    unit = body.get("temperature_unit", body.get("temp_unit"))
    return told, commands, {"F": True, "C": False}.get(unit) if isinstance(unit, str) else None


def _topic(raw: object, base: object) -> str | None:
    if not isinstance(raw, str) or not 0 < len(raw) <= _LONGEST:
        return None
    if isinstance(base, str) and len(base) <= _LONGEST:
        if raw.startswith("~"):
            raw = base + raw[1:]
        elif raw.endswith("~"):
            raw = raw[:-1] + base
    return raw
