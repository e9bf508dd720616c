"""Confident learning: which labels are probably wrong, from probabilities of models that did not see the row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burnish.records.encoding import FloatArray, IntArray

_LAST_BITS = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Doubts:
    """Rows whose label is probably wrong, the surest first, and for each the label that is likelier."""

    rows: IntArray
    likelier: IntArray


def margins(probabilities_RL: FloatArray, labels_R: IntArray) -> FloatArray:
    """How much likelier the given label is than the best other, from -1 (surely wrong) to 1.

    Example:
        >>> margins(np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 1])).tolist()
        [0.5, -0.5]
    """
    rows = np.arange(len(labels_R))
    others = probabilities_RL.copy()
    others[rows, labels_R] = -np.inf
    return probabilities_RL[rows, labels_R] - others.max(axis=1)


def doubts(probabilities_RL: FloatArray, labels_R: IntArray) -> Doubts:
    """Rows that confidently count for another label than their own.

    A row counts for the likeliest of the labels whose probability is at least what rows of that label have on
    average; where that is another label than its own, the row is off the diagonal of the confident joint.

    Source: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021,
    equations 1 and 2, pruned by confusion, ranked by normalised margin.

    Example:
        >>> said = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.9, 0.1]])
        >>> doubts(said, np.array([0, 0, 1, 1])).rows.tolist()
        [3]
    """
    n_labels = probabilities_RL.shape[1]
    thresholds_L = np.full(n_labels, np.inf)
    for label in np.unique(labels_R):
        thresholds_L[label] = probabilities_RL[labels_R == label, label].mean()
    # equal numbers have a mean that differs from them in the last bit
    sure_RL = probabilities_RL >= thresholds_L - _LAST_BITS
    confident_RL = np.where(sure_RL, probabilities_RL, -1.0)
    likelier_R = confident_RL.argmax(axis=1)
    off = (confident_RL.max(axis=1) >= 0) & (likelier_R != labels_R)
    rows = np.flatnonzero(off)
    order = np.argsort(margins(probabilities_RL, labels_R)[rows], kind="stable")
    return Doubts(rows[order], likelier_R[rows[order]])
