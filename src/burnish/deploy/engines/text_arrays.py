"""The engine of baselines that answer with a text and no model: their arrays and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.decide.text_baseline import TEXT_BASELINES, FittedTextBaseline
from burnish.decide.text_baselines.sentence import Sentence
from burnish.decide.text_candidates import asked_of
from burnish.models.fitted_text import FittedText, TextAnswer
from burnish.records.decoding import Decoding
from burnish.records.task import Task


@dataclass(frozen=True, slots=True, eq=False)
class AnsweringBaseline:
    """A built baseline behind the door of models that answer with texts. Decoding is nothing to it."""

    baseline: FittedTextBaseline

    def answer(
        self,
        task: Task,
        inputs: Sequence[Mapping[str, str]],
        *,
        decoding: Decoding | None = None,
    ) -> list[TextAnswer]:
        """One text a row, in order."""
        del decoding
        asked = [asked_of(task, row) for row in inputs]
        if isinstance(self.baseline, Sentence):
            return [
                TextAnswer("") if span is None else TextAnswer(span.text, start=span.start)
                for span in self.baseline.spans(asked)
            ]
        return [TextAnswer(text) for text in self.baseline.answers(asked)]

    def check(self, task: Task, inputs: Sequence[Mapping[str, str]]) -> None:
        """Refuse rows that cannot be read."""
        for row in inputs:
            asked_of(task, row)

    def surprise(self, answers: Sequence[TextAnswer]) -> list[float | None]:
        """Nobody knows."""
        return [None] * len(answers)

    def size_bytes(self) -> int:
        """Memory needed to answer."""
        return self.baseline.size_bytes()


def load(folder: Path, task: Task, *, precision: str, max_tokens: int) -> FittedText:
    """The baseline that was saved in `folder`."""
    del task, precision, max_tokens
    name = json.loads((folder / "arrays.json").read_text(encoding="utf-8"))["baseline"]
    return AnsweringBaseline(TEXT_BASELINES[name].load(folder))
