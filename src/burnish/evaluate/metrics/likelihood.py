"""Loss and perplexity of the references, token by token, over supervised tokens only.

Shape legend: R rows, S = 2 terms; "..." is any number of resamples.
"""

from __future__ import annotations

import numpy as np

from burnish.errors import fail
from burnish.evaluate.written import Written
from burnish.records.encoding import FloatArray

# exp of more is no float; a model that bad has no perplexity worth telling apart
_MOST_NATS = 700.0


def surprise(written: Written) -> FloatArray:
    """Nats of each row's reference, and its supervised tokens: shape (R, 2).

    Raises: evaluate-no-likelihood.
    """
    if written.nats_R is None or written.supervised_R is None:
        raise fail(
            "evaluate-no-likelihood",
            "the loss was asked of texts whose model was not asked how likely the references are",
            expected="nats and supervised tokens for every row",
            fix="measure another metric, or a model that gives probabilities",
        )
    return np.stack([written.nats_R, written.supervised_R.astype(np.float64)], axis=1)


def loss(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """Nats for each supervised token: (..., 2), (...) to (...); 0 where there is no token."""
    return sums_S[..., 0] / np.maximum(sums_S[..., 1], 1)


def perplexity(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """exp of the loss: (..., 2), (...) to (...).

    Source: Jelinek et al. (1977), "Perplexity: a measure of the difficulty of speech recognition tasks".
    """
    return np.exp(np.minimum(loss(sums_S, rows), _MOST_NATS))
