"""One seed, and from it a generator for each use, so that turning one thing on does not change another."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["generator"]


def generator(seed: int, *use: str | int) -> np.random.Generator:
    """The generator of one use of a scenario's seed, as `generator(7, "load", "vn-01", day)`. Same words, same bits.

    seed: 0 or more; ValueError below.
    """
    if seed < 0:
        raise ValueError(f"seed {seed} is negative; give 0 or a positive integer")
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else abs(part) for part in use]
    return np.random.default_rng([seed, *words])
