"""A closed set of labels asked of a model that writes: the turn that asks, and the labels as the texts it may answer."""

from __future__ import annotations

from burnish.records.message import Message
from burnish.records.task import Task

# Sets up to this size are named in the question; a longer list would cost more tokens than the text itself.
LISTED_LABELS = 20


def choice_prompt(task: Task, text: str) -> tuple[Message, ...]:
    """What the model is asked about a rendered text: the instruction before it, so that cutting takes the text's end.

    Example:
        >>> from burnish.records.task import LabelSpec
        >>> labels = (LabelSpec(name="spam"), LabelSpec(name="ham"))
        >>> task = Task(name="t", kind="classification", inputs=("text",), label="l", labels=labels,
        ...             primary_metric="accuracy")
        >>> print(choice_prompt(task, "You have won!")[0].content)
        Classify the text. Answer with one of: spam, ham.
        <BLANKLINE>
        You have won!
    """
    return (Message(role="user", content=f"{_instruction(task)}\n\n{text}"),)


def _instruction(task: Task) -> str:
    if task.instruction:
        return task.instruction
    if len(task.labels) > LISTED_LABELS:
        return "Classify the text."
    return f"Classify the text. Answer with one of: {', '.join(task.label_names)}."
