"""kill -9 at random moments: every position whose commit returned is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.journal.made import ids, open_journal

KILLS = 12


def test_nothing_that_was_committed_is_lost(tmp_path: Path) -> None:
    rng = np.random.default_rng(21)
    safe = 0
    root = Path(__file__).parents[2]
    for run in range(KILLS):
        # The moment is a number of bytes the child has said, and a little more that nobody controls.
        wanted = int(rng.integers(1, 60))
        command = [sys.executable, "-m", "tests.journal.writing", str(tmp_path / "journal"), str(run)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as child:
            assert child.stdout is not None
            for _ in range(wanted):
                line = child.stdout.readline()
                assert line, f"the child ended by itself with {child.wait()}"
            child.kill()
            said = [line, *child.stdout.read().split("\n")]
        whole = [text for text in said[:-1] if text.strip()]
        assert int(whole[-1]) > safe
        safe = int(whole[-1])
        with open_journal(tmp_path / "journal", ids(1000)) as journal:
            assert journal.end >= safe
            values = np.concatenate([columns.value for _, columns in journal.read(journal.first)])
            assert len(values) == journal.end - int(values[0])
            assert np.array_equal(values, np.arange(values[0], journal.end))
            assert values[0] <= max(0, safe - 20_000)
            safe = journal.end
