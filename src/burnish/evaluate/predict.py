"""The one prediction path: evaluation, batch files and the HTTP server all answer through here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from burnish.encode.render import render
from burnish.models.fitted import Fitted
from burnish.records.encoding import Encoding, FloatArray
from burnish.records.task import Task
from burnish.tasks.kind import Answer, kind_of


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """One answer with what the model saw. Shapes: probabilities_L (L,) in task label order."""

    answer: Answer
    probabilities_L: FloatArray
    encoding: Encoding


def predict(fitted: Fitted, task: Task, inputs: Sequence[Mapping[str, str]]) -> list[Predicted]:
    """Answer rows, in order: render, encode, logits, the kind's probabilities, decode.

    Raises: input-missing.
    """
    return predict_encodings(fitted, task, fitted.encode([render(task, row) for row in inputs]))


def predict_encodings(fitted: Fitted, task: Task, encodings: Sequence[Encoding]) -> list[Predicted]:
    """Answer rows that are encoded already."""
    if not encodings:
        return []
    kind = kind_of(task)
    probabilities_RL = kind.probabilities(np.asarray(fitted.logits(encodings)))
    return [
        Predicted(kind.decode(task, row), row, encoding)
        for row, encoding in zip(probabilities_RL, encodings, strict=True)
    ]
