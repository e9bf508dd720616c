"""Splits: no text or group in two, the same answer every time, and nothing that was decided moves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.alike import alike
from burnish.data.inherit import inherited
from burnish.data.near import crossing, nearness
from burnish.data.sketch import triples
from burnish.data.split import SHARES, Assignment, assign
from burnish.data.units import nearness_of, text_of
from burnish.errors import BurnishError
from burnish.records.example import Example, Split
from burnish.records.label import OneOf
from support_task import make_example, unlike

SAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
WORDS = [
    "card",
    "lost",
    "refund",
    "late",
    "phone",
    "app",
    "login",
    "error",
    "pay",
    "bill",
    "new",
    "old",
    "blue",
    "red",
    "taxi",
    "home",
]


texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
row = st.tuples(
    texts,
    st.sampled_from("abcd"),
    st.sampled_from([None, None, *map(str, range(12))]),
    st.sampled_from(["all", "all", "all", "random", "uncertain", "disputed"]),
)


def rows(file: str = "t", most: int = 60) -> st.SearchStrategy[list[Example]]:
    def build(found: list[tuple[str, str, str | None, str]]) -> list[Example]:
        return [
            make_example(t, y, line, group=g, file=file, chosen=c)
            for line, (t, y, g, c) in enumerate(found, 2)
        ]

    return st.lists(row, max_size=most).map(build)


def by_split(examples: Iterable[Example], found: Assignment) -> Mapping[Split, list[Example]]:
    sorted_out: dict[Split, list[Example]] = defaultdict(list)
    for one in examples:
        if one.row_id in found.splits:
            sorted_out[found.splits[one.row_id]].append(one)
    return sorted_out


def assert_apart(examples: list[Example], found: Assignment) -> None:
    """No text, no group in two splits, and every row placed or quarantined, once."""
    texts_of: dict[str, set[Split]] = defaultdict(set)
    groups_of: dict[str, set[Split]] = defaultdict(set)
    for one in examples:
        split = found.splits.get(one.row_id)
        if split is None:
            continue
        texts_of[one.input_id].add(split)
        if one.group is not None:
            groups_of[one.group].add(split)
    assert all(len(splits) == 1 for splits in texts_of.values())
    assert all(len(splits) == 1 for splits in groups_of.values())
    assert len(found.splits) + len(found.quarantined) == len(examples)
    assert all(rejection.reason == "leakage" for rejection in found.quarantined)


@SAMPLES
@given(pool=rows())
def test_nothing_stands_in_two_splits(pool: list[Example]) -> None:
    found = assign(pool, salt="s")
    assert_apart(pool, found)
    assert found == assign(pool, salt="s")
    near = nearness_of(pool)
    around = near.around()
    for one, number in zip(pool, near.classes, strict=True):
        for other, number_ in zip(pool, near.classes, strict=True):
            if number_ in around[number] and {one.row_id, other.row_id} <= set(found.splits):
                assert found.splits[one.row_id] == found.splits[other.row_id]
    for one in pool:
        if one.source.chosen in ("uncertain", "disputed"):
            assert found.splits.get(one.row_id, "train") == "train"


@SAMPLES
@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    salt=st.text(max_size=3),
)
def test_every_class_of_three_is_in_every_split(counts: list[int], salt: str) -> None:
    pool = [
        make_example(unlike(f"{label}{line}"), label, 100 * number + line)
        for number, (label, count) in enumerate(zip("abcdef", counts, strict=False))
        for line in range(count)
    ]
    found = assign(pool, salt=salt)
    shown: dict[str, dict[Split, int]] = defaultdict(lambda: defaultdict(int))
    for one in pool:
        assert isinstance(one.label, OneOf)
        shown[one.label.name][found.splits[one.row_id]] += 1
    for label, count in zip("abcdef", counts, strict=False):
        assert shown[label]["train"] >= 1
        if count >= 3:
            assert set(shown[label]) == {"train", "validation", "test"}
        for split, share in zip(("train", "validation", "test"), SHARES, strict=True):
            assert abs(shown[label][split] - share * count) < 2.0


@SAMPLES
@given(pool=rows())
def test_every_class_is_trained_even_in_groups(pool: list[Example]) -> None:
    found = assign(pool, salt="s")
    every = {label_of(one) for one in pool if one.row_id in found.splits}
    held_out = {rejection.where for rejection in found.quarantined}
    trained = {label_of(one) for one in by_split(pool, found)["train"]}
    lost = {label_of(one) for one in pool if one.source.where in held_out}
    assert every - lost <= trained


def label_of(one: Example) -> str:
    assert isinstance(one.label, OneOf)
    return one.label.name


@SAMPLES
@given(pool=rows(), test=rows("test", 15), validation=rows("validation", 15))
def test_given_files_are_honoured(
    pool: list[Example], test: list[Example], validation: list[Example]
) -> None:
    found = assign(pool, salt="s", given={"test": test, "validation": validation})
    everything = [*pool, *test, *validation]
    assert_apart(everything, found)
    assert all(found.splits[one.row_id] == "test" for one in test)
    assert all(found.splits.get(one.row_id, "validation") == "validation" for one in validation)
    assert all(found.splits.get(one.row_id, "train") == "train" for one in pool)
    asked = {one.input_id for one in test}
    away = {rejection.where for rejection in found.quarantined}
    assert all(one.source.where in away for one in pool if one.input_id in asked)


@SAMPLES
@given(pool=rows(), more=rows("more"), salt=st.sampled_from("st"))
def test_a_child_moves_nothing(pool: list[Example], more: list[Example], salt: str) -> None:
    first = assign(pool, salt="s")
    everything = [*more, *pool]
    child = assign(everything, salt=salt, parent=inherited(by_split(pool, first)))
    assert_apart(everything, child)
    for row_id_, split in first.splits.items():
        assert child.splits[row_id_] == split
    for one in more:
        if one.source.chosen in ("uncertain", "disputed"):
            assert child.splits.get(one.row_id, "train") == "train" or one.input_id in {
                old.input_id for old in pool
            }


def test_new_rows_of_a_child_land_alone() -> None:
    pool = [make_example(f"old{n} text{n} of{n}", "ab"[n % 2], n) for n in range(60)]
    parent = inherited(by_split(pool, assign(pool, salt="s")))
    more = [make_example(f"new{n} text{n} from{n}", "ab"[n % 2], n, file="more") for n in range(60)]
    together = assign([*pool, *more], salt="s", parent=parent).splits
    for one in more:
        alone = assign([*pool, one], salt="s", parent=parent).splits
        assert alone[one.row_id] == together[one.row_id]
    assert len({together[one.row_id] for one in more}) == 3


def test_a_few_stock_phrases_do_not_tie_all_groups_together() -> None:
    pool = [
        make_example(f"{g}{n} asks{n} about{n}", "ab"[n % 2], 100 * g + n, group=str(g))
        for g in range(6)
        for n in range(30)
    ]
    pool += [make_example("Check it out" + "!" * g, "a", 1000 + g, group=str(g)) for g in range(6)]
    found = assign(pool, salt="s")
    assert_apart(pool, found)
    assert set(found.splits.values()) == {"train", "validation", "test"}
    assert 0 < len(found.quarantined) < 6


@pytest.mark.parametrize("shares", [(0.5, 0.1, 0.1), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(BurnishError) as caught:
        assign([], salt="s", shares=shares)
    assert caught.value.code == "bad-shares"


@SAMPLES
@given(found=st.lists(texts, max_size=25))
def test_near_means_alike_in_splits_too(found: list[str]) -> None:
    """One definition for the check and for splits; the search may miss a pair of barely enough in common."""
    near = nearness(found)
    around = near.around()
    for one, first in zip(found, near.classes, strict=True):
        for other, second in zip(found, near.classes, strict=True):
            if second in around[first]:
                assert alike(one, other)
            else:
                a, b = triples(one), triples(other)
                assert len(a & b) < 0.85 * len(a | b)


@pytest.mark.parametrize("groups", [None, 40])
def test_a_crowd_too_large_for_one_split_leaks_nothing(groups: int | None) -> None:
    """Hundreds of rows of one template: whatever is placed has nothing near to it in another split."""
    pool = [
        make_example(
            f"please tell me where my order of {word} is now it should be here",
            "ab"[n % 2],
            n,
            group=None if groups is None else str(n % groups),
        )
        for n, word in enumerate(f"{a} {b}" for a in WORDS for b in WORDS)
    ]
    pool += [
        make_example(f"{a} {b} {c}", "ab"[len(a) % 2], 1000 + n)
        for n, (a, b, c) in enumerate(zip(WORDS, WORDS[3:], WORDS[7:], strict=False))
    ]
    found = assign(pool, salt="s")
    assert_apart(pool, found)
    placed = [one for one in pool if one.row_id in found.splits]
    parts = np.array([len(found.splits[one.row_id]) for one in placed])
    assert len(set(parts.tolist())) > 1
    assert not crossing([text_of(one) for one in placed], parts)
