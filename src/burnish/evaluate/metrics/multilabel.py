"""What only makes sense for rows that carry any number of labels: single yes/no answers.

Shape legend: R rows, L labels.
"""

from __future__ import annotations

import numpy as np

from burnish.evaluate.scored import Scored
from burnish.records.encoding import FloatArray


def label_errors(scored: Scored) -> FloatArray:
    """The share of the row's yes/no answers that are wrong: shape (R, 1)."""
    wrong_RL = scored.said_RL != (scored.targets_RL > 0.5)
    return wrong_RL.mean(axis=1, dtype=np.float64)[:, None]
