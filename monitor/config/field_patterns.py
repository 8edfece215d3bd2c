"""Whether two entries of the column `field` may mean the same value of a payload."""

from __future__ import annotations

__all__ = ["common_name"]


def common_name(one: str, other: str) -> str | None:
    """One of the shortest names that fit both, in which `*` stands for anything; None where there is none."""
    if "*" not in one + other:
        return one if one == other else None
    # By i and j, what fits both one[i:] and other[j:]; found from the ends.
    rest = {(len(one), len(other)): ""}
    for i in range(len(one), -1, -1):
        for j in range(len(other), -1, -1):
            mine, yours = one[i : i + 1], other[j : j + 1]
            steps = [(mine, i + 1, j + 1)] if mine == yours else []
            if mine == "*":
                steps += [("", i + 1, j), (yours, i, j + 1)]
            if yours == "*":
                steps += [("", i, j + 1), (mine, i + 1, j)]
            names = [letter + rest[to_i, to_j] for letter, to_i, to_j in steps if (to_i, to_j) in rest]
            if names:
                rest[i, j] = min(names, key=len)
    return rest.get((0, 0))
