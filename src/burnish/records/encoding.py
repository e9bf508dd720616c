"""What the model sees: token ids with the characters they come from, and flat batches of them.

Arrays are numpy; these records live inside one process.
Shape legend: T tokens of one row, N tokens of a batch, R rows of a batch, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

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
class TokenRow:
    """A row whose target is text: the tokens the model reads, and at each the token it must say next, if any.

    Shapes: ids_T int64; targets_T int64, -1 where nothing is asked. With `source_T` the row belongs to an
    encoder-decoder: the encoder reads source_T, the decoder ids_T.
    Units: `weight` counts for each of the row's supervised tokens.
    """

    ids_T: IntArray
    targets_T: IntArray
    weight: float = 1.0
    source_T: IntArray | None = None

    def __len__(self) -> int:
        return len(self.ids_T)


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Tokens of several rows laid end to end.

    Shapes: token_ids_N, position_ids_N (starting again at 0 in each row) int64; cumulative_lengths (R+1,)
    int64, starts with 0.
    """

    token_ids_N: IntArray
    position_ids_N: IntArray
    cumulative_lengths: IntArray

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each row."""
        ends = self.cumulative_lengths.tolist()
        return tuple(end - start for start, end in pairwise(ends))


@dataclass(frozen=True, slots=True, eq=False)
class Batch(Tokens):
    """Rows laid end to end, no padding: the one batch format of Burnish, for every family of models.

    The tokens are the encoder's or the decoder's; of an encoder-decoder they are the encoder's, and `decoder`
    holds the other side's, rows in the same order. How a model is given them (flat, or as padded rectangles)
    is the business of models/rows.py.

    Shapes: rows_R int64 index into the dataset split; supervised_S int64 positions that carry the loss, in
    N, or in the decoder's where there is one; owners_S int64 the place in rows_R that each belongs to;
    targets float64 (S, L), one-hot or multi-hot, or int64 (S,), token ids; weights_S float64.
    A classifier has one supervised position a row, so that S is R. token_types_N int64 (N,) says of the encoder's
    tokens which of two texts they belong to; None where there is only one.
    """

    rows_R: IntArray
    supervised_S: IntArray
    owners_S: IntArray
    targets: FloatArray | IntArray
    weights_S: FloatArray
    decoder: Tokens | None = None
    token_types_N: IntArray | None = None
