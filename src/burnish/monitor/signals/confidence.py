"""Is the model as sure as it was? The whole distribution of its confidence, not the mean alone.

Shape legend: R pooled rows, W rows of one side, C cells of confidence, B divisions.
"""

from __future__ import annotations

import math

import numpy as np

from burnish.evaluate.intervals import LEVEL
from burnish.monitor.exchange import cells_of, exchange_p, random_counts, too_few
from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.signal import Level
from burnish.records.task import Task

NAME: str = "confidence"
HIGHEST: Level = "look"
METHOD: str = (
    "Two-sample Anderson-Darling statistic of the calibrated confidence, permutation test; the mean with Student's "
    "interval (Pettitt 1976; Scholz & Stephens 1987)"
)


def measure(window: Window, reference: Reference, *, task: Task, seed: int) -> Measured:
    """The window's mean confidence beside the reference's, and whether their distributions differ."""
    ours_W, theirs_W = window.seen.confidence_R, reference.seen.confidence_R
    few = too_few(len(ours_W), len(theirs_W))
    if few:
        return Measured(None, few)
    cell_R = cells_of(np.concatenate([ours_W, theirs_W]))
    rows_C = np.bincount(cell_R)
    ours_C = np.bincount(cell_R[: len(ours_W)], minlength=len(rows_C))
    draw = random_counts(rows_C, len(ours_W), seed=seed)
    p_value = exchange_p(
        float(anderson_darling(ours_C[None], rows_C)[0]),
        lambda size: anderson_darling(draw(size), rows_C),
        alpha=task.monitor.alpha,
    )
    value, before = float(ours_W.mean()), float(theirs_W.mean())
    half = _half_width(ours_W)
    return Measured(
        value=value,
        low=max(0.0, value - half),
        high=min(1.0, value + half),
        reference=before,
        p_value=p_value,
        because=f"the mean confidence is {value:.3f}, in the reference {before:.3f}",
    )


def anderson_darling(window_BC: IntArray, rows_C: IntArray) -> FloatArray:
    """The squared distance between the two distribution functions, weighted towards both ends: (B,).

    Shapes: window_BC how many of each cell's rows_C are the window's, cells in ascending order.
    Cramér-von Mises is the same sum without the weight; a drifted classifier loses confidence where it was
    surest, at the upper end, and there the weight is largest.

    Source: Pettitt (1976), "A two-sample Anderson-Darling rank statistic", Biometrika 63(1).

    Example:
        >>> anderson_darling(np.array([[2, 2], [4, 0]]), np.array([4, 4])).tolist()
        [0.0, 16.0]
    """
    rows, inside = int(rows_C.sum()), int(window_BC[0].sum())
    below_C = np.cumsum(rows_C)[:-1]
    ours_BC = np.cumsum(window_BC, axis=1)[:, :-1]
    apart_BC = ours_BC / inside - (below_C - ours_BC) / (rows - inside)
    share_C = below_C / rows
    return (apart_BC**2 * (rows_C[:-1] / (share_C * (1 - share_C)))).sum(axis=1)


def _half_width(values_W: FloatArray) -> float:
    """Half of Student's 95% interval of the mean."""
    from scipy.stats import t

    width = t.ppf(0.5 + LEVEL / 2, len(values_W) - 1)
    return float(width) * float(values_W.std(ddof=1)) / math.sqrt(len(values_W))
