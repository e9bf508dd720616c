"""Answers cut out of a context: do their own offsets cut out exactly what they say?

Shape legend: R rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.errors import fail
from burnish.evaluate.intervals import wilson
from burnish.evaluate.metrics.squad import exactly
from burnish.evaluate.scored import BoolArray
from burnish.records.report import Measure


@dataclass(frozen=True, slots=True)
class SaidSpan:
    """A piece of a context as it was answered: characters [start, end) of the original text, and the text itself.

    None in place of it means "no answer".
    """

    start: int
    end: int
    text: str


def offsets_exact(contexts: Sequence[str], said: Sequence[SaidSpan | None]) -> BoolArray:
    """Whether each span's offsets cut its own text out of its context: shape (R,); no answer has no offsets to get wrong.

    Raises: evaluate-shape.

    Example:
        >>> offsets_exact(["in Paris", "in Rome"], [SaidSpan(3, 8, "Paris"), SaidSpan(2, 7, "Rome")]).tolist()
        [True, False]
    """
    if len(contexts) != len(said):
        raise fail(
            "evaluate-shape",
            f"{len(said)} spans came with {len(contexts)} contexts",
            expected="one span, or None, for every context",
            fix="predict these rows again with the model trained for this task",
        )
    return np.array(
        [
            span is None
            or (0 <= span.start <= span.end and context[span.start : span.end] == span.text)
            for context, span in zip(contexts, said, strict=True)
        ],
        dtype=np.bool_,
    )


def offset_exactness(
    contexts: Sequence[str],
    said: Sequence[SaidSpan | None],
    references: Sequence[Sequence[str]],
) -> Measure:
    """Of the spans whose text is right (exact match, as SQuAD counts it), the share with exact offsets; Wilson's interval.

    With no right span at all n is 0 and there is no interval.

    Raises: evaluate-shape.
    """
    exact_R = offsets_exact(contexts, said)
    right_R = np.array(
        [
            span is not None and exactly(span.text, true) == 1.0
            for span, true in zip(said, references, strict=True)
        ],
        dtype=np.bool_,
    )
    n, exact = int(right_R.sum()), int((right_R & exact_R).sum())
    low, high = wilson(exact, n) if n else (None, None)
    return Measure(name="offset_exactness", value=exact / n if n else 0.0, low=low, high=high, n=n)
