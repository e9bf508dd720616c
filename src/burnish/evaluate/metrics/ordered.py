"""Metrics for labels that stand in order: an error two steps away is worse than one.

Both are functions of five sums over the rows, so they resample as fast as accuracy does.
Shape legend: R rows, L labels, S = 5 terms; "..." is any number of resamples.
"""

from __future__ import annotations

import numpy as np

from burnish.evaluate.scored import Scored
from burnish.records.encoding import FloatArray


def steps(scored: Scored) -> FloatArray:
    """Distance between answer and truth, and its squares and moments: shape (R, 5)."""
    true_R = np.argmax(scored.targets_RL, axis=1).astype(np.float64)
    said_R = np.argmax(scored.said_RL, axis=1).astype(np.float64)
    apart_R = said_R - true_R
    return np.stack([np.abs(apart_R), apart_R**2, true_R, said_R, true_R**2 + said_R**2], axis=1)


def mean_absolute_error(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """How many labels away the answer is, on average: (..., 5), (...) to (...)."""
    return sums_S[..., 0] / rows


def quadratic_kappa(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """Agreement beyond chance, errors weighted by their squared distance: (..., 5), (...) to (...).

    The disagreement expected by chance is the mean of (i - j)^2 over all pairs of a true and a said
    label, which the moments give without the confusion matrix. Without any disagreement it is 1, also
    when only one label occurs (where the usual ratio is 0/0).

    Source: Cohen (1968), "Weighted kappa", Psychological Bulletin 70(4).
    """
    by_chance = sums_S[..., 4] - 2 * sums_S[..., 2] * sums_S[..., 3] / rows
    apart = sums_S[..., 1]
    possible = by_chance > 1e-9
    kappa = 1 - apart / np.where(possible, by_chance, 1.0)
    return np.where(possible, kappa, 1.0)
