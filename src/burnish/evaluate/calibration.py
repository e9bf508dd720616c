"""Can the confidence be believed? One temperature fitted on validation rows, then measured on others.

Shape legend: R rows, L labels, C confident answers of a row (1, or L yes/no answers), N bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from burnish.evaluate.intervals import RESAMPLES, bootstrap
from burnish.evaluate.scored import Objective, Scored, targets_of
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.example import Example
from burnish.records.report import Bin, Calibration, Measure
from burnish.records.task import Task
from burnish.tasks.kind import kind_of

# Equal mass, not equal width: a tuned classifier is surer than 0.9 on most rows, so of 15 equal-width
# bins one holds nearly everything and the others a handful of rows each, whose noise is then counted
# as miscalibration (Nguyen & O'Connor 2015; Nixon et al. 2019, "Measuring calibration in deep learning").
BINS = 15
# below 10 answers a bin's accuracy says nothing, so small splits get fewer bins
BIN_ROWS = 10
# wider than any temperature seen on sane networks (Guo et al. 2017 report 0.9 to 3)
_LOG_LIMIT = float(np.log(20.0))


def fit_temperature(
    task: Task, examples: Sequence[Example], logits_RL: FloatArray, *, prior: float = 1.0
) -> float:
    """The temperature T > 0 for which softmax (or sigmoid) of logits / T fits the labels best.

    Minimises the summed negative log likelihood plus (log T)^2 / (2 prior^2): the prior has the weight
    of about one row, vanishes with many rows, and keeps T finite where the rows are too few or all
    right. Give *validation* rows: fitted on the test rows, calibration would flatter itself.
    With no rows, T is 1. Order of labels by probability never changes.

    Source: Guo et al. (2017), "On calibration of modern neural networks", section 4.2.
    """
    if not examples:
        return 1.0
    return temperature_of(
        targets_of(task, examples), logits_RL, objective=kind_of(task).objective, prior=prior
    )


def temperature_of(
    targets_RL: FloatArray, logits_RL: FloatArray, *, objective: Objective, prior: float = 1.0
) -> float:
    """As `fit_temperature`, on arrays.

    Example:
        >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]] * 50)
        >>> truth = np.eye(2)[[0, 0, 1, 1] * 50]      # three of four right, yet 98% sure
        >>> round(temperature_of(truth, logits, objective="softmax"), 1)
        3.5
    """
    from scipy.optimize import minimize_scalar

    # models that know probabilities give -inf for "never"; a large finite score means the same
    logits_RL = np.clip(np.asarray(logits_RL, dtype=np.float64), -700.0, 700.0)

    def cost(log_temperature: float) -> float:
        scaled_RL = logits_RL / np.exp(log_temperature)
        if objective == "softmax":
            top_R = scaled_RL.max(axis=1)
            total_R = top_R + np.log(np.exp(scaled_RL - top_R[:, None]).sum(axis=1))
            loss = float((total_R - (targets_RL * scaled_RL).sum(axis=1)).sum())
        else:
            loss = float((np.logaddexp(0.0, scaled_RL) - targets_RL * scaled_RL).sum())
        return loss + log_temperature**2 / (2 * prior**2)

    found = minimize_scalar(cost, bounds=(-_LOG_LIMIT, _LOG_LIMIT), method="bounded")
    return float(np.exp(found.x))


def calibrate(
    scored: Scored,
    before: Scored,
    *,
    temperature: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> Calibration:
    """How far confidence and accuracy lie apart on the scored rows, with intervals.

    `scored` has probabilities at `temperature`, `before` at 1. ECE: the mean distance between confidence
    and accuracy over equal-mass bins, weighted by rows (for several labels, over all yes/no answers); the
    bins stay fixed over the resamples. Brier: half the squared distance between probabilities and truth,
    summed over labels (for several labels, the mean squared distance), so both lie between 0 and 1.

    Source: Naeini, Cooper & Hauskrecht (2015); Brier (1950).
    """
    bin_RC, edges = _bins(scored)
    gaps_RN = _gaps(scored, bin_RC, len(edges) - 1)

    def mean(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
        return sums_S[..., 0] / rows

    found = {
        name: bootstrap(terms, value, seed=seed, groups_R=scored.groups_R, resamples=resamples)
        for name, terms, value in (("ece", gaps_RN, ece), ("brier", _squares(scored), mean))
    }
    measures = {
        name: Measure(
            name=name,
            value=float(interval.value_K[0]),
            low=None if interval.blind_K[0] else float(interval.low_K[0]),
            high=None if interval.blind_K[0] else float(interval.high_K[0]),
            n=len(scored),
            unit="fraction" if name == "ece" else "score",
        )
        for name, interval in found.items()
    }
    return Calibration(
        temperature=temperature,
        ece=measures["ece"],
        brier=measures["brier"],
        ece_before=float(ece(ece_terms(before).sum(axis=0), np.asarray(float(len(before))))),
        bins=_bars(scored, bin_RC, edges),
    )


def ece_terms(scored: Scored) -> FloatArray:
    """What `ece` sums: each row's confidence minus rightness in the column of its bin. Shape (R, N)."""
    bin_RC, edges = _bins(scored)
    return _gaps(scored, bin_RC, len(edges) - 1)


def ece(sums_N: FloatArray, rows: FloatArray) -> FloatArray:
    """The expected calibration error from summed `ece_terms` and the number of rows."""
    return np.abs(sums_N).sum(axis=-1) / rows


def confidence(scored: Scored) -> tuple[FloatArray, FloatArray]:
    """(confidence, right) of every answer: shape (R, 1), or (R, L) when each label is its own question."""
    if scored.objective == "softmax":
        return scored.probabilities_RL.max(axis=1)[:, None], scored.right_R[:, None].astype(float)
    right_RL = scored.said_RL == (scored.targets_RL > 0.5)
    sure_RL = np.maximum(scored.probabilities_RL, 1 - scored.probabilities_RL)
    return sure_RL, right_RL.astype(np.float64)


def _bins(scored: Scored) -> tuple[IntArray, FloatArray]:
    """The bin of each answer, and the N + 1 edges between bins of equal mass."""
    sure_RC, _ = confidence(scored)
    bins = int(np.clip(sure_RC.size // BIN_ROWS, 1, BINS))
    inner = np.quantile(sure_RC, np.arange(1, bins) / bins)
    low, high = float(sure_RC.min()), float(sure_RC.max())
    # equal confidences share a bin: a majority model has one confidence, hence one bin
    inner = np.unique(inner[(inner > low) & (inner < high)])
    edges = np.concatenate([[low], inner, [high]])
    return np.searchsorted(inner, sure_RC, side="right"), edges


def _gaps(scored: Scored, bin_RC: IntArray, bins: int) -> FloatArray:
    """Confidence minus rightness, averaged over a row's answers, in the column of their bin: shape (R, N)."""
    sure_RC, right_RC = confidence(scored)
    gaps_RN = np.zeros((len(scored), bins))
    rows_RC = np.broadcast_to(np.arange(len(scored))[:, None], bin_RC.shape)
    np.add.at(gaps_RN, (rows_RC, bin_RC), (sure_RC - right_RC) / bin_RC.shape[1])
    return gaps_RN


def _squares(scored: Scored) -> FloatArray:
    square_RL = (scored.probabilities_RL - scored.targets_RL) ** 2
    if scored.objective == "softmax":
        return square_RL.sum(axis=1, keepdims=True) / 2
    return square_RL.mean(axis=1, keepdims=True)


def _bars(scored: Scored, bin_RC: IntArray, edges: FloatArray) -> tuple[Bin, ...]:
    sure_RC, right_RC = confidence(scored)
    bars = []
    for index in range(len(edges) - 1):
        inside = bin_RC == index
        if inside.any():
            bars.append(
                Bin(
                    low=float(edges[index]),
                    high=float(edges[index + 1]),
                    n=int(inside.sum()),
                    confidence=float(sure_RC[inside].mean()),
                    accuracy=float(right_RC[inside].mean()),
                )
            )
    return tuple(bars)
