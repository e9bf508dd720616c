"""Golden rows: inputs with the token ids and probabilities a bundle must reproduce before it may answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.errors import Problem, fail
from burnish.evaluate.predict import predict
from burnish.records.deployment import Golden
from burnish.records.task import Task

if TYPE_CHECKING:
    from burnish.models.fitted import Fitted

GOLDEN_FILE = "burnish/golden.jsonl"

# Largest allowed difference of a probability. Source: docs/decisions, parity; token ids are exact.
TOLERANCE: Mapping[str, float] = {"fp32": 1e-4, "bf16": 0.02}


def make_golden(
    fitted: Fitted, task: Task, inputs: Sequence[Mapping[str, str]]
) -> tuple[Golden, ...]:
    """What the model sees and says for each of the inputs, through the one prediction path."""
    return tuple(
        Golden(
            inputs=dict(row),
            ids=tuple(int(token) for token in answer.encoding.ids_T),
            probabilities=tuple(float(value) for value in answer.probabilities_L),
        )
        for row, answer in zip(inputs, predict(fitted, task, inputs), strict=True)
    )


def golden_text(rows: Sequence[Golden]) -> str:
    """The golden file: one JSON object a line. ASCII only, so that a lone surrogate survives."""
    return "".join(f"{json.dumps(row.model_dump())}\n" for row in rows)


def read_golden(folder: Path) -> tuple[Golden, ...]:
    """The golden rows of a bundle.

    Raises: golden-broken when the file is missing, empty or unreadable: without proof nobody answers.
    """
    try:
        lines = (folder / GOLDEN_FILE).read_text(encoding="utf-8").splitlines()
        rows = tuple(Golden.model_validate(json.loads(line)) for line in lines)
    except (OSError, ValueError, RecursionError) as error:
        raise fail(
            "golden-broken",
            f"cannot read the golden rows ({type(error).__name__})",
            where=GOLDEN_FILE,
            expected="one golden row a line",
            fix="make the bundle again",
        ) from error
    if not rows:
        raise fail(
            "golden-broken",
            "there is no golden row",
            where=GOLDEN_FILE,
            expected="at least one row",
            fix="make the bundle again",
        )
    return rows


def verify_golden(fitted: Fitted, task: Task, folder: Path, precision: str) -> tuple[Problem, ...]:
    """Recompute every golden row; empty means the model sees and says what it did when it was made.

    Token ids must be equal, probabilities within TOLERANCE of the precision (NaN never is).

    Raises: golden-broken.
    """
    rows = read_golden(folder)
    inputs = [row.inputs for row in rows]
    limit = TOLERANCE[precision]
    problems: list[Problem] = []
    for place, (row, answer) in enumerate(
        zip(rows, predict(fitted, task, inputs), strict=True), start=1
    ):
        where = f"{GOLDEN_FILE} line {place}"
        ids = tuple(int(token) for token in answer.encoding.ids_T)
        if ids != row.ids:
            problems.append(ids_differ(where, row.ids, ids))
            continue
        worst = _largest_difference(row.probabilities, [float(p) for p in answer.probabilities_L])
        if not worst <= limit:
            problems.append(
                Problem(
                    code="golden-probabilities-differ",
                    where=where,
                    what=f"a probability is {worst:.2g} away from the one at making",
                    expected=f"at most {limit:g} in {precision}",
                    fix="make the bundle again, or roll back",
                )
            )
    return tuple(problems)


def ids_differ(where: str, expected: tuple[int, ...], found: tuple[int, ...]) -> Problem:
    """The problem of a row that is read as other tokens than in training."""
    pairs = zip(expected, found, strict=False)
    shared = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(found)))
    return Problem(
        code="golden-ids-differ",
        where=where,
        what=f"the tokenizer gives {len(found)} ids that first differ at position {shared}",
        expected=f"the {len(expected)} ids of training, exactly",
        fix="make the bundle again, or roll back",
    )


def _largest_difference(expected: Sequence[float], found: Sequence[float]) -> float:
    if len(expected) != len(found):
        return float("inf")
    differences = [abs(a - b) for a, b in zip(expected, found, strict=True)]
    # max() may skip a NaN; a sum cannot
    return max(differences, default=0.0) if sum(differences) == sum(differences) else float("nan")
