"""A base prompted properly: before each question a few train rows with their answers, as many as fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.encode.codec import Codec
from burnish.encode.fit_prompt import FittedPrompt
from burnish.errors import BurnishError
from burnish.records.example import Example
from burnish.records.message import Message
from burnish.records.task import Task
from burnish.tasks.kind import writing_kind_of
from burnish.train.text_lessons import labelled, turns_of

# Rows looked at for examples; the shortest of them leave most room for the question.
_DRAWN = 64


@dataclass(frozen=True, slots=True, eq=False)
class ShotPrompts:
    """A prompt for every row, and how many examples each got."""

    prompts: tuple[FittedPrompt, ...]
    shots: tuple[int, ...]


def choose_shots(task: Task, train: Sequence[Example], *, count: int, seed: int) -> list[Message]:
    """`count` train rows, drawn with the seed, as turns of a user and of the assistant; the shorter ones of those drawn.

    Of a conversation the last question and its answer are taken.
    """
    known = list(labelled(train))
    drawn = np.random.default_rng(seed).permutation(len(known))[:_DRAWN]
    pairs = [turns_of(task, known[int(row)])[-2:] for row in drawn]
    asked = [pair for pair in pairs if pair[0].role == "user"]
    asked.sort(key=lambda pair: sum(len(one.content) for one in pair))
    # the shortest may be odd ones out; the quarter above them is short and like the others
    first = min(len(asked) // 4, max(0, len(asked) - count))
    return [turn for pair in asked[first : first + count] for turn in pair]


def shot_prompts(
    task: Task, examples: Sequence[Example], *, codec: Codec, shots: Sequence[Message]
) -> ShotPrompts:
    """Each example's prompt with the shots before its own turns; where they do not fit, with fewer of them.

    Raises: prompt-too-long when a question alone does not fit and may not be cut.
    """
    kind = writing_kind_of(task)
    made: list[FittedPrompt] = []
    counts: list[int] = []
    for example in examples:
        turns = kind.prompt(task, example.inputs)
        prompt, count = _fitting(turns, shots, codec=codec, where=example.source.where)
        made.append(prompt)
        counts.append(count)
    return ShotPrompts(tuple(made), tuple(counts))


def _fitting(
    turns: Sequence[Message], shots: Sequence[Message], *, codec: Codec, where: str
) -> tuple[FittedPrompt, int]:
    system = tuple(turns[:1]) if turns[0].role == "system" else ()
    for count in range(len(shots) // 2, 0, -1):
        told = (*system, *shots[: 2 * count], *turns[len(system) :])
        try:
            fitted = codec.prompt(told, where=where)
        except BurnishError as error:
            if error.code != "prompt-too-long":
                raise
            continue
        if not fitted.dropped_tokens:
            return fitted, count
    return codec.prompt(turns, where=where), 0
