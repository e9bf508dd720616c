"""Feedback from a file: who said what about which prediction, a row each."""

from __future__ import annotations

from pathlib import Path

from burnish.data.read import read_rows, sniff
from burnish.data.rows import Row
from burnish.deploy.feedback import Said
from burnish.errors import BurnishError, Problem, fail
from burnish.records.task import Task

_RIGHT = {"true": True, "right": True, "yes": True, "1": True}
_WRONG = {"false": False, "wrong": False, "no": False, "0": False}
VERDICTS = {**_RIGHT, **_WRONG}


def read_feedback_file(path: Path, task: Task, *, by: str) -> tuple[Said, ...]:
    """The rows of a file with the column "prediction", and "label" or "right" or both; "by" where it is named.

    A cell may hold several labels between the task's separator when the task has several a row. The task's input
    columns are taken along when they are there. `by` is who says so where no column does.

    Raises: column-missing, feedback-not-read with every row that cannot be read, and the codes of read_rows.
    """
    facts = sniff(path)
    if "prediction" not in facts.columns or not {"label", "right"} & set(facts.columns):
        raise fail(
            "column-missing",
            f"the columns are {', '.join(facts.columns)}",
            where=path.name,
            expected='"prediction", and "label" or "right"',
            fix="burnish feedback list --audit -o FILE  writes such a file to fill in",
        )
    said: list[Said] = []
    problems: list[Problem] = []
    for row in read_rows(path, facts=facts):
        found = _said(row, task, by=by) if isinstance(row, Row) else _unread(row.where, row.detail)
        if isinstance(found, Problem):
            problems.append(found)
        elif found is not None:
            said.append(found)
    if problems:
        raise BurnishError(tuple(problems))
    return tuple(said)


def _said(row: Row, task: Task, *, by: str) -> Said | Problem | None:
    cells = row.fields
    label, right = cells.get("label", "").strip(), cells.get("right", "").strip().lower()
    if not label and not right:
        return None  # not filled in yet
    if right and right not in VERDICTS:
        return _unread(row.where, f'column "right" holds "{right[:40]}"')
    labels = None
    if label:
        several = task.kind == "multilabel"
        labels = (
            tuple(part.strip() for part in label.split(task.separator)) if several else (label,)
        )
    whole = all(name in cells for name in task.inputs)
    return Said(
        prediction=cells["prediction"].strip(),
        by=cells.get("by", "").strip() or by,
        labels=labels,
        right=VERDICTS[right] if right else None,
        inputs={name: cells[name] for name in task.inputs} if whole else None,
        where=row.where,
    )


def _unread(where: str, what: str) -> Problem:
    return Problem(
        code="feedback-not-read",
        what=what,
        where=where,
        expected=f"right as one of {', '.join(VERDICTS)}, or empty",
        fix="correct the row; nothing of the file was recorded",
    )
