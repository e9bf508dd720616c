"""TF-IDF vectors of texts in any script, without scikit-learn: what baselines over texts look for likeness with.

Shape legend: N rows, V terms.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from burnish.evaluate.script import words
from burnish.records.encoding import FloatArray, IntArray


def terms(text: str) -> list[str]:
    """Words in small letters, then their neighbouring pairs; of scripts without spaces, characters and their pairs.

    Example:
        >>> terms("Card not here")
        ['card', 'not', 'here', 'card not', 'not here']
    """
    said = words(text.casefold())
    return said + [f"{left} {right}" for left, right in pairwise(said)]


@dataclass(frozen=True, slots=True, eq=False)
class TermWeights:
    """The terms of the texts it was made from, with how much each says. Shapes: idf_V (V,)."""

    vocabulary: dict[str, int]
    idf_V: FloatArray

    def vector(self, text: str) -> tuple[IntArray, FloatArray]:
        """The known terms of a text, rising, and their weights, a vector of length one (of none, when none is known)."""
        known = Counter(self.vocabulary[term] for term in terms(text) if term in self.vocabulary)
        ids = np.array(sorted(known), dtype=np.int64)
        counts = np.array([known[one] for one in sorted(known)], dtype=np.float64)
        weights = (1 + np.log(counts)) * self.idf_V[ids]
        length = np.linalg.norm(weights)
        return ids, weights / length if length > 0 else weights

    def ordered(self) -> list[str]:
        """The terms in the order of their numbers."""
        return sorted(self.vocabulary, key=self.vocabulary.__getitem__)


def weigh_terms(texts: Sequence[str]) -> TermWeights:
    """Count in how many texts each term stands: the rarer, the more it says.

    Source: the smoothed inverse document frequency ln((1 + N) / (1 + n)) + 1 with sublinear term frequency, as in
    scikit-learn's TfidfVectorizer, which the tests compare with.
    """
    found = Counter(term for text in texts for term in set(terms(text)))
    ordered = sorted(found)
    idf_V = np.array([math.log((1 + len(texts)) / (1 + found[term])) + 1 for term in ordered])
    return TermWeights({term: place for place, term in enumerate(ordered)}, idf_V)


def terms_from(ordered: Iterable[str], idf_V: FloatArray) -> TermWeights:
    """Read back from the terms in order."""
    return TermWeights({term: place for place, term in enumerate(ordered)}, idf_V)
