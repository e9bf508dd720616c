"""chrF2 of all rows together, as sacrebleu computes it, from sums over rows. It reads characters, so any script.

Corpus chrF is a function of 18 sums: for n = 1 to 6 the character n-grams written, those of the reference, those shared.
Of several references a row counts the one that its text is most like. The value is a share; sacrebleu prints it times 100.

Source: Popović (2015), "chrF: character n-gram F-score for automatic MT evaluation"; beta = 2 of Popović (2016); Post (2018).

Shape legend: R rows, S = 18 terms; "..." is any number of resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from burnish.evaluate.references import references_each, streams
from burnish.evaluate.written import Written
from burnish.records.encoding import FloatArray

# beta = 2: recall counts twice as much as precision
_FACTOR = 2.0**2


def counts(written: Written) -> FloatArray:
    """sacrebleu's counts of each row: shape (R, 18). A row without references has the reference ""."""
    return written.remembered("chrf", _counts)


def value(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """chrF2 of the sums: (..., 18), (...) to (...), 0 to 1."""
    said_N, true_N, shared_N = (sums_S[..., place::3] for place in range(3))
    # orders that no text, or no reference, is long enough for do not count
    there_N = (said_N > 0) & (true_N > 0)
    orders = np.maximum(there_N.sum(axis=-1), 1)
    precision = np.where(there_N, shared_N / np.maximum(said_N, 1), 0.0).sum(axis=-1) / orders
    recall = np.where(there_N, shared_N / np.maximum(true_N, 1), 0.0).sum(axis=-1) / orders
    both = _FACTOR * precision + recall
    return (1 + _FACTOR) * precision * recall / np.where(both > 0, both, 1.0)


def signature(written: Written) -> str:
    """sacrebleu's signature of this number.

    Example:
        >>> from burnish.evaluate.written import written_from
        >>> signature(written_from(["a cat"], [["the cat"]])).split("|version")[0]
        'nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no'
    """
    metric = _metric()
    metric.num_refs = references_each(written)
    return str(metric.get_signature())


def _counts(written: Written) -> FloatArray:
    # sacrebleu's own statistics of segments, which its significance tests resample too
    found = _metric()._extract_corpus_statistics(written.texts, streams(written))  # noqa: SLF001
    return np.array(found, dtype=np.float64)


def _metric() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()
