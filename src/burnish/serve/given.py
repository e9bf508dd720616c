"""What a version gave for a row, whatever its kind, as the journal and the reply know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from burnish.data.normalise import normalise_inputs
from burnish.data.redact import redact
from burnish.errors import fail
from burnish.evaluate.predict import Predicted, predict
from burnish.models.fitted_text import confidence_of
from burnish.records.deployment import Prediction
from burnish.records.example import input_id
from burnish.records.label import label_names
from burnish.records.task import Task
from burnish.serve.live import Answering

if TYPE_CHECKING:
    from burnish.models.fitted import Fitted
    from burnish.models.fitted_text import FittedText, TextAnswer


@dataclass(frozen=True, slots=True)
class Given:
    """Labels with their probabilities, or a text: the fields of a Prediction that are the model's."""

    labels: tuple[str, ...]
    confidence: float
    scores: dict[str, float]
    dropped_characters: int
    text: str | None = None


def given(answering: Answering, rows: Sequence[Mapping[str, str]]) -> list[Given]:
    """One answer a row, in order.

    Raises: answer-not-finite, and the codes of the engine.
    """
    task = answering.task
    if task.is_closed:
        found = predict(cast("Fitted", answering.fitted), task, rows)
        return [_labels(task, one) for one in found]
    texts = cast("FittedText", answering.fitted).answer(task, rows)
    return [_text(one) for one in texts]


def prediction_of(
    answering: Answering,
    row: Mapping[str, str],
    answer: Given,
    *,
    served: Task,
    id: str,
    at: str,
    latency_ms: float,
    audit: bool,
) -> Prediction:
    """The journal's record of an answer. Words are kept only if the version's own task and `served`, that of task.toml,
    both keep them, redacted as that says.
    """
    task, kept, text = answering.task, None, None
    if "hash" not in (task.keep_inputs, served.keep_inputs):
        kept = {name: redact(value, served.redact).text for name, value in row.items()}
        text = None if answer.text is None else redact(answer.text, served.redact).text
    return Prediction(
        id=id,
        version=answering.deployment.version,
        # what the model was asked; the journal keeps what the client sent
        input_id=input_id(normalise_inputs(task, row)),
        inputs=kept,
        labels=answer.labels,
        confidence=answer.confidence,
        scores=answer.scores,
        text=text,
        dropped_characters=answer.dropped_characters,
        latency_ms=latency_ms,
        audit=audit,
        at=at,
    )


def _labels(task: Task, predicted: Predicted) -> Given:
    if not np.isfinite(predicted.probabilities_L).all():
        raise fail("answer-not-finite", "the model gave a probability that is no number")
    return Given(
        labels=label_names(predicted.answer.label),
        confidence=float(predicted.answer.confidence),
        scores=dict(zip(task.label_names, map(float, predicted.probabilities_L), strict=True)),
        dropped_characters=predicted.encoding.dropped_characters,
    )


def _text(answer: TextAnswer) -> Given:
    scores = {
        "prompt_tokens": float(len(answer.prompt_ids)),
        "completion_tokens": float(len(answer.answer_ids)),
        "finished": float(answer.finished),
    }
    if answer.start is not None:
        scores["start"] = float(answer.start)
    return Given((), confidence_of(answer), scores, answer.dropped_characters, answer.text)
