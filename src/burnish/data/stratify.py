"""Sharing units out so that every split shows every class, in the proportions asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from burnish.data.units import Unit
from burnish.records.example import Split

# train first: a class nobody trained on cannot be tested; test before validation
_ORDER: tuple[Split, ...] = ("train", "test", "validation")


def stratify(units: Sequence[Unit], shares: Mapping[Split, float]) -> list[Split]:
    """The split of each unit: classes kept in proportion, and none missing where that can be helped.

    Every class enters train, then test, then validation, as long as it has units left; what remains
    goes where its classes are furthest below their share. Within a class the units' ranks decide,
    so the outcome is random once and the same ever after.

    Source: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", 2011,
        with coverage of every class put first.
    """
    splits: list[Split] = [split for split in _ORDER if shares.get(split, 0.0) > 0.0]
    total: Counter[str] = Counter()
    holders: dict[str, list[int]] = defaultdict(list)
    for number, unit in sorted(enumerate(units), key=lambda item: (item[1].rank, item[0])):
        total.update(unit.labels)
        for name in unit.labels:
            holders[name].append(number)
    wanted = {
        split: {name: shares[split] * count for name, count in total.items()} for split in splits
    }
    chosen: dict[int, Split] = {}

    def put(number: int, split: Split) -> None:
        chosen[number] = split
        for name, count in units[number].labels.items():
            wanted[split][name] -= count

    rare_first = sorted(holders, key=lambda name: (len(holders[name]), name))
    for split in splits:
        for name in rare_first:
            if any(chosen.get(number) == split for number in holders[name]):
                continue
            free = [number for number in holders[name] if number not in chosen]
            if free:
                put(_fitting(free, units, name, split, wanted[split][name]), split)
    for name in rare_first:
        # the large ones first: small ones can still even out what a large one did
        free = [number for number in holders[name] if number not in chosen]
        for number in sorted(free, key=lambda n: -len(units[n].rows)):
            put(number, max(splits, key=lambda split: _need(units[number], wanted[split])))
    return [chosen[number] for number in range(len(units))]


def _fitting(
    free: Sequence[int], units: Sequence[Unit], name: str, split: Split, wanted: float
) -> int:
    """The first unit that does not overfill the split's share of the class; else the smallest."""
    if split == "train":
        return max(free, key=lambda number: units[number].labels[name])
    fits = (number for number in free if units[number].labels[name] <= max(1.0, wanted))
    return next(fits, min(free, key=lambda number: len(units[number].rows)))


def _need(unit: Unit, wanted: Mapping[str, float]) -> float:
    return sum(count * wanted[name] for name, count in unit.labels.items())
