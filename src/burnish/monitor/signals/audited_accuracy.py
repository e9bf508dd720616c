"""How accurate is it, by what people found? The only signal with labels, and the only one that may say act.

Shape legend: N audits in order, J alternatives to the reference's accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burnish.evaluate.intervals import wilson
from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Window
from burnish.records.encoding import FloatArray
from burnish.records.signal import Level
from burnish.records.task import Task

NAME: str = "audited_accuracy"
HIGHEST: Level = "act"
METHOD: str = (
    "Share of right answers among randomly chosen ones, Wilson's interval; acts on a mixture e-process of likelihood "
    "ratios over falls and moments, valid after every audit (Ville 1939; Shiryaev 1963; Ramdas et al. 2023)"
)
# Twenty levels below the reference's, evenly spaced: between two neighbours the expected growth per audit is
# within a few percent of the best, and each costs log(20) = 3 nats once.
_ALTERNATIVES = 20
# Evidence beyond this changes nothing; cutting it keeps the process finite and can only make it smaller.
_ENOUGH = 1e100


def measure(window: Window, reference: Reference, *, task: Task, seed: int) -> Measured:
    """The audited share of right answers since the version went live; broken when it surely fell.

    "Fell" is below the lower end of the reference's accuracy. Half of alpha is the chance that this end
    lies too high, half that the e-process ever crosses 2 / alpha without a fall: together at most alpha
    over the whole life of the version, however often it is looked at.
    """
    if not window.audits:
        return Measured(
            None,
            "no answer has been audited: set audit in task.toml and answer the questions it asks",
        )
    alpha = task.monitor.alpha / 2
    right_N = np.array([audit.right for audit in window.audits], dtype=np.bool_)
    right, audits = int(right_N.sum()), len(right_N)
    if not len(reference.right_R):
        low, high = wilson(right, audits)
        because = f"{right} of {audits} audited answers were right; nobody judged the reference's, so a fall is not tested"
        return Measured(value=right / audits, low=low, high=high, because=because)
    reference_right = int(reference.right_R.sum())
    floor = lower_end(reference_right, len(reference.right_R), alpha=alpha)
    low, high = wilson(right, audits)
    because = f"{right} of {audits} audited answers were right"
    broken = False
    if floor > 0:
        evidence = evidence_of_fall(right_N, floor)
        broken = evidence.largest >= 1 / alpha
        if broken:
            late_N = right_N[evidence.since :]
            because += f"; {int(late_N.sum())} of {len(late_N)} since audit {evidence.since + 1}"
        because += (
            f"; evidence of a fall below {floor:.1%} is {evidence.largest:.3g}, "
            f"{'above' if broken else 'not above'} {1 / alpha:.0f}"
        )
    return Measured(
        value=right / audits,
        low=low,
        high=high,
        reference=reference_right / len(reference.right_R),
        threshold=floor,
        broken=broken,
        because=because,
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """The largest value the e-process ever had, and the audit from which on the fall is likeliest."""

    largest: float
    since: int


def evidence_of_fall(right_N: NDArray[np.bool_], floor: float) -> Evidence:
    """Evidence that from some audit on the accuracy lies below `floor`, gathered audit by audit.

    While every audit is right with a chance of at least `floor`, given those before it, the evidence
    exceeds e at any time with a chance of at most 1 / e. It is a mixture of likelihood ratios: over the
    accuracy after the fall, and over the audit t at which it began, with weight 1 / (t (t + 1)), so that
    a long good past does not have to be forgotten first.

    Source: Ville (1939); Ramdas, Grünwald, Vovk & Shafer (2023), "Game-theoretic statistics and safe anytime-valid
    inference", Statistical Science 38(4); the recursion is Shiryaev's (1963).

    Example:
        >>> fine, bad = [True] * 9 + [False], [True, False]
        >>> evidence_of_fall(np.array(fine * 20), 0.9).largest < 2
        True
        >>> evidence_of_fall(np.array(fine * 20 + bad * 20), 0.9).since in range(190, 210)
        True
    """
    after_J = floor * (np.arange(_ALTERNATIVES) + 0.5) / _ALTERNATIVES
    gain_J, loss_J = after_J / floor, (1 - after_J) / (1 - floor)
    begun_J = np.zeros(_ALTERNATIVES)
    largest = 1.0
    for time, right in enumerate(right_N, start=1):
        begun_J += 1 / (time * (time + 1))
        begun_J *= gain_J if right else loss_J
        np.minimum(begun_J, _ENOUGH, out=begun_J)
        # what has not begun by now holds its stake of 1 / (t + 1)
        largest = max(largest, float(begun_J.mean()) + 1 / (time + 1))
    return Evidence(largest, _likeliest_start(right_N, gain_J, loss_J))


def lower_end(right: int, rows: int, *, alpha: float) -> float:
    """The exact one-sided lower end of a share at level 1 - alpha; 0 when nothing was right.

    Source: Clopper & Pearson (1934).

    Example:
        >>> round(lower_end(450, 500, alpha=0.005), 3)
        0.861
    """
    from scipy.stats import beta

    return float(beta.ppf(alpha, right, rows - right + 1)) if right else 0.0


def _likeliest_start(right_N: NDArray[np.bool_], gain_J: FloatArray, loss_J: FloatArray) -> int:
    """The audit from which on one of the alternatives gains most, its weight counted."""
    steps_NJ = np.where(right_N[:, None], np.log(gain_J), np.log(loss_J))
    gained_NJ = np.cumsum(steps_NJ[::-1], axis=0)[::-1]
    time_N = np.arange(1, len(right_N) + 1)
    return int((gained_NJ.max(axis=1) - np.log(time_N * (time_N + 1.0))).argmax())
