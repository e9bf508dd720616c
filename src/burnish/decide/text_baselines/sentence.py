"""The sentence of the context that is most like the question: what a span must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.decide.array_files import load_arrays, save_arrays
from burnish.decide.asked import Asked, check_rows, quality, rows_to_choose_on
from burnish.decide.sentences import sentence_spans
from burnish.decide.term_weights import TermWeights, terms_from, weigh_terms
from burnish.evaluate.metric import MeasuredKind
from burnish.evaluate.spans import SaidSpan

TITLE: str = "TF-IDF, the most similar sentence"
EXPLAINS: str = "the words that question and sentence share"
NEEDS: str = "contexts; answers only to choose when to say nothing"
KINDS: tuple[MeasuredKind, ...] = ("extractive-qa",)

# How many thresholds are tried between answering always and never. Our choice: 20 steps of rows each way.
_THRESHOLDS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """Term weights of the train contexts, and the likeness below which there is no answer."""

    weights: TermWeights
    least: float

    def answers(self, asked: Sequence[Asked]) -> tuple[str, ...]:
        """The sentence's text, or "" for no answer."""
        return tuple("" if span is None else span.text for span in self.spans(asked))

    def spans(self, asked: Sequence[Asked]) -> tuple[SaidSpan | None, ...]:
        """The sentence with its offsets in the context, None for no answer; of equally similar ones the first."""
        return tuple(
            None if span is None or likeness < self.least else span
            for span, likeness in map(self.most_like, asked)
        )

    def most_like(self, row: Asked) -> tuple[SaidSpan | None, float]:
        """The most similar sentence and its cosine with the question; (None, 0) of an empty context."""
        ids, weights = self.weights.vector(row.text)
        best, most = None, -1.0
        for start, end in sentence_spans(row.context):
            text = row.context[start:end]
            theirs, their_weights = self.weights.vector(text)
            _, ours_at, theirs_at = np.intersect1d(
                ids, theirs, assume_unique=True, return_indices=True
            )
            likeness = float(weights[ours_at] @ their_weights[theirs_at])
            if likeness > most:
                best, most = SaidSpan(start, end, text), likeness
        return best, max(most, 0.0)

    def said(self) -> str:
        """In words."""
        silence = f", no answer below a likeness of {self.least:.2f}" if self.least > 0 else ""
        return f"the sentence most like the question{silence}"

    def size_bytes(self) -> int:
        """Bytes of the weights and the terms."""
        terms = sum(len(term.encode()) for term in self.weights.vocabulary)
        return self.weights.idf_V.nbytes + terms

    def save(self, folder: Path) -> None:
        """Write weights and terms."""
        settings = {
            "baseline": "sentence",
            "terms": self.weights.ordered(),
            "least": self.least,
        }
        save_arrays(folder, {"idf": self.weights.idf_V}, settings=settings)


def build(
    asked: Sequence[Asked],
    references: Sequence[Sequence[str]],
    *,
    metric: str,
    seed: int,
) -> Sentence:
    """Weigh the terms of the contexts' sentences; where train rows have no answer, choose when to give none.

    The threshold is the one that is best by the metric on train rows (500 at most), the lowest of equals.
    """
    check_rows(asked, references)
    contexts = dict.fromkeys(row.context for row in asked)
    told = [context[start:end] for context in contexts for start, end in sentence_spans(context)]
    always = Sentence(weigh_terms(told), 0.0)
    if all(references):
        return always
    rows = [int(row) for row in rows_to_choose_on(len(asked), seed=seed)]
    true = [references[row] for row in rows]
    found = [always.most_like(asked[row]) for row in rows]
    likeness = np.array([most for _, most in found])
    steps = np.quantile(likeness, np.linspace(0, 1, _THRESHOLDS + 1))
    tried = {}
    for least in (0.0, *map(float, steps), float(np.nextafter(likeness.max(), np.inf))):
        said = ["" if span is None or most < least else span.text for span, most in found]
        tried[least] = quality(metric, said, true)
    return Sentence(always.weights, max(tried, key=lambda least: (tried[least], -least)))


def load(folder: Path) -> Sentence:
    """Read it back."""
    arrays, settings = load_arrays(folder)
    return Sentence(terms_from(settings["terms"], arrays["idf"]), settings["least"])
