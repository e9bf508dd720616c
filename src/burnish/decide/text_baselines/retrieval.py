"""The answer of the most similar train question, by TF-IDF: an answering machine without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.decide.array_files import load_arrays, save_arrays
from burnish.decide.asked import Asked, check_rows
from burnish.decide.term_weights import TermWeights, terms_from, weigh_terms
from burnish.evaluate.metric import MeasuredKind
from burnish.records.encoding import FloatArray, IntArray

TITLE: str = "TF-IDF, the nearest train answer"
EXPLAINS: str = "the train row it answers from can be shown"
NEEDS: str = "labelled rows; no base model, no torch. Keeps the train answers"
KINDS: tuple[MeasuredKind, ...] = ("qa", "chat")


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """The train questions as vectors, listed by term, and their answers.

    Shapes: N train rows, V terms, E entries: starts_V1 (V + 1,), the entries of term v are rows_E and weights_E from
    starts_V1[v] to starts_V1[v + 1]; answer_N (N,) into `answers_`.
    """

    weights: TermWeights
    starts_V1: IntArray
    rows_E: IntArray
    weights_E: FloatArray
    answer_N: IntArray
    known: tuple[str, ...]
    fallback: int

    def answers(self, asked: Sequence[Asked]) -> tuple[str, ...]:
        """The first reference of the nearest train row; of equals the first, and of nothing alike the commonest answer."""
        return tuple(self.known[self._place(row)] for row in asked)

    def nearest(self, asked: Sequence[Asked]) -> tuple[int, ...]:
        """The train row each answer comes from, -1 where none is alike."""
        return tuple(self._nearest(row) for row in asked)

    def said(self) -> str:
        """In words."""
        return f"the answer of the nearest of {len(self.answer_N):,} train rows"

    def size_bytes(self) -> int:
        """Bytes of the arrays and the texts."""
        arrays = (self.weights.idf_V, self.starts_V1, self.rows_E, self.weights_E, self.answer_N)
        texts = (*self.weights.vocabulary, *self.known)
        return sum(array.nbytes for array in arrays) + sum(len(text.encode()) for text in texts)

    def save(self, folder: Path) -> None:
        """Write arrays, terms and answers."""
        arrays = {
            "idf": self.weights.idf_V,
            "starts": self.starts_V1,
            "rows": self.rows_E,
            "weights": self.weights_E,
            "answer": self.answer_N,
        }
        settings = {
            "baseline": "retrieval",
            "terms": self.weights.ordered(),
            "answers": list(self.known),
            "fallback": self.fallback,
        }
        save_arrays(folder, arrays, settings=settings)

    def _place(self, row: Asked) -> int:
        nearest = self._nearest(row)
        return self.fallback if nearest < 0 else int(self.answer_N[nearest])

    def _nearest(self, row: Asked) -> int:
        ids, weights = self.weights.vector(question(row))
        if not len(ids):
            return -1
        likeness_N = np.zeros(len(self.answer_N))
        for term, weight in zip(ids, weights, strict=True):
            entries = slice(self.starts_V1[term], self.starts_V1[term + 1])
            likeness_N[self.rows_E[entries]] += weight * self.weights_E[entries]
        # equal questions are equally near, whatever order their terms were added in
        return int(np.argmax(likeness_N.round(9)))


def build(
    asked: Sequence[Asked],
    references: Sequence[Sequence[str]],
    *,
    metric: str,
    seed: int,
) -> Retrieval:
    """Keep every train row: its question's vector and the answer it is trained on, the first."""
    del metric, seed
    check_rows(asked, references)
    questions = [question(row) for row in asked]
    firsts = [row[0] if row else "" for row in references]
    counts = Counter(firsts)
    known = tuple(dict.fromkeys(firsts))
    places = {answer: place for place, answer in enumerate(known)}
    weights = weigh_terms(questions)
    vectors = [weights.vector(text) for text in questions]
    terms_E = np.concatenate([ids for ids, _ in vectors])
    rows_E = np.repeat(np.arange(len(vectors)), [len(ids) for ids, _ in vectors])
    order_E = np.argsort(terms_E, kind="stable")
    return Retrieval(
        weights=weights,
        starts_V1=np.searchsorted(terms_E[order_E], np.arange(len(weights.idf_V) + 1)),
        rows_E=rows_E[order_E],
        weights_E=np.concatenate([found for _, found in vectors])[order_E],
        answer_N=np.array([places[answer] for answer in firsts], dtype=np.int64),
        known=known,
        # of equally common answers the first
        fallback=places[max(counts, key=lambda answer: (counts[answer], -places[answer]))],
    )


def load(folder: Path) -> Retrieval:
    """Read it back."""
    arrays, settings = load_arrays(folder)
    return Retrieval(
        weights=terms_from(settings["terms"], arrays["idf"]),
        starts_V1=arrays["starts"],
        rows_E=arrays["rows"],
        weights_E=arrays["weights"],
        answer_N=arrays["answer"],
        known=tuple(settings["answers"]),
        fallback=settings["fallback"],
    )


def question(row: Asked) -> str:
    """What is compared: the question, and the context where there is one."""
    return f"{row.text}\n{row.context}" if row.context else row.text
