"""Always the most frequent answer: what any model must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.decide.array_files import load_arrays, save_arrays
from burnish.decide.label_shares import log_shares
from burnish.decide.vectors import Vectors
from burnish.records.encoding import Encoding, FloatArray

TITLE: str = "majority label"
EXPLAINS: str = "ignores the text"
NEEDS: str = "labelled rows"
USES_BASE: bool = False
DEPLOYABLE: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Majority:
    """The label frequencies of the train rows, as logits. Shapes: logits_L (L,)."""

    logits_L: FloatArray
    temperature: float = 1.0

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Empty encodings: the text is not read."""
        nothing = np.zeros(0, dtype=np.int32)
        return [Encoding(text, nothing, nothing.reshape(0, 2)) for text in texts]

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        """The same row for every text."""
        return np.tile(self.logits_L / self.temperature, (len(encodings), 1))

    def size_bytes(self) -> int:
        """Bytes of the arrays."""
        return self.logits_L.nbytes

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        settings = {"baseline": "majority", "temperature": self.temperature}
        save_arrays(folder, {"logits": self.logits_L}, settings=settings)


def build(
    texts: Sequence[str],
    targets_RL: FloatArray,
    *,
    objective: str,
    vectors: Vectors | None,
    seed: int,
) -> Majority:
    """Count the labels."""
    del texts, vectors, seed
    return Majority(log_shares(targets_RL, objective=objective))


def load(folder: Path, *, vectors: Vectors | None) -> Majority:
    """Read it back."""
    del vectors
    arrays, settings = load_arrays(folder)
    return Majority(arrays["logits"], settings["temperature"])
