"""The nearest class centroid of the base model's embeddings: nothing is trained but one mean per label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.decide.array_files import load_arrays, save_arrays
from burnish.decide.vectors import Vectors
from burnish.errors import fail
from burnish.records.encoding import Encoding, FloatArray

TITLE: str = "nearest centroid of embeddings"
EXPLAINS: str = "the nearest labelled rows can be shown"
NEEDS: str = "the base model, untrained"
USES_BASE: bool = True
DEPLOYABLE: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Centroid:
    """Mean vectors of the rows with (`yes_LH`) and, for several labels a row, without (`no_LH`) each label."""

    source: Vectors
    yes_LH: FloatArray
    no_LH: FloatArray
    temperature: float = 1.0

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """The base model's token ids."""
        return self.source.encode(texts)

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        """Cosine to each label's mean, less the cosine to the mean of its other rows where there is one."""
        vectors_RH = self.source.vectors(encodings)
        logits_RL = vectors_RH @ (self.yes_LH - self.no_LH).T
        # a label without train rows has no mean: as far away as a cosine can say
        logits_RL[:, ~self.yes_LH.any(axis=1)] = -1.0
        return logits_RL / self.temperature

    def size_bytes(self) -> int:
        """Bytes of arrays and base weights."""
        return self.yes_LH.nbytes + self.no_LH.nbytes + self.source.size_bytes()

    def save(self, folder: Path) -> None:
        """Write the arrays; the base model's files are copied by the bundle."""
        arrays = {"yes": self.yes_LH, "no": self.no_LH}
        settings = {"baseline": "centroid", "temperature": self.temperature}
        save_arrays(folder, arrays, settings=settings)


def build(
    texts: Sequence[str],
    targets_RL: FloatArray,
    *,
    objective: str,
    vectors: Vectors | None,
    seed: int,
) -> Centroid:
    """Average the unit vectors of each label's rows and scale the mean to unit length."""
    del seed
    if vectors is None:
        raise fail("base-missing", "this baseline needs a base model", fix="name one: --base")
    vectors_RH = vectors.vectors(vectors.encode(texts))
    yes_LH = _unit(targets_RL.T @ vectors_RH)
    no_LH = np.zeros_like(yes_LH)
    if objective == "sigmoid":
        no_LH = _unit((1 - targets_RL).T @ vectors_RH)
    return Centroid(vectors, yes_LH, no_LH)


def load(folder: Path, *, vectors: Vectors | None) -> Centroid:
    """Read it back."""
    arrays, settings = load_arrays(folder)
    if vectors is None:
        raise fail("base-missing", "the bundle has no base model", where=folder.name)
    return Centroid(vectors, arrays["yes"], arrays["no"], settings["temperature"])


def _unit(sums_LH: FloatArray) -> FloatArray:
    lengths_L1 = np.linalg.norm(sums_LH, axis=1, keepdims=True)
    return np.divide(sums_LH, lengths_L1, out=np.zeros_like(sums_LH), where=lengths_L1 > 0)
