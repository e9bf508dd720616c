"""The first sentences of the document: what every summary must beat, and news summaries often do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.decide.array_files import load_arrays, save_arrays
from burnish.decide.asked import Asked, check_rows, quality, rows_to_choose_on
from burnish.decide.sentences import sentence_spans
from burnish.evaluate.metric import MeasuredKind

TITLE: str = "the first sentences"
EXPLAINS: str = "every word stands in the document"
NEEDS: str = "documents; summaries only to choose how many sentences"
KINDS: tuple[MeasuredKind, ...] = ("summarization",)

# Source: lead-3 is the usual baseline of news (Nallapati et al. 2016, "Abstractive Text Summarization"); of a dialogue
# with short turns more is better (LOG.md 2026-11-23: mts_dialog).
_COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 30, 50, 100)


@dataclass(frozen=True, slots=True)
class Lead:
    """How many sentences."""

    count: int

    def answers(self, asked: Sequence[Asked]) -> tuple[str, ...]:
        """The document from its first word to the end of the last of those sentences."""
        return tuple(first_sentences(row.text, count=self.count) for row in asked)

    def said(self) -> str:
        """In words."""
        return "the first sentence" if self.count == 1 else f"the first {self.count} sentences"

    def size_bytes(self) -> int:
        """One number."""
        return 8

    def save(self, folder: Path) -> None:
        """Write it."""
        save_arrays(folder, {}, settings={"baseline": "lead", "sentences": self.count})


def build(
    asked: Sequence[Asked],
    references: Sequence[Sequence[str]],
    *,
    metric: str,
    seed: int,
) -> Lead:
    """The number of sentences, 1 to 100, that is best on train rows (500 at most); of equals the smallest.

    Source of choosing by the metric: it gives the baseline its best, so that beating it means something.
    """
    check_rows(asked, references)
    rows = [int(row) for row in rows_to_choose_on(len(asked), seed=seed)]
    true = [references[row] for row in rows]
    tried = {
        count: quality(metric, Lead(count).answers([asked[row] for row in rows]), true)
        for count in _COUNTS
    }
    return Lead(max(tried, key=lambda count: (tried[count], -count)))


def load(folder: Path) -> Lead:
    """Read it back."""
    return Lead(load_arrays(folder)[1]["sentences"])


def first_sentences(text: str, *, count: int) -> str:
    """The text up to the end of its sentence number `count`, or all of it.

    Example:
        >>> first_sentences(" One. Two.  Three.", count=2)
        'One. Two.'
    """
    spans = sentence_spans(text)[:count]
    return text[spans[0][0] : spans[-1][1]] if spans else ""
