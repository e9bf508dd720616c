"""Nearest rows among unit vectors, computed block by block so that memory stays small."""

from __future__ import annotations

import numpy as np

from burnish.records.encoding import FloatArray, IntArray

_BLOCK_ROWS = 1024


def nearest(vectors_RH: np.ndarray, count: int, *, among: IntArray | None = None) -> FloatArray:
    """Cosines (R, count) of each row to its nearest other rows, the nearest first.

    With `among` (a number a row) only rows of the same number are neighbours; where there are fewer than `count`
    others, the missing cosines are nan.

    Example:
        >>> nearest(np.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]]), 1).ravel().round(3).tolist()
        [1.0, 0.6, 1.0]
    """
    vectors = np.asarray(vectors_RH, dtype=np.float32)
    found = np.full((len(vectors), count), np.nan)
    parts = [np.arange(len(vectors))]
    if among is not None:
        parts = [np.flatnonzero(among == part) for part in np.unique(among)]
    for rows in parts:
        kept = min(count, len(rows) - 1)
        if kept < 1:
            continue
        others = vectors[rows]
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            cosines = others[block] @ others.T
            own = np.arange(len(cosines))
            cosines[own, start + own] = -np.inf
            best = -np.partition(-cosines, kept - 1, axis=1)[:, :kept]
            found[rows[block], :kept] = -np.sort(-best, axis=1)
    return found


def close_pairs(vectors_RH: np.ndarray, *, cosine: float) -> IntArray:
    """Pairs (P, 2) of rows whose cosine is at least `cosine`, the lower first, sorted.

    Example:
        >>> close_pairs(np.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]]), cosine=0.9).tolist()
        [[0, 2]]
    """
    vectors = np.asarray(vectors_RH, dtype=np.float32)
    found = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(vectors), _BLOCK_ROWS):
        cosines = vectors[start : start + _BLOCK_ROWS] @ vectors[start:].T
        one, other = np.nonzero(cosines >= cosine)
        kept = one < other
        found.append(np.stack([one[kept], other[kept]], axis=1) + start)
    return np.concatenate(found)
