"""Texts that say nearly the same: what that means, and how all such pairs among many texts are found.

Two plain texts (`sketch.plain`: case, punctuation and white space aside) are alike when
- they share four fifths of the letter triples of their words (so words may change places or be doubled) and name the
  same numbers, or share nineteen twentieths, whatever the numbers, or
- they are one slip of the finger apart: a letter more, less, wrong, or two swapped, digits never, or
- one is the other with up to three words in front ("Hello, could you ...") and they share most triples.

Chosen by eye on banking77, bitext_support and uci_sentiment: below 0.8 the pairs ask for different things ("top up
with Apple Pay", "with Google Pay"), words behind a sentence narrow it ("can I change my PIN abroad"), and in a short
text a number may be all that tells two cases apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from burnish.data.sketch import Bands, Sketches, Texts, gram_sets, plain, sketch, triples
from burnish.records.encoding import IntArray

SHARED = 0.8
SHARED_BUT_NUMBERS = 0.95
SHARED_WITH_PREFIX = 0.65
PREFIX_WORDS = 3
FEWEST_LETTERS = 8  # of shorter texts one letter is much: "cat", "car"
# 0.65 is found with 95%, 0.8 with 99.99%; a thousandth of all pairs of one subject is compared
BANDS = Bands(25, 5)
# of millions of texts a thousandth of all pairs is too much; 0.65 is found with 64%, 0.8 with 99.7%
BANDS_OF_MANY = Bands(32, 8)
MANY = 200_000
# estimates below it are not looked at closely: 2.5 standard errors under what may count
_ESTIMATE = 0.5
_ALL_PAIRS = 64
_LEADERS = 256
# in a crowd words in front are not looked for, and a text meets so many others on average before the search gives up
_ESTIMATE_IN_CROWDS = 0.65
_MEETINGS = 20
_FEW = 16  # so many are compared one by one
_TOGETHER = 200_000

_NUMBER = re.compile(r"\d+")

Triples = set[tuple[str, str, str]]


def alike(one: str, other: str) -> bool:
    """Whether two plain texts say nearly the same.

    Example:
        >>> alike("how do i activate my new card", "how do i actvate my new card")
        True
        >>> alike("please cancel my order", "cancel my order"), alike("order 12 is late", "order 13 is late")
        (True, False)
    """
    if one == other:
        return True
    return _alike(one, other, triples(one), triples(other))


def _alike(one: str, other: str, first: Triples, second: Triples) -> bool:
    shared = len(first & second)
    either = len(first) + len(second) - shared
    if shared >= SHARED_BUT_NUMBERS * either:
        return True
    if shared >= SHARED * either and _same_numbers(one, other):
        return True
    if shared >= SHARED_WITH_PREFIX * either and _in_front(one, other):
        return _same_numbers(one, other)
    return one_slip(one, other)


def one_slip(one: str, other: str) -> bool:
    """Whether one letter more, less or wrong, or two swapped neighbours, are all that differs.

    Example:
        >>> one_slip("good service", "godo service"), one_slip("good service", "good services")
        (True, True)
        >>> one_slip("order 12 now", "order 13 now"), one_slip("good service", "service good")
        (False, False)
    """
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1 or len(short) < FEWEST_LETTERS:
        return False
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    a, b = short[start:], long[start:]
    if len(a) < len(b):
        changed, same = b[:1], a == b[1:]
    elif a[1:] == b[1:]:
        changed, same = a[:1] + b[:1], True
    else:
        changed, same = b[:2], len(a) > 1 and a[0] == b[1] and a[1] == b[0] and a[2:] == b[2:]
    return same and not any(letter.isdigit() for letter in changed)


def alike_pairs(texts: Texts, *, parts: IntArray | None = None) -> IntArray:
    """Pairs (P, 2) of numbers of plain, non-empty texts that are alike, the lower first, sorted.

    Every pair given is verified, none is missed but by the probability of `Bands.found`. Of more than 64
    texts that all resemble each other not every pair is given, but every text comes with an earlier one of its own
    part, and with one of each other part (`parts`, a number a text), if one is there. Texts of so few words that
    all resemble all, and are not alike, would be compared without end: the search among them is cut off.

    Example:
        >>> alike_pairs(["where is my card", "my card where is", "i lost my phone"]).tolist()
        [[0, 1]]
    """
    if len(texts) < 2:
        return np.empty((0, 2), dtype=np.int64)
    bands = BANDS if len(texts) <= MANY else BANDS_OF_MANY
    sketches = sketch(texts, bands)
    part_R = np.zeros(len(texts), dtype=np.int64) if parts is None else np.asarray(parts)
    purse = _Purse(_MEETINGS * len(texts))
    found = [
        pairs
        for band in range(bands.bands)
        for pairs in _band(texts, sketches, band, part_R, purse)
    ]
    pairs_P2 = np.concatenate([np.empty((0, 2), dtype=np.int64), *found])
    return np.unique(np.sort(pairs_P2, axis=1), axis=0)


@dataclass(slots=True)
class _Purse:
    """How many more pairs of crowds may be compared."""

    left: int


def _band(
    texts: Texts, sketches: Sketches, band: int, part_R: IntArray, purse: _Purse
) -> Iterator[IntArray]:
    """Verified pairs among texts with equal keys in this band and in none before it."""
    keys = sketches.keys_BR[band]
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.r_[True, keys[order][1:] != keys[order][:-1]])
    sizes = np.diff(np.r_[starts, len(order)])
    waiting: list[IntArray] = []
    rows = 0
    for size in np.unique(sizes[sizes > 1]).tolist():
        groups = order[starts[sizes == size][:, None] + np.arange(size)]
        if size > _ALL_PAIRS:
            for group in groups:
                yield from _large(texts, sketches, band, group, part_R, purse)
            continue
        first, second = np.triu_indices(size, 1)
        step = max(1, _TOGETHER // len(first))
        for start in range(0, len(groups), step):
            some = groups[start : start + step]
            pairs = np.stack([some[:, first].ravel(), some[:, second].ravel()], axis=1)
            waiting.append(pairs[_promising(sketches, band, pairs)])
            rows += len(waiting[-1])
            if rows > _TOGETHER:
                yield _verified(texts, np.concatenate(waiting))
                waiting, rows = [], 0
    if waiting:
        yield _verified(texts, np.concatenate(waiting))


def _large(
    texts: Texts,
    sketches: Sketches,
    band: int,
    group: IntArray,
    part_R: IntArray,
    purse: _Purse,
) -> Iterator[IntArray]:
    """Each of many texts with equal keys beside one it is alike to, in its own part and in each other part."""
    group = np.sort(group)
    parts = [group[part_R[group] == part] for part in np.unique(part_R[group])]
    said = [texts[number] for number in group.tolist()]
    grams, bounds = gram_sets(said)
    sizes, lengths = np.diff(bounds), np.array(list(map(len, said)))

    def alike_to(leader: int, others: IntArray) -> IntArray:
        pairs = np.stack([np.full(len(others), leader), others], axis=1)
        promising = pairs[_promising(sketches, band, pairs, estimate=_ESTIMATE_IN_CROWDS)]
        purse.left -= len(promising)
        if len(promising) > _FEW:
            place = int(np.searchsorted(group, leader))
            own = grams[bounds[place] : bounds[place + 1]]
            shares = own[np.minimum(np.searchsorted(own, grams), len(own) - 1)] == grams
            shared = np.add.reduceat(shares, bounds[:-1])
            either = sizes + len(own) - shared
            slip = np.abs(lengths - len(said[place])) <= 1
            chosen = shared >= np.where(slip, SHARED_WITH_PREFIX, SHARED) * either
            promising = promising[chosen[np.searchsorted(group, promising[:, 1])]]
        return _verified(texts, promising)

    for members in parts:
        left = members
        for _ in range(_LEADERS):
            if len(left) < 2 or purse.left < 0:
                break
            near = alike_to(left[0], left[1:])
            yield near
            left = left[1:][~np.isin(left[1:], near[:, 1])]
    for members, leaders in permutations(parts, 2):
        left = members
        for leader in leaders[:_LEADERS]:
            if not len(left) or purse.left < 0:
                break
            near = alike_to(leader, left)
            yield near
            left = left[~np.isin(left, near[:, 1])]


def _promising(
    sketches: Sketches, band: int, pairs: IntArray, *, estimate: float = _ESTIMATE
) -> np.ndarray:
    """Which pairs no earlier band has brought together, and may be alike by their sketches."""
    one, other = pairs[:, 0], pairs[:, 1]
    agree = sketches.minima_RE[one] == sketches.minima_RE[other]
    kept = agree.mean(axis=1) >= estimate
    chosen = np.flatnonzero(kept)
    for earlier in range(band):
        keys = sketches.keys_BR[earlier]
        chosen = chosen[keys[one[chosen]] != keys[other[chosen]]]
    kept[:] = False
    kept[chosen] = True
    return kept


def _verified(texts: Texts, pairs: IntArray) -> IntArray:
    kept: list[bool] = []
    before, first = -1, ""
    known: Triples = set()
    # pairs come ordered by their first text, or nearly so
    for one, other in pairs.tolist():
        if one != before:
            before, first = one, texts[one]
            known = triples(first)
        second = texts[other]
        kept.append(_alike(first, second, known, triples(second)))
    return pairs[np.array(kept, dtype=bool)]


def near_texts(texts: Sequence[str]) -> IntArray:
    """The pairs of texts, as people wrote them, that are alike; texts of no characters are like none."""
    plains = [plain(text) for text in texts]
    spoken = np.array([number for number, text in enumerate(plains) if text], dtype=np.int64)
    pairs = alike_pairs([plains[number] for number in spoken])
    return spoken[pairs] if len(pairs) else pairs


def _same_numbers(one: str, other: str) -> bool:
    return set(_NUMBER.findall(one)) == set(_NUMBER.findall(other))


def _in_front(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if not long.endswith(f" {short}"):
        return False
    return long[: -len(short)].count(" ") <= PREFIX_WORDS
