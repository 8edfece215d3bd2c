"""A child that stores steps until it is killed; prints the number of each step that the store took.

`python -m tests.store.crashing FILE FIRST`: step n holds two intervals, one event and one ledger entry of number n.
"""

from __future__ import annotations

import sys
from pathlib import Path

from monitor.results import Step
from monitor.store.quarantine import Quarantine, QuarantineEntry
from monitor.store.sqlite import SqliteStore
from tests.store.made import entry, event, intervals, registry


def step(number: int) -> Step:
    return Step(
        intervals=intervals([(0, number, float(number)), (2, number, float(number))]),
        events=[event(number)],
        ledger=[entry(number)],
    )


def main() -> None:
    store = SqliteStore(Path(sys.argv[1]), sinks=["influx"])
    quarantine = Quarantine(Path(sys.argv[1]), max_rows=10)
    names = registry()
    number = int(sys.argv[2])
    while True:
        store.apply(step(number), names)
        quarantine.add([QuarantineEntry(number, "t", b"x", "r")])
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    main()
