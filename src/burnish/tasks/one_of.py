"""Exactly one label is right: the arithmetic that classification and sentiment share.

Shapes: R rows, L labels in the task's order.
"""

from __future__ import annotations

import numpy as np

from burnish.errors import Problem
from burnish.records.encoding import FloatArray
from burnish.records.example import Example
from burnish.records.label import Label, OneOf, label_names
from burnish.records.task import Task
from burnish.tasks.answer import Answer
from burnish.tasks.spellings import find_name, listed, unknown_label


def parse(task: Task, cell: str) -> Label | Problem:
    """The label that a raw cell means, or the problem with it; never a guess."""
    name = find_name(task, cell)
    return unknown_label(task, cell) if name is None else OneOf(name=name)


def check(task: Task, example: Example) -> tuple[Problem, ...]:
    """Everything that keeps the example's label from being aimed at; an unlabelled row has none."""
    label = example.label
    if label is None:
        return ()
    if not isinstance(label, OneOf):
        names = label_names(label)
        return (
            Problem(
                code="label-shape",
                where=example.source.where,
                what=f"the row holds {len(names)} labels: {listed(names) or 'none'}",
                expected=f'exactly one, because kind = "{task.kind}"',
                fix='keep one label, or set kind = "multilabel" in task.toml',
            ),
        )
    if label.name not in task.label_names:
        return (unknown_label(task, label.name),)
    return ()


def targets(task: Task, label: Label) -> FloatArray:
    """One at the label's place, zero elsewhere: shape (L,).

    Raises: TypeError when `check` would have spoken.
    """
    if not isinstance(label, OneOf):
        raise TypeError(f"{task.kind} needs one label, got {label!r}")
    aim_L = np.zeros(len(task.labels), dtype=np.float64)
    aim_L[task.label_names.index(label.name)] = 1.0
    return aim_L


def probabilities(logits_RL: FloatArray) -> FloatArray:
    """Softmax over labels in fp64: (R, L) to (R, L), each row sums to one.

    The row's maximum is taken off first, so huge logits stay finite and a constant shift changes
    nothing.
    """
    scores_RL = np.asarray(logits_RL, dtype=np.float64)
    with np.errstate(over="ignore"):  # 1e308 against -1e308 overflows to -inf, whose exp is right
        weights_RL = np.exp(scores_RL - scores_RL.max(axis=-1, keepdims=True))
    return weights_RL / weights_RL.sum(axis=-1, keepdims=True)


def decode(task: Task, probabilities_L: FloatArray) -> Answer:
    """The likeliest label (the first of equals) and its probability."""
    place = int(np.argmax(probabilities_L))
    return Answer(OneOf(name=task.label_names[place]), float(probabilities_L[place]))
