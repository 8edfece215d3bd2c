"""A process that journals until it is killed. It prints each position once it is safe.

Arguments: directory, seed. Readings count up; device and segment rolls change all the time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tests.journal.made import ids, open_journal, readings


def main(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    devices = 30 * (seed + 1)  # no fewer than the run before had: nobody's readings may be dropped
    with open_journal(path, ids(devices), segment_max_bytes=30_000) as journal:
        while True:
            if rng.random() < 0.1:
                devices += 1
                journal.set_devices(ids(devices))
            for _ in range(int(rng.integers(1, 4))):
                first = journal.end + journal.buffered
                journal.append(readings(rng, int(rng.integers(1, 800)), devices, first=first))
            print(journal.commit(), flush=True)
            if rng.random() < 0.2:
                journal.drop(np.full(devices, max(0, journal.end - 20_000), np.int64))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
