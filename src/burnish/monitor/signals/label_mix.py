"""Does the model give the same answers as often? The shares of the labels it says.

Shape legend: R pooled rows, L labels, C different answers (sets of labels), B divisions or resamples.
"""

from __future__ import annotations

import numpy as np

from burnish.evaluate.intervals import LEVEL, RESAMPLES
from burnish.monitor.exchange import exchange_p, random_counts, too_few
from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.signal import Level
from burnish.records.task import Task

NAME: str = "label_mix"
HIGHEST: Level = "look"
METHOD: str = (
    "Chi-square of homogeneity by random tables with the same margins; total variation distance (several labels: "
    "the largest change of a label's share) with a bootstrap interval (Patefield 1981; Efron & Tibshirani 1993)"
)


def measure(window: Window, reference: Reference, *, task: Task, seed: int) -> Measured:
    """How far apart the label shares are; with one label a row, the share of rows that would have to change.

    Rows that carry several labels are exchanged whole, so the labels of a row stay together and the test is
    exact however they depend on each other; the statistic then sums each label's yes/no chi-square.
    """
    ours_RL, theirs_RL = window.seen.said_RL, reference.seen.said_RL
    few = too_few(len(ours_RL), len(theirs_RL))
    if few:
        return Measured(None, few)
    several = task.kind == "multilabel"
    answers_CL, answer_R = np.unique(
        np.concatenate([ours_RL, theirs_RL]), axis=0, return_inverse=True
    )
    answers_CL = answers_CL.astype(np.float64)
    rows_C = np.bincount(answer_R, minlength=len(answers_CL))
    ours_C = np.bincount(answer_R[: len(ours_RL)], minlength=len(answers_CL))
    weight_L = _weights(rows_C @ answers_CL, rows=len(answer_R), several=several)
    expected_L = len(ours_RL) / len(answer_R) * (rows_C @ answers_CL)
    draw = random_counts(rows_C, len(ours_RL), seed=seed)

    def chi_square(window_BC: IntArray) -> FloatArray:
        return ((window_BC @ answers_CL - expected_L) ** 2 * weight_L).sum(axis=1)

    p_value = exchange_p(
        float(chi_square(ours_C[None])[0]),
        lambda size: chi_square(draw(size)),
        alpha=task.monitor.alpha,
    )
    shift_L = ours_RL.mean(axis=0) - theirs_RL.mean(axis=0)
    distance = _largest if several else _total_variation
    value = float(distance(shift_L))
    resampled_BL = _resampled_shift(ours_C, rows_C - ours_C, answers_CL, seed=seed)
    # |d(a) - d(b)| <= d(a - b) for both distances: what resampling moves, the truth may have moved
    half = float(np.quantile(distance(resampled_BL - shift_L), LEVEL))
    most = int(np.abs(shift_L).argmax())
    return Measured(
        value=value,
        low=max(0.0, value - half),
        high=min(1.0, value + half),
        reference=0.0,
        p_value=p_value,
        because=f'"{window.seen.labels[most]}" changed most, from {theirs_RL[:, most].mean():.1%} to '
        f"{ours_RL[:, most].mean():.1%} of the rows",
    )


def _total_variation(shift_BL: FloatArray) -> FloatArray:
    return np.abs(shift_BL).sum(axis=-1) / 2


def _largest(shift_BL: FloatArray) -> FloatArray:
    return np.abs(shift_BL).max(axis=-1)


def _weights(said_L: FloatArray, *, rows: int, several: bool) -> FloatArray:
    """What turns squared deviations into a chi-square, up to a factor that no division changes: (L,)."""
    spread_L = said_L * (1 - said_L / rows) if several else said_L
    return np.divide(1.0, spread_L, out=np.zeros(len(said_L)), where=spread_L > 0)


def _resampled_shift(
    ours_C: IntArray, theirs_C: IntArray, answers_CL: FloatArray, *, seed: int
) -> FloatArray:
    """The difference of label shares when both sides are drawn again from what they showed: (B, L)."""
    random = np.random.default_rng(seed)
    ours_BC, theirs_BC = (
        random.multinomial(counts_C.sum(), counts_C / counts_C.sum(), size=RESAMPLES)
        / counts_C.sum()
        for counts_C in (ours_C, theirs_C)
    )
    return (ours_BC - theirs_BC) @ answers_CL
