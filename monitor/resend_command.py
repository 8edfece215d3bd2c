"""The command `resend`: what SQLite holds, to InfluxDB once more."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from monitor.assembly import SINK
from monitor.config import load_registry, load_settings
from monitor.errors import InputError
from monitor.store.outbox import Outbox
from monitor.store.resend import Days, Resending

__all__ = ["resend_command"]

_YEARS = range(2000, 2200)


def resend_command(
    config: Path,
    *,
    first: str | None,
    until: str | None,
    buildings: Sequence[str],
    env: Mapping[str, str],
    now_ms: Callable[[], int],
) -> None:
    """Puts results into the outbox again, tells on standard error how far it is and on standard output what it did.
    Raises ConfigError, InputError, StoreError."""
    days = Days(_date("--from", first), _date("--until", until))
    if days.first is not None and days.end is not None and days.end <= days.first:
        raise InputError(f"--until: found {until}, expected a date after --from {first}: it is the first not sent")
    settings = load_settings(config, env)
    if settings.influx is None:
        raise InputError(f"{config / 'monitor.yaml'}: has no section influx, so there is nowhere to send results to")
    if not settings.sqlite_path.exists():
        raise InputError(f"{settings.sqlite_path}: is not there; has the monitor run with this configuration?")
    registry, _ = load_registry(config, now_ms=now_ms(), revision_horizon_h=settings.revision_horizon_h)
    for building in buildings:
        if building not in registry.building_row:
            raise InputError(f"--building: found {building!r}, which is none of buildings.csv")
    outbox = Outbox(
        settings.sqlite_path,
        SINK,
        max_bytes=round(settings.outbox.max_mb * 1_000_000),
        quarantine_rows=settings.quarantine.max_rows,
    )
    try:
        resending = Resending(
            settings.sqlite_path,
            registry,
            outbox,
            batch_points=settings.influx.batch_points,
            now_ms=now_ms,
            clock_s=time.monotonic,
            sleep=time.sleep,
            buildings=buildings,
            say=lambda text: print(text, file=sys.stderr, flush=True),  # noqa: T201  # how far it is
        )
        unknown = resending.run(days)
        waiting = outbox.stats(every_sink=False).points
    finally:
        outbox.close()
    if unknown:
        named = ", ".join(unknown[:10]) + (", …" if len(unknown) > 10 else "")
        print(f"left out, since they are not in buildings.csv: {named}", file=sys.stderr)  # noqa: T201  # a warning
    print(f"{resending.points:,} points; {waiting:,} wait, which the running service sends")  # noqa: T201  # its result


def _date(option: str, text: str | None) -> dt.date | None:
    if text is None:
        return None
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        date = None
    if date is None or date.year not in _YEARS:
        raise InputError(f"{option}: found {text!r}, expected a date as 2026-06-28")
    return date
