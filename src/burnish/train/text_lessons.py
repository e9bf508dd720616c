"""Labelled examples of a kind whose models write become the token rows that training takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from burnish.encode.codec import Codec
from burnish.errors import BurnishError, Problem
from burnish.records.encoding import TokenRow
from burnish.records.example import Example
from burnish.records.label import Spans, Texts, label_names
from burnish.records.message import Message
from burnish.records.task import Task
from burnish.tasks.kind import writing_kind_of
from burnish.train.token_rows import TextRows, text_rows


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """The rows of one split, and how many tokens each lost to `truncate`."""

    rows: TextRows
    dropped_tokens: tuple[int, ...]


def lessons_of(task: Task, codec: Codec, examples: Sequence[Example]) -> Lessons:
    """Every example as the model is to see it; the first reference is what it learns to say.

    All examples that cannot be learnt are told at once, each sort with its first place and how many more there are.

    Raises: prompt-too-long, conversation-too-long, row-unsupervised, template-not-nested, answer-straddles, and the
        codes of rendering.
    """
    taught = [(turns_of(task, one), one.source.where, one.weight) for one in examples]
    return lessons_from(codec, taught)


def lessons_from(codec: Codec, taught: Sequence[tuple[Sequence[Message], str, float]]) -> Lessons:
    """The same of turns, each with its place and weight.

    Raises: as lessons_of.
    """
    rows: list[TokenRow] = []
    dropped: list[int] = []
    broken: dict[str, Problem] = {}
    places: list[str] = []
    for turns, where, weight in taught:
        try:
            row, fitted = codec.row(turns, where=where, weight=weight)
        except BurnishError as error:
            for problem in error.problems:
                known = broken.get(problem.code)
                broken[problem.code] = (
                    problem if known is None else replace(known, more=known.more + 1)
                )
            continue
        rows.append(row)
        dropped.append(fitted.dropped_tokens)
        places.append(where)
    if broken:
        raise BurnishError(tuple(broken.values()))
    return Lessons(text_rows(rows, places=places), tuple(dropped))


def turns_of(task: Task, example: Example) -> tuple[Message, ...]:
    """What the model is asked for an example, and what it is to say."""
    asked = writing_kind_of(task).prompt(task, example.inputs)
    return (*asked, Message(role="assistant", content=next(iter(references_of(example)))))


def references_of(example: Example) -> tuple[str, ...]:
    """The texts that are right; none for an example without a label of texts, or whose answer is to give none."""
    return label_names(example.label) if isinstance(example.label, Texts | Spans) else ()


def labelled(examples: Sequence[Example]) -> Iterator[Example]:
    """The examples that have an answer to learn: a text, or a piece of a context, which may be none."""
    return (one for one in examples if isinstance(one.label, Spans) or references_of(one))
