"""The door of baselines that write text: what could answer without any model, each built in seconds.

A new one is one file in text_baselines/ and one row here; tests/laws/test_text_baselines.py holds it to the laws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from burnish.decide.asked import Asked
from burnish.decide.text_baselines import lead, retrieval, sentence
from burnish.evaluate.metric import MeasuredKind


class FittedTextBaseline(Protocol):
    """A built baseline: it writes one text for every row that is asked."""

    def answers(self, asked: Sequence[Asked]) -> tuple[str, ...]:
        """One text for each, in order; "" where there is nothing to say."""
        ...

    def said(self) -> str:
        """What it is after building, in words: "the first 3 sentences"."""
        ...

    def size_bytes(self) -> int:
        """Memory needed to answer."""
        ...

    def save(self, folder: Path) -> None:
        """Write `arrays.safetensors` and `arrays.json`."""
        ...


class TextBaseline(Protocol):
    """One way to write answers without a model.

    Law: load(save(build(...))) answers the same and saves the same bytes again.
    """

    TITLE: str
    EXPLAINS: str
    NEEDS: str
    KINDS: tuple[MeasuredKind, ...]

    def build(
        self,
        asked: Sequence[Asked],
        references: Sequence[Sequence[str]],
        *,
        metric: str,
        seed: int,
    ) -> FittedTextBaseline:
        """Fit on train rows; what is chosen is chosen by `metric` on them."""
        ...

    def load(self, folder: Path) -> FittedTextBaseline:
        """Read a saved one back."""
        ...


TEXT_BASELINES: Mapping[str, TextBaseline] = {
    "lead": lead,
    "retrieval": retrieval,
    "sentence": sentence,
}


def text_baselines(kind: MeasuredKind) -> tuple[str, ...]:
    """The baselines that make sense for a kind of task, in the table's order.

    Example:
        >>> text_baselines("summarization"), text_baselines("chat")
        (('lead',), ('retrieval',))
    """
    return tuple(name for name, one in TEXT_BASELINES.items() if kind in one.KINDS)
