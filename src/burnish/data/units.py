"""Units: rows that must stay in one split, because they share a text, a group or nearly a text."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from burnish.data.near import Nearness, nearness
from burnish.records.example import Example
from burnish.records.label import Spans, Texts, label_names

NO_LABEL = ""
SOME_TEXT = "\n"
# A unit a quarter of the smallest usual split (a tenth of the rows) can still be placed evenly.
NEAR_UNIT_FRACTION = 0.025
FEW_ROWS = 4


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows that go together. `rank` is a number in [0, 1) drawn from the salt and the unit's key."""

    rows: tuple[int, ...]
    rank: float
    labels: Counter[str]


def units_of(
    examples: Sequence[Example],
    *,
    salt: str,
    near: Nearness,
    among: Sequence[int] | None = None,
) -> list[Unit]:
    """Sets of rows such that no text and no group spans two, and near pairs are together where that is wise.

    A near pair does not join sets that would be large then: through a few stock phrases every group
    would hang together with every other, and nothing could be split. Such pairs may end in two
    splits; who assigns the splits keeps one row of each out. `among` picks the rows to sort into
    units; rows elsewhere and pairs that reach them are left out.
    """
    rows = range(len(examples)) if among is None else among
    parents = {row: row for row in rows}
    first: dict[tuple[str, str], int] = {}
    for row in rows:
        example = examples[row]
        _join(parents, first.setdefault(("input", example.input_id), row), row)
        if example.group is not None:
            _join(parents, first.setdefault(("group", example.group), row), row)
    most_rows = max(FEW_ROWS, NEAR_UNIT_FRACTION * len(rows))
    sizes = Counter(_root(parents, row) for row in rows)
    for one, other in _near_rows(near, rows):
        roots = {_root(parents, one), _root(parents, other)}
        if len(roots) == 2 and sum(sizes[root] for root in roots) <= most_rows:
            _join(parents, one, other)
            sizes[min(roots)] += sizes[max(roots)]
    together: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        together[_root(parents, row)].append(row)
    return [_unit(found, examples, salt) for found in together.values()]


def nearness_of(examples: Sequence[Example]) -> Nearness:
    """Which rows' inputs, taken together, are near duplicates."""
    return nearness([text_of(example) for example in examples])


def text_of(example: Example) -> str:
    """All inputs of a row as one text."""
    return "\n".join(example.inputs.values())


def _near_rows(near: Nearness, rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs of rows enough to connect every class and every near pair of classes."""
    first: dict[int, int] = {}
    for row in rows:
        if first.setdefault(near.classes[row], row) != row:
            yield first[near.classes[row]], row
    for one, other in near.pairs:
        if one in first and other in first:
            yield first[one], first[other]


def key_of(example: Example) -> str:
    """What decides where a new row goes: its group, else its text."""
    return example.input_id if example.group is None else f"group:{example.group}"


def rank_of(key: str, *, salt: str) -> float:
    """A number in [0, 1) that looks random and never changes.

    Example:
        >>> rank_of("a", salt="s") == rank_of("a", salt="s") != rank_of("a", salt="t")
        True
    """
    digest = hashlib.sha256(f"{salt}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6]) / 2**48


def labels_of(example: Example) -> tuple[str, ...]:
    """The names a row counts for when classes are shared out; one that says none counts as its own class.

    Texts are no classes: nearly each is its own, and every class goes to train first.
    """
    if isinstance(example.label, Texts):
        return (SOME_TEXT,)
    if isinstance(example.label, Spans):
        return (SOME_TEXT if example.label.spans else NO_LABEL,)
    return (label_names(example.label) if example.label else ()) or (NO_LABEL,)


def _unit(rows: list[int], examples: Sequence[Example], salt: str) -> Unit:
    key = min(key_of(examples[row]) for row in rows)
    labels = Counter(name for row in rows for name in labels_of(examples[row]))
    return Unit(tuple(rows), rank_of(key, salt=salt), labels)


def _root(parents: dict[int, int], row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


def _join(parents: dict[int, int], one: int, other: int) -> None:
    first, second = sorted((_root(parents, one), _root(parents, other)))
    parents[second] = first
