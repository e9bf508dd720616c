"""A text is right: what the kinds whose models write have in common.

Inputs become one user turn; a cell of the label column holds a text, or a JSON list of texts that are all right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from burnish.errors import Problem
from burnish.records.example import Example
from burnish.records.label import Label, Texts
from burnish.records.message import Message
from burnish.records.task import Task
from burnish.tasks.spans import read_answers


def parse(task: Task, cell: str) -> Label | Problem:
    """The texts a cell holds: a plain text, a JSON list of texts, or SQuAD's {"text": [...]}.

    A cell that begins like JSON and is none is a text like any other.

    Example:
        >>> task = Task(name="t", kind="qa", inputs=("question",), label="answer", primary_metric="f1")
        >>> parse(task, "in May").texts, parse(task, '["May", "in May"]').texts
        (('in May',), ('May', 'in May'))
    """
    texts = tuple(dict.fromkeys(text for text in _texts_in(cell) if text.strip()))
    if texts:
        return Texts(texts=texts)
    return Problem(
        code="label-empty",
        where=f'column "{task.label}"',
        what="there is no text to learn",
        expected="the text that is right",
        fix="write it, or leave the row out",
    )


def check(task: Task, example: Example) -> tuple[Problem, ...]:
    """Everything that keeps the example's texts from being learnt."""
    label = example.label
    if label is None or isinstance(label, Texts):
        return ()
    return (label_shape(task, example, found=label.type, expected="a text"),)


def label_shape(task: Task, example: Example, *, found: str, expected: str) -> Problem:
    """The problem of a label that was read for another kind of task."""
    return Problem(
        code="label-shape",
        where=example.source.where,
        what=f'the row holds a label of the type "{found}"',
        expected=f'{expected}, because kind = "{task.kind}"',
        fix="read the row again with this task",
    )


def prompt(task: Task, inputs: Mapping[str, str]) -> tuple[Message, ...]:
    """What the model is asked: the task's instruction and the inputs as one user turn.

    Example:
        >>> task = Task(name="t", kind="qa", inputs=("question", "context"), label="answer", primary_metric="f1",
        ...             instruction="Answer briefly.")
        >>> print(prompt(task, {"question": "When?", "context": "In May."})[0].content)
        Answer briefly.
        <BLANKLINE>
        question: When?
        context: In May.
    """
    said = render_inputs(task, inputs)
    content = f"{task.instruction}\n\n{said}" if task.instruction else said
    return (Message(role="user", content=content),)


def render_inputs(task: Task, inputs: Mapping[str, str]) -> str:
    """A single input as it is, several as "column: text" lines in task order, empty ones left out."""
    if len(task.inputs) == 1:
        return inputs[task.inputs[0]]
    return "\n".join(f"{name}: {inputs[name]}" for name in task.inputs if inputs[name])


def input_text(cell: str) -> str:
    """A cell of an input column as text: a JSON list of sentences is joined by spaces.

    Example:
        >>> input_text('["One.", "Two."]'), input_text("[sic]")
        ('One. Two.', '[sic]')
    """
    # again, until nothing changes: a row that was read is read like one that comes from outside
    while cell.startswith("["):
        try:
            found = json.loads(cell)
        except (ValueError, RecursionError):
            break
        if not (isinstance(found, list) and found and all(isinstance(one, str) for one in found)):
            break
        cell = " ".join(one.strip() for one in found)
    return cell


def _texts_in(cell: str) -> list[str]:
    try:
        return [one.text for one in read_answers(cell, None)]
    except (ValueError, RecursionError):
        return [cell]
