"""Which of the rows as read may be used: duplicates and conflicts step aside, each named in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.data.evidence import by_input, disagree
from burnish.records.dataset import Rejection
from burnish.records.example import Example, Split
from burnish.records.label import Spans, Texts, label_names


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows to use, by given split, and those set aside with the reason."""

    examples: Mapping[Split, tuple[Example, ...]]
    rejections: tuple[Rejection, ...]


def settle(examples: Mapping[Split, Sequence[Example]]) -> Settled:
    """Keep the first of rows that repeat each other, and none of rows that contradict each other.

    Texts and pieces that answer the same question differently are all right: the first row takes them all.

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
        used.append(_with_all(first, others))
        rejections.extend(
            Rejection(
                where=row.source.where,
                reason="duplicate",
                detail=f"duplicate of {first.source.where}"
                if row.label == first.label
                else f"a further right answer to {first.source.where}, which holds it now",
            )
            for row in others
        )
    settled: dict[Split, tuple[Example, ...]] = {k: tuple(rows) for k, rows in examples.items()}
    settled["train"] = tuple(used)
    return Settled(settled, tuple(rejections))


def _with_all(first: Example, others: Sequence[Example]) -> Example:
    """The first row with every answer of the rows that ask the same."""
    labels = [row.label for row in (first, *others)]
    texts = [text for one in labels if isinstance(one, Texts) for text in one.texts]
    spans = [span for one in labels if isinstance(one, Spans) for span in one.spans]
    if texts:
        return first.model_copy(update={"label": Texts(texts=tuple(dict.fromkeys(texts)))})
    if spans:
        return first.model_copy(update={"label": Spans(spans=tuple(dict.fromkeys(spans)))})
    return first


def _conflict(row: Example, same: Sequence[Example]) -> Rejection:
    other = next(o for o in same if o.label != row.label)
    said = "+".join(label_names(other.label)) if other.label else "no label"
    return Rejection(
        where=row.source.where,
        reason="conflict",
        detail=f'the same text is "{said}" in {other.source.where}',
    )
