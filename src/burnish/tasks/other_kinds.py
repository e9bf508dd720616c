"""Kinds of task that a file may be made for and that this version does not train yet, told by its columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from burnish.errors import Problem
from burnish.tasks.hints import label_hint, words
from burnish.tasks.kind import KINDS
from burnish.tasks.propose import Proposal

# A label column named weaker than this (0.3 is "code", 0 says nothing) is no reason to overlook what the file is.
SURE_LABEL = 0.3

# What is given and what is asked for, as names of columns; the first that are all there tell the kind.
_PAIRS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("question answering from a text", ("question", "context"), "answers"),
    ("question answering from a text", ("question", "context"), "answer"),
    ("question answering", ("question",), "answers"),
    ("question answering", ("question",), "answer"),
    ("instruction following", ("instruction",), "output"),
    ("instruction following", ("instruction",), "response"),
    ("instruction following", ("instruction",), "instances"),
    ("instruction following", ("prompt",), "completion"),
    ("instruction following", ("prompt",), "response"),
    ("preference learning", ("prompt", "chosen"), "rejected"),
    ("text to text", ("source",), "target"),
)
_SUMMARIES = frozenset({"summary", "highlights", "tldr"})


def other_kind(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str | None:
    """The kind the columns are made for and which columns say so; None when they say nothing of that sort.

    Example:
        >>> other_kind(["id", "question", "answer"], [])
        'question answering ("question" gives "answer")'
        >>> other_kind(["text", "label"], []) is None
        True
    """
    named = {column.casefold(): column for column in columns}
    if "messages" in named and _are_messages(rows, named["messages"]):
        return f'chat ("{named["messages"]}" holds conversations)'
    for kind, given, asked in _PAIRS:
        if asked in named and all(one in named for one in given):
            shown = " and ".join(f'"{named[one]}"' for one in given)
            return f'{kind} ({shown} {"give" if len(given) > 1 else "gives"} "{named[asked]}")'
    for column in columns:
        if _SUMMARIES & set(words(column)):
            return f'summarisation ("{column}" is a summary)'
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


def _are_messages(rows: Sequence[Mapping[str, str]], column: str) -> bool:
    first = next((row[column] for row in rows if row.get(column, "").strip()), "")
    try:
        found = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list) and all(isinstance(one, dict) and "role" in one for one in found)
