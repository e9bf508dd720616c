"""Near duplicates: texts that say the same in almost the same words, found exactly and repeatably."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

# Chosen on banking77 and bitext_support: at 0.8 the pairs are rewordings of one sentence; at 0.7 chains
# of them join different questions.
THRESHOLD = 0.8
_WORD = re.compile(r"\w+")
_MOST_SHINGLES = 2000  # of a very long text its first words decide


@dataclass(frozen=True, slots=True)
class Nearness:
    """Which texts say nearly the same: `classes` holds each text's class, `pairs` the classes near each other.

    Texts of one class are equal but for case and punctuation.
    """

    classes: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]

    def around(self) -> dict[int, list[int]]:
        """For every class, itself and the classes near it."""
        found: dict[int, list[int]] = {number: [number] for number in sorted(set(self.classes))}
        for one, other in self.pairs:
            found[one].append(other)
            found[other].append(one)
        return found


def nearness(texts: Sequence[str], *, threshold: float = THRESHOLD) -> Nearness:
    """Texts that share at least `threshold` of their words and word pairs (Jaccard).

    The search is exact: sorted by rarity, two sets that similar must share one of their first few
    members, so only texts that do are compared.

    Source: prefix filtering, Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007.

    Example:
        >>> nearness(["Where is my card?", "where is my card", "I lost my phone"])
        Nearness(classes=(0, 0, 1), pairs=())
        >>> nearness(["I lost my blue card in a taxi", "I lost my blue card in a taxi today"]).pairs
        ((0, 1),)
    """
    numbers: dict[str, int] = {}
    members: dict[frozenset[int], int] = {}
    classes = tuple(
        members.setdefault(
            frozenset(numbers.setdefault(s, len(numbers)) for s in _shingles(text)), len(members)
        )
        for text in texts
    )
    frequency = Counter(shingle for shingles in members for shingle in shingles)
    return Nearness(classes, tuple(_similar(list(members), frequency, threshold)))


def _similar(
    sets: list[frozenset[int]], frequency: Counter[int], threshold: float
) -> Iterator[tuple[int, int]]:
    holders: dict[int, list[int]] = defaultdict(list)
    for number in sorted(range(len(sets)), key=lambda n: len(sets[n])):
        shingles = sets[number]
        size = len(shingles)
        prefix = size - math.ceil(threshold * size - 1e-9) + 1  # less: 0.8 is not exact
        rarest = sorted(shingles, key=lambda s: (frequency[s], s))[:prefix]
        seen: set[int] = set()
        for shingle in rarest:
            for other in holders[shingle]:
                if other in seen:
                    continue
                seen.add(other)
                other_shingles = sets[other]
                if len(other_shingles) < threshold * size:
                    continue
                shared = len(shingles & other_shingles)
                if shared >= threshold * (size + len(other_shingles) - shared):
                    yield other, number
            holders[shingle].append(number)


def _shingles(text: str) -> set[str]:
    words = _WORD.findall(text.casefold())[:_MOST_SHINGLES]
    pairs = (f"{first} {second}" for first, second in pairwise(words))
    # signs alone ("👍", "!!!") are near to nothing but themselves
    return {*words, *pairs} or {" ".join(text.split())}
