"""One fitted model, whatever engine runs it: texts to encodings, encodings to logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from burnish.records.encoding import Encoding, FloatArray


class Fitted(Protocol):
    """The door every answering model passes: trained transformers and baselines alike.

    Shapes: logits returns (R, L) float64 in the task's label order. Models that know probabilities
    return their logarithms, which the kind turns back into the same probabilities.
    """

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """What the model sees of each text, truncation counted."""
        ...

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        """One row of logits per encoding, in order."""
        ...


class ModelFitted(Fitted, Protocol):
    """A Fitted that is a transformer in memory."""

    def size_bytes(self) -> int:
        """Memory of the weights."""
        ...
