"""The door of baselines: what could do the job without fine-tuning, each built in seconds.

A new baseline is one file in baselines/ and one row here; tests/laws/test_baselines.py holds it to the laws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from burnish.decide.baselines import centroid, knn, majority, tfidf
from burnish.decide.vectors import Vectors
from burnish.models.fitted import Fitted
from burnish.records.encoding import FloatArray


class FittedBaseline(Fitted, Protocol):
    """A built baseline: a Fitted of arrays that can be saved. Logits are divided by `temperature`."""

    @property
    def temperature(self) -> float:
        """Fitted on validation rows, 1 before that."""
        ...

    def size_bytes(self) -> int:
        """Memory needed to answer."""
        ...

    def save(self, folder: Path) -> None:
        """Write `arrays.safetensors` and `arrays.json`."""
        ...


class Baseline(Protocol):
    """One way to answer without training a transformer.

    Law: load(save(build(...))) gives the same logits bit for bit.
    """

    TITLE: str
    EXPLAINS: str
    NEEDS: str
    USES_BASE: bool
    DEPLOYABLE: bool

    def build(
        self,
        texts: Sequence[str],
        targets_RL: FloatArray,
        *,
        objective: str,
        vectors: Vectors | None,
        seed: int,
    ) -> FittedBaseline:
        """Fit on train rows. Shapes: targets_RL (R, L)."""
        ...

    def load(self, folder: Path, *, vectors: Vectors | None) -> FittedBaseline:
        """Read a saved one back."""
        ...


BASELINES: Mapping[str, Baseline] = {
    "majority": majority,
    "tfidf": tfidf,
    "centroid": centroid,
    "knn": knn,
}
