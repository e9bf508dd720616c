"""A row shown in full: what was asked, what is right, and what two models wrote, with the differences marked."""

from __future__ import annotations

from typing import Literal

from burnish.records.record import Record

Mark = Literal["same", "extra", "missing"]
Picked = Literal["best", "median", "worst", "random"]


class Piece(Record):
    """A run of text, and how it stands to the other text: in both, only here, or only there.

    The pieces of a text that are "same" or "extra", put together, are the text itself, character by character.
    """

    text: str
    mark: Mark = "same"


class SampleText(Record):
    """One model's text on one row: its pieces against the reference, its score, and whether it ended by itself."""

    model: str
    pieces: tuple[Piece, ...]
    score: float
    finished: bool = True


class Sample(Record):
    """One row, side by side. `picked` says why it is here; `reference` is the one the first model's text is most like.

    `score` is the primary metric on this row alone. An empty reference means that the row has no answer.
    """

    where: str
    picked: Picked
    prompt: str
    reference: str
    references: int
    texts: tuple[SampleText, ...]
