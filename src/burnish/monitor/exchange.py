"""Exact two-sample tests: had nothing changed, the rows of window and reference could change places.

So any statistic of the observed division of the pooled rows may be compared with the same statistic of
random divisions, whatever the distribution, with ties and few rows too. Rows must be independent of each other.

Shape legend: R pooled rows, C cells (groups of equal or nearly equal rows), B random divisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from burnish.records.encoding import FloatArray, IntArray

# Below 20 rows on a side only a landslide could be told from chance after correction, and the intervals
# span most of the scale: a stated choice.
FEWEST_ROWS = 20
# Besag & Clifford's own choice is 10 to 20: the p-value's standard error is then a third to a fifth of it.
_BEYOND = 10
# What the smallest threshold is a fraction of: alpha shared among this many tests, more than there are today.
_TESTS = 10
# Divisions are bounded in time; so no p-value is below 1e-5, and below alpha = 6e-5 permutation tests are mute.
_FEWEST_DIVISIONS, _MOST_DIVISIONS = 999, 100_000
_FIRST_BLOCK, _LARGEST_BLOCK = 64, 1024
# Counting a shuffled list beats drawing cell by cell until the list leaves the processor's cache.
_COUNTED_ROWS = 20_000
# 200 cells hold half a percent of the pooled rows each: no rank moves by more than that.
_CELLS = 200


def too_few(window_rows: int, reference_rows: int) -> str | None:
    """Why two samples cannot be compared, or None when they can.

    Example:
        >>> too_few(10, 500)
        'the window has 10 rows; a comparison needs 20 on either side'
    """
    for rows, side in ((window_rows, "window"), (reference_rows, "reference")):
        if rows < FEWEST_ROWS:
            return f"the {side} has {rows} rows; a comparison needs {FEWEST_ROWS} on either side"
    return None


def exchange_p(observed: float, draw: Callable[[int], FloatArray], *, alpha: float) -> float:
    """The chance that a random division of the pooled rows gives `observed` or more; never 0.

    `draw(size)` gives the statistic of that many random divisions. Drawing stops at the tenth that reaches
    `observed`: an undrifted window costs a few dozen divisions, only a drifted one pays for the small
    p-values that Holm's threshold asks for. P(p <= a) <= a for every a when nothing changed.

    Source: Besag & Clifford (1991), "Sequential Monte Carlo p-values", Biometrika 78(2); when not stopped,
    (b + 1) / (m + 1), Phipson & Smyth (2010).

    Example:
        >>> random = np.random.default_rng(1)
        >>> exchange_p(9.0, lambda size: random.normal(size=size), alpha=0.01) < 1e-4
        True
    """
    wanted = math.ceil(_BEYOND * _TESTS / alpha)
    most = min(max(wanted, _FEWEST_DIVISIONS), _MOST_DIVISIONS)
    # equal in mathematics, unequal in the last bits: a tie counts as reached
    reached = observed - 1e-9 * abs(observed) - 1e-12
    done, beyond, size = 0, 0, _FIRST_BLOCK
    while done < most:
        size = min(size, most - done)
        total_B = beyond + np.cumsum(draw(size) >= reached)
        if total_B[-1] >= _BEYOND:
            return _BEYOND / (done + 1 + int(np.searchsorted(total_B, _BEYOND)))
        done, beyond = done + size, int(total_B[-1])
        size = min(2 * size, _LARGEST_BLOCK)
    return (beyond + 1) / (most + 1)


def random_counts(rows_C: IntArray, window_rows: int, *, seed: int) -> Callable[[int], IntArray]:
    """A source of random divisions by cell: asked for B, it gives (B, C) counts of the window's rows.

    Example:
        >>> draw = random_counts(np.array([6, 4]), 5, seed=1)
        >>> draw(3).sum(axis=1).tolist()
        [5, 5, 5]
    """
    random = np.random.default_rng(seed)
    method = "count" if rows_C.sum() <= _COUNTED_ROWS else "marginals"

    def draw(size: int) -> IntArray:
        return random.multivariate_hypergeometric(rows_C, window_rows, size=size, method=method)

    return draw


def random_divisions(
    from_window_R: NDArray[np.bool_], *, seed: int
) -> Callable[[int], NDArray[np.bool_]]:
    """A source of random divisions by row: asked for B, it gives (B, R), true for the rows that are the window's."""
    random = np.random.default_rng(seed)

    def draw(size: int) -> NDArray[np.bool_]:
        return random.permuted(np.tile(from_window_R, (size, 1)), axis=1)

    return draw


def cells_of(values_R: FloatArray) -> IntArray:
    """The cell of each pooled value, in ascending order: equal values share one, 200 equal-mass ones at most.

    Cells are cut from the pooled values, which no division changes, so a test on cells stays exact.

    Example:
        >>> cells_of(np.array([0.5, 0.9, 0.5, 0.7])).tolist()
        [0, 2, 0, 1]
    """
    cuts = np.unique(values_R)
    if len(cuts) > _CELLS:
        cuts = np.unique(np.quantile(values_R, np.arange(_CELLS) / _CELLS, method="lower"))
    return np.searchsorted(cuts, values_R, side="right") - 1
