"""Inputs become the one text the model reads: the same in training, evaluation and serving."""

from __future__ import annotations

from collections.abc import Mapping

from burnish.data.normalise import normalise_inputs
from burnish.errors import fail
from burnish.records.task import Task
from burnish.tasks.conversation import whole_characters


def render(task: Task, inputs: Mapping[str, str]) -> str:
    """The text of one row: a single input column, several as "column: text" lines in task order.

    The task's rules for texts are applied to each column first; to rows that were read with them they do nothing
    more. Empty columns are left out of the lines. Without rules a single column keeps its length in characters.

    Raises: input-missing when a column of the task is not among the inputs.

    Example:
        >>> from burnish.records.task import LabelSpec
        >>> labels = (LabelSpec(name="a"), LabelSpec(name="b"))
        >>> task = Task(name="t", kind="classification", inputs=("subject", "text"), label="l",
        ...             labels=labels, primary_metric="accuracy")
        >>> render(task, {"subject": "Hi", "text": "Where is it?"})
        'subject: Hi\\ntext: Where is it?'
    """
    missing = [column for column in task.inputs if column not in inputs]
    if missing:
        raise fail(
            "input-missing",
            f"no {', '.join(missing)} among the inputs {sorted(inputs)}",
            expected=f"a text for each of: {', '.join(task.inputs)}",
            fix=f'send "inputs" with the keys {", ".join(task.inputs)}',
        )
    inputs = normalise_inputs(task, inputs)
    if len(task.inputs) == 1:
        text = inputs[task.inputs[0]]
    else:
        text = "\n".join(f"{name}: {inputs[name]}" for name in task.inputs if inputs[name])
    return whole_characters(text)
