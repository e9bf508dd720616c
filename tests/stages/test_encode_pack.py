"""Updates are a partition of the rows and a pure function; pieces keep the budget; batches lie flat."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from burnish.encode.pack import epoch_updates, micro_batches, pack
from burnish.records.encoding import Encoding

lengths_of_rows = st.lists(st.integers(1, 300), max_size=400)


@settings(max_examples=150, deadline=None)
@given(
    lengths=lengths_of_rows,
    batch_rows=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 99),
)
def test_an_epoch_is_a_partition_and_a_pure_function(
    lengths: list[int], batch_rows: int, seed: int, epoch: int
) -> None:
    updates = epoch_updates(lengths, batch_rows=batch_rows, seed=seed, epoch=epoch)
    assert sorted(int(row) for rows in updates for row in rows) == list(range(len(lengths)))
    assert len(updates) == -(-len(lengths) // batch_rows)
    assert all(1 <= len(rows) <= batch_rows for rows in updates)
    again = epoch_updates(
        np.array(lengths, dtype=int), batch_rows=batch_rows, seed=seed, epoch=epoch
    )
    assert all(np.array_equal(one, two) for one, two in zip(updates, again, strict=True))


def test_epochs_and_seeds_differ() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        updates = epoch_updates([5] * 64, batch_rows=8, seed=seed, epoch=epoch)
        return [int(row) for rows in updates for row in rows]

    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_the_order_is_the_same_on_every_machine() -> None:
    """Resuming on another machine must not shuffle differently: fixed from this version on."""
    updates = epoch_updates([3, 9, 4, 8, 1, 2], batch_rows=2, seed=1, epoch=2)
    assert [rows.tolist() for rows in updates] == [[0, 2], [4, 5], [3, 1]]


def test_rows_of_an_update_are_of_like_length() -> None:
    lengths = np.random.default_rng(1).integers(5, 200, 640)
    updates = epoch_updates(lengths, batch_rows=8, seed=1, epoch=0)
    spread = [np.ptp(lengths[rows]) for rows in updates]
    assert np.mean(spread) < 10


@settings(max_examples=150, deadline=None)
@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=80), budget=st.integers(1, 2000))
def test_pieces_partition_an_update_and_keep_the_budget(lengths: list[int], budget: int) -> None:
    rows = np.random.default_rng(len(lengths)).permutation(len(lengths))[
        : max(1, len(lengths) // 2)
    ]
    pieces = micro_batches(rows, lengths, batch_tokens=budget)
    assert sorted(int(row) for piece in pieces for row in piece) == sorted(rows.tolist())
    for piece in pieces:
        longest = max(lengths[row] for row in piece)
        assert len(piece) == 1 or len(piece) * longest <= budget
    longest_first = [max(lengths[row] for row in piece) for piece in pieces]
    assert longest_first == sorted(longest_first, reverse=True)


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=10), seed=st.integers(0, 999))
def test_a_batch_is_its_rows_laid_end_to_end(lengths: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    encodings = [
        Encoding("", random.integers(0, 99, n).astype(np.int32), np.zeros((n, 2), np.int32))
        for n in lengths
    ]
    targets, weights = random.normal(size=(len(lengths), 3)), random.uniform(size=len(lengths))
    rows = random.permutation(len(lengths))[: max(1, len(lengths) - 1)]
    batch = pack(encodings, rows, targets_RL=targets, weights_R=weights)
    ends = batch.cumulative_lengths
    assert ends[0] == 0 and ends[-1] == len(batch.token_ids_N) == len(batch.position_ids_N)
    for place, row in enumerate(rows):
        inside = slice(ends[place], ends[place + 1])
        assert_array_equal(batch.token_ids_N[inside], encodings[row].ids_T)
        assert_array_equal(batch.position_ids_N[inside], np.arange(lengths[row]))
    assert_array_equal(batch.supervised_S, ends[:-1])
    assert_array_equal(batch.rows_R, rows)
    assert_array_equal(batch.targets, targets[rows])
    assert_array_equal(batch.weights_S, weights[rows])
    assert {batch.token_ids_N.dtype, ends.dtype, batch.rows_R.dtype} == {np.dtype(np.int64)}
