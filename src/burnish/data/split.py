"""Which split a row belongs to: decided once, never changed, and never two for one text or group."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from burnish.data.by_time import ByTime, begin, placer
from burnish.data.inherit import (
    ONLY_TRAIN,
    Grown,
    Inherited,
    extend,
    holder_of,
    inherited,
    leak,
    part,
)
from burnish.data.stratify import stratify
from burnish.data.units import nearness_of, units_of
from burnish.errors import fail
from burnish.records.dataset import Rejection
from burnish.records.example import SPLITS, Example, Split

# Four fifths to learn from; a tenth each to choose by and to judge by. Common practice, and on the
# smallest set we ship for (1,000 rows) still 100 test rows.
SHARES = (0.8, 0.1, 0.1)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The split of every row by row_id, and the rows that may be in none, with the reason "leakage".

    `after` are the moments at which validation and test begin, where time decides.
    """

    splits: Mapping[str, Split]
    quarantined: tuple[Rejection, ...]
    after: Mapping[Split, str] = field(default_factory=dict)


def assign(
    examples: Sequence[Example],
    *,
    salt: str,
    shares: tuple[float, float, float] = SHARES,
    given: Mapping[Split, Sequence[Example]] | None = None,
    parent: Inherited | None = None,
    time: ByTime | None = None,
) -> Assignment:
    """A split for each of `examples`, honouring `given` validation and test rows and the parent's choices.

    Promises, for rows of `examples` and `given` together: no input_id in two splits and no group in
    two splits; the same answer for the same rows, salt, shares and parent; texts and groups of
    the parent stay where they were; near duplicates among `examples` are never in two splits; rows chosen
    because a model was unsure are in train only. A row that would break one of these is
    quarantined, never moved; given test rows always stay, then given validation rows.

    Without a parent the rows are stratified by label. With one, rows tied to nothing known go by the
    hash of group, else text: where a row lands does not depend on the other new rows.

    With `time` the newest units test, those before them validate, and rows without a readable date train; a child
    keeps the moments of its parent (`time.after`).

    `shares` are (train, validation, test). A given split takes no further rows, and the others
    divide the rest in proportion.

    Raises: bad-shares.
    """
    rows_given = dict(given or {})
    shares_open = open_shares(shares, given=rows_given)
    splits: dict[str, Split] = {}
    quarantined: list[Rejection] = []
    held = Inherited()
    given_splits: tuple[Split, ...] = ("test", "validation")
    for split in given_splits:
        kept: list[Example] = []
        for example in rows_given.get(split, ()):
            holder = holder_of(example, held)
            before = None if parent is None else holder_of(example, parent)
            if holder is None and before in (None, split):
                kept.append(example)
            else:
                quarantined.append(leak(example, split, holder or before or split))
        splits.update((example.row_id, split) for example in kept)
        more = inherited({split: kept})
        held = Inherited({**more.inputs, **held.inputs}, {**more.groups, **held.groups})
    pool = []
    for example in examples:
        holder = holder_of(example, held)
        if holder is None:
            pool.append(example)
        else:
            quarantined.append(leak(example, "train", holder))
    after: Mapping[Split, str] = {} if time is None else time.after
    if parent is None:
        grown, after = _freeze(pool, shares_open, salt=salt, time=time)
    else:
        place = None if time is None else placer(pool, time)
        grown = extend(pool, parent, shares=shares_open, salt=salt, place=place)
    quarantined.extend(leak(pool[row], split, holder) for row, split, holder in grown.leaks)
    splits.update((pool[row].row_id, split) for row, split in grown.splits.items())
    return Assignment(splits, tuple(quarantined), after)


def _freeze(
    pool: Sequence[Example], shares: Mapping[Split, float], *, salt: str, time: ByTime | None
) -> tuple[Grown, Mapping[Split, str]]:
    """The first assignment: stratified or by time, but for units with a row that may only be trained on."""
    splits: dict[int, Split] = {}
    free = []
    near = nearness_of(pool)
    for unit in units_of(pool, salt=salt, near=near):
        if any(pool[row].source.chosen in ONLY_TRAIN for row in unit.rows):
            splits.update(dict.fromkeys(unit.rows, "train"))
        else:
            free.append(unit)
    after: Mapping[Split, str] = {}
    if time is None:
        chosen = stratify(free, shares)
    else:
        time = begin(free, pool, shares=shares, column=time.column)
        after = time.after
        chosen = list(map(placer(pool, time), free))
    for unit, split in zip(free, chosen, strict=True):
        splits.update(dict.fromkeys(unit.rows, split))
    leaks = part(pool, near, splits)
    return Grown(splits, tuple((row, *told) for row, told in sorted(leaks.items()))), after


def open_shares(
    shares: tuple[float, float, float], *, given: Collection[Split]
) -> dict[Split, float]:
    """The shares of the splits that take rows: a given one takes none, the others divide the rest in proportion.

    Raises: bad-shares.
    """
    if (
        not all(math.isfinite(share) and share >= 0.0 for share in shares)
        or abs(sum(shares) - 1.0) > 1e-9
        or shares[0] == 0.0
    ):
        raise fail(
            "bad-shares",
            f"found {shares}",
            where="shares",
            expected="fractions for train, validation and test that add up to 1, train above 0",
            fix="for instance 0.8, 0.1, 0.1",
        )
    asked: dict[Split, float] = {
        split: share
        for split, share in zip(SPLITS, shares, strict=True)
        if split == "train" or split not in given
    }
    total = sum(asked.values())
    return {split: share / total for split, share in asked.items()}
