"""The vote of the nearest labelled rows in the base model's embedding space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.decide.array_files import load_arrays, save_arrays
from burnish.decide.vectors import Vectors
from burnish.errors import fail
from burnish.records.encoding import Encoding, FloatArray

TITLE: str = "k nearest neighbours of embeddings"
EXPLAINS: str = "the voting rows can be shown"
NEEDS: str = "the base model, untrained, and every train row's vector"
USES_BASE: bool = True
DEPLOYABLE: bool = True

_NEIGHBOURS = 10
# How fast a neighbour's vote falls with its cosine; Wu et al. 2018 use 0.07 for instance voting.
_VOTE_WIDTH = 0.07
_CHUNK_ROWS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Knn:
    """All train vectors and their targets. Shapes: vectors_NH (N, H) fp32, targets_NL (N, L)."""

    source: Vectors
    vectors_NH: np.ndarray
    targets_NL: np.ndarray
    softmax: bool
    temperature: float = 1.0

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """The base model's token ids."""
        return self.source.encode(texts)

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        """Logarithms of the neighbours' weighted vote, one vote spread over all labels."""
        n_labels = self.targets_NL.shape[1]
        neighbours = min(_NEIGHBOURS, len(self.vectors_NH))
        result = np.zeros((len(encodings), n_labels))
        for start in range(0, len(encodings), _CHUNK_ROWS):
            chunk = encodings[start : start + _CHUNK_ROWS]
            cosines_RN = self.source.vectors(chunk).astype(np.float32) @ self.vectors_NH.T
            nearest_RK = np.argpartition(-cosines_RN, neighbours - 1, axis=1)[:, :neighbours]
            cosine_RK = np.take_along_axis(cosines_RN, nearest_RK, 1).astype(np.float64)
            vote_RK = np.exp((cosine_RK - cosine_RK.max(1, keepdims=True)) / _VOTE_WIDTH)
            vote_RK *= neighbours / vote_RK.sum(1, keepdims=True)
            share_RL = np.einsum("rk,rkl->rl", vote_RK, self.targets_NL[nearest_RK])
            if self.softmax:
                logits_RL = np.log((share_RL + 1 / n_labels) / (neighbours + 1))
            else:
                logits_RL = np.log((share_RL + 0.5) / (neighbours - share_RL + 0.5))
            result[start : start + len(chunk)] = logits_RL
        return result / self.temperature

    def size_bytes(self) -> int:
        """Bytes of arrays and base weights."""
        return self.vectors_NH.nbytes + self.targets_NL.nbytes + self.source.size_bytes()

    def save(self, folder: Path) -> None:
        """Write the arrays; the base model's files are copied by the bundle."""
        arrays = {"vectors": self.vectors_NH, "targets": self.targets_NL}
        settings = {"baseline": "knn", "temperature": self.temperature, "softmax": self.softmax}
        save_arrays(folder, arrays, settings=settings)


def build(
    texts: Sequence[str],
    targets_RL: FloatArray,
    *,
    objective: str,
    vectors: Vectors | None,
    seed: int,
) -> Knn:
    """Keep every train row's vector."""
    del seed
    if vectors is None:
        raise fail("base-missing", "this baseline needs a base model", fix="name one: --base")
    vectors_NH = vectors.vectors(vectors.encode(texts)).astype(np.float32)
    return Knn(vectors, vectors_NH, targets_RL.astype(np.float32), objective == "softmax")


def load(folder: Path, *, vectors: Vectors | None) -> Knn:
    """Read it back."""
    arrays, settings = load_arrays(folder)
    if vectors is None:
        raise fail("base-missing", "the bundle has no base model", where=folder.name)
    return Knn(
        vectors,
        arrays["vectors"],
        arrays["targets"],
        settings["softmax"],
        settings["temperature"],
    )
