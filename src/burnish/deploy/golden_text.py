"""Golden rows of models that write: the tokens they read must be equal, and what they wrote as likely as it was.

Likelihoods are compared, not texts written again: where two tokens are nearly as likely, another machine's arithmetic
may choose the other, and the model is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from burnish.deploy.golden import GOLDEN_FILE, ids_differ, read_golden
from burnish.errors import Problem
from burnish.models.fitted_text import FittedText, TextAnswer
from burnish.records.decoding import Decoding
from burnish.records.deployment import Golden
from burnish.records.task import Task

# Enough tokens to tell one model from another.
_GOLDEN_TOKENS = 32
# Largest allowed difference of an answer's log-probability, nats a token: a change of 1e-3 and 2% in its probability.
TOLERANCE: Mapping[str, float] = {"fp32": 1e-3, "bf16": 0.02}


def make_golden_texts(
    fitted: FittedText, task: Task, inputs: Sequence[Mapping[str, str]]
) -> tuple[Golden, ...]:
    """What the model reads and writes for each of the inputs, greedily, through the one prediction path."""
    answers = _answers(fitted, task, inputs)
    return tuple(
        Golden(
            inputs=dict(row),
            ids=answer.prompt_ids,
            text=answer.text,
            answer_ids=answer.answer_ids,
            surprise=nats,
            start=answer.start,
            confidence=answer.confidence,
        )
        for row, answer, nats in zip(inputs, answers, fitted.surprise(answers), strict=True)
    )


def verify_golden_texts(
    fitted: FittedText, task: Task, folder: Path, precision: str, *, limit: float | None = None
) -> tuple[Problem, ...]:
    """Recompute every golden row; empty means the model reads and writes what it did when it was made. `limit` in place
    of the precision's own holds models that another engine computes.

    Raises: golden-broken.
    """
    rows = read_golden(folder)
    problems: list[Problem] = []
    modelled = [place for place, row in enumerate(rows) if row.surprise is not None]
    written = (
        fitted.answer(task, [row.inputs for row in rows], decoding=Decoding(max_new_tokens=1))
        if modelled
        else _answers(fitted, task, [row.inputs for row in rows])
    )
    told = dict(
        zip(
            modelled,
            fitted.surprise(
                [
                    TextAnswer("", prompt_ids=rows[at].ids, answer_ids=rows[at].answer_ids)
                    for at in modelled
                ]
            ),
            strict=True,
        )
    )
    limit = TOLERANCE[precision] if limit is None else limit
    for place, (row, answer) in enumerate(zip(rows, written, strict=True)):
        where = f"{GOLDEN_FILE} line {place + 1}"
        if answer.prompt_ids != row.ids:
            problems.append(ids_differ(where, row.ids, answer.prompt_ids))
            continue
        if row.confidence is not None:
            if told_differently := _found_elsewhere(row, answer, limit=limit):
                problems.append(_differs(where, told_differently))
            continue
        if row.surprise is None:
            if answer.text != row.text:
                problems.append(_differs(where, "another text is written than at making"))
            continue
        again = told[place]
        off = abs((again if again is not None else float("inf")) - row.surprise)
        if not off <= limit * max(1, len(row.answer_ids)):
            problems.append(
                _differs(where, f"the answer is {off:.2g} nats less or more likely than at making")
            )
    return tuple(problems)


def _found_elsewhere(row: Golden, answer: TextAnswer, *, limit: float) -> str:
    """What is wrong with an answer found again, "" for nothing.

    Another place is forgiven where two were equally likely: neither can have more than half of the probability then.
    """
    before, after = row.confidence or 0.0, answer.confidence
    if after is None or not abs(after - before) <= limit:
        return f"it is {after} sure of its answer, and was {before} at making"
    if (answer.text, answer.start) != (row.text, row.start) and before > 0.5 + limit:
        return "the answer is found elsewhere than at making"
    return ""


def _answers(
    fitted: FittedText, task: Task, inputs: Sequence[Mapping[str, str]]
) -> list[TextAnswer]:
    most = min(_GOLDEN_TOKENS, task.decoding.max_new_tokens)
    return fitted.answer(task, inputs, decoding=Decoding(max_new_tokens=most))


def _differs(where: str, what: str) -> Problem:
    return Problem(
        code="golden-texts-differ",
        where=where,
        what=what,
        expected="what the evaluated model wrote",
        fix="make the bundle again, or roll back",
    )
