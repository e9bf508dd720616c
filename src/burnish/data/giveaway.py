"""What gives a label away by itself: a sign (a word, a value) that stands in the rows of one label and hardly elsewhere.

Counting and chance only; what is counted, and what is said about it, is the shortcuts check's part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.records.encoding import FloatArray, IntArray

PRECISION = 0.98  # of the rows with the sign
COVERAGE = 0.5  # of the label's rows
FEWEST_ROWS = 20
# Chance that any sign of labels that know nothing of it looks like this, over all signs and labels (Bonferroni).
ALPHA = 1e-4


@dataclass(frozen=True, slots=True)
class Giveaway:
    """A sign that is present (or absent) in `rows` rows, `right` of them of one label, which has `of` rows in all."""

    sign: int
    label: int
    present: bool
    rows: int
    right: int
    of: int


def giveaways(signs: Sequence[Sequence[int]], labels: IntArray) -> list[Giveaway]:
    """Signs whose presence or absence gives a label away, the one that covers most rows first.

    `signs` are each row's, every sign once; labels are numbered from 0. One-sided: the share of the label among
    rows with the sign is tested against its share of all rows.

    Source: Chernoff, "A measure of asymptotic efficiency", 1952 (the bound on the binomial tail).

    Example:
        >>> rows = [[0, 2], [0, 3]] * 30 + [[1, 2], [1, 3]] * 30
        >>> [(one.sign, one.label) for one in giveaways(rows, np.array([0] * 60 + [1] * 60)) if one.present]
        [(0, 0), (1, 1)]
    """
    if not len(labels) or not any(signs):
        return []
    flat = np.fromiter((sign for row in signs for sign in row), dtype=np.int64)
    rows = np.repeat(np.arange(len(signs)), [len(row) for row in signs])
    kinds = int(labels.max()) + 1
    of = np.bincount(labels, minlength=kinds)
    present = np.bincount(flat)
    tests = 2 * len(present) * kinds
    found = _strong(flat, labels[rows], present=present, of=of, tests=tests)
    # a sign whose absence tells stands in most rows, so there are few of them
    for sign in np.flatnonzero(2 * present >= len(labels)).tolist():
        without = np.ones(len(labels), dtype=bool)
        without[rows[flat == sign]] = False
        absent = int(without.sum())
        right = np.bincount(labels[without], minlength=kinds)
        for label in np.flatnonzero(_is_strong(right, np.full(kinds, absent), of)).tolist():
            if (
                _chance(right[label : label + 1], absent, of[label] / len(labels))[0] * tests
                < ALPHA
            ):
                found.append(
                    Giveaway(sign, label, False, absent, int(right[label]), int(of[label]))
                )
    return sorted(found, key=lambda one: (-one.right, one.sign, one.label))


def _strong(
    flat: IntArray, labels: IntArray, *, present: IntArray, of: IntArray, tests: int
) -> list[Giveaway]:
    kinds = len(of)
    pairs, right = np.unique(flat * kinds + labels, return_counts=True)
    sign, label = pairs // kinds, pairs % kinds
    strong = _is_strong(right, present[sign], of[label])
    sign, label, right = sign[strong], label[strong], right[strong]
    chance = _chance(right, present[sign], of[label] / of.sum())
    return [
        Giveaway(int(s), int(k), True, int(present[s]), int(r), int(of[k]))
        for s, k, r, p in zip(sign, label, right, chance, strict=True)
        if p * tests < ALPHA
    ]


def _is_strong(right: IntArray, rows: IntArray, of: IntArray) -> np.ndarray:
    return (rows >= FEWEST_ROWS) & (right >= PRECISION * rows) & (right >= COVERAGE * of)


def _chance(right: IntArray, rows: IntArray | int, share: FloatArray | float) -> FloatArray:
    """A bound on the chance of so many right ones among the rows, were the label spread evenly."""
    found = np.minimum(right / np.maximum(rows, 1), 1 - 1e-12)
    even = np.clip(share, 1e-12, 1 - 1e-12)
    apart = found * np.log(found / even) + (1 - found) * np.log((1 - found) / (1 - even))
    return np.where(found > even, np.exp(-rows * apart), 1.0)


@dataclass(frozen=True, slots=True)
class Told:
    """How well values tell labels: the share of rows guessed right by each value's usual label, the share by the usual
    label of all, and how much of the label is known once the value is (0 to 1, corrected for chance).
    """

    distinct: int
    purity: float
    majority: float
    known: float


def told(values: IntArray, labels: IntArray) -> Told:
    """How well values tell labels.

    Source: mutual information over the label's entropy, less the bias of Miller (1955), (values-1)(labels-1)/2n.

    Example:
        >>> told(np.array([0, 0, 1, 1] * 50), np.array([0, 0, 1, 1] * 50))
        Told(distinct=2, purity=1.0, majority=0.5, known=1.0)
    """
    _, values = np.unique(values, return_inverse=True)
    _, labels = np.unique(labels, return_inverse=True)
    n, kinds, distinct = len(labels), int(labels.max()) + 1, int(values.max()) + 1
    pairs, joint = np.unique(values * kinds + labels, return_counts=True)
    of_value, of_label = np.bincount(values), np.bincount(labels)
    best = np.zeros(distinct, dtype=np.int64)
    np.maximum.at(best, pairs // kinds, joint)
    share = joint / n
    shared = share * np.log(share * n * n / (of_value[pairs // kinds] * of_label[pairs % kinds]))
    entropy = float(-(of_label / n * np.log(of_label / n)).sum())
    # pairs that occur bound the degrees of freedom: a table with one pair a value has no noise to correct
    bias = max(0, len(pairs) - distinct - kinds + 1) / (2 * n)
    known = (float(shared.sum()) - bias) / entropy if entropy > 0 else 0.0
    return Told(
        distinct=distinct,
        purity=float(best.sum() / n),
        majority=float(of_label.max() / n),
        known=round(min(1.0, max(0.0, known)), 9),
    )
