"""Texts as unit vectors: what the embedding baselines ask of an untrained base model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from burnish.records.encoding import Encoding, FloatArray


class Vectors(Protocol):
    """A base model without training. Shapes: vectors gives (R, H), rows of length one."""

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Token ids of each text."""
        ...

    def vectors(self, encodings: Sequence[Encoding]) -> FloatArray:
        """One unit vector per encoding."""
        ...

    def size_bytes(self) -> int:
        """Bytes of the weights."""
        ...
