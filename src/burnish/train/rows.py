"""Examples become the rows training takes: rendered texts, targets, weights, places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.encode.render import render
from burnish.records.encoding import FloatArray
from burnish.records.example import Example
from burnish.records.task import Task
from burnish.tasks.kind import kind_of


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Rendered rows of one split with their targets. Shapes: targets_RL (R, L), weights_R (R,)."""

    texts: Sequence[str]
    targets_RL: FloatArray
    weights_R: FloatArray
    places: Sequence[str]


def labelled_texts(task: Task, examples: Sequence[Example]) -> LabelledTexts:
    """The labelled ones of these examples, in order."""
    kind = kind_of(task)
    rows = [(example, example.label) for example in examples if example.label is not None]
    targets = [kind.targets(task, label) for _, label in rows]
    return LabelledTexts(
        texts=[render(task, example.inputs) for example, _ in rows],
        targets_RL=np.stack(targets) if targets else np.zeros((0, len(task.labels))),
        weights_R=np.array([example.weight for example, _ in rows]),
        places=[example.source.where for example, _ in rows],
    )
