"""What the monitor found, held against what the simulator knows to be true."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monitor.results import RULES, Event, LedgerEntry
from monitor.simulate.compare import Comparison, compare_events, compare_intervals
from monitor.simulate.truth import IntervalRow, Truth
from monitor.store.quarantine import Quarantine
from monitor.store.sqlite import SqliteStore

__all__ = ["Found", "Verdict", "judge", "read_results", "verdict_view"]

_ALL_ROWS = 1 << 40


@dataclass(frozen=True, slots=True)
class Found:
    """What the monitor's database holds. Withdrawn events are left out."""

    results: Truth
    quarantined: Counter[str]
    """Entries by reason."""


@dataclass(frozen=True, slots=True)
class Verdict:
    events: Comparison[Event]
    intervals: Comparison[IntervalRow]
    ledger_right: int
    ledger_wrong: list[LedgerEntry]
    """Entries that only one side has, or with another amount."""
    bad_sent: Counter[str]
    """Bad messages, by the reason for which each must be refused."""
    quarantined: Counter[str]

    @property
    def equal(self) -> bool:
        return (
            self.events.equal and self.intervals.equal and not self.ledger_wrong and +self.bad_sent == +self.quarantined
        )


def read_results(database: Path) -> Found:
    """From the database of a monitor that has ended. Raises StoreError."""
    store = SqliteStore(database)
    try:
        intervals = [IntervalRow(*row) for row in store.intervals()]
        events = [event for event in store.events() if event.state != "withdrawn"]
        ledger = list(store.ledger())
    finally:
        store.close()
    quarantine = Quarantine(database, max_rows=_ALL_ROWS)
    try:
        reasons = Counter(entry.reason for entry in quarantine.newest(_ALL_ROWS))
    finally:
        quarantine.close()
    return Found(Truth(intervals, events, ledger), reasons)


def judge(found: Found, truth: Truth, bad_sent: Mapping[str, int]) -> Verdict:
    """bad_sent: bad messages that the gateways sent, by reason."""
    wrong = _differing(found.results.ledger, truth.ledger)
    return Verdict(
        compare_events(found.results.events, truth.events),
        compare_intervals(found.results.intervals, truth.intervals),
        len(truth.ledger) - sum(entry in wrong for entry in truth.ledger),
        wrong,
        Counter(bad_sent),
        found.quarantined,
    )


def _differing(found: Iterable[LedgerEntry], true: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    amounts = {entry[:-1]: entry.amount for entry in true}
    wrong: list[LedgerEntry] = []
    for entry in found:
        expected = amounts.pop(entry[:-1], None)
        if expected is None or not math.isclose(entry.amount, expected, rel_tol=1e-6, abs_tol=1e-9):
            wrong.append(entry)
    return wrong + [LedgerEntry(*key, amount) for key, amount in amounts.items()]


def verdict_view(verdict: Verdict) -> RenderableType:
    """Tables and closing lines for the terminal."""
    return Group(
        Text("Violations found, against the simulator's truth", style="bold"),
        _rules(verdict),
        Text("Bad messages, by the reason in quarantine", style="bold"),
        _refused(verdict),
        *_lines(verdict),
    )


def _rules(verdict: Verdict) -> Table:
    table = Table()
    table.add_column("rule")
    for name in ("expected", "found", "missing", "unexpected", "different"):
        table.add_column(name, justify="right")
    events = verdict.events
    right, missing, unexpected, different = (
        Counter(event.rule for event in part)
        for part in (
            events.right,
            events.missing,
            [*events.unexpected, *events.twice],
            [found for found, _ in events.wrong],
        )
    )
    for rule in RULES:
        both = right[rule] + different[rule]
        figures = (both + missing[rule], both + unexpected[rule], missing[rule], unexpected[rule], different[rule])
        style = "red" if any(figures[2:]) else ""
        table.add_row(rule, *map(str, figures), style=style)
    return table


def _refused(verdict: Verdict) -> Table:
    table = Table()
    table.add_column("reason")
    table.add_column("sent", justify="right")
    table.add_column("refused", justify="right")
    for reason in sorted(verdict.bad_sent | verdict.quarantined):
        sent, refused = verdict.bad_sent[reason], verdict.quarantined[reason]
        table.add_row(reason, str(sent), str(refused), style="" if sent == refused else "red")
    return table


def _lines(verdict: Verdict) -> list[Text]:
    intervals = verdict.intervals
    compared = len(intervals.right) + len(intervals.wrong) + len(intervals.missing)
    lines = [
        Text(
            f"Demand intervals: {compared:,} compared, {len(intervals.right):,} equal, {len(intervals.wrong):,} "
            f"different, {len(intervals.missing):,} missing, {len(intervals.unexpected):,} unexpected."
        ),
        Text(
            f"Ledger (meter resets, rollovers, outliers, gaps): {verdict.ledger_right:,} entries equal, "
            f"{len(verdict.ledger_wrong):,} not."
        ),
    ]
    if verdict.equal:
        return [*lines, Text("Everything found is true, and everything true was found.", style="bold green")]
    lines += [Text(f"  missing: {event}", style="red") for event in verdict.events.missing[:3]]
    lines += [Text(f"  unexpected: {event}", style="red") for event in verdict.events.unexpected[:3]]
    lines += [Text(f"  found {found}\n   true {true}", style="red") for found, true in verdict.events.wrong[:3]]
    return [*lines, Text("What was found differs from the truth.", style="bold red")]
