"""Forward passes without gradients: one that finds no memory is cut in two, and the work goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from burnish.encode.pack import micro_batches
from burnish.models.allocator import collect_memory
from burnish.models.shortage import Shortage, is_shortage, row_too_large, shortage_of
from burnish.records.encoding import IntArray

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class Room:
    """How many tokens a pass may take. Lowered by half of a pass that found no memory, `lowered` being told of it first."""

    tokens: int
    lowered: Callable[[Shortage], None]


def passes(
    rows: IntArray,
    lengths: Sequence[int] | IntArray,
    *,
    room: Room,
    compute: Callable[[IntArray], _Answer],
    place: Callable[[int], str],
) -> Iterator[tuple[IntArray, _Answer]]:
    """`compute` over all rows, longest first, in pieces that fit the room; each piece with its answer.

    A smaller piece changes nothing but the shape of the matrix products.

    Raises: memory-full naming the row, when one alone does not fit; whatever compute raises for other reasons.
    """
    left = deque(micro_batches(rows, lengths, batch_tokens=room.tokens))
    while left:
        answer = _tried(compute, left[0], lengths)
        if not isinstance(answer, Shortage):
            yield left.popleft(), answer
            continue
        collect_memory()
        if answer.rows == 1:
            raise row_too_large(answer, place=place(answer.first), doing="a forward pass of")
        room.lowered(answer)
        room.tokens = answer.half
        left = deque(micro_batches(np.concatenate(left), lengths, batch_tokens=room.tokens))


def _tried(
    compute: Callable[[IntArray], _Answer], piece: IntArray, lengths: Sequence[int] | IntArray
) -> _Answer | Shortage:
    """The answer, or the shortage; what a failed pass held is gone when this returns."""
    try:
        return compute(piece)
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        return shortage_of(error, piece, lengths)
