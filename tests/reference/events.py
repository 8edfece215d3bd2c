"""Section 5: what an event is."""

from __future__ import annotations

import hashlib

from tests.reference.configuration import Building
from tests.reference.rows import EventRow


def make_event(
    rule: str,
    building: Building,
    device: str,
    start_ms: int,
    end_ms: int | None,
    reason: str,
    limit: float | None,
    worst: float | None,
    excess: float,
    duration_ms: int,
) -> EventRow:
    text = "\x1f".join((rule, building.id, device, str(start_ms)))
    event_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    state = "open" if end_ms is None else "closed"
    policy = str(building.policy["id"])
    duration_s = duration_ms / 1000
    key = (event_id, rule, building.id, device, start_ms, end_ms, state, reason)
    return EventRow(*key, limit, worst, excess, duration_s, policy)
