"""The door of task kinds: what a label means, one module per kind, one table.

A kind knows arrays and text only. To add one, write `tasks/kinds/<name>.py` with the members of
`Kind`, add a row to `KINDS`, and run `tests/laws/test_kinds.py`, which tests every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from burnish.errors import Problem
from burnish.records.encoding import FloatArray
from burnish.records.example import Example
from burnish.records.label import Label
from burnish.records.task import Task
from burnish.tasks.answer import Answer
from burnish.tasks.kinds import classification, multilabel, sentiment

__all__ = ["KINDS", "Answer", "Kind", "kind_of"]


class Kind(Protocol):
    """What a label means for one kind of task: read it, check it, aim at it, read it back.

    Shapes: R rows, L labels in the task's order; fp64 throughout.

    Law: when `check` is silent, decode(task, probabilities of targets(task, label)).label == label.
    """

    @property
    def objective(self) -> Literal["softmax", "sigmoid"]:
        """The function that turns logits into probabilities, and so the loss that goes with it."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metric names that make sense for this kind, in the order reports show them."""
        ...

    @property
    def default_metric(self) -> str:
        """The primary metric when nothing speaks for another."""
        ...

    def parse(self, task: Task, cell: str) -> Label | Problem:
        """The label a raw cell means, or the problem (code "label-unknown", with the nearest name)."""
        ...

    def check(self, task: Task, example: Example) -> tuple[Problem, ...]:
        """Everything that keeps the example's label from being aimed at."""
        ...

    def targets(self, task: Task, label: Label) -> FloatArray:
        """The label as numbers: shape (L,), one-hot or multi-hot."""
        ...

    def probabilities(self, logits_RL: FloatArray) -> FloatArray:
        """Logits to probabilities: (R, L) to (R, L)."""
        ...

    def decode(self, task: Task, probabilities_L: FloatArray) -> Answer:
        """The answer that probabilities of shape (L,) stand for."""
        ...


KINDS: Mapping[str, Kind] = {
    "classification": classification,
    "multilabel": multilabel,
    "sentiment": sentiment,
}


def kind_of(task: Task) -> Kind:
    """The kind of a task.

    Example:
        >>> KINDS["multilabel"].objective
        'sigmoid'
    """
    return KINDS[task.kind]
