"""Exact match and F1 of answers as SQuAD counts them, no-answer rows included.

A row without references is right exactly when nothing is answered. Articles and white space are those of the official
scripts: English ones.

Source: Rajpurkar et al. (2016), "SQuAD: 100,000+ Questions for Machine Comprehension of Text", and (2018), "Know
What You Don't Know" for rows without an answer; their official evaluation scripts define the normalisation.

Shape legend: R rows, S terms.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from burnish.evaluate.written import Written
from burnish.records.encoding import FloatArray

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """The text in small letters, without ASCII punctuation and the articles a, an, the; one space between words.

    Example:
        >>> normalised(" The  Eiffel-Tower, (in) Paris! ")
        'eiffeltower in paris'
    """
    plain = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exactly(text: str, references: Sequence[str]) -> float:
    """1 when the text is one of the references after normalisation, else 0."""
    return float(normalised(text) in _right(references))


def overlap(text: str, references: Sequence[str]) -> float:
    """F1 of the words that the text shares with the reference it shares most with.

    Example:
        >>> round(overlap("in Paris, France", ["Paris", "the city of Paris"]), 3)
        0.5
    """
    said = normalised(text).split()
    return max(_f1(said, reference.split()) for reference in _right(references))


def exact_match(written: Written) -> FloatArray:
    """1 for an exactly right row, else 0: shape (R, 1)."""
    return _per_row(written, exactly)


def f1(written: Written) -> FloatArray:
    """Each row's F1 of words: shape (R, 1)."""
    return _per_row(written, overlap)


def _per_row(written: Written, score: Callable[[str, Sequence[str]], float]) -> FloatArray:
    values = [
        score(text, references)
        for text, references in zip(written.texts, written.references, strict=True)
    ]
    return np.array(values, dtype=np.float64)[:, None]


def _right(references: Sequence[str]) -> list[str]:
    """The normalised references; those of which nothing is left do not count, and nothing is right where none is left."""
    return [kept for kept in map(normalised, references) if kept] or [""]


def _f1(said: Sequence[str], true: Sequence[str]) -> float:
    if not said or not true:
        return float(said == true)
    shared = (Counter(said) & Counter(true)).total()
    return 2 * shared / (len(said) + len(true))
