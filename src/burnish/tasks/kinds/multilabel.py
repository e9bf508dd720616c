"""Multilabel: any number of the labels, also none; a cell names them with a separator between.

Shapes: R rows, L labels in the task's order.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from burnish.errors import Problem
from burnish.records.encoding import FloatArray
from burnish.records.example import Example
from burnish.records.label import Label, ManyOf, label_names
from burnish.records.task import Task
from burnish.tasks.answer import Answer
from burnish.tasks.spellings import find_name, unknown_label

answers: Literal["labels"] = "labels"
objective: Literal["softmax", "sigmoid"] = "sigmoid"
metrics: tuple[str, ...] = (
    "subset_accuracy",
    "macro_f1",
    "micro_f1",
    "weighted_f1",
    "hamming_loss",
    "log_loss",
)
default_metric = "micro_f1"

# A label is said when it is likelier than not; thresholds tuned on validation rows would move
# the decision away from the probability that is shown beside it.
THRESHOLD = 0.5


def parse(task: Task, cell: str) -> Label | Problem:
    """The labels a raw cell names, in the task's order; blanks around a name do not count.

    An empty cell is the answer "none of them". One unknown name spoils the cell: a row whose
    labels are only partly known would teach that the others are absent.

    Example:
        >>> from burnish.records.task import LabelSpec
        >>> labels = (LabelSpec(name="bug"), LabelSpec(name="billing", values=("money",)))
        >>> task = Task(name="t", kind="multilabel", inputs=("text",), label="tags",
        ...             labels=labels, primary_metric="micro_f1")
        >>> parse(task, "money, bug").names, parse(task, "").names
        (('bug', 'billing'), ())
        >>> parse(task, "bug,mony").nearest
        'billing'
    """
    named: set[str] = set()
    for part in cell.split(task.separator):
        spelling = part.strip()
        if not spelling:
            continue
        name = find_name(task, spelling)
        if name is None:
            return unknown_label(task, spelling)
        named.add(name)
    return ManyOf(names=tuple(name for name in task.label_names if name in named))


def check(task: Task, example: Example) -> tuple[Problem, ...]:
    """Everything that keeps the example's labels from being aimed at."""
    label = example.label
    if label is None:
        return ()
    if not isinstance(label, ManyOf):
        return (
            Problem(
                code="label-shape",
                where=example.source.where,
                what=f'the row holds the single label "{"".join(label_names(label))}"',
                expected='a set of labels, because kind = "multilabel"',
                fix='read the row again with this task, or set kind = "classification"',
            ),
        )
    unknown = tuple(
        unknown_label(task, name) for name in label.names if name not in task.label_names
    )
    if unknown:
        return unknown
    ordered = tuple(name for name in task.label_names if name in label.names)
    if label.names != ordered:
        return (
            Problem(
                code="label-shape",
                where=example.source.where,
                what=f"the labels stand as {list(label.names)}",
                expected=f"each once, in the task's order: {list(ordered)}",
                fix="read the row again with this task",
            ),
        )
    return ()


def targets(task: Task, label: Label) -> FloatArray:
    """One at each label's place, zero elsewhere: shape (L,).

    Raises: TypeError when `check` would have spoken.
    """
    if not isinstance(label, ManyOf):
        raise TypeError(f"multilabel needs a set of labels, got {label!r}")
    aim_L = np.zeros(len(task.labels), dtype=np.float64)
    for name in label.names:
        aim_L[task.label_names.index(name)] = 1.0
    return aim_L


def probabilities(logits_RL: FloatArray) -> FloatArray:
    """Sigmoid of each logit in fp64: (R, L) to (R, L), each in [0, 1], finite for huge logits."""
    scores_RL = np.asarray(logits_RL, dtype=np.float64)
    # exp only of what is not positive: no overflow, and full precision near zero
    small_RL = np.exp(-np.abs(scores_RL))
    return np.where(scores_RL >= 0, 1.0, small_RL) / (1.0 + small_RL)


def decode(task: Task, probabilities_L: FloatArray) -> Answer:
    """Every label likelier than not. The confidence is that of the whole set, labels independent."""
    said_L = np.asarray(probabilities_L) > THRESHOLD
    names = tuple(name for name, said in zip(task.label_names, said_L, strict=True) if bool(said))
    sure = float(np.prod(np.where(said_L, probabilities_L, 1.0 - np.asarray(probabilities_L))))
    return Answer(ManyOf(names=names), sure)
