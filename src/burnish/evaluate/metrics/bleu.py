"""BLEU of all rows together, as sacrebleu computes it, from sums over rows.

Corpus BLEU is a function of ten sums: length of the texts, length of the nearest references, n-grams that are right
and n-grams there are, n = 1 to 4. So a resample of rows is a weighted sum of the rows' counts, and nothing is read again.
The value is a share; sacrebleu prints the same number times 100.

Source: Papineni et al. (2002), "BLEU: a Method for Automatic Evaluation of Machine Translation"; Post (2018), "A Call for
Clarity in Reporting BLEU Scores" (sacrebleu and its signature); smoothing "exp" of Chen & Cherry (2014).

Shape legend: R rows, S = 10 terms; "..." is any number of resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from burnish.evaluate.references import references_each, streams
from burnish.evaluate.script import SPACELESS
from burnish.evaluate.written import Written
from burnish.records.encoding import FloatArray

_ORDER = 4


def counts(written: Written) -> FloatArray:
    """sacrebleu's counts of each row: shape (R, 10). A row without references has the reference ""."""
    return written.remembered("bleu", _counts)


def value(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """BLEU of the sums: (..., 10), (...) to (...), 0 to 1."""
    said, true = sums_S[..., 0], sums_S[..., 1]
    right_N, all_N = sums_S[..., 2 : 2 + _ORDER], sums_S[..., 2 + _ORDER :]
    # an order with no match at all counts as half a match, the next such order as a quarter, ...
    halved_N = np.exp2(-np.cumsum(right_N == 0, axis=-1, dtype=np.float64))
    share_N = np.where(right_N > 0, right_N, halved_N) / np.maximum(all_N, 1e-300)
    possible = np.all(all_N > 0, axis=-1) & np.any(right_N > 0, axis=-1)
    # where it is not possible the mean is thrown away
    mean = np.exp(np.log(np.minimum(share_N, 1.0)).mean(axis=-1))
    brevity = np.exp(np.minimum(0.0, 1 - true / np.maximum(said, 1e-300)))
    return np.where(possible, mean * brevity, 0.0)


def signature(written: Written) -> str:
    """sacrebleu's signature of this number.

    Example:
        >>> from burnish.evaluate.written import written_from
        >>> signature(written_from(["a cat"], [["the cat"]])).split("|version")[0]
        'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp'
    """
    metric = _metric(written)
    metric.num_refs = references_each(written)
    return str(metric.get_signature())


def _counts(written: Written) -> FloatArray:
    # sacrebleu's own statistics of segments, which its significance tests resample too
    found = _metric(written)._extract_corpus_statistics(written.texts, streams(written))  # noqa: SLF001
    return np.array(found, dtype=np.float64)


def _metric(written: Written) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    # words of scripts without spaces would be whole sentences
    return BLEU(tokenize="char" if written.script in SPACELESS else "13a", force=True)
