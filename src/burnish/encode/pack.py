"""Encodings become flat batches, and rows become updates: pure functions of (lengths, seed, epoch)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from burnish.encode.windows import Window
from burnish.errors import fail
from burnish.records.encoding import Batch, Encoding, FloatArray, IntArray, TokenRow, Tokens

# Updates whose rows are sorted by length together: wide enough to make rows alike, narrow enough that
# an epoch's order stays random. Source: LOG.md 2026-11-22, length buckets.
_BUCKET_UPDATES = 32
# Rows an error names; beyond these a number says enough.
_NAMED_ROWS = 8


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

    Counted as rectangles for both builders, so that the pieces, and dropout with them, do not depend on which
    one a model needs; with rows of like length the two counts hardly differ. A single row longer than the
    budget stands alone.

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
    flat = _laid([encodings[row].ids_T for row in rows])
    return Batch(
        token_ids_N=flat.token_ids_N,
        position_ids_N=flat.position_ids_N,
        cumulative_lengths=flat.cumulative_lengths,
        rows_R=np.asarray(rows, dtype=np.int64),
        supervised_S=flat.cumulative_lengths[:-1],
        owners_S=np.arange(len(rows), dtype=np.int64),
        targets=targets_RL[rows],
        weights_S=weights_R[rows],
    )


def pack_windows(
    windows: Sequence[Window], rows: IntArray, *, targets_R2: IntArray, weights_R: FloatArray
) -> Batch:
    """Lay the chosen windows end to end. Every token is scored; the first of each window carries its targets.

    Shapes: targets_R2 the first and the last token of the answer, counted from the window's first token; it and
    weights_R cover all windows, the batch takes those of `rows`.
    """
    flat = _laid([windows[row].ids_T for row in rows])
    return Batch(
        token_ids_N=flat.token_ids_N,
        position_ids_N=flat.position_ids_N,
        cumulative_lengths=flat.cumulative_lengths,
        rows_R=np.asarray(rows, dtype=np.int64),
        supervised_S=flat.cumulative_lengths[:-1],
        owners_S=np.arange(len(rows), dtype=np.int64),
        targets=targets_R2[rows],
        weights_S=weights_R[rows],
        token_types_N=np.concatenate([windows[row].types_T for row in rows]).astype(np.int64),
    )


def causal_row(ids_T: IntArray, *, answer_T: NDArray[np.bool_], weight: float = 1.0) -> TokenRow:
    """A row for a decoder: the token before each token of the answer must say it. This is the one place that shifts.

    Shapes: ids_T the whole row, prompt and answer tokenised as one text; answer_T true at the answer's tokens,
    its stop token among them. The row's first token has none before it and is never asked for.

    Example:
        >>> row = causal_row(np.array([5, 6, 7]), answer_T=np.array([False, True, True]))
        >>> row.targets_T.tolist()
        [6, 7, -1]
    """
    ids = np.asarray(ids_T, dtype=np.int64)
    targets_T = np.full(len(ids), -1, dtype=np.int64)
    targets_T[:-1] = np.where(answer_T[1:], ids[1:], -1)
    return TokenRow(ids, targets_T, weight)


def answer_row(
    source_T: IntArray, answer_T: IntArray, *, start_id: int, weight: float = 1.0
) -> TokenRow:
    """A row for an encoder-decoder: the decoder reads `start_id` and the answer, and says the answer.

    Example:
        >>> row = answer_row(np.array([5, 6]), np.array([8, 9, 1]), start_id=0)
        >>> row.ids_T.tolist(), row.targets_T.tolist()
        ([0, 8, 9], [8, 9, 1])
    """
    answer = np.asarray(answer_T, dtype=np.int64)
    read = np.concatenate([[start_id], answer[:-1]]).astype(np.int64)
    return TokenRow(read, answer, weight, np.asarray(source_T, dtype=np.int64))


def pack_tokens(token_rows: Sequence[TokenRow], rows: IntArray, *, places: Sequence[str]) -> Batch:
    """Lay the chosen rows of a decoder or an encoder-decoder end to end.

    Raises: row-unsupervised naming the rows that ask for no token: they would teach nothing and count as learnt.
    """
    chosen = [token_rows[row] for row in rows]
    idle = [
        places[int(row)]
        for row, one in zip(rows, chosen, strict=True)
        if not (one.targets_T >= 0).any()
    ]
    if idle:
        named = ", ".join(idle[:_NAMED_ROWS])
        more = len(idle) - _NAMED_ROWS
        raise fail(
            "row-unsupervised",
            "has no token that carries the loss",
            where=f"rows {named} and {more} more" if more > 0 else f"rows {named}",
            expected="at least one token of the answer in every row",
            fix="raise max_tokens if the answers were cut off, or take the rows out",
        )
    read = _laid([one.ids_T for one in chosen])
    targets_N = np.concatenate([one.targets_T for one in chosen])
    supervised_S = np.flatnonzero(targets_N >= 0)
    owners_S = np.searchsorted(read.cumulative_lengths, supervised_S, side="right") - 1
    sources = [one.source_T for one in chosen if one.source_T is not None]
    outer = _laid(sources) if sources else read
    return Batch(
        token_ids_N=outer.token_ids_N,
        position_ids_N=outer.position_ids_N,
        cumulative_lengths=outer.cumulative_lengths,
        rows_R=np.asarray(rows, dtype=np.int64),
        supervised_S=supervised_S,
        owners_S=owners_S,
        targets=targets_N[supervised_S],
        weights_S=np.array([one.weight for one in chosen])[owners_S],
        decoder=read if sources else None,
    )


def _laid(rows: Sequence[NDArray[np.integer]]) -> Tokens:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    positions = np.arange(ends[-1], dtype=np.int64) - np.repeat(ends[:-1], lengths)
    return Tokens(np.concatenate(rows).astype(np.int64), positions, ends)
