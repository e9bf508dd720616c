"""Encodings become flat batches, and rows become updates: pure functions of (lengths, seed, epoch)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from burnish.records.encoding import Batch, Encoding, FloatArray, IntArray

# Updates whose rows are sorted by length together: wide enough to make rows alike, narrow enough that
# an epoch's order stays random. Source: LOG.md 2026-11-22, length buckets.
_BUCKET_UPDATES = 32


def epoch_updates(
    lengths: Sequence[int] | IntArray, *, batch_rows: int, seed: int, epoch: int
) -> list[IntArray]:
    """The rows of every update of one epoch: shuffled, then bucketed by length, then shuffled again.

    Every row appears exactly once. The same arguments give the same answer on every machine, so a
    resumed run needs no sampler state.

    Example:
        >>> updates = epoch_updates([3, 9, 4, 8], batch_rows=2, seed=1, epoch=0)
        >>> sorted(int(row) for rows in updates for row in rows)
        [0, 1, 2, 3]
    """
    random = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = random.permutation(len(lengths))
    length_of = np.asarray(lengths)
    window = batch_rows * _BUCKET_UPDATES
    updates: list[IntArray] = []
    for start in range(0, len(order), window):
        bucket = order[start : start + window]
        bucket = bucket[np.argsort(length_of[bucket], kind="stable")]
        updates += [bucket[i : i + batch_rows] for i in range(0, len(bucket), batch_rows)]
    return [updates[i] for i in random.permutation(len(updates))]


def micro_batches(
    rows: IntArray, lengths: Sequence[int] | IntArray, *, batch_tokens: int
) -> list[IntArray]:
    """Cut rows, longest first, so that no piece's rectangle (rows x longest) exceeds `batch_tokens`.

    A single row longer than the budget stands alone.

    Example:
        >>> [list(map(int, piece)) for piece in
        ...  micro_batches(np.array([0, 1, 2]), [4, 8, 4], batch_tokens=8)]
        [[1], [0, 2]]
    """
    length_of = np.asarray(lengths)
    ordered = rows[np.argsort(-length_of[rows], kind="stable")]
    pieces: list[IntArray] = []
    start = 0
    while start < len(ordered):
        size = max(1, batch_tokens // int(length_of[ordered[start]]))
        pieces.append(ordered[start : start + size])
        start += size
    return pieces


def pack(
    encodings: Sequence[Encoding], rows: IntArray, *, targets_RL: FloatArray, weights_R: FloatArray
) -> Batch:
    """Lay the chosen rows end to end. The first token of each row is the pooled, supervised one.

    Shapes: targets_RL and weights_R cover all encodings; the batch takes those of `rows`.
    """
    lengths = np.array([len(encodings[row]) for row in rows], dtype=np.int64)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Batch(
        token_ids_N=np.concatenate([encodings[row].ids_T for row in rows]).astype(np.int64),
        position_ids_N=np.concatenate([np.arange(length) for length in lengths]).astype(np.int64),
        cumulative_lengths=ends,
        rows_R=np.asarray(rows, dtype=np.int64),
        supervised_R=ends[:-1],
        targets_RL=targets_RL[rows],
        weights_R=weights_R[rows],
    )
