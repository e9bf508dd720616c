"""What the model sees: token ids with the characters they come from, and flat batches of them.

Arrays are numpy; these records live inside one process.
Shape legend: T tokens of one row, N tokens of a batch, R rows of a batch, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """One row as token ids.

    Shapes: ids_T int32; offsets_T2 int32 (start, end) in characters of `text`, (0, 0) for special tokens.
    Units: dropped_tokens and dropped_characters count what truncation removed; 0 means nothing was lost.
    """

    text: str
    ids_T: NDArray[np.int32]
    offsets_T2: NDArray[np.int32]
    dropped_tokens: int = 0
    dropped_characters: int = 0

    def __len__(self) -> int:
        return len(self.ids_T)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows laid end to end, no padding: the one batch format of Burnish.

    Shapes: token_ids_N, position_ids_N (reset per row) int64; cumulative_lengths (R+1,) int64, starts
    with 0; rows_R int64 index into the dataset split; supervised_R int64 positions in N that carry the
    loss (the pooled token of each row); targets_RL float64 (one-hot or multi-hot); weights_R float64.
    """

    token_ids_N: IntArray
    position_ids_N: IntArray
    cumulative_lengths: IntArray
    rows_R: IntArray
    supervised_R: IntArray
    targets_RL: FloatArray
    weights_R: FloatArray
