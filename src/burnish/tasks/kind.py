"""The door of task kinds: what a label means, one module per kind, one table.

A kind knows arrays and text only. To add one, write `tasks/kinds/<name>.py` with the members of
`Kind` (labels of a closed set), `WritingKind` (texts) or `FindingKind` (pieces of a context), add a row to `KINDS`,
and run `tests/laws/test_kinds.py`, which tests every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from burnish.errors import Problem
from burnish.records.encoding import FloatArray
from burnish.records.example import Example
from burnish.records.label import Label
from burnish.records.message import Message
from burnish.records.task import Task
from burnish.tasks.answer import Answer
from burnish.tasks.kinds import (
    chat,
    classification,
    extractive_qa,
    multilabel,
    qa,
    sentiment,
    summarization,
)

__all__ = [
    "KINDS",
    "Answer",
    "AnyKind",
    "FindingKind",
    "Kind",
    "WritingKind",
    "any_kind_of",
    "kind_of",
    "writing_kind_of",
]


class AnyKind(Protocol):
    """What a label means for one kind of task: read it, check it, measure it."""

    @property
    def answers(self) -> Literal["labels", "text", "spans"]:
        """What a model answers with."""
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
        """The label a raw cell means, or the problem ("label-unknown" with the nearest name, "label-empty")."""
        ...

    def check(self, task: Task, example: Example) -> tuple[Problem, ...]:
        """Everything that keeps the example's label from being aimed at."""
        ...


class WritingKind(AnyKind, Protocol):
    """A kind whose models write: what they are asked is a list of messages."""

    @property
    def answers(self) -> Literal["text"]:
        """What a model answers with."""
        ...

    def prompt(self, task: Task, inputs: Mapping[str, str]) -> tuple[Message, ...]:
        """The turns that the model answers, the last of them not its own."""
        ...


class FindingKind(AnyKind, Protocol):
    """A kind whose models find a piece of their last input."""

    @property
    def answers(self) -> Literal["spans"]:
        """What a model answers with."""
        ...


class Kind(AnyKind, Protocol):
    """A kind whose answer is among labels known before: aim at it, read it back.

    Shapes: R rows, L labels in the task's order; fp64 throughout.

    Law: when `check` is silent, decode(task, probabilities of targets(task, label)).label == label.
    """

    @property
    def answers(self) -> Literal["labels"]:
        """What a model answers with."""
        ...

    @property
    def objective(self) -> Literal["softmax", "sigmoid"]:
        """The function that turns logits into probabilities, and so the loss that goes with it."""
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


_CLOSED: Mapping[str, Kind] = {
    "classification": classification,
    "multilabel": multilabel,
    "sentiment": sentiment,
}
_WRITING: Mapping[str, WritingKind] = {
    "qa": qa,
    "summarization": summarization,
    "chat": chat,
}
_FINDING: Mapping[str, FindingKind] = {"extractive-qa": extractive_qa}
KINDS: Mapping[str, AnyKind] = {**_CLOSED, **_FINDING, **_WRITING}


def any_kind_of(task: Task) -> AnyKind:
    """The kind of a task."""
    return KINDS[task.kind]


def kind_of(task: Task) -> Kind:
    """The kind of a task whose labels are a closed set; KeyError for another.

    Example:
        >>> from burnish.records.task import LabelSpec
        >>> labels = (LabelSpec(name="a"), LabelSpec(name="b"))
        >>> task = Task(name="t", kind="multilabel", inputs=("text",), label="l", labels=labels,
        ...             primary_metric="micro_f1")
        >>> kind_of(task).objective
        'sigmoid'
    """
    return _CLOSED[task.kind]


def writing_kind_of(task: Task) -> WritingKind:
    """The kind of a task whose models write; KeyError for another."""
    return _WRITING[task.kind]
