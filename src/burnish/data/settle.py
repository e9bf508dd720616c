"""Which of the rows as read may be used: duplicates and conflicts step aside, each named in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.data.evidence import by_input, disagree
from burnish.records.dataset import Rejection
from burnish.records.example import Example, Split
from burnish.records.label import label_names


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows to use, by given split, and those set aside with the reason."""

    examples: Mapping[Split, tuple[Example, ...]]
    rejections: tuple[Rejection, ...]


def settle(examples: Mapping[Split, Sequence[Example]]) -> Settled:
    """Keep the first of rows that repeat each other, and none of rows that contradict each other.

    Only "train" is settled. Given validation and test files stay as published, duplicates and
    conflicts included: dropping their rows would change what a published figure means.
    """
    used: list[Example] = []
    rejections: list[Rejection] = []
    for same in by_input(examples.get("train", ())).values():
        first, others = same[0], same[1:]
        if disagree(same):
            rejections.extend(_conflict(row, same) for row in same)
            continue
        used.append(first)
        rejections.extend(
            Rejection(
                where=row.source.where,
                reason="duplicate",
                detail=f"duplicate of {first.source.where}",
            )
            for row in others
        )
    settled: dict[Split, tuple[Example, ...]] = {k: tuple(rows) for k, rows in examples.items()}
    settled["train"] = tuple(used)
    return Settled(settled, tuple(rejections))


def _conflict(row: Example, same: Sequence[Example]) -> Rejection:
    other = next(o for o in same if o.label != row.label)
    said = "+".join(label_names(other.label)) if other.label else "no label"
    return Rejection(
        where=row.source.where,
        reason="conflict",
        detail=f'the same text is "{said}" in {other.source.where}',
    )
