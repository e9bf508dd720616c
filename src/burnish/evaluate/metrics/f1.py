"""F1: the harmonic mean of precision and recall, pooled over the labels in three ways.

Shape legend: R rows, L labels, S = 3L terms (right, said, true of each label); "..." is any number of resamples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from burnish.evaluate.scored import Scored
from burnish.records.encoding import FloatArray


def counts(scored: Scored) -> FloatArray:
    """Per row and label: said rightly, said, true: shape (R, 3L)."""
    true_RL = scored.targets_RL > 0.5
    return np.concatenate(
        [scored.said_RL & true_RL, scored.said_RL, true_RL], axis=1, dtype=np.float64
    )


def per_label(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """F1 of each label, 0 where it is neither true nor said: (..., 3L), (...) to (..., L)."""
    return np.nan_to_num(_each(sums_S)[0])


def macro(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """The mean of the labels' F1, over labels that are true or said at least once; 1 when none is.

    A label that is absent from the rows and never said has no F1; counting it as 0 (or 1) would let
    the number of unused labels decide the value.
    """
    f1_L, present_L = _each(sums_S)
    number = present_L.sum(axis=-1)
    total = np.nansum(f1_L, axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), 1.0)


def micro(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """F1 of all yes/no answers taken together; 1 when nothing is true and nothing said."""
    right, said, true = (part.sum(axis=-1) for part in _parts(sums_S))
    return np.where(said + true > 0, 2 * right / np.maximum(said + true, 1), 1.0)


def weighted(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """The labels' F1 weighted by how often each is true; with nothing true, 1 if nothing is said, else 0."""
    f1_L, _ = _each(sums_S)
    _, said_L, true_L = _parts(sums_S)
    support = true_L.sum(axis=-1)
    total = (np.nan_to_num(f1_L) * true_L).sum(axis=-1)
    nothing = (said_L.sum(axis=-1) == 0).astype(np.float64)
    return np.where(support > 0, total / np.maximum(support, 1), nothing)


def _parts(sums_S: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    labels = sums_S.shape[-1] // 3
    return sums_S[..., :labels], sums_S[..., labels : 2 * labels], sums_S[..., 2 * labels :]


def _each(sums_S: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """(F1 of each label, NaN where absent; whether the label is present)."""
    right_L, said_L, true_L = _parts(sums_S)
    present_L = said_L + true_L > 0
    f1_L = np.where(present_L, 2 * right_L / np.maximum(said_L + true_L, 1), np.nan)
    return f1_L, present_L
