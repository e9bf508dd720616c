"""Kinds of task that a file may be made for and that this version does not train yet, told by its columns."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.errors import Problem
from burnish.tasks.hints import label_hint
from burnish.tasks.kind import KINDS
from burnish.tasks.propose import Proposal

# A label column named weaker than this (0.3 is "code", 0 says nothing) is no reason to overlook what the file is.
SURE_LABEL = 0.3

# What is given and what is asked for, as names of columns; the first that are all there tell the kind.
_PAIRS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("preference learning", ("prompt", "chosen"), "rejected"),
    ("text to text", ("source",), "target"),
)


def other_kind(columns: Sequence[str]) -> str | None:
    """The kind the columns are made for and which columns say so; None when they say nothing of that sort.

    Example:
        >>> other_kind(["id", "source", "target"])
        'text to text ("source" gives "target")'
        >>> other_kind(["text", "label"]) is None
        True
    """
    named = {column.casefold(): column for column in columns}
    for kind, given, asked in _PAIRS:
        if asked in named and all(one in named for one in given):
            shown = " and ".join(f'"{named[one]}"' for one in given)
            return f'{kind} ({shown} {"give" if len(given) > 1 else "gives"} "{named[asked]}")'
    return None


def is_convincing(proposal: Proposal) -> bool:
    """Whether the label column's own name says that it is one."""
    return label_hint(proposal.task.label) > SURE_LABEL


def not_trained(
    kind: str, *, file: str, shape: str | None = None, best: Proposal | None
) -> Problem:
    """The problem of a file made for a kind that this version does not train, with the nearest thing to do.

    `shape` is what the file's objects were read as, where they are no plain table.
    """
    if best is None:
        fix = "add a column of labels, one of a few values in each row, and run burnish init again"
    else:
        fix = (
            f'burnish init {file} --kind {best.task.kind}, if you mean to learn "{best.task.label}"'
        )
    return Problem(
        code="kind-not-trained",
        what=f"read as {shape}: looks like {kind}" if shape else f"looks like {kind}",
        where=file,
        expected=f"rows for a kind that this version trains: {', '.join(KINDS)}",
        fix=fix,
    )
