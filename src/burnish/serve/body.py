"""What a client asks and gets: the JSON of requests and replies, read strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pydantic
from pydantic import Field

from burnish.data.normalise import normalise_inputs
from burnish.errors import BurnishError, Problem, fail, nearest
from burnish.records.deployment import Prediction, Stage
from burnish.records.record import Record
from burnish.records.task import Task

Row = str | dict[str, str]
# Beyond, whether anything is left of a text is not looked at while other clients wait.
_PERHAPS_BLANK_CHARACTERS = 2_000
_EXPECTED = '{"inputs": TEXT, {COLUMN: TEXT} or a list of them, "model": NAME}'


class PredictionRequest(Record):
    """One input or a list of them, each an object with a text for every input column of the task, or
    just the text when the task has one column. `model` may name the task or its live version.
    """

    inputs: Row | list[Row]
    model: str | None = None


class PredictionAnswer(Record):
    """One answer. `label` is null for tasks with several labels a row; `labels` always has them all.
    `confidence` is the calibrated probability that the answer is right; `dropped_characters` counts
    what the model could not read at the end of a long text, and `truncated` says that there was any. `abstained`
    marks answers less sure than the task's `abstain_below`: a person should decide.
    """

    id: str
    label: str | None
    labels: tuple[str, ...]
    confidence: float
    probabilities: dict[str, float]
    truncated: bool
    dropped_characters: int
    abstained: bool = False


class PredictionReply(Record):
    """The answers in the order of the inputs, all from one version. `journalled` is false when the disk refused the
    journal: the answers stand, but no feedback can be given to them.
    """

    model: str
    version: str
    journalled: bool = True
    predictions: tuple[PredictionAnswer, ...]


class ModelFacts(Record):
    """A version of the task as a client sees it. `verified` is what this server found: true or false
    after it checked the bundle, null when it had no reason to. `shares_base`: it answers here, with an adapter on a base in
    memory that others stand on too.
    """

    id: str
    object: str = "model"
    owned_by: str = "burnish"
    version: str
    stage: Stage
    engine: str
    bundle_id: str
    report_id: str
    labels: tuple[str, ...] | None = None
    inputs: tuple[str, ...] | None = None
    verified: bool | None = None
    problems: tuple[str, ...] = ()
    shares_base: bool = False


class ModelList(Record):
    """Every version of the task; the one that answers stands first, under the task's name."""

    object: str = "list"
    data: tuple[ModelFacts, ...]


class Status(Record):
    """A probe's reply: a word and nothing else."""

    status: str


class ProblemFacts(Record):
    """One thing that is wrong."""

    code: str
    what: str
    where: str = ""
    expected: str = ""
    fix: str = ""
    nearest: str | None = None
    more: int = 0


class ErrorFacts(Record):
    """The first problem as OpenAI's clients read errors."""

    message: str
    type: str
    param: str | None
    code: str


class ProblemReply(ProblemFacts):
    """An error, as RFC 9457 has it: the first problem's fields at the top, all of them in `problems`."""

    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str
    request_id: str
    problems: tuple[ProblemFacts, ...]
    error: ErrorFacts


def read_request(body: bytes) -> PredictionRequest:
    """The request in a body: unknown keys, numbers for texts and over-deep nesting are refused.

    Raises: body-not-json, body-wrong with every place that is wrong.

    Example:
        >>> read_request(b'{"inputs": "Where is my card?"}').inputs
        'Where is my card?'
        >>> read_request(b'{"inputs": 1e999}')
        Traceback (most recent call last):
        burnish.errors.BurnishError: error: body-wrong
          inputs: Input should be a valid string.
          expected {"inputs": TEXT, {COLUMN: TEXT} or a list of them, "model": NAME}.
          fix: correct the body.
    """
    try:
        return PredictionRequest.model_validate_json(body, strict=True)
    except pydantic.ValidationError as error:
        problems = problems_of(error, expected=_EXPECTED)
    raise BurnishError(problems)


def rows_of(request: PredictionRequest, task: Task, *, at_most: int) -> list[dict[str, str]]:
    """The inputs as rows by column.

    Raises: too-many-rows, body-wrong, input-missing, input-unknown, empty-text: every row that is wrong.
    """
    asked = request.inputs if isinstance(request.inputs, list) else [request.inputs]
    if len(asked) > at_most:
        raise fail(
            "too-many-rows",
            f"{len(asked):,} inputs in one request",
            expected=f"at most {at_most:,}",
            fix="send them in parts, or use burnish predict for files",
        )
    if not asked:
        raise fail(
            "body-wrong",
            "there is no input",
            where="inputs",
            expected="at least one input",
            fix="put a text into the list",
        )
    rows: list[dict[str, str]] = []
    problems: list[Problem] = []
    for place, value in enumerate(asked):
        where = f"inputs[{place}]" if isinstance(request.inputs, list) else "inputs"
        row = value if isinstance(value, dict) else {task.inputs[0]: value}
        problems += _row_problems(row, task, where)
        rows.append(row)
    if problems:
        raise BurnishError(tuple(problems[:20]))
    return rows


def reply_of(
    predictions: Sequence[Prediction], *, task: Task, version: str, journalled: bool
) -> PredictionReply:
    """Predictions as a reply."""
    return PredictionReply(
        model=task.name,
        version=version,
        journalled=journalled,
        predictions=tuple(
            PredictionAnswer(
                id=p.id,
                label=None if task.kind == "multilabel" else p.labels[0],
                labels=p.labels,
                confidence=p.confidence,
                probabilities=p.scores,
                truncated=p.dropped_characters > 0,
                dropped_characters=p.dropped_characters,
                abstained=task.abstain_below is not None and p.confidence < task.abstain_below,
            )
            for p in predictions
        ),
    )


def _row_problems(row: Mapping[str, str], task: Task, where: str) -> list[Problem]:
    columns = ", ".join(task.inputs)
    problems = [
        Problem(
            code="input-missing",
            where=where,
            what=f'there is no text for "{name}"',
            expected=f"a text for each of: {columns}",
            fix=f'add "{name}"',
        )
        for name in task.inputs
        if name not in row
    ]
    problems += [
        Problem(
            code="input-unknown",
            where=where,
            what=f'the task has no input "{name[:64]}"',
            expected=f"only: {columns}",
            fix="leave it out",
            nearest=nearest(name[:64], task.inputs),
        )
        for name in row
        if name not in task.inputs
    ]
    if not problems and _is_blank(task, row):
        problems.append(
            Problem(
                code="empty-text",
                where=where,
                what="the text is empty",
                expected="something to read",
                fix="leave the row out",
            )
        )
    return problems


def _is_blank(task: Task, row: Mapping[str, str]) -> bool:
    """Whether nothing to read is left of a row; a long text is taken to be one, since others wait meanwhile."""
    if sum(map(len, row.values())) > _PERHAPS_BLANK_CHARACTERS:
        return not any(text.strip() for text in row.values())
    return not any(text.strip() for text in normalise_inputs(task, row).values())


def problems_of(error: pydantic.ValidationError, *, expected: str) -> tuple[Problem, ...]:
    """What is wrong with a body, in our words; `expected` is its shape."""
    problems: list[Problem] = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False)[:20]:
        if fault["type"] == "json_invalid":
            return (
                Problem(
                    code="body-not-json",
                    what=fault["msg"],
                    expected="a JSON object in UTF-8",
                    fix="correct the body",
                ),
            )
        # the places inside a union name its branches ("str", "dict[str,str]"): no word for a client
        steps = [s for s in fault["loc"] if isinstance(s, int) or not _is_branch(s)]
        problem = Problem(
            code="body-wrong",
            where="".join(f"[{s}]" if isinstance(s, int) else f".{s[:64]}" for s in steps)[1:],
            what=fault["msg"],
            expected=expected,
            fix="correct the body",
        )
        if all((p.where, p.code) != (problem.where, problem.code) for p in problems):
            problems.append(problem)
    return tuple(problems)


def _is_branch(step: str) -> bool:
    return step == "str" or step.startswith(("dict[", "list["))
