"""Do the texts look different, without learning anything? The distance between two clouds of embeddings.

Shape legend: R pooled rows, W rows of the window, V of the reference, H width, B divisions.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from burnish.evaluate.intervals import LEVEL
from burnish.monitor.embedded import embedded
from burnish.monitor.exchange import exchange_p, random_divisions
from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.records.encoding import FloatArray
from burnish.records.signal import Level
from burnish.records.task import Task

NAME: str = "input_mmd"
HIGHEST: Level = "look"
METHOD: str = (
    "Unbiased squared maximum mean discrepancy of base-model embeddings, Gaussian kernel of the median distance, "
    "permutation test, jackknife interval (Gretton et al. 2012)"
)
_UNIT = "squared distance"


def measure(window: Window, reference: Reference, *, task: Task, seed: int) -> Measured:
    """The squared distance between window and reference; 0 when they are alike, a little below by chance."""
    both = embedded(window.seen, reference.seen, seed=seed)
    if isinstance(both, str):
        return Measured(None, both, unit=_UNIT)
    kernel_RR = kernel(both.vectors_RH)
    total_R = kernel_RR.sum(axis=1)
    draw = random_divisions(both.from_window_R, seed=seed)
    found = float(squared_distance(kernel_RR, total_R, both.from_window_R[None])[0])
    p_value = exchange_p(
        found,
        lambda size: squared_distance(kernel_RR, total_R, draw(size)),
        alpha=task.monitor.alpha,
    )
    rows = int(both.from_window_R.sum())
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * _spread(kernel_RR, rows)
    return Measured(
        value=found,
        low=found - half,
        high=found + half,
        reference=0.0,
        p_value=p_value,
        unit=_UNIT,
        because=f"the squared distance between the texts of window and reference is {found:.5f}",
    )


def squared_distance(
    kernel_RR: FloatArray, total_R: FloatArray, from_window_BR: NDArray[np.bool_]
) -> FloatArray:
    """The unbiased squared discrepancy of each division of the rows: (B,).

    Shapes: kernel_RR with a zero diagonal, total_R its row sums; from_window_BR true for the window's rows,
    equally many in every division.

    Source: Gretton et al. (2012), "A kernel two-sample test", JMLR 13, lemma 6.

    Example:
        >>> kernel = np.ones((4, 4)) - np.eye(4)
        >>> squared_distance(kernel, kernel.sum(axis=1), np.array([[True, True, False, False]])).tolist()
        [0.0]
    """
    inside_BR = from_window_BR.astype(np.float64)
    rows = int(inside_BR[0].sum())
    others = len(total_R) - rows
    # of one product: sums within the window, across, and (what is left of the whole) within the reference
    within_B = ((inside_BR @ kernel_RR) * inside_BR).sum(axis=1)
    across_B = inside_BR @ total_R - within_B
    rest_B = total_R.sum() - within_B - 2 * across_B
    return (
        within_B / (rows * (rows - 1))
        + rest_B / (others * (others - 1))
        - 2 * across_B / (rows * others)
    )


def kernel(vectors_RH: FloatArray) -> FloatArray:
    """exp(-distance^2 / (2 median^2)) with a zero diagonal. Source: Gretton et al. (2012), section 8."""
    length_R = (vectors_RH**2).sum(axis=1)
    squared_RR = length_R[:, None] + length_R - 2 * vectors_RH @ vectors_RH.T
    squared_RR = np.maximum(squared_RR, 0.0)
    median = float(np.median(squared_RR[np.triu_indices(len(squared_RR), 1)]))
    # more than half of the rows equal: any positive width separates equal from different
    kernel_RR = np.exp(-squared_RR / (2 * median if median > 1e-12 else 1.0))
    np.fill_diagonal(kernel_RR, 0.0)
    return kernel_RR


def _spread(kernel_RR: FloatArray, rows: int) -> float:
    """The standard error of the squared discrepancy by leaving one row out; too wide where nothing changed.

    Source: Arvesen (1969), "Jackknifing U-statistics", Annals of Mathematical Statistics 40(6).
    """
    others = len(kernel_RR) - rows
    near_W, far_W = _row_sums(kernel_RR[:rows], rows)
    far_V, near_V = _row_sums(kernel_RR[rows:], rows)
    within, rest, across = near_W.sum(), near_V.sum(), far_W.sum()
    without_W = (
        (within - 2 * near_W) / ((rows - 1) * (rows - 2))
        + rest / (others * (others - 1))
        - 2 * (across - far_W) / ((rows - 1) * others)
    )
    without_V = (
        within / (rows * (rows - 1))
        + (rest - 2 * near_V) / ((others - 1) * (others - 2))
        - 2 * (across - far_V) / (rows * (others - 1))
    )
    return math.sqrt((rows - 1) * without_W.var() + (others - 1) * without_V.var())


def _row_sums(kernel_XR: FloatArray, rows: int) -> tuple[FloatArray, FloatArray]:
    """Each row's sum over the window and over the reference."""
    return kernel_XR[:, :rows].sum(axis=1), kernel_XR[:, rows:].sum(axis=1)
