"""What one row asks of a baseline that writes text, and by what a choice among answers is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.errors import fail
from burnish.evaluate.metric import metric_of, point
from burnish.evaluate.script import metric_in_place_of
from burnish.evaluate.written import written_from
from burnish.records.encoding import IntArray

# Rows that a choice is made on: with 500 the means of two choices that differ by a point stand apart.
_ROWS_TO_CHOOSE_ON = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, a document or a conversation as text, and the context the answer must be cut out of ("" if none)."""

    text: str
    context: str = ""


def check_rows(asked: Sequence[Asked], references: Sequence[Sequence[str]]) -> None:
    """Refuse to build from nothing, or from rows whose answers are not theirs.

    Raises: evaluate-empty, evaluate-shape.
    """
    if not asked:
        raise fail(
            "evaluate-empty",
            "there is no train row to build a baseline from",
            expected="at least one labelled row in the split",
            fix="add labelled rows to the files under [data] in task.toml",
        )
    if len(asked) != len(references):
        raise fail(
            "evaluate-shape",
            f"{len(asked)} rows came with the answers of {len(references)}",
            expected="one list of answers for every row",
            fix="read the train rows again: questions and answers must come from the same rows",
        )


def rows_to_choose_on(rows: int, *, seed: int) -> IntArray:
    """At most 500 rows, drawn with the seed, rising."""
    drawn = np.random.default_rng(seed).permutation(rows)[:_ROWS_TO_CHOOSE_ON]
    return np.sort(drawn).astype(np.int64)


def quality(metric: str, texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """How good texts are by the task's primary metric, higher always better.

    A metric that cannot read the script, or that only a model can have (a loss), is replaced by chrF.

    Raises: metric-unknown.
    """
    written = written_from(texts, references)
    chosen = metric_of(metric)
    instead, _ = metric_in_place_of(metric, script=written.script)
    if not chosen.directed or metric in ("loss", "perplexity"):
        instead = "chrf"
    sign = 1.0 if chosen.higher_is_better or instead else -1.0
    return sign * point(instead or metric, written)
