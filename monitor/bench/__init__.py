"""`meter-monitor bench`: how fast each stage is on this machine, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["run_bench"]


def run_bench(*, as_json: bool, quick: bool, only: Sequence[str]) -> int:
    """See `monitor.bench.run`. Children that are measured are modules of this package: they load only what they
    need."""
    from monitor.bench.run import run_bench as run  # see above

    return run(as_json=as_json, quick=quick, only=only)
