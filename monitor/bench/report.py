"""The figures as a table for people, or as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from monitor.bench.measure import Figure

__all__ = ["as_json", "print_table"]


def as_json(figures: Sequence[Figure], machine: Mapping[str, object], *, quick: bool) -> str:
    """One object: machine, quick, figures."""
    rows = [
        {
            "stage": figure.stage,
            "case": figure.case,
            "unit": figure.unit,
            "value": figure.value,
            "us_each": figure.us_each,
            "target": figure.target,
            "target_is": "at_most" if figure.at_most else "at_least",
            "reached": figure.reached,
            "ratio": figure.ratio,
            "skipped": figure.skipped,
            "details": dict(figure.details),
        }
        for figure in figures
    ]
    return json.dumps({"machine": machine, "quick": quick, "figures": rows}, ensure_ascii=False, indent=2)


def print_table(figures: Sequence[Figure], machine: Mapping[str, object], console: Console) -> None:
    table = Table(title="Medians; rates are those of one core, the pipeline's of the whole machine")
    table.add_column("stage", no_wrap=True)
    table.add_column("of what")
    table.add_column("rate or figure", justify="right", no_wrap=True)
    table.add_column("µs each", justify="right", no_wrap=True)
    table.add_column("target", justify="right", no_wrap=True)
    table.add_column("reached", no_wrap=True)
    for figure in figures:
        reached = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[figure.reached]
        if figure.value is None:
            value, reached = "", f"skipped: {figure.skipped}"
        else:
            value = f"{_number(figure.value)} {figure.unit}"
            if figure.ratio is not None:
                reached += f" {figure.ratio:.2g}×"
        each = "" if figure.us_each is None else f"{figure.us_each:.3g}"
        target = "" if figure.target is None else f"{'≤' if figure.at_most else '≥'} {_number(figure.target)}"
        table.add_row(figure.stage, figure.case, value, each, target, reached)
    console.print(table)
    shares = [figure for figure in figures if any(name.endswith("_processor_s") for name in figure.details)]
    if shares:
        console.print("Processor time in the pipeline:")
    for figure in shares:
        parts = [
            f"{name.removesuffix('_processor_s').replace('_', ' ')} {value:.1f} s"
            for name, value in figure.details.items()
            if name.endswith("_processor_s") and isinstance(value, int | float)
        ]
        console.print(f"  {figure.case}: {', '.join(parts)}", highlight=False)
    console.print(f"{machine['cores']} cores, {machine['processor']}, {machine['python']}", highlight=False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
