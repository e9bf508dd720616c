"""The embeddings of both sides in one array, or why there are none to compare.

Shape legend: R pooled rows, K embedded rows of one side, H width of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burnish.monitor.exchange import too_few
from burnish.monitor.seen import Seen
from burnish.records.encoding import FloatArray, IntArray

# Tests of embeddings take time with the square of the rows: a kernel of 2,000 is 32 MB. A random part of the rows
# keeps every test exact.
_MOST_ROWS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Pooled embeddings, the window's first.

    Shapes: vectors_RH (R, H); from_window_R true for the window's; window_rows their places in its vectors_KH.
    """

    vectors_RH: FloatArray
    from_window_R: NDArray[np.bool_]
    window_rows: IntArray


def embedded(window: Seen, reference: Seen, *, seed: int) -> Embedded | str:
    """Both sides' embeddings, at most a thousand random rows of each; or a sentence why nothing can be compared."""
    ours_KH, theirs_KH = window.vectors_KH, reference.vectors_KH
    if ours_KH is None or theirs_KH is None:
        return "there are no embeddings: the model has no base model"
    few = too_few(len(ours_KH), len(theirs_KH))
    if few:
        return few
    # a stream of its own: the sample must know nothing of the divisions that the same seed draws
    random = np.random.default_rng([seed, 2])
    ours, theirs = _some(len(ours_KH), random), _some(len(theirs_KH), random)
    return Embedded(
        vectors_RH=np.concatenate([ours_KH[ours], theirs_KH[theirs]]),
        from_window_R=np.repeat([True, False], [len(ours), len(theirs)]),
        window_rows=ours,
    )


def _some(rows: int, random: np.random.Generator) -> IntArray:
    if rows <= _MOST_ROWS:
        return np.arange(rows)
    return random.choice(rows, _MOST_ROWS, replace=False)
