"""What is taken for what: the most frequent confusions, and a table small enough to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burnish.records.encoding import IntArray
from burnish.records.report import Report

# a square of more labels cannot be read on a page; the most confused ones stand for it
MOST_LABELS = 12
OTHERS = "all other labels"


@dataclass(frozen=True, slots=True)
class Confusion:
    """`true` was answered as `said`, `count` of `of` times."""

    true: str
    said: str
    count: int
    of: int


@dataclass(frozen=True, slots=True, eq=False)
class Square:
    """A readable confusion table: counts_NN true by said; the last label is `OTHERS` when `folded`."""

    labels: tuple[str, ...]
    counts_NN: IntArray
    folded: int


def top_confusions(report: Report, *, count: int = 12) -> tuple[Confusion, ...]:
    """The most frequent wrong answers, most frequent first; none for several labels per row."""
    if not is_square(report):
        return ()
    counts_LL = np.array(report.confusion, dtype=np.int64)
    support_L = counts_LL.sum(axis=1)
    wrong_LL = counts_LL - np.diag(np.diag(counts_LL))
    order = np.argsort(-wrong_LL, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(report.labels)) for place in order]
    return tuple(
        Confusion(
            true=report.labels[true],
            said=report.labels[said],
            count=int(wrong_LL[true, said]),
            of=int(support_L[true]),
        )
        for true, said in pairs
        if wrong_LL[true, said] > 0
    )


def square(report: Report, *, most: int = MOST_LABELS) -> Square | None:
    """The confusion table, with all but the most confused labels folded into one when there are many."""
    if not is_square(report):
        return None
    counts_LL = np.array(report.confusion, dtype=np.int64)
    if len(report.labels) <= most + 1:
        return Square(report.labels, counts_LL, 0)
    wrong_LL = counts_LL - np.diag(np.diag(counts_LL))
    # labels by their part in errors, either way; kept in the task's order
    part_L = wrong_LL.sum(axis=0) + wrong_LL.sum(axis=1)
    kept = np.sort(np.argsort(-part_L, kind="stable")[:most])
    rest = np.setdiff1d(np.arange(len(report.labels)), kept)
    folded_NN = np.zeros((most + 1, most + 1), dtype=np.int64)
    folded_NN[:most, :most] = counts_LL[np.ix_(kept, kept)]
    folded_NN[:most, most] = counts_LL[np.ix_(kept, rest)].sum(axis=1)
    folded_NN[most, :most] = counts_LL[np.ix_(rest, kept)].sum(axis=0)
    folded_NN[most, most] = counts_LL[np.ix_(rest, rest)].sum()
    names = (*(report.labels[int(label)] for label in kept), OTHERS)
    return Square(names, folded_NN, len(rest))


def is_square(report: Report) -> bool:
    """Whether each row has one true label and one answer (several labels per row keep four counts each)."""
    width = len(report.confusion[0]) if report.confusion else 0
    return width == len(report.labels) and sum(map(sum, report.confusion)) == report.n
