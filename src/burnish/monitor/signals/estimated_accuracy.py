"""How accurate is it likely to be, without a single label? From the confidence, where that can be believed.

Shape legend: W rows of the window, V of the reference, C cells of confidence, B divisions.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from burnish.evaluate.intervals import LEVEL
from burnish.monitor.exchange import cells_of, exchange_p, random_counts, too_few
from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.signal import Level
from burnish.records.task import Task

NAME: str = "estimated_accuracy"
HIGHEST: Level = "look"
METHOD: str = (
    "Mean calibrated confidence plus the reference's gap between accuracy and confidence; band from the "
    "Poisson-binomial variance of the window and the reference's own; one-sided permutation test of a fall "
    "(Guillory et al. 2021, difference of confidences; Le Cam 1960)"
)


def measure(window: Window, reference: Reference, *, task: Task, seed: int) -> Measured:
    """The accuracy that the window's confidences promise, with a band that covers what people would find in it.

    The band covers the accuracy of these very rows, as long as confidence means what it meant in the
    reference. It says nothing about a change of what is right.
    """
    sure_W, before_V = window.seen.confidence_R, reference.seen.confidence_R
    if not reference.calibrated:
        return Measured(
            None,
            "the reference's confidence is not calibrated: evaluate with validation rows, which fit a temperature",
        )
    few = too_few(len(sure_W), len(before_V))
    if few:
        return Measured(None, few)
    accuracy = float(reference.right_R.mean())
    gap_V = reference.right_R - before_V
    value = min(1.0, max(0.0, float(sure_W.mean() + gap_V.mean())))
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * _spread(sure_W, before_V, gap_V)
    return Measured(
        value=value,
        low=max(0.0, value - half),
        high=min(1.0, value + half),
        reference=accuracy,
        p_value=_p_of_fall(sure_W, before_V, alpha=task.monitor.alpha, seed=seed),
        because=f"the confidences promise an accuracy of {value:.1%}, the reference has {accuracy:.1%}",
    )


def _spread(sure_W: FloatArray, before_V: FloatArray, gap_V: FloatArray) -> float:
    """The standard error of (accuracy of the window - estimate).

    A row's rightness varies by c (1 - c) if its confidence c is true, and by what the reference showed if
    not; the larger counts, so that a reference without an error does not pretend to know everything.
    """
    shown = float(gap_V.var(ddof=1))
    ours = max(float((sure_W * (1 - sure_W)).mean()), shown)
    theirs = max(float((before_V * (1 - before_V)).mean()), shown)
    return math.sqrt(ours / len(sure_W) + theirs / len(before_V))


def _p_of_fall(sure_W: FloatArray, before_V: FloatArray, *, alpha: float, seed: int) -> float:
    """The chance of a mean confidence this low when nothing changed: the reference's gap cancels in the fall."""
    pooled_R = np.concatenate([sure_W, before_V])
    cell_R = cells_of(pooled_R)
    rows_C = np.bincount(cell_R)
    mean_C = np.bincount(cell_R, weights=pooled_R) / np.maximum(rows_C, 1)
    ours_C = np.bincount(cell_R[: len(sure_W)], minlength=len(rows_C))
    draw = random_counts(rows_C, len(sure_W), seed=seed)

    def fall(window_BC: IntArray) -> FloatArray:
        return len(sure_W) * pooled_R.mean() - window_BC @ mean_C

    return exchange_p(float(fall(ours_C[None])[0]), lambda size: fall(draw(size)), alpha=alpha)
