"""Feedback over HTTP: the JSON of requests and replies, read strictly."""

from __future__ import annotations

from collections.abc import Sequence

import pydantic

from burnish.deploy.feedback import Said, Taken
from burnish.errors import BurnishError, fail
from burnish.records.record import Record
from burnish.serve.body import problems_of

EXPECTED = '{"prediction": ID, "label": LABEL, "by": NAME}, or {"feedback": [such objects]}'


class FeedbackRow(Record):
    """What somebody says about one prediction: the right `label` (or `labels`, for tasks with several), or only
    `right` true or false. `inputs` is the text again, for journals that keep hashes alone.
    """

    prediction: str
    by: str
    label: str | None = None
    labels: tuple[str, ...] | None = None
    right: bool | None = None
    inputs: dict[str, str] | None = None


class FeedbackRequest(Record):
    """Several pieces of feedback: all are recorded, or none."""

    feedback: tuple[FeedbackRow, ...]


class FeedbackAnswer(Record):
    """Feedback as it was recorded. `new` is false when it was there already; `chosen` says whether the prediction had
    been drawn at random for an audit; `against` names people who said otherwise.
    """

    id: str
    prediction: str
    right: bool
    chosen: str
    new: bool
    against: tuple[str, ...]


class FeedbackReply(Record):
    """The answers in the order of the request. They are on the disk."""

    feedback: tuple[FeedbackAnswer, ...]


def read_feedback(body: bytes, *, at_most: int) -> tuple[Said, ...]:
    """The feedback in a body, one object or a list of them.

    Raises: body-not-json, body-wrong, too-many-rows.

    Example:
        >>> read_feedback(b'{"prediction": "9f2c", "label": "refund", "by": "ann"}', at_most=9)[0].labels
        ('refund',)
    """
    try:
        rows = FeedbackRequest.model_validate_json(body, strict=True).feedback
        several = True
    except pydantic.ValidationError as error:
        if any(
            fault["loc"][:1] == ("feedback",) and len(fault["loc"]) > 1 for fault in error.errors()
        ):
            raise BurnishError(problems_of(error, expected=EXPECTED)) from None
        try:
            rows, several = (FeedbackRow.model_validate_json(body, strict=True),), False
        except pydantic.ValidationError as single:
            raise BurnishError(problems_of(single, expected=EXPECTED)) from None
    if len(rows) > at_most:
        raise fail(
            "too-many-rows",
            f"{len(rows):,} pieces of feedback in one request",
            expected=f"at most {at_most:,}",
            fix="send them in parts, or use burnish feedback import for files",
        )
    if not rows:
        raise fail(
            "body-wrong",
            "there is no feedback",
            where="feedback",
            expected="at least one piece of feedback",
            fix=f"send {EXPECTED}",
        )
    return tuple(
        _said(row, where=f"feedback[{place}]" if several else "") for place, row in enumerate(rows)
    )


def feedback_reply(taken: Sequence[Taken]) -> FeedbackReply:
    """What was recorded, as a reply."""
    return FeedbackReply(
        feedback=tuple(
            FeedbackAnswer(
                id=one.feedback.id,
                prediction=one.feedback.prediction_id,
                right=one.feedback.right,
                chosen=one.feedback.chosen,
                new=one.new,
                against=one.against,
            )
            for one in taken
        )
    )


def _said(row: FeedbackRow, *, where: str) -> Said:
    if row.label is not None and row.labels is not None:
        raise fail(
            "body-wrong",
            "label and labels are both given",
            where=where,
            expected="one of the two",
            fix="leave one out",
        )
    labels = (row.label,) if row.label is not None else row.labels
    return Said(
        prediction=row.prediction,
        by=row.by,
        labels=labels,
        right=row.right,
        inputs=row.inputs,
        where=where,
    )
