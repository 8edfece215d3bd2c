"""One policy file (SEMANTICS 4 and 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, cast

import holidays

from monitor.calendars import DAY_CLASSES, WEEKDAYS
from monitor.config.findings import Bounds, Findings, nearest, shown
from monitor.config.yaml_nodes import Section, is_null, read_yaml
from monitor.registry import AcRules, Policy, Source, Window

__all__ = ["PolicyFile", "read_policy"]

DEMAND_INTERVALS_MIN = (5, 15, 30, 60)
_DAY_NAMES = (*WEEKDAYS, *DAY_CLASSES)
_FRACTION = Bounds(0.0, 1.0)
_TEMPERATURE = Bounds(-50.0, 100.0)

# A source may name a rule by the event's name or by the key that holds the figure.
_FIGURE_OF_RULE = {
    "ac_cool_setpoint": "ac.cool_min_c",
    "ac_heat_setpoint": "ac.heat_max_c",
    "ac_hours": "ac.allowed",
}


class PolicyFile(NamedTuple):
    policy: Policy
    file: str
    line: int
    """Of the key `id`."""


def read_policy(path: Path, file: str, findings: Findings) -> PolicyFile | None:
    """The policy in a file; None if the file cannot be read at all."""
    node = read_yaml(path, file, findings)
    if node is None or is_null(node):
        if not any(problem.file == file for problem in findings.problems):
            findings.error(file, "empty, expected a policy; remove the file or write one")
        return None
    root = Section(node, file, findings)
    if not root.is_mapping:
        return None
    interval_min = root.one_of("demand_interval_min", 15, DEMAND_INTERVALS_MIN)
    policy_id = root.text("id", required=True)
    demand = root.section("peak_demand")
    tolerance = demand.number("tolerance", 0.0, Bounds())
    clear_ratio = demand.number("clear_ratio", 1.0, Bounds())
    # The quotient of two decimals may miss the bound by a rounding error, which decides nothing.
    if clear_ratio > 1.0 + tolerance + 1e-9:
        demand.error("clear_ratio", f"found {clear_ratio:g}, expected at most 1 + tolerance = {1.0 + tolerance:g}")
    min_coverage = demand.number("min_coverage", 0.8, _FRACTION)
    demand.finish()
    calendar = root.section("holidays")
    country = _country(calendar)
    policy = Policy(
        id=policy_id,
        name=root.text("name"),
        demand_interval_min=interval_min,
        grace_s=root.number("grace_s", 900.0, Bounds()),
        default_period=root.text("default_period", "normal"),
        windows=tuple(
            window
            for section in root.sections("windows")
            if (window := _window(section, interval_min=interval_min)) is not None
        ),
        country=country,
        extra_holidays=calendar.dates("extra"),
        extra_workdays=calendar.dates("workdays"),
        tolerance=tolerance,
        clear_ratio=clear_ratio,
        min_coverage=min_coverage,
        ac=_ac(root.section("ac")),
        sources=tuple(_source(section) for section in root.sections("sources")),
    )
    calendar.finish()
    root.finish()
    _warn_of_sources(root, policy)
    return PolicyFile(policy, file, root.lines.get("id", root.line))


def _country(calendar: Section) -> str:
    country = calendar.text("country")
    if not country:
        return ""
    known = holidays.list_supported_countries(include_aliases=True)
    if country not in known:
        like = nearest(country, known)
        calendar.error(
            "country", f"found {shown(country)}, expected a country code of python-holidays as VN, CN or DE{like}"
        )
        return ""
    return country


def _window(section: Section, *, interval_min: int | None) -> Window | None:
    """A window; without `interval_min` one of `allowed`, which has no period and may begin at any minute."""
    period = "" if interval_min is None else section.text("period", required=True)
    days = section.names("days", _DAY_NAMES)
    from_min, to_min = section.minute("from"), section.minute("to")
    months = section.months("months")
    since, until = section.date("since"), section.date("until")
    if since is not None and until is not None and until <= since:
        section.warn("until", f"found {until}, which is not after since, {since}; the window never holds")
    section.finish()
    if from_min == 1440:
        section.error("from", 'found 24:00, expected a time before it; write "00:00" and the next day')
        return None
    for key, minute in (("from", from_min), ("to", to_min)):
        if interval_min is not None and minute is not None and minute % interval_min:
            section.error(
                key,
                f"found {minute // 60:02d}:{minute % 60:02d}, expected an edge of the {interval_min} min demand "
                "intervals; move it or choose a shorter demand_interval_min",
            )
    if from_min is None or to_min is None:
        return None
    if to_min <= from_min:
        to_min += 1440
    return Window(period, from_min, to_min, days=days, months=months, since=since, until=until)


def _ac(section: Section) -> AcRules:
    rules = AcRules(
        cool_min_c=section.optional_number("cool_min_c", _TEMPERATURE),
        heat_max_c=section.optional_number("heat_max_c", _TEMPERATURE),
        tolerance_c=section.number("tolerance_c", 0.0, Bounds()),
        auto_counts=cast("Literal['', 'cool', 'heat']", section.choice("auto_counts", "", ("", "cool", "heat"))),
        min_duration_s=section.number("min_duration_s", 600.0, Bounds()),
        clear_duration_s=section.number("clear_duration_s", 300.0, Bounds()),
        cool_months=section.months("cool_months"),
        heat_months=section.months("heat_months"),
        allowed=tuple(
            window for child in section.sections("allowed") if (window := _window(child, interval_min=None)) is not None
        ),
    )
    section.finish()
    return rules


def _source(section: Section) -> Source:
    source = Source(
        rule=section.text("rule", required=True),
        document=section.text("document", required=True),
        date=section.date("date"),
        article=section.text("article"),
        verified=section.truth("verified", default=False),
    )
    section.finish()
    return source


def _warn_of_sources(root: Section, policy: Policy) -> None:
    unverified = sorted({source.rule for source in policy.sources if not source.verified})
    if unverified:
        root.warn("sources", f"not verified for {', '.join(unverified)}; check the documents and set verified: true")
    named = {_FIGURE_OF_RULE.get(source.rule, source.rule) for source in policy.sources}
    figures = {
        "windows": bool(policy.windows),
        "ac.cool_min_c": policy.ac.cool_min_c is not None,
        "ac.heat_max_c": policy.ac.heat_max_c is not None,
        "ac.allowed": bool(policy.ac.allowed),
    }
    bare = [
        figure
        for figure, is_there in figures.items()
        if is_there and not any(figure == rule or figure.startswith(f"{rule}.") for rule in named)
    ]
    if bare:
        root.warn("sources", f"no source is named for {', '.join(bare)}; say which document sets the figures")
