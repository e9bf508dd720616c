"""Do the texts look different? A classifier learns to tell window from reference, and is asked about other rows.

Shape legend: R pooled rows, B divisions.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from burnish.evaluate.intervals import LEVEL
from burnish.monitor.embedded import embedded
from burnish.monitor.exchange import exchange_p, random_divisions
from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.monitor.separate import held_out_weights, sides
from burnish.records.encoding import FloatArray
from burnish.records.signal import Level
from burnish.records.task import Task

NAME: str = "input_classifier"
HIGHEST: Level = "look"
METHOD: str = (
    "Classifier two-sample test: ridge regression on base-model embeddings, every row scored by a fit without it; AUC "
    "with Newcombe's interval, permutation test (Lopez-Paz & Oquab 2017; Kim et al. 2021; Newcombe 2006)"
)

# The spread of the AUC by chance is known to 5% from 200 divisions (1 / sqrt(2 * 200)).
_INTERVAL_DIVISIONS = 200


def measure(window: Window, reference: Reference, *, task: Task, seed: int) -> Measured:
    """How often the classifier puts a row of the window above one of the reference; 0.5 is chance.

    The permutation test weighs the difference of the mean scores, which finds more than the AUC's ranks, and every
    row both teaches and is asked, which finds more than two halves: docs/monitor.md has the figures.
    """
    both = embedded(window.seen, reference.seen, seed=seed)
    if isinstance(both, str):
        return Measured(None, both, unit="AUC")
    weights_RR = held_out_weights(both.vectors_RH, seed=seed)
    draw = random_divisions(both.from_window_R, seed=seed)
    p_value = exchange_p(
        float(apart(weights_RR, both.from_window_R[None])[0]),
        lambda size: apart(weights_RR, draw(size)),
        alpha=task.monitor.alpha,
    )
    ours = int(both.from_window_R.sum())
    others = len(both.from_window_R) - ours
    auc = float(_aucs(weights_RR, both.from_window_R[None])[0])
    by_chance_B = _aucs(
        weights_RR, random_divisions(both.from_window_R, seed=seed)(_INTERVAL_DIVISIONS)
    )
    low, high = auc_interval(auc, ours, others, by_chance=float(by_chance_B.var()))
    return Measured(
        value=auc,
        low=low,
        high=high,
        reference=0.5,
        p_value=p_value,
        unit="AUC",
        because=f"a classifier ranks the window's row above the reference's in {auc:.0%} of pairs (50% is chance)",
    )


def apart(weights_RR: FloatArray, from_window_BR: NDArray[np.bool_]) -> FloatArray:
    """How far the mean scores of the two sides lie apart, for each division: (B,)."""
    sides_BR = sides(from_window_BR)
    return ((sides_BR @ weights_RR.T) * sides_BR).mean(axis=1)


def auc_interval(
    auc: float, rows: int, others: int, *, by_chance: float = 0.0
) -> tuple[float, float]:
    """The 95% interval of an AUC, inside [0, 1] and never empty: the AUCs that `auc` does not contradict.

    `by_chance` is the variance of the AUC over random divisions. Scores of fits that share rows vary more
    than independent ones; where they do, the whole interval is as much wider.

    Source: Newcombe (2006), "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2", Statistics in Medicine 25(4), method 5.

    Example:
        >>> low, high = auc_interval(0.5, 250, 250)
        >>> round(low, 2), round(high, 2)
        (0.45, 0.55)
    """
    from scipy.optimize import root_scalar

    independent = (rows + others + 1) / (12 * rows * others)
    z_squared = NormalDist().inv_cdf(0.5 + LEVEL / 2) ** 2 * max(1.0, by_chance / independent)
    extra = (rows + others) / 2 - 1

    def contradiction(area: float) -> float:
        pairs = 1 + extra * ((1 - area) / (2 - area) + area / (1 + area))
        return (auc - area) ** 2 - z_squared * area * (1 - area) * pairs / (rows * others)

    # a hair inside: at the ends of the scale the spread is 0 and every equation has that root
    hair = 1e-9
    low = root_scalar(contradiction, bracket=(0.0, auc - hair)).root if auc > hair else 0.0
    high = root_scalar(contradiction, bracket=(auc + hair, 1.0)).root if auc < 1 - hair else 1.0
    return float(low), float(high)


def _aucs(weights_RR: FloatArray, from_window_BR: NDArray[np.bool_]) -> FloatArray:
    """How often a row of the window scores above one of the reference, ties half, for each division: (B,)."""
    from scipy.stats import rankdata

    ranks_BR = rankdata(sides(from_window_BR) @ weights_RR.T, axis=1)
    ours = int(from_window_BR[0].sum())
    above_B = (ranks_BR * from_window_BR).sum(axis=1) - ours * (ours + 1) / 2
    return above_B / (ours * (from_window_BR.shape[1] - ours))
