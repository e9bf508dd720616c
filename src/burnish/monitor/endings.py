"""Answers that are texts, as signals that were made for labels see them: how each answer ended.

The share of answers that were cut short, are empty, or say that there is none stands in for the share of a label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from burnish.encode.render import render
from burnish.errors import BurnishError
from burnish.models.fitted_text import TextAnswer
from burnish.records.deployment import Prediction
from burnish.records.encoding import FloatArray
from burnish.records.task import Task
from burnish.tasks.conversation import read_conversation
from burnish.tasks.kinds.chat import is_conversation

WRITTEN, CUT, EMPTY = "finished", "cut short", "empty"
FOUND, NONE = "found", "no answer"


def endings(task: Task) -> tuple[str, ...]:
    """The ways in which an answer of this task ends.

    Example:
        >>> endings(Task(name="t", kind="qa", inputs=("q",), label="a", primary_metric="f1"))
        ('finished', 'cut short', 'empty')
    """
    return (FOUND, NONE) if task.finds else (WRITTEN, CUT, EMPTY)


def ending_of(task: Task, *, text: str | None, finished: bool, has_start: bool) -> str:
    """How an answer ended; one whose words were not kept counts as having some."""
    if task.finds:
        return FOUND if has_start else NONE
    if text is not None and not text.strip():
        return EMPTY
    return WRITTEN if finished else CUT


def answered_endings(task: Task, answers: Sequence[TextAnswer]) -> FloatArray:
    """One column per ending, 1 in that of each answer. Shape: (R, L)."""
    found = [
        ending_of(task, text=one.text, finished=one.finished, has_start=one.start is not None)
        for one in answers
    ]
    return _columns(task, found)


def journalled_endings(task: Task, given: Sequence[Prediction]) -> FloatArray:
    """The same of predictions. Shape: (R, L)."""
    found = [
        ending_of(
            task,
            text=one.text,
            finished=bool(one.scores.get("finished", 1.0)),
            has_start="start" in one.scores,
        )
        for one in given
    ]
    return _columns(task, found)


def asked_text(task: Task, inputs: dict[str, str]) -> str:
    """What was asked, as one text: rendered, of a conversation the turns of the users and tools.

    A kind with columns may have been asked as a conversation, or with a bare prompt, over OpenAI's routes.
    """
    if not is_conversation(task) and set(task.inputs) <= set(inputs):
        return render(task, inputs)
    try:
        turns = read_conversation(inputs.get("messages", ""))
    except BurnishError:
        return "\n".join(inputs.values())
    return "\n".join(one.content for one in turns if one.role in ("user", "tool"))


def _columns(task: Task, found: Sequence[str]) -> FloatArray:
    names = endings(task)
    return np.eye(len(names))[[names.index(one) for one in found]].reshape(len(found), len(names))
