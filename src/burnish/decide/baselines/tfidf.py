"""TF-IDF words and word pairs with logistic regression: the baseline that wins more often than people think."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from burnish.decide.array_files import load_arrays, save_arrays
from burnish.decide.label_shares import log_shares
from burnish.decide.vectors import Vectors
from burnish.records.encoding import Encoding, FloatArray

TITLE: str = "TF-IDF + logistic regression"
EXPLAINS: str = "each word's weight for each label can be listed"
NEEDS: str = "labelled rows; no base model, no torch"
USES_BASE: bool = False
DEPLOYABLE: bool = True

_WORD = re.compile(r"(?u)\b\w\w+\b")
# Inverse regularisation. Source: LOG.md 2026-11-22, 10 beat 1 and 100 on banking77 validation rows.
_INVERSE_PENALTY = 10.0


def terms(text: str) -> list[str]:
    """Lower-case words of two or more letters, then their neighbouring pairs.

    Example:
        >>> terms("Card not arrived")
        ['card', 'not', 'arrived', 'card not', 'not arrived']
    """
    words = _WORD.findall(text.lower())
    return words + [f"{left} {right}" for left, right in pairwise(words)]


@dataclass(frozen=True, slots=True, eq=False)
class Tfidf:
    """Term weights and a linear layer. Shapes: idf_V (V,), coefficients_LV (L, V), intercepts_L (L,)."""

    vocabulary: dict[str, int]
    idf_V: FloatArray
    coefficients_LV: FloatArray
    intercepts_L: FloatArray
    temperature: float = 1.0

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """The ids of each text's known terms, in order; offsets are not kept."""
        rows = []
        for text in texts:
            known = [self.vocabulary[term] for term in terms(text) if term in self.vocabulary]
            ids = np.array(known, dtype=np.int32)
            rows.append(Encoding(text, ids, np.zeros((len(ids), 2), dtype=np.int32)))
        return rows

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        """Sublinear TF-IDF of unit length times the coefficients."""
        result = np.tile(self.intercepts_L, (len(encodings), 1))
        for row, encoding in enumerate(encodings):
            ids, counts = np.unique(encoding.ids_T, return_counts=True)
            if len(ids):
                weights = (1 + np.log(counts)) * self.idf_V[ids]
                weights /= np.linalg.norm(weights)
                result[row] += self.coefficients_LV[:, ids] @ weights
        return result / self.temperature

    def size_bytes(self) -> int:
        """Bytes of the arrays and the vocabulary's text."""
        words = sum(len(term.encode()) for term in self.vocabulary)
        return self.idf_V.nbytes + self.coefficients_LV.nbytes + self.intercepts_L.nbytes + words

    def save(self, folder: Path) -> None:
        """Write arrays and vocabulary."""
        arrays = {
            "idf": self.idf_V,
            "coefficients": self.coefficients_LV,
            "intercepts": self.intercepts_L,
        }
        ordered = sorted(self.vocabulary, key=self.vocabulary.__getitem__)
        settings = {"baseline": "tfidf", "terms": ordered, "temperature": self.temperature}
        save_arrays(folder, arrays, settings=settings)


def build(
    texts: Sequence[str],
    targets_RL: FloatArray,
    *,
    objective: str,
    vectors: Vectors | None,
    seed: int,
) -> Tfidf:
    """Fit with scikit-learn; multinomial over closed labels, one yes/no regression per label otherwise.

    Labels that never occur keep an intercept that makes them practically impossible.
    """
    del vectors
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(terms(text) for text in texts):
        return _without_words(targets_RL, objective=objective)
    vectoriser: Any = TfidfVectorizer(analyzer=cast(Any, terms), sublinear_tf=True, min_df=1)
    rows_RV = vectoriser.fit_transform(texts)
    n_labels, width = targets_RL.shape[1], rows_RV.shape[1]
    coefficients_LV = np.zeros((n_labels, width))
    if objective == "softmax":
        intercepts_L = np.full(n_labels, -30.0)
        found, weights, intercepts = _regress(rows_RV, targets_RL.argmax(1), seed=seed)
        coefficients_LV[found] = weights
        intercepts_L[found] = intercepts
    else:
        intercepts_L = np.zeros(n_labels)
        for label in range(n_labels):
            answers = targets_RL[:, label].astype(int)
            if answers.min() == answers.max():
                intercepts_L[label] = 30.0 if answers[0] else -30.0
                continue
            _, weights, intercepts = _regress(rows_RV, answers, seed=seed)
            coefficients_LV[label] = weights[1] - weights[0]
            intercepts_L[label] = intercepts[1] - intercepts[0]
    vocabulary = {term: int(place) for term, place in vectoriser.vocabulary_.items()}
    return Tfidf(vocabulary, vectoriser.idf_, coefficients_LV, intercepts_L)


def load(folder: Path, *, vectors: Vectors | None) -> Tfidf:
    """Read it back."""
    del vectors
    arrays, settings = load_arrays(folder)
    vocabulary = {term: place for place, term in enumerate(settings["terms"])}
    return Tfidf(
        vocabulary,
        arrays["idf"],
        arrays["coefficients"],
        arrays["intercepts"],
        settings["temperature"],
    )


def _regress(
    rows_RV: Any, answers_R: np.ndarray, *, seed: int
) -> tuple[np.ndarray, FloatArray, FloatArray]:
    """Classes found, their coefficients and intercepts; a binary fit becomes two rows of opposite halves."""
    from sklearn.linear_model import LogisticRegression

    found = np.unique(answers_R)
    if len(found) == 1:
        width = rows_RV.shape[1]
        return found, np.zeros((1, width)), np.zeros(1)
    model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=300, tol=1e-3, random_state=seed)
    model.fit(rows_RV, answers_R)
    weights, intercepts = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(found) == 2:
        weights = np.concatenate([-weights / 2, weights / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    return found, weights, intercepts


def _without_words(targets_RL: FloatArray, *, objective: str) -> Tfidf:
    """No row has a word of two letters: the label shares alone must answer."""
    n_labels = targets_RL.shape[1]
    intercepts_L = log_shares(targets_RL, objective=objective)
    return Tfidf({}, np.zeros(0), np.zeros((n_labels, 0)), intercepts_L)
