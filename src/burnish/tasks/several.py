"""Cells that hold several labels, with a separator between or as a JSON list."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from burnish.tasks.columns import Column
from burnish.tasks.labelset import LabelSet, plain_labels

SEPARATORS = (",", ";", "|", "\t", "\n", "/")
MOST_LABELS = 200
LEAST_SHARE = 0.05  # of the filled rows that must hold more than one
MOST_WORDS = 3  # a label, on average, not a clause
LONGEST_LABEL = 60  # characters


@dataclass(frozen=True, slots=True)
class SeveralLabels:
    """The labels found inside the cells; `natural` when the cells themselves say so, `listed` as JSON lists."""

    labels: LabelSet
    separator: str
    natural: bool
    listed: bool = False


def is_structured(column: Column) -> bool:
    """Whether most cells are JSON lists or objects: no cell of them is a label by itself."""
    held = sum(n for cell, n in column.counts.items() if isinstance(_json(cell), list | dict))
    return 2 * held > column.filled


def listed_labels(column: Column) -> SeveralLabels | None:
    """The labels of a column with JSON lists of names, a bare name standing for a list of one; None for others.

    The separator is one that no name holds, as task.toml asks for.

    Example:
        >>> from burnish.tasks.columns import look
        >>> cells = ['["bug","a, b"]', "bug", '["a, b"]', "bug", '["a, b","bug"]', "[]"]
        >>> found = listed_labels(look(["tags"], [{"tags": cell} for cell in cells])[0])
        >>> [label.name for label in found.labels.labels], found.separator
        (['a, b', 'bug'], ';')
    """
    parts: Counter[str] = Counter()
    lists = 0
    for cell, count in column.counts.items():
        found = _json(cell)
        if isinstance(found, dict):
            return None
        if isinstance(found, list):
            if not all(isinstance(one, str) for one in found):
                return None
            lists += count
        for name in {name.strip() for name in (found if isinstance(found, list) else [cell])} - {
            ""
        }:
            parts[name] += count
        if len(parts) > 20 * MOST_LABELS:
            return None
    if lists < LEAST_SHARE * column.filled or parts.total() < 2 * len(parts):
        return None
    separator = next((mark for mark in SEPARATORS if not any(mark in name for name in parts)), None)
    if separator is None or not 2 <= len(parts) <= MOST_LABELS:
        return None
    return SeveralLabels(plain_labels(parts), separator, True, listed=True)


def _json(cell: str) -> object:
    """The list or object that a cell spells; None for plain text."""
    if not cell.startswith(("[", "{")):
        return None
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return None


def split_labels(column: Column, *, forced: bool = False) -> SeveralLabels | None:
    """The cells read as sets of labels, or None when they are not; `forced` accepts single labels.

    Parts must be short, come back often, and be fewer than their combinations.

    Example:
        >>> from burnish.tasks.columns import look
        >>> cells = ["bug; billing", "bug", "billing", "login;bug", "login", "bug; billing"]
        >>> found = split_labels(look(["tags"], [{"tags": cell} for cell in cells])[0])
        >>> [label.name for label in found.labels.labels], found.separator
        (['billing', 'bug', 'login'], ';')
    """
    for separator in SEPARATORS:
        found = _split(column, separator)
        if found is not None:
            return SeveralLabels(found, separator, True)
    if not forced:
        return None
    # one label a cell is a set of one; the separator must not cut any of them
    for separator in SEPARATORS:
        if not any(separator in cell for cell in column.counts):
            found = plain_labels(_parts(column, separator))
            fits = 2 <= len(found.labels) <= MOST_LABELS
            return SeveralLabels(found, separator, False) if fits else None
    return None


def _split(column: Column, separator: str) -> LabelSet | None:
    joined = {cell: count for cell, count in column.counts.items() if separator in cell}
    if sum(joined.values()) < LEAST_SHARE * column.filled:
        return None
    parts = _parts(column, separator)
    if not 2 <= len(parts) <= MOST_LABELS or parts.total() < 2 * len(parts):
        return None
    words = sum(len(part.split()) for part in parts) / len(parts)
    if words > MOST_WORDS or max(map(len, parts)) > LONGEST_LABEL:
        return None
    # labels come in several combinations; in "FAM/SOCHX" the halves never meet anyone else
    cells = Counter(part for cell in column.counts for part in _cut(cell, separator))
    inside = {part for cell in joined for part in _cut(cell, separator)}
    if sum(cells[part] > 1 for part in inside) < 0.7 * len(inside):
        return None
    return plain_labels(parts)


def _parts(column: Column, separator: str) -> Counter[str]:
    parts: Counter[str] = Counter()
    for cell, count in column.counts.items():
        for part in _cut(cell, separator):
            parts[part] += count
        if len(parts) > 20 * MOST_LABELS:
            break  # prose, not labels
    return parts


def _cut(cell: str, separator: str) -> set[str]:
    return {part.strip() for part in cell.split(separator)} - {""}
