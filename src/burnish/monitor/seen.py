"""Rows as signals see them: a window of the journal on one side, the reference on the other.

Shape legend: R rows, L labels, K embedded rows, H width of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burnish.records.encoding import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Answered rows. `labels` are the task's label names, in the column order of the probabilities.

    Shapes: probabilities_RL; said_RL true for every label the answer names; confidence_R calibrated. `texts` are
    the rendered inputs, None where only a hash was kept. vectors_KH are unit base-model embeddings of the rows
    embedded_K (a random sample), None when there is no base model.
    """

    labels: tuple[str, ...]
    texts: Sequence[str | None]
    probabilities_RL: FloatArray
    said_RL: NDArray[np.bool_]
    confidence_R: FloatArray
    embedded_K: IntArray
    vectors_KH: FloatArray | None

    def __len__(self) -> int:
        return len(self.confidence_R)


@dataclass(frozen=True, slots=True)
class Audit:
    """A randomly chosen prediction that a person checked; they stand in the order of the verdicts."""

    prediction_id: str
    right: bool


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Consecutive answers of one version. `audits` are all of the version's so far, not only this window's.

    Units: latency_ms_R; seconds from the first answer to the last; replies counts answers by HTTP status over the
    window's time, empty when the server kept none. `abstain_below` and the promises are the task's own.
    """

    seen: Seen
    ids: tuple[str, ...]
    latency_ms_R: FloatArray
    seconds: float
    replies: Mapping[int, int]
    audits: tuple[Audit, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The report's test rows, answered by the same bundle.

    Shapes: right_R true where the answer was entirely right. `calibrated` is False when the model's confidence
    was never fitted to its accuracy.
    """

    seen: Seen
    right_R: NDArray[np.bool_]
    calibrated: bool
