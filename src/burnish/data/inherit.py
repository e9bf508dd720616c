"""A child's splits: what the parent decided stays, what is tied to it follows, the rest goes by hash."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from burnish.data.near import Nearness, crossing
from burnish.data.units import Unit, labels_of, nearness_of, text_of, units_of
from burnish.records.dataset import Rejection
from burnish.records.example import Example, Split

# rows a model's doubt picked are no fair sample: a test made of them would measure the doubt
ONLY_TRAIN = frozenset({"uncertain", "disputed"})
# which split keeps a text when two hold it: the test set is worth most
_WORTH: tuple[Split, ...] = ("test", "validation", "train")


@dataclass(frozen=True, slots=True)
class Inherited:
    """Where the ancestors' texts and groups are: a child never moves them.

    `former` texts are no rows of the parent any more; should they come back, they go where they were.
    """

    inputs: Mapping[str, Split] = field(default_factory=dict)
    groups: Mapping[str, Split] = field(default_factory=dict)
    former: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Grown:
    """Splits by row number, and leaks: (row number, split it would be in, split that holds it already)."""

    splits: Mapping[int, Split]
    leaks: tuple[tuple[int, Split, Split], ...]


def inherited(rows: Mapping[Split, Iterable[Example]]) -> Inherited:
    """What a child takes over from an ancestor's rows."""
    inputs: dict[str, Split] = {}
    groups: dict[str, Split] = {}
    for split, examples in rows.items():
        for example in examples:
            if example.source.was is not None:
                inputs.setdefault(example.source.was, split)
            inputs[example.input_id] = split
            if example.group is not None:
                groups[example.group] = split
    return Inherited(inputs, groups)


def remembered(
    present: Inherited, *, inputs: Mapping[str, Split], groups: Mapping[str, Split]
) -> Inherited:
    """What is there, and what older ancestors knew besides."""
    former = frozenset(text for text in inputs if text not in present.inputs)
    return Inherited({**inputs, **present.inputs}, {**groups, **present.groups}, former)


def forgotten_by(memory: Inherited, present: Inherited) -> Inherited:
    """The texts and groups of the memory that are not there any more."""
    return Inherited(
        {text: split for text, split in memory.inputs.items() if text not in present.inputs},
        {group: split for group, split in memory.groups.items() if group not in present.groups},
    )


def holder_of(example: Example, known: Inherited) -> Split | None:
    """The split that holds the example's text or group, the most precious first; None for new ones."""
    ties = _ties(example, known)
    return _most_precious(ties) if ties else None


def leak(example: Example, split: Split, holder: Split) -> Rejection:
    """The ledger's line for a row kept out of `split` because `holder` has its text or group."""
    return Rejection(
        where=example.source.where,
        reason="leakage",
        detail=f"its text, nearly its text, or its group is in {holder}: it cannot be in {split}",
    )


def extend(
    pool: Sequence[Example],
    parent: Inherited,
    *,
    shares: Mapping[Split, float],
    salt: str,
    place: Callable[[Unit], Split] | None = None,
) -> Grown:
    """A split for each row of a child, where a row lands never depending on rows it is not tied to.

    A row with a text or group of the parent goes where that is. A new row near to known ones goes
    where they are. Everything else goes by the rank of its unit, or where `place` says. A row tied to two splits
    is a leak, and so is one of a group that another split came to hold.
    """
    splits: dict[int, Split] = {}
    leaks: dict[int, tuple[Split, Split]] = {}
    untied: list[int] = []
    for row, example in enumerate(pool):
        ties = _ties(example, parent)
        if not ties:
            untied.append(row)
        elif len(ties) > 1:
            leaks[row] = ("train", holder_of(example, parent) or "train")
        else:
            (splits[row],) = ties
    untied = _by_new_groups(pool, splits, leaks, untied)
    spare = frozenset(row for row in splits if _is_old(pool[row], parent))
    _keep_doubtful_out(pool, splits, leaks, spare=spare)
    near = nearness_of(pool)
    leaks.update(part(pool, near, splits, spare=spare))
    known: dict[int, set[Split]] = defaultdict(set)
    for row, split in splits.items():
        known[near.classes[row]].add(split)
    around = near.around()
    beside: dict[int, set[Split]] = {
        row: {split for number in around[near.classes[row]] for split in known[number]}
        for row in untied
    }
    new: list[tuple[Unit, Split]] = []
    for unit in units_of(pool, salt=salt, near=near, among=untied):
        bound: set[Split] = {split for row in unit.rows for split in beside[row]}
        doubtful = any(pool[row].source.chosen in ONLY_TRAIN for row in unit.rows)
        if not bound:
            goes = _hashed(unit.rank, shares) if place is None else place(unit)
            new.append((unit, "train" if doubtful else goes))
            continue
        goal: Split = "train" if len(bound) > 1 or doubtful else next(iter(bound))
        for row in unit.rows:
            if beside[row] <= {goal}:
                splits[row] = goal
            else:
                leaks[row] = (goal, _most_precious(s for s in beside[row] if s != goal))
    for unit, split in _trained(new, pool, splits) if place is None else new:
        splits.update(dict.fromkeys(unit.rows, split))
    leaks.update(part(pool, near, splits, spare=spare))
    return Grown(splits, tuple((row, *told) for row, told in sorted(leaks.items())))


def _by_new_groups(
    pool: Sequence[Example],
    splits: dict[int, Split],
    leaks: dict[int, tuple[Split, Split]],
    untied: Sequence[int],
) -> list[int]:
    """Let rows without ties follow tied ones of their group; gives those left. Of a group that stands in two splits
    (people corrected it) the rows in the less precious one go.
    """
    found: dict[str, set[Split]] = defaultdict(set)
    for row, split in splits.items():
        group = pool[row].group
        if group is not None:
            found[group].add(split)
    held: dict[str, Split] = {group: _most_precious(among) for group, among in found.items()}
    for row, split in list(splits.items()):
        group = pool[row].group
        holder = split if group is None else held[group]
        if holder != split:
            leaks[row] = (splits.pop(row), holder)
    left: list[int] = []
    for row in untied:
        group = pool[row].group
        if group in held and group is not None:
            splits[row] = held[group]
        else:
            left.append(row)
    return left


def _is_old(example: Example, parent: Inherited) -> bool:
    """Whether the parent itself has the row: what is near to it in another split goes, not the row."""
    texts = (example.input_id, example.source.was)
    return any(text in parent.inputs and text not in parent.former for text in texts)


def _keep_doubtful_out(
    pool: Sequence[Example],
    splits: dict[int, Split],
    leaks: dict[int, tuple[Split, Split]],
    *,
    spare: frozenset[int],
) -> None:
    for row, split in list(splits.items()):
        if split != "train" and row not in spare and pool[row].source.chosen in ONLY_TRAIN:
            leaks[row] = ("train", splits.pop(row))


def part(
    pool: Sequence[Example],
    near: Nearness,
    splits: dict[int, Split],
    *,
    spare: frozenset[int] = frozenset(),
) -> dict[int, tuple[Split, Split]]:
    """Take rows out of `splits` until no near duplicates span two: {row: (its split, the other's)}.

    Of two near rows the one in the less precious split goes, train before validation before test.
    Rows to `spare` (a parent's) stay, and whatever is near to them in another split goes.
    """
    found: dict[int, set[Split]] = defaultdict(set)
    fixed: dict[int, set[Split]] = defaultdict(set)
    for row, split in splits.items():
        (fixed if row in spare else found)[near.classes[row]].add(split)
    around = near.around()
    leaks: dict[int, tuple[Split, Split]] = {}
    for row, split in splits.items():
        if row in spare:
            continue
        for number in around[near.classes[row]]:
            better: set[Split] = {s for s in found[number] if _WORTH.index(s) < _WORTH.index(split)}
            others = better | (fixed[number] - {split})
            if others:
                leaks[row] = (split, _most_precious(others))
                break
    for row in leaks:
        del splits[row]
    leaks.update(_part_crowds(pool, near, splits, spare=spare))
    return leaks


def _part_crowds(
    pool: Sequence[Example],
    near: Nearness,
    splits: dict[int, Split],
    *,
    spare: frozenset[int],
) -> dict[int, tuple[Split, Split]]:
    """Of a crowd not every near pair is known before the splits are; now those that matter can be asked for."""
    met = {number for pair in near.pairs for number in pair}
    rows = [row for row in splits if near.classes[row] in met]
    parts = np.array([_WORTH.index(splits[row]) for row in rows], dtype=np.int64)
    leaks: dict[int, tuple[Split, Split]] = {}
    for pair in crossing([text_of(pool[row]) for row in rows], parts):
        one, other = sorted(
            (rows[place] for place in pair), key=lambda row: _goes(row, splits, spare)
        )
        if one not in leaks and other not in leaks and one not in spare:
            leaks[one] = (splits[one], splits[other])
    for row in leaks:
        del splits[row]
    return leaks


def _goes(row: int, splits: Mapping[int, Split], spare: frozenset[int]) -> tuple[bool, int]:
    """Orders near rows by who leaves first: what may leave, then the less precious split."""
    return row in spare, -_WORTH.index(splits[row])


def _most_precious(splits: Iterable[Split]) -> Split:
    return min(splits, key=_WORTH.index)


def _trained(
    new: Sequence[tuple[Unit, Split]], pool: Sequence[Example], splits: Mapping[int, Split]
) -> list[tuple[Unit, Split]]:
    """The same units, but a class train would not show at all gets its highest-ranked unit there."""
    trained = {n for row, split in splits.items() if split == "train" for n in labels_of(pool[row])}
    trained.update(name for unit, split in new if split == "train" for name in unit.labels)
    best: dict[str, Unit] = {}
    for unit, _ in new:
        for name in unit.labels:
            if name not in trained and (name not in best or unit.rank > best[name].rank):
                best[name] = unit
    rescued = {unit.rows for unit in best.values()}
    return [(unit, "train" if unit.rows in rescued else split) for unit, split in new]


def _hashed(rank: float, shares: Mapping[Split, float]) -> Split:
    edge = 0.0
    for split in ("test", "validation"):
        edge += shares.get(split, 0.0)
        if rank < edge:
            return split
    return "train"


def _ties(example: Example, known: Inherited) -> set[Split]:
    texts = (example.input_id, example.source.was)
    found: set[Split | None] = {known.inputs.get(text) for text in texts if text is not None}
    if example.group is not None:
        found.add(known.groups.get(example.group))
    return {split for split in found if split is not None}
