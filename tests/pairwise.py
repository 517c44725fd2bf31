"""A pairwise cover: a small set of combinations that contains every pair of values of two axes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any


def cover(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return rows with one value of each axis. The same axes always give the same rows.

    The search is greedy. A row starts with the first missing pair. Each other axis then gets the value that completes
    the most missing pairs.
    """
    if len(axes) == 1 or not all(axes):
        return list(product(*axes))
    missing = dict.fromkeys(  # an ordered set of pairs; each member of a pair is (axis, index of the value)
        ((a, i), (b, j))
        for a, b in combinations(range(len(axes)), 2)
        for i, j in product(range(len(axes[a])), range(len(axes[b])))
    )
    rows = []
    while missing:
        row = dict(next(iter(missing)))
        for axis in (axis for axis in range(len(axes)) if axis not in row):

            def completed(i: int, axis: int = axis, row: dict[int, int] = row) -> int:
                return sum(tuple(sorted(((axis, i), chosen))) in missing for chosen in row.items())

            row[axis] = max(range(len(axes[axis])), key=completed)
        for pair in combinations(sorted(row.items()), 2):
            missing.pop(pair, None)
        rows.append(tuple(values[row[axis]] for axis, values in enumerate(axes)))
    return rows
