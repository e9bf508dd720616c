"""ROUGE-1, ROUGE-2 and ROUGE-L: the F-measure of each row, that of the best reference.

Words and n-grams are rouge-score's, with Porter's stemmer. It knows the letters a to z and digits only: texts of another
script get 0.0 even when they are identical (`script.metric_in_place_of` says what to take there).

The longest common subsequence is our own: rouge-score fills a table of every pair of words in plain Python, which takes
0.5 s for two texts of 1,000 words; a row of bits for each word gives the same length in under a millisecond.

Source: Lin (2004), "ROUGE: A Package for Automatic Evaluation of Summaries"; the bits are Hyyrö's (2004), "Bit-parallel
LCS-length computation revisited".

Shape legend: R rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

from burnish.evaluate.written import Written
from burnish.records.encoding import FloatArray


def rouge1(written: Written) -> FloatArray:
    """F-measure of single words: shape (R, 1)."""
    return written.remembered("rouge", _scores)[:, 0:1]


def rouge2(written: Written) -> FloatArray:
    """F-measure of pairs of words: shape (R, 1)."""
    return written.remembered("rouge", _scores)[:, 1:2]


def rouge_l(written: Written) -> FloatArray:
    """F-measure of the longest common subsequence of words: shape (R, 1)."""
    return written.remembered("rouge", _scores)[:, 2:3]


def signature() -> str:
    """What was counted, and with which version.

    Example:
        >>> signature().split("|")[1:]
        ['stem:porter', 'measure:f', 'refs:best']
    """
    return f"rouge-score:{version('rouge-score')}|stem:porter|measure:f|refs:best"


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence of two lists of words.

    Example:
        >>> longest_common("a b c d".split(), "b x d".split())
        2
    """
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    everywhere = (1 << len(first)) - 1
    row = everywhere
    for word in second:
        hits = row & places.get(word, 0)
        row = ((row + hits) | (row - hits)) & everywhere
    return len(first) - row.bit_count()


def _scores(written: Written) -> FloatArray:
    """The three F-measures of each row: shape (R, 3). A row without references is right when nothing is written."""
    scorer, words = _library()
    found = np.zeros((len(written), 3))
    for row, (text, references) in enumerate(zip(written.texts, written.references, strict=True)):
        if not references:
            found[row] = float(not text.strip())
            continue
        said = words.tokenize(text)
        for reference in references:
            counted = scorer.score(reference, text)
            true = words.tokenize(reference)
            shared = longest_common(true, said)
            ours = (
                counted["rouge1"].fmeasure,
                counted["rouge2"].fmeasure,
                2 * shared / (len(said) + len(true)) if shared else 0.0,
            )
            found[row] = np.maximum(found[row], ours)
    return found


@lru_cache(maxsize=1)
def _library() -> tuple[Any, Any]:
    # rouge-score needs one class of nltk and imports all of it: 3 s of processor time, so only when asked
    from nltk.stem.porter import PorterStemmer
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenize import tokenize
    from rouge_score.tokenizers import Tokenizer

    stemmer = PorterStemmer()

    class Stems:
        """Porter's stems, each word once."""

        stem = staticmethod(lru_cache(maxsize=100_000)(stemmer.stem))

    class Words(Tokenizer):
        """rouge-score's own words; a text is asked for several times in a row."""

        def tokenize(self, text: str) -> list[str]:
            return list(_tokens(text))

    @lru_cache(maxsize=64)
    def _tokens(text: str) -> tuple[str, ...]:
        return tuple(tokenize(text, Stems))

    words = Words()
    return RougeScorer(["rouge1", "rouge2"], tokenizer=words), words
