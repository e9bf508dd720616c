"""How often each label occurs, as logits."""

from __future__ import annotations

import numpy as np

from burnish.records.encoding import FloatArray


def log_shares(targets_RL: FloatArray, *, objective: str) -> FloatArray:
    """Logits (L,) of the label frequencies; half a row is added to each (Jeffreys prior).

    Example:
        >>> log_shares(np.array([[1.0, 0.0], [1.0, 0.0]]), objective="softmax").argmax()
        np.int64(0)
    """
    counts = targets_RL.sum(0) + 0.5
    if objective == "softmax":
        return np.log(counts / counts.sum())
    share = counts / (len(targets_RL) + 1)
    return np.log(share / (1 - share))
