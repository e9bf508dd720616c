"""What every metric sees: the truth, the probabilities and the answers of one model on the same rows.

Shape legend: R rows, L labels in the task's order, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from burnish.errors import fail
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.example import Example
from burnish.records.task import Task
from burnish.tasks.kind import kind_of

BoolArray = NDArray[np.bool_]
Objective = Literal["softmax", "sigmoid"]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One model's answers beside the truth.

    Shapes: targets_RL float64 of 0 and 1; probabilities_RL float64; said_RL bool, the answer that the
    probabilities stand for (exactly `kind.decode`); groups_R int64 numbers the group of each row (rows
    without a group are groups of one), or None when all rows are independent.
    """

    objective: Objective
    targets_RL: FloatArray
    probabilities_RL: FloatArray
    said_RL: BoolArray
    groups_R: IntArray | None = None

    def __len__(self) -> int:
        return len(self.targets_RL)

    @property
    def right_R(self) -> BoolArray:
        """Rows whose whole answer is right."""
        return np.all(self.said_RL == (self.targets_RL > 0.5), axis=1)

    def part(self, rows_N: IntArray) -> Scored:
        """The rows at these places; groups are numbered anew."""
        return Scored(
            objective=self.objective,
            targets_RL=self.targets_RL[rows_N],
            probabilities_RL=self.probabilities_RL[rows_N],
            said_RL=self.said_RL[rows_N],
            groups_R=renumbered(self.groups_R, rows_N),
        )


def scored_from(
    targets_RL: FloatArray,
    probabilities_RL: FloatArray,
    *,
    objective: Objective,
    groups_R: IntArray | None = None,
) -> Scored:
    """The answers that probabilities stand for: the likeliest label, or (sigmoid) each one above 0.5.

    Equal probabilities go to the first label, as in `kind.decode`.

    Example:
        >>> scored = scored_from(np.eye(2), np.array([[0.9, 0.1], [0.8, 0.2]]), objective="softmax")
        >>> scored.right_R.tolist()
        [True, False]
    """
    if objective == "softmax":
        said_RL = np.zeros(probabilities_RL.shape, dtype=np.bool_)
        said_RL[np.arange(len(said_RL)), np.argmax(probabilities_RL, axis=1)] = True
    else:
        said_RL = probabilities_RL > 0.5
    return Scored(objective, targets_RL, probabilities_RL, said_RL, groups_R)


def score(
    task: Task,
    examples: Sequence[Example],
    logits_RL: FloatArray,
    *,
    temperature: float = 1.0,
) -> Scored:
    """Set a model's logits on labelled rows beside the truth.

    Raises: evaluate-empty (no rows), evaluate-unlabelled, evaluate-shape (logits do not match rows and
    labels), evaluate-not-a-number (NaN logits, rows named).
    """
    kind = kind_of(task)
    targets_RL = targets_of(task, examples)
    logits_RL = np.asarray(logits_RL, dtype=np.float64)
    if logits_RL.shape != targets_RL.shape:
        raise fail(
            "evaluate-shape",
            f"the model gave scores of shape {logits_RL.shape}",
            expected=f"{targets_RL.shape}: one row per example, one column per label of the task",
            fix="predict these rows again with the model trained for this task",
        )
    broken = np.flatnonzero(np.isnan(logits_RL).any(axis=1))
    if len(broken):
        places = ", ".join(examples[int(row)].source.where for row in broken[:5])
        raise fail(
            "evaluate-not-a-number",
            f"the model's scores are not numbers for {len(broken)} rows",
            where=places,
            expected="a finite score for every label",
            fix="the weights are damaged or diverged: train again with a lower learning_rate",
        )
    return scored_from(
        targets_RL,
        kind.probabilities(logits_RL / temperature),
        objective=kind.objective,
        groups_R=groups_of(examples) if task.group is not None else None,
    )


def targets_of(task: Task, examples: Sequence[Example]) -> FloatArray:
    """The labels of the rows as a matrix of 0 and 1: shape (R, L).

    Raises: evaluate-empty, evaluate-unlabelled.
    """
    if not examples:
        raise fail(
            "evaluate-empty",
            "there is no row to measure on",
            expected="at least one labelled row in the split",
            fix="add labelled rows, or give a test file under [data] in task.toml",
        )
    unlabelled = [example.source.where for example in examples if example.label is None]
    if unlabelled:
        raise fail(
            "evaluate-unlabelled",
            f"{len(unlabelled)} rows have no label",
            where=", ".join(unlabelled[:5]),
            expected="a label on every row that is measured",
            fix="label the rows, or leave them out of this split",
        )
    kind = kind_of(task)
    return np.stack([kind.targets(task, e.label) for e in examples if e.label is not None])


def groups_of(examples: Sequence[Example]) -> IntArray:
    """A number per group; rows without a group stand alone."""
    numbers: dict[str, int] = {}
    keys = [
        f"group:{example.group}" if example.group else f"row:{index}"
        for index, example in enumerate(examples)
    ]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def renumbered(groups_R: IntArray | None, rows_N: IntArray) -> IntArray | None:
    """The groups of the rows at these places, numbered from 0 without gaps.

    Example:
        >>> renumbered(np.array([0, 1, 1, 4]), np.array([3, 1])).tolist()
        [1, 0]
    """
    if groups_R is None:
        return None
    return np.unique(groups_R[rows_N], return_inverse=True)[1].astype(np.int64)
