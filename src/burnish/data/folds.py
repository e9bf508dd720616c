"""Folds: rows parted so that a model may judge rows it never saw, nor their copies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from burnish.data.alike import near_texts
from burnish.data.units import FEW_ROWS, NEAR_UNIT_FRACTION
from burnish.records.encoding import IntArray


def folds_of(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    groups: Sequence[str | None],
    count: int,
    seed: int,
) -> IntArray:
    """A fold from 0 to count - 1 for each row; each has its share of every label as far as ties allow.

    Rows of one group and of equal texts stay in one fold, and those of texts that are alike unless too many hang
    together: a stock phrase whose rows are all held out is unknown to the model that judges them.

    Example:
        >>> folds_of(["a", "b", "a", "c"], ["x"] * 4, groups=[None] * 4, count=2, seed=1).tolist()
        [0, 1, 0, 1]
    """
    parents = list(range(len(texts)))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    first: dict[tuple[str, str], int] = {}
    for row, (text, group) in enumerate(zip(texts, groups, strict=True)):
        ties = [("text", text)] if group is None else [("text", text), ("group", group)]
        for tie in ties:
            parents[root(row)] = root(first.setdefault(tie, row))
    most_rows = max(FEW_ROWS, NEAR_UNIT_FRACTION * len(texts))
    rows_under = Counter(root(row) for row in range(len(texts)))
    for one, other in near_texts(texts).tolist():
        roots = root(one), root(other)
        if roots[0] != roots[1] and rows_under[roots[0]] + rows_under[roots[1]] <= most_rows:
            parents[roots[1]] = roots[0]
            rows_under[roots[0]] += rows_under[roots[1]]
    together: dict[int, list[int]] = defaultdict(list)
    for row in range(len(texts)):
        together[root(row)].append(row)
    units = list(together.values())
    order = list(map(int, np.random.default_rng(seed).permutation(len(units))))
    order.sort(key=lambda unit: -len(units[unit]))
    held: dict[str, list[int]] = defaultdict(lambda: [0] * count)
    sizes = [0] * count
    folds = np.zeros(len(texts), dtype=np.int64)
    for unit in order:
        rows = units[unit]
        wanted = [labels[row] for row in rows]
        fold = min(
            range(count), key=lambda f: (sum(held[label][f] for label in wanted), sizes[f], f)
        )
        for row in rows:
            folds[row] = fold
            held[labels[row]][fold] += 1
        sizes[fold] += len(rows)
    # the first row's fold is 0, the next new one's 1: the numbers mean nothing, and look the same every time
    names: dict[int, int] = {}
    return np.array([names.setdefault(fold, len(names)) for fold in folds.tolist()])
