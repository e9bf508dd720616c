"""Extractive question answering: the piece of a context that answers a question, or that there is none.

`inputs` are the question and the context, in this order; offsets count characters of the context as it is given.
Source: the task of SQuAD v1.1 (Rajpurkar et al. 2016) and v2.0 (Rajpurkar et al. 2018).
"""

from __future__ import annotations

from typing import Literal

from burnish.errors import Problem
from burnish.records.example import Example
from burnish.records.label import Label, Span, Spans
from burnish.records.task import Task
from burnish.tasks.spans import nearest, read_answers
from burnish.tasks.written import label_shape

answers: Literal["spans"] = "spans"
metrics: tuple[str, ...] = ("f1", "exact_match")
default_metric = "f1"


def parse(task: Task, cell: str) -> Label | Problem:
    """The pieces a cell names; no text is the answer "none".

    Each needs its start: {"text": ["May"], "answer_start": [3]} or a list of {"text", "answer_start"}.

    Example:
        >>> task = Task(name="t", kind="extractive-qa", inputs=("question", "context"), label="answers",
        ...             primary_metric="f1")
        >>> parse(task, '{"text": ["May"], "answer_start": [3]}').spans
        (Span(text='May', start=3),)
        >>> parse(task, '{"text": [], "answer_start": []}').spans
        ()
    """
    try:
        found = [one for one in read_answers(cell, None) if one.text]
    except (ValueError, RecursionError) as error:
        return _unreadable(task, str(error))
    if not cell.strip():
        return Spans(spans=())
    spans: list[Span] = []
    for one in found:
        if one.start is None or one.start < 0:
            return _unreadable(task, f'"{one.text[:40]}" has no start')
        spans.append(Span(text=one.text, start=one.start))
    return Spans(spans=tuple(dict.fromkeys(spans)))


def check(task: Task, example: Example) -> tuple[Problem, ...]:
    """Pieces that do not stand in the context, or elsewhere, with the place where they stand."""
    label = example.label
    if label is None:
        return ()
    if not isinstance(label, Spans):
        return (label_shape(task, example, found=label.type, expected="pieces of the context"),)
    context = example.inputs.get(task.inputs[-1], "")
    problems: list[Problem] = []
    for span in label.spans:
        if context.startswith(span.text, span.start):
            continue
        true = nearest(context, span.text, span.start)
        place = f"it stands at {true}" if true is not None else "it stands nowhere in it"
        problems.append(
            Problem(
                code="answer-offset" if true is not None else "answer-missing",
                where=example.source.where,
                what=f'"{span.text[:60]}" is not at {span.start} of the context; {place}',
                expected="answers at their offset, counted in characters",
                fix="burnish data check names every such row; repair_offsets = true under [data] in task.toml takes the "
                "place found",
            )
        )
    return tuple(problems)


def repaired(task: Task, example: Example) -> Example:
    """The row with every answer at the place nearest to its offset where it stands; one that stands nowhere stays.

    Example:
        >>> from burnish.records.example import Source
        >>> task = Task(name="t", kind="extractive-qa", inputs=("question", "context"), label="answers",
        ...             primary_metric="f1")
        >>> row = Example(row_id="r", input_id="i", inputs={"question": "When?", "context": "In May."},
        ...               label=Spans(spans=(Span(text="May", start=4),)), source=Source(where="a:1"))
        >>> repaired(task, row).label.spans
        (Span(text='May', start=3),)
    """
    label = example.label
    if not isinstance(label, Spans):
        return example
    context = example.inputs.get(task.inputs[-1], "")
    moved: dict[Span, None] = {}
    for span in label.spans:
        if context.startswith(span.text, span.start):
            moved[span] = None
            continue
        true = nearest(context, span.text, span.start)
        moved[span if true is None else Span(text=span.text, start=true)] = None
    if tuple(moved) == label.spans:
        return example
    return example.model_copy(update={"label": Spans(spans=tuple(moved))})


def _unreadable(task: Task, what: str) -> Problem:
    return Problem(
        code="answers-unreadable",
        where=f'column "{task.label}"',
        what=what,
        expected='{"text": ["..."], "answer_start": [0]}',
        fix='write the answers so; without starts, kind = "qa" learns to write them',
    )
