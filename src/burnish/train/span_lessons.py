"""Labelled questions become the windows that training takes; what is asked of each, and each one's part of the loss.

Shape legend: R windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from burnish.encode.best_span import SpanRule
from burnish.encode.pack import pack_windows
from burnish.encode.windows import (
    PairTokeniser,
    Window,
    answer_tokens,
    context_offsets,
    targets_of,
    trimmed,
    windows_of,
)
from burnish.errors import BurnishError, Problem
from burnish.models.learner import Learner
from burnish.models.span_model import pair_of, span_logits, span_losses
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.example import Example
from burnish.records.label import Spans
from burnish.records.task import Task
from burnish.train.loop import Shares


@dataclass(frozen=True, slots=True, eq=False)
class SpanRows:
    """Windows of one split with their targets and the places of their rows, as `updates` takes them.

    Every window of a row weighs what the row does. Shapes: lengths, weights_R (R,); targets_R2 (R, 2) the first and
    the last token of the answer, (0, 0) where the window does not show it.
    """

    windows: Sequence[Window]
    targets_R2: IntArray
    lengths: IntArray
    weights_R: FloatArray
    places: Sequence[str]

    def places_of(self, rows: IntArray) -> list[str]:
        """Where the rows of these windows stand in their files."""
        return [self.places[int(row)] for row in rows]


@dataclass(frozen=True, slots=True, eq=False)
class SpanLessons:
    """One split: its windows as they are learnt, and row by row as they are answered.

    `longest_answer` is in tokens; `none` rows have no answer, `straddling` ones an answer that begins or ends inside a
    token, of which the model learns the whole token.
    """

    rows: SpanRows
    asked: Sequence[tuple[Window, ...]]
    contexts: Sequence[str]
    longest_answer: int
    none: int
    straddling: int

    @property
    def rule(self) -> SpanRule:
        """What may be an answer after such lessons: none longer than the longest, and nothing only where rows say so."""
        return SpanRule(max(1, self.longest_answer), may_be_none=self.none > 0)


def span_lessons(task: Task, tokeniser: PairTokeniser, examples: Sequence[Example]) -> SpanLessons:
    """Every example as the model is to see it; the first of its answers is what it learns to find.

    All examples that cannot be learnt are told at once, each sort with its first place and how many more there are.

    Raises: question-too-long, answer-beyond-window, answer-invisible.
    """
    asked: list[tuple[Window, ...]] = []
    targets: list[tuple[int, int]] = []
    weights: list[float] = []
    places: list[str] = []
    broken: dict[str, Problem] = {}
    pairs = [pair_of(task, one.inputs) for one in examples]
    longest = none = straddling = 0
    for row, (example, pair) in enumerate(zip(examples, pairs, strict=True)):
        where = example.source.where
        try:
            (windows,) = windows_of(tokeniser, [pair], places=[where])
            found = _aimed(example, windows, pair[1])
        except BurnishError as error:
            for problem in error.problems:
                known = broken.get(problem.code)
                broken[problem.code] = (
                    problem if known is None else replace(known, more=known.more + 1)
                )
            continue
        asked.append(tuple(replace(one, row=row) for one in windows))
        targets += found.targets
        weights += [example.weight] * len(windows)
        places += [where] * len(windows)
        longest = max(longest, found.tokens)
        none += not found.tokens
        straddling += found.straddles
    if broken:
        raise BurnishError(tuple(broken.values()))
    flat = [one for row in asked for one in row]
    return SpanLessons(
        SpanRows(
            windows=flat,
            targets_R2=np.array(targets, dtype=np.int64).reshape(-1, 2),
            lengths=np.array([len(one) for one in flat], dtype=np.int64),
            weights_R=np.array(weights, dtype=np.float64),
            places=places,
        ),
        asked,
        [context for _, context in pairs],
        longest,
        none,
        straddling,
    )


@dataclass(frozen=True, slots=True)
class _Aimed:
    """What each window of a row is to say; `tokens` of the answer, 0 for none."""

    targets: list[tuple[int, int]]
    tokens: int = 0
    straddles: bool = False


def _aimed(example: Example, windows: tuple[Window, ...], context: str) -> _Aimed:
    spans = example.label.spans if isinstance(example.label, Spans) else ()
    if not spans:
        return _Aimed([(0, 0)] * len(windows))
    start, text = spans[0].start, spans[0].text
    tokens = answer_tokens(windows, context, start, start + len(text))
    if tokens is None:
        raise BurnishError(
            (
                Problem(
                    code="answer-invisible",
                    where=example.source.where,
                    what=f"the tokenizer sees nothing of the answer {text[:40]!r}",
                    expected="an answer with letters, digits or signs that the model knows",
                    fix="correct the row, or take it out",
                ),
            )
        )
    targets = targets_of(windows, tokens)
    count = tokens[1] - tokens[0] + 1
    if all(target == (0, 0) for target in targets):
        raise BurnishError(
            (
                Problem(
                    code="answer-beyond-window",
                    where=example.source.where,
                    what=f"the answer has {count} tokens, and no window shows it whole",
                    expected="an answer that fits between two neighbouring windows' overlap",
                    fix="raise max_tokens in recipe.toml, or shorten the answer",
                ),
            )
        )
    starts_C, ends_C = trimmed(context_offsets(windows), context)
    taught = context[int(starts_C[tokens[0]]) : int(ends_C[tokens[1]])]
    return _Aimed(targets, count, straddles=taught != text.strip())


def span_shares(learner: Learner, rows: SpanRows) -> Shares:
    """Each window's part of an update's loss: its weighted loss over the update's sum of weights, divided once."""

    def shares(piece: IntArray, weight_sum: float) -> Tensor:
        batch = pack_windows(
            rows.windows, piece, targets_R2=rows.targets_R2, weights_R=rows.weights_R
        )
        losses_R = span_losses(span_logits(learner, batch), batch)
        return losses_R * (torch.from_numpy(batch.weights_S) / weight_sum).to(losses_R)

    return shares
