"""Feedback: what people say about predictions, checked against what was predicted, kept once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.data.normalise import every_choice, normalise
from burnish.data.redact import redact
from burnish.errors import BurnishError, Problem, nearest
from burnish.records.deployment import Feedback, Prediction
from burnish.records.example import input_id
from burnish.records.record import content_id
from burnish.records.task import Normalise, Task
from burnish.store.feedback import feedback, record_feedback
from burnish.store.journal import find_many
from burnish.store.ledger import Ledger

# Ends of what a person may be called: names are shown in tables and stored in every row.
_LONGEST_NAME = 200
_SHORT_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said about a prediction, not yet believed. `where` is its place in a file or request.

    Give `labels` (the right ones) or `right` (the prediction was right or wrong), or both when they agree. Of kinds that
    answer with a text the one label is the right text, "" for "no answer".
    """

    prediction: str
    by: str
    labels: tuple[str, ...] | None = None
    right: bool | None = None
    inputs: Mapping[str, str] | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """Feedback that is on the disk. `new` is False when it was there already; `against` names those who disagree."""

    feedback: Feedback
    new: bool
    against: tuple[str, ...]


def give_feedback(
    ledger: Ledger, task: Task, said: Sequence[Said], *, at: str
) -> tuple[Taken, ...]:
    """Record feedback in one commit: all of it, or none and every problem told.

    The same person saying the same again changes nothing; saying something else later counts instead of the
    earlier. Feedback on a retired or deleted version is as good as any: the prediction is what it is about.

    Raises: prediction-unknown, label-unknown, feedback-empty, feedback-contradicts-itself,
    feedback-unsigned, feedback-other-text, feedback-text-missing, and those of record_feedback.
    """
    known = find_many(ledger, [one.prediction for one in said])
    problems: list[Problem] = []
    for one in said:
        found = known.get(one.prediction)
        problems += _problems(one, found.prediction if found else None, task)
    if problems:
        raise BurnishError(tuple(problems))
    before: dict[str, list[Feedback]] = {}
    for _, earlier in feedback(ledger, prediction_ids=list(known)):
        before.setdefault(earlier.prediction_id, []).append(earlier)
    taken: list[Taken] = []
    for one in said:
        prediction = known[one.prediction].prediction
        thread = before.setdefault(prediction.id, [])
        made = _feedback(one, prediction, thread, task, at=at)
        new = all(other.id != made.id for other in thread)
        if new:
            thread.append(made)
        taken.append(Taken(made, new, _against(made, thread)))
    record_feedback(ledger, [one.feedback for one in taken if one.new])
    return tuple(taken)


def latest(thread: Sequence[Feedback]) -> dict[str, Feedback]:
    """What each person said last, by person, from feedback in the order it came."""
    return {one.by: one for one in thread}


def _feedback(
    said: Said, prediction: Prediction, thread: Sequence[Feedback], task: Task, *, at: str
) -> Feedback:
    labels, text = said.labels, None
    if task.is_closed:
        right = said.right if labels is None else set(labels) == set(prediction.labels)
    else:
        text, labels = redact(labels[0], task.redact).text if labels else None, None
        right = text == prediction.text if said.right is None else said.right
    mine = [one for one in thread if one.by == said.by]
    if mine and (mine[-1].labels, mine[-1].text, mine[-1].right) == (labels, text, right):
        return mine[-1]
    # the turn counts: somebody may go back to what they said first; a text can be forgotten, its hash could be guessed
    facts = [prediction.id, said.by, labels, right, len(mine)]
    return Feedback(
        id=content_id(facts if text is None else [*facts, "text"]),
        prediction_id=prediction.id,
        right=bool(right),
        labels=labels,
        text=text,
        by=said.by,
        chosen="random" if prediction.audit else "disputed",
        inputs=_kept(said, prediction, task),
        at=at,
    )


def _kept(said: Said, prediction: Prediction, task: Task) -> dict[str, str] | None:
    """The text sent again, redacted like everything that is written; not kept where the journal has it."""
    if said.inputs is None or prediction.inputs is not None or said.labels is None:
        return None
    return {name: redact(text, task.redact).text for name, text in said.inputs.items()}


def _against(made: Feedback, thread: Sequence[Feedback]) -> tuple[str, ...]:
    others = latest(thread)
    return tuple(
        sorted(
            by
            for by, other in others.items()
            if by != made.by and (other.right != made.right or _differ(other, made))
        )
    )


def _differ(one: Feedback, other: Feedback) -> bool:
    if one.text is not None and other.text is not None:
        # texts may both be right, but not together with "no answer"
        return bool(one.text) != bool(other.text)
    return (
        one.labels is not None and other.labels is not None and set(one.labels) != set(other.labels)
    )


def _problems(said: Said, prediction: Prediction | None, task: Task) -> list[Problem]:
    if not said.by.strip() or len(said.by) > _LONGEST_NAME:
        return [
            Problem(
                code="feedback-unsigned",
                what="nobody is named" if not said.by.strip() else "the name is too long",
                where=said.where,
                expected=f"who says so, in at most {_LONGEST_NAME} characters",
                fix='add by = "NAME"',
            )
        ]
    if prediction is None:
        return [
            Problem(
                code="prediction-unknown",
                what=f'no prediction has the id "{said.prediction[:80]}"',
                where=said.where,
                expected="the id that came with the answer",
                fix="burnish feedback list --audit shows the ids that wait for an answer",
            )
        ]
    wrong = _wrong_labels if task.is_closed else _wrong_answer
    return [*wrong(said, prediction, task), *_wrong_text(said, prediction, task)]


def _empty(said: Said) -> Problem:
    return Problem(
        code="feedback-empty",
        what="neither a label nor right or wrong is given",
        where=said.where,
        expected="label, labels, or right = true or false",
        fix="say what the right label is",
    )


def _wrong_answer(said: Said, prediction: Prediction, task: Task) -> list[Problem]:
    """What is wrong with a text that is said to be right."""
    if said.labels is None:
        return [] if said.right is not None else [_empty(said)]
    if len(said.labels) != 1 or not (said.labels[0].strip() or task.finds):
        return [
            Problem(
                code="feedback-empty",
                what=f"found {len(said.labels)} texts, or an empty one",
                where=said.where,
                expected="the right text as the label",
                fix="give the right text alone",
            )
        ]
    if prediction.text is None and said.right is None:
        return [
            Problem(
                code="feedback-text-missing",
                what="the journal does not hold the answer of this prediction",
                where=said.where,
                expected="right = true or false beside the label, because the two cannot be compared",
                fix="add right",
            )
        ]
    text = redact(said.labels[0], task.redact).text
    if said.right is False and text == prediction.text:
        return [
            Problem(
                code="feedback-contradicts-itself",
                what="right = false, but the text given is the answer",
                where=said.where,
                expected="a text and a verdict that agree",
                fix="leave one of the two out",
            )
        ]
    context = (prediction.inputs or said.inputs or {}).get(task.inputs[-1], "")
    kept = redact(context, task.redact).text
    if task.finds and context and text not in kept and said.labels[0] not in context:
        return [
            Problem(
                code="answer-missing",
                what=f'"{said.labels[0][:60]}" stands nowhere in the context',
                where=said.where,
                expected="a piece of the context, character by character, or an empty text for no answer",
                fix="correct the label",
            )
        ]
    return []


def _wrong_labels(said: Said, prediction: Prediction, task: Task) -> list[Problem]:
    labels = said.labels
    if labels is None:
        return [] if said.right is not None else [_empty(said)]
    names = list(prediction.scores)
    unknown = [name for name in labels if name not in names]
    if unknown:
        return [
            Problem(
                code="label-unknown",
                what=f'found "{name[:80]}"',
                where=said.where,
                expected=f"one of: {', '.join(names)}",
                fix="correct the label, or add it to task.toml and train again",
                nearest=nearest(name[:80], names),
            )
            for name in unknown
        ]
    one_wanted = task.kind != "multilabel"
    if (one_wanted and len(labels) != 1) or len(set(labels)) != len(labels):
        return [
            Problem(
                code="label-unknown",
                what=f"found {len(labels)} labels",
                where=said.where,
                expected="exactly one label" if one_wanted else "each label once",
                fix="give the right label alone" if one_wanted else "remove the repeated label",
            )
        ]
    agrees = set(labels) == set(prediction.labels)
    if said.right is not None and said.right != agrees:
        return [
            Problem(
                code="feedback-contradicts-itself",
                what=f"right = {str(said.right).lower()}, but the label given is "
                f"{'' if agrees else 'not '}the one that was predicted",
                where=said.where,
                expected="a label and a verdict that agree",
                fix="leave one of the two out",
            )
        ]
    return []


def _wrong_text(said: Said, prediction: Prediction, task: Task) -> list[Problem]:
    if prediction.inputs is not None or said.labels is None:
        return []
    if said.inputs is None:
        return [
            Problem(
                code="feedback-text-missing",
                what="the journal does not hold the text of this prediction",
                where=said.where,
                expected="the inputs again, so that the row can be learnt from",
                fix="send inputs with the feedback, or only right = true or false",
            )
        ]
    if not _is_asked(said.inputs, prediction, task):
        return [
            Problem(
                code="feedback-other-text",
                what="the inputs are not those that were predicted",
                where=said.where,
                expected="exactly the inputs of the prediction",
                fix="send the same inputs, or leave the labels out",
            )
        ]
    return []


def _is_asked(inputs: Mapping[str, str], prediction: Prediction, task: Task) -> bool:
    """Whether a text sent again is the one that was asked, brought into form as the version that answered did.

    That version may be gone and its rules with it: a short text is tried with every choice of rules.
    """
    choices = [Normalise(), task.normalise]
    if sum(map(len, inputs.values())) <= _SHORT_CHARACTERS:
        choices += every_choice()
    return any(
        input_id({name: normalise(rules, text) for name, text in inputs.items()})
        == prediction.input_id
        for rules in choices
    )
