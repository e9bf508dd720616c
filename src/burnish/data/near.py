"""Near duplicates among rows that are to be split: data/alike.py says what is near, here is who is near to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.data.alike import alike_pairs
from burnish.data.sketch import plain
from burnish.records.encoding import IntArray


@dataclass(frozen=True, slots=True)
class Nearness:
    """Which texts say nearly the same: `classes` holds each text's class, `pairs` the classes near each other.

    Texts of one class are equal but for case, punctuation and white space. In a crowd of more than 64 classes that
    resemble each other not every pair is there, but each class has one with an earlier class: enough to join
    them, not to part them. For that there is `crossing`.
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


def nearness(texts: Sequence[str]) -> Nearness:
    """Who among the texts is near to whom. Texts of no characters are one class, near to none.

    Example:
        >>> nearness(["Where is my card?", "where is my card", "I lost my phone"])
        Nearness(classes=(0, 0, 1), pairs=())
        >>> nearness(["I lost my blue card in a taxi", "I lost my blue card in the taxi"]).pairs
        ((0, 1),)
    """
    numbers: dict[str, int] = {}
    classes = tuple(numbers.setdefault(plain(text), len(numbers)) for text in texts)
    spoken = [text for text in numbers if text]
    pairs = alike_pairs(spoken).tolist()
    return Nearness(
        classes, tuple((numbers[spoken[one]], numbers[spoken[other]]) for one, other in pairs)
    )


def crossing(texts: Sequence[str], parts: IntArray) -> list[tuple[int, int]]:
    """The near pairs of texts that two parts share, enough to name every text with one near to it in another part.

    Example:
        >>> crossing(["Where is it now?", "where is it now", "I lost my phone"], np.array([0, 1, 1]))
        [(0, 1)]
    """
    plains = [plain(text) for text in texts]
    spoken = np.array([number for number, text in enumerate(plains) if text], dtype=np.int64)
    pairs = spoken[alike_pairs([plains[number] for number in spoken], parts=parts[spoken])]
    return [(one, other) for one, other in pairs.tolist() if parts[one] != parts[other]]
