"""One model that answers with a text, whatever engine runs it: inputs of rows to answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from burnish.records.decoding import Decoding
from burnish.records.task import Task


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """A text and how it came about.

    `prompt_ids` and `answer_ids` are empty for what is no model; `finished` is False where the limit of new tokens ended
    the text. `start` is where it stands in its context, in characters, `confidence` how sure that is; None for what is no
    piece of a context. Units: `logprob` nats of the whole answer, None where nobody knows; `dropped_*` what was cut from
    the prompt.
    """

    text: str
    finished: bool = True
    prompt_ids: tuple[int, ...] = ()
    answer_ids: tuple[int, ...] = ()
    logprob: float | None = None
    dropped_tokens: int = 0
    dropped_characters: int = 0
    start: int | None = None
    confidence: float | None = None


def confidence_of(answer: TextAnswer) -> float:
    """How sure a model is of its answer: of a piece of a context its confidence, of a text the probability of exactly
    this one; 0 where nobody knows.

    Example:
        >>> confidence_of(TextAnswer("May", logprob=0.0)), confidence_of(TextAnswer("May"))
        (1.0, 0.0)
    """
    if answer.confidence is not None:
        return answer.confidence
    return 0.0 if answer.logprob is None else math.exp(answer.logprob)


class FittedText(Protocol):
    """The door every answering model of a kind that writes passes: fine-tuned models and baselines alike."""

    def answer(
        self,
        task: Task,
        inputs: Sequence[Mapping[str, str]],
        *,
        decoding: Decoding | None = None,
    ) -> list[TextAnswer]:
        """One text a row, in order; decoded as the task says, or as `decoding` does.

        Raises: prompt-too-long, and the codes of the engine.
        """
        ...

    def check(self, task: Task, inputs: Sequence[Mapping[str, str]]) -> None:
        """Refuse rows that cannot be asked, before anything is computed.

        Raises: as `answer` does of its inputs.
        """
        ...

    def surprise(self, answers: Sequence[TextAnswer]) -> list[float | None]:
        """Minus the log-probability of each answer as it was written, in nats; None for what is no model."""
        ...

    def size_bytes(self) -> int:
        """Memory needed to answer."""
        ...
