"""Events on their way out of the kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.detect.jit import kernel
from monitor.detect.kernels.common import NO_REASON, mix
from monitor.detect.state import NONE


@kernel
def put_event(
    events: NDArray[np.int64],
    figures: NDArray[np.float64],
    n: int,
    rule: int,
    b: int,
    d: int,
    start: int,
    end: int,
    is_open: bool,
    reason: int,
    duration_ms: int,
    final: bool,
    worst: float,
    excess: float,
) -> int:
    """Writes one event; returns the new count."""
    events[n, 0] = rule
    events[n, 1] = b
    events[n, 2] = d
    events[n, 3] = start
    events[n, 4] = NONE if is_open else end
    events[n, 5] = 0 if is_open else 1
    events[n, 6] = NO_REASON if is_open else reason
    events[n, 7] = duration_ms
    events[n, 8] = final
    figures[n, 0] = worst
    figures[n, 1] = excess
    return n + 1


@kernel
def digest_events(events: NDArray[np.int64], figures: NDArray[np.float64], first: int, end: int) -> int:
    """A hash of events[first:end]; 0 when there is none, so that "nothing" needs no telling."""
    if first == end:
        return 0
    digest = 1
    bits = figures[first:end].view(np.int64)
    for n in range(first, end):
        for column in range(3, 8):
            digest = mix(digest, events[n, column])
        digest = mix(digest, bits[n - first, 0])
        digest = mix(digest, bits[n - first, 1])
    return digest
