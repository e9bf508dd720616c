"""A classifier that learns to tell the window's rows from the reference's by their embeddings.

Shape legend: R pooled rows, P parts of them, H width of an embedding, B divisions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from burnish.records.encoding import FloatArray

# Five folds, as usual. Source of the penalty: docs/monitor.md, "input_classifier", power on mixtures of real domains.
_PARTS = 5
PENALTY = 0.1


def held_out_weights(vectors_RH: FloatArray, *, seed: int, penalty: float = PENALTY) -> FloatArray:
    """The classifier written out: how much each row's side counts for every row it was fitted without, (R, R).

    It is ridge regression fitted without a fifth of the rows and asked about that fifth, five times. The sides enter
    only when they are multiplied with, so that a permutation test needs one product for each division.
    `penalty` is a share of the rows' summed squared distance from their mean.

    Source: Lopez-Paz & Oquab (2017), "Revisiting classifier two-sample tests"; Kim, Ramdas, Singh & Wasserman (2021),
    "Classification accuracy as a proxy for two-sample testing", Annals of Statistics 49(1), on linear classifiers.
    """
    rows, width = vectors_RH.shape
    centred_RH = vectors_RH - vectors_RH.mean(axis=0)
    ridge = penalty * float((centred_RH**2).sum())
    weights_RR = np.zeros((rows, rows))
    if ridge < 1e-12:  # equal rows teach nothing
        return weights_RR
    # a stream of its own: the parts must know nothing of the divisions that the same seed draws
    part_R = np.random.default_rng([seed, 1]).permutation(rows) % _PARTS
    for part in range(_PARTS):
        asked, learnt = np.flatnonzero(part_R == part), np.flatnonzero(part_R != part)
        spread_HH = centred_RH[learnt].T @ centred_RH[learnt] + ridge * np.eye(width)
        solved_HR = np.linalg.solve(spread_HH, centred_RH[learnt].T)
        weights_RR[np.ix_(asked, learnt)] = centred_RH[asked] @ solved_HR
    return weights_RR


def sides(from_window_BR: NDArray[np.bool_]) -> FloatArray:
    """What the classifier aims at: 1 for the window, -1 for the reference when both have as many rows.

    With unequal numbers the fewer rows count for more, so that both sides weigh the same: rows sum to 0.

    Example:
        >>> sides(np.array([[True, False, False, False]])).tolist()
        [[2.0, -0.6666666666666666, -0.6666666666666666, -0.6666666666666666]]
    """
    rows = from_window_BR.shape[1]
    ours = int(from_window_BR[0].sum())
    return np.where(from_window_BR, rows / (2 * ours), -rows / (2 * (rows - ours)))


def likeness(score: float) -> float:
    """A score as a share: 0.5 for a row that could be from either side, 1 for one that only the window has."""
    return min(1.0, max(0.0, 0.5 + score / 2))
