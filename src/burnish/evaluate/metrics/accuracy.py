"""Accuracy and log loss: means over rows.

Shape legend: R rows, L labels, S terms; a leading "..." is any number of resamples.
"""

from __future__ import annotations

import numpy as np

from burnish.evaluate.scored import Scored
from burnish.records.encoding import FloatArray


def right(scored: Scored) -> FloatArray:
    """1 for a row whose whole answer is right, else 0: shape (R, 1)."""
    return scored.right_R.astype(np.float64)[:, None]


def surprise(scored: Scored) -> FloatArray:
    """Minus the log probability of the truth: shape (R, 1).

    Units: nats per row; for several labels, the mean over the labels' yes/no questions. Probabilities
    are kept 2.2e-16 away from 0 and 1, as scikit-learn does, so that one sure error stays finite.
    """
    edge = float(np.finfo(np.float64).eps)
    chances_RL = np.clip(scored.probabilities_RL, edge, 1 - edge)
    if scored.objective == "softmax":
        loss_R = -(scored.targets_RL * np.log(chances_RL)).sum(axis=1)
    else:
        yes_RL = scored.targets_RL * np.log(chances_RL)
        no_RL = (1 - scored.targets_RL) * np.log1p(-chances_RL)
        loss_R = -(yes_RL + no_RL).mean(axis=1)
    return loss_R[:, None]


def mean(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """The first sum per row: (..., S), (...) to (...)."""
    return sums_S[..., 0] / rows
