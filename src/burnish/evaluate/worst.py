"""The errors the model was surest about, with the train rows that lie nearest.

Shape legend: R rows, L labels, T train rows, E embedding size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from burnish.encode.render import render
from burnish.evaluate.scored import Scored
from burnish.records.encoding import FloatArray
from burnish.records.example import Example
from burnish.records.label import label_names
from burnish.records.report import Neighbour, WorstRow
from burnish.records.task import Task

WORST = 12
NEAREST = 3
# a report holds excerpts, not whole documents; the row is found by its place
TEXT_CHARACTERS = 600
NO_LABEL = "(none)"


@dataclass(frozen=True, slots=True, eq=False)
class Nearby:
    """The train rows to look for neighbours in.

    Shapes: embeddings_RE of the rows that are measured, train_TE of `train`, in the same space.
    """

    train: Sequence[Example]
    train_TE: FloatArray
    embeddings_RE: FloatArray


def worst_rows(
    task: Task,
    examples: Sequence[Example],
    scored: Scored,
    *,
    nearby: Nearby | None = None,
    count: int = WORST,
) -> tuple[WorstRow, ...]:
    """At most `count` wrong rows, surest first (ties in row order).

    The confidence is the probability of the answer; for several labels, that of the surest wrong yes/no.
    """
    wrong_R = np.flatnonzero(~scored.right_R)
    if scored.objective == "softmax":
        sure_R = scored.probabilities_RL.max(axis=1)
    else:
        wrong_RL = scored.said_RL != (scored.targets_RL > 0.5)
        chance_RL = np.maximum(scored.probabilities_RL, 1 - scored.probabilities_RL)
        sure_R = np.where(wrong_RL, chance_RL, 0.0).max(axis=1)
    chosen = wrong_R[np.argsort(-sure_R[wrong_R], kind="stable")][:count]
    return tuple(
        WorstRow(
            where=examples[row].source.where,
            text=excerpt(render(task, examples[row].inputs)),
            label=_shown(_true_names(examples[row])),
            predicted=_shown(
                name
                for name, said in zip(task.label_names, scored.said_RL[row], strict=True)
                if said
            ),
            confidence=float(sure_R[row]),
            nearest=() if nearby is None else _nearest(task, nearby, row),
        )
        for row in map(int, chosen)
    )


def excerpt(text: str, *, characters: int = TEXT_CHARACTERS) -> str:
    """The text, or its beginning with an ellipsis.

    Example:
        >>> excerpt("a long story", characters=7)
        'a long…'
    """
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def _nearest(task: Task, nearby: Nearby, row: int) -> tuple[Neighbour, ...]:
    query_E = np.asarray(nearby.embeddings_RE[row], dtype=np.float64)
    train_TE = np.asarray(nearby.train_TE, dtype=np.float64)
    lengths_T = np.linalg.norm(train_TE, axis=1) * np.linalg.norm(query_E)
    # a zero vector is like nothing
    cosine_T = np.divide(
        train_TE @ query_E, lengths_T, out=np.zeros(len(train_TE)), where=lengths_T > 0
    )
    chosen = np.argsort(-cosine_T, kind="stable")[:NEAREST]
    return tuple(
        Neighbour(
            where=nearby.train[place].source.where,
            text=excerpt(render(task, nearby.train[place].inputs)),
            label=_shown(_true_names(nearby.train[place])),
            similarity=float(np.clip(cosine_T[place], -1.0, 1.0)),
        )
        for place in map(int, chosen)
    )


def _true_names(example: Example) -> tuple[str, ...]:
    return () if example.label is None else label_names(example.label)


def _shown(names: Iterable[str]) -> str:
    return ", ".join(names) or NO_LABEL
