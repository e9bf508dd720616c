"""The closed set of labels: which spellings in the data mean which label."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.errors import Problem, nearest
from burnish.records.task import Task

NAMES_SHOWN = 12


def find_name(task: Task, spelling: str) -> str | None:
    """The label that `spelling` means, compared character for character, or None.

    A walk over the labels beats a cached table: hashing a frozen task costs more than the walk.

    Example:
        >>> from burnish.records.task import LabelSpec
        >>> labels = (LabelSpec(name="ham", values=("0",)), LabelSpec(name="spam", values=("1",)))
        >>> task = Task(name="t", kind="classification", inputs=("text",), label="y",
        ...             labels=labels, primary_metric="accuracy")
        >>> find_name(task, "1"), find_name(task, "spam"), find_name(task, "Spam")
        ('spam', 'spam', None)
    """
    for label in task.labels:
        if spelling == label.name or spelling in label.values:
            return label.name
    return None


def unknown_label(task: Task, spelling: str) -> Problem:
    """The problem of a spelling no label claims, with the nearest name; the caller adds the place."""
    owner = {value: label.name for label in task.labels for value in (*label.values, label.name)}
    close = nearest(spelling, owner)
    return Problem(
        code="label-unknown",
        where=f'column "{task.label}"',
        what=f'found "{_shortened(spelling)}"',
        expected=f"one of: {listed(task.label_names)}",
        fix=f'correct the row, or add "{_shortened(spelling)}" to [[labels]] in task.toml',
        nearest=None if close is None else owner[close],
    )


def listed(names: Sequence[str]) -> str:
    """Names in one line; beyond the first twelve only their number.

    Example:
        >>> listed(["spam", "ham"]), listed([str(n) for n in range(14)])[-16:]
        ('spam, ham', '0, 11 and 2 more')
    """
    shown = ", ".join(names[:NAMES_SHOWN])
    rest = len(names) - NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
