"""MinHash sketches: texts that share most of their letter triples get equal numbers, so that they can be found by sorting."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from burnish.records.encoding import IntArray

_WORD = re.compile(r"\w+")
MOST_CHARACTERS = 5000  # of a longer text its beginning decides
_TOGETHER = 2000  # texts hashed at once: their triples fit the processor's cache
_ESTIMATES = 64  # a similarity of 0.7 is estimated to within 0.06
_SPACE = 32


class Texts(Protocol):
    """Texts by number, in memory or not."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Bands:
    """How texts are sketched: `bands` keys of `rows` minima each; texts of similarity s share a key with
    the probability 1 - (1 - s^rows)^bands.
    """

    bands: int
    rows: int

    def found(self, similarity: float) -> float:
        """The probability that two texts of that similarity are compared.

        Example:
            >>> round(Bands(25, 5).found(0.65), 2), round(Bands(25, 5).found(0.2), 3)
            (0.95, 0.008)
        """
        return 1.0 - (1.0 - similarity**self.rows) ** self.bands


@dataclass(frozen=True, slots=True, eq=False)
class Sketches:
    """Shapes: keys_BR uint32 (bands, texts); minima_RE uint8 (texts, estimates), the low bytes of some minima."""

    keys_BR: np.ndarray
    minima_RE: np.ndarray


def plain(text: str) -> str:
    """The words of a text in lower case, one space between: what case, punctuation and white space do not change.

    Example:
        >>> plain("Where  IS it?!"), plain(" :-) ")
        ('where is it', ':-)')
    """
    beginning = text[:MOST_CHARACTERS]
    return " ".join(_WORD.findall(beginning.casefold())) or " ".join(beginning.split())


def triples(text: str) -> set[tuple[str, str, str]]:
    """Three letters in a row of each word of a plain text, word ends included; word order leaves no trace.

    Example:
        >>> sorted("".join(three) for three in triples("a cat"))
        [' a ', ' ca', 'at ', 'cat']
    """
    found: set[tuple[str, str, str]] = set()
    for word in text.split(" "):
        ended = f" {word} "
        found.update(zip(ended, ended[1:], ended[2:], strict=False))
    return found


def sketch(texts: Texts, bands: Bands, *, seed: int = 1) -> Sketches:
    """Sketches of plain texts, none of them empty.

    Source: Broder, "On the resemblance and containment of documents", 1997; the bands: Leskovec, Rajaraman and
    Ullman, "Mining of Massive Datasets", chapter 3.
    """
    chance = np.random.default_rng(seed)
    count = bands.bands * bands.rows
    odd_P = chance.integers(0, 2**31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    mask_P = chance.integers(0, 2**32, count, dtype=np.uint32)
    keys_BR = np.empty((bands.bands, len(texts)), dtype=np.uint32)
    minima_RE = np.empty((len(texts), min(_ESTIMATES, count)), dtype=np.uint8)
    for start, some in _chunks(texts):
        grams, starts = _hashed(some)
        at = slice(start, start + len(some))
        for band in range(bands.bands):
            key = np.zeros(len(some), dtype=np.uint64)
            for row in range(bands.rows):
                one = band * bands.rows + row
                mixed = (grams ^ mask_P[one]) * odd_P[one]
                lowest = np.minimum.reduceat(mixed, starts)
                key = (key + lowest) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(29)
                if one < minima_RE.shape[1]:
                    minima_RE[at, one] = lowest >> np.uint32(4)
            keys_BR[band, at] = key >> np.uint64(32)
    return Sketches(keys_BR, minima_RE)


def gram_sets(texts: Sequence[str]) -> tuple[IntArray, IntArray]:
    """The hashes of each plain text's triples, each once, one text after another, and where each text's begin and the
    last one's end.

    Example:
        >>> grams, bounds = gram_sets(["cat", "cat cat"])
        >>> bounds.tolist(), grams[:3].tolist() == grams[3:].tolist()
        ([0, 3, 6], True)
    """
    found: list[np.ndarray] = []
    for start, some in _chunks(texts):
        grams, starts = _hashed(some)
        owners = np.repeat(np.arange(len(some)), np.diff(np.r_[starts, len(grams)])) + start
        found.append(np.unique((owners.astype(np.uint64) << np.uint64(32)) | grams))
    both = np.concatenate(found)
    bounds = np.searchsorted(both >> np.uint64(32), np.arange(len(texts) + 1))
    return (both & np.uint64(0xFFFFFFFF)).astype(np.int64), bounds


def _chunks(texts: Texts) -> Iterator[tuple[int, list[str]]]:
    every = iter(range(len(texts)))
    while some := list(islice(every, _TOGETHER)):
        yield some[0], [texts[number] for number in some]


def _hashed(texts: Sequence[str]) -> tuple[np.ndarray, IntArray]:
    """A 32-bit hash of every triple of the texts one after another, and where each text's begin."""
    padded = [f" {text} " for text in texts]
    letters = np.frombuffer(
        "".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32
    ).astype(np.uint64)
    # 21 bits hold any letter; a triple round a space, or over the end of a text, is none
    packed = (letters[:-2] << np.uint64(42)) | (letters[1:-1] << np.uint64(21)) | letters[2:]
    kept = np.flatnonzero(letters[1:-1] != _SPACE)
    packed = packed[kept] * np.uint64(0xBF58476D1CE4E5B9)
    packed ^= packed >> np.uint64(31)
    packed *= np.uint64(0x94D049BB133111EB)
    begins = np.cumsum([0, *(len(text) for text in padded[:-1])])
    return (packed >> np.uint64(32)).astype(np.uint32), np.searchsorted(kept, begins)
