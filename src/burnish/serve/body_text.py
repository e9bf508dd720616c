"""The reply of /v1/predictions for kinds that answer with a text, written or found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from burnish.records.deployment import Prediction
from burnish.records.record import Record
from burnish.records.task import Task
from burnish.serve.given import Given


class Usage(Record):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class TextPrediction(Record):
    """One answer. `finish_reason` is "length" where the task's `max_new_tokens` ended the text. Of a piece of a context
    `start` and `end` are its characters in the text as it was sent, null for "no answer", and `confidence` is how sure
    the model is; both are null for a text that was written. `dropped_characters` counts what was cut from the prompt.
    """

    id: str
    text: str
    finish_reason: Literal["stop", "length"] = "stop"
    start: int | None = None
    end: int | None = None
    confidence: float | None = None
    truncated: bool = False
    dropped_characters: int = 0
    usage: Usage


class TextReply(Record):
    """The answers in the order of the inputs, all from one version. `journalled` is false when the disk refused the
    journal.
    """

    model: str
    version: str
    journalled: bool = True
    predictions: tuple[TextPrediction, ...]


def text_reply(
    predictions: Sequence[Prediction],
    answers: Sequence[Given],
    *,
    task: Task,
    version: str,
    journalled: bool,
) -> TextReply:
    """Answers as a reply; the words are the model's, whatever the journal keeps of them."""
    return TextReply(
        model=task.name,
        version=version,
        journalled=journalled,
        predictions=tuple(
            _one(prediction.id, answer, finds=task.finds)
            for prediction, answer in zip(predictions, answers, strict=True)
        ),
    )


def usage_of(prompt_tokens: float, completion_tokens: float) -> Usage:
    """Counts and their sum."""
    read, written = int(prompt_tokens), int(completion_tokens)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def _one(id: str, answer: Given, *, finds: bool) -> TextPrediction:
    scores, text = answer.scores, answer.text or ""
    start = int(scores["start"]) if "start" in scores else None
    return TextPrediction(
        id=id,
        text=text,
        finish_reason="stop" if scores["finished"] else "length",
        start=start,
        end=None if start is None else start + len(text),
        confidence=answer.confidence if finds else None,
        truncated=answer.dropped_characters > 0,
        dropped_characters=answer.dropped_characters,
        usage=usage_of(scores["prompt_tokens"], scores["completion_tokens"]),
    )
