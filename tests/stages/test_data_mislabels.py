"""Likely mislabels, outliers and folds: errors that were planted come first, and copies never judge each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.check import inspect
from burnish.data.confident import doubts, margins
from burnish.data.evidence import Finding, OutOfFold, Scene, seen
from burnish.data.folds import folds_of
from burnish.data.neighbours import close_pairs, nearest
from burnish.records.encoding import FloatArray, IntArray
from burnish.train.fit import Surroundings
from burnish.train.out_of_fold import Tuning, head_probabilities, tuned_probabilities
from burnish.train.rows import labelled_texts
from support_task import make_example, make_task
from tiny_training import AT, examples, sentences, small_recipe, tiny_base

SAMPLES = settings(max_examples=40, deadline=None, derandomize=True)


@SAMPLES
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"), st.sampled_from("xy"), st.sampled_from([None, "g", "h"])
        ),
        max_size=30,
    ),
    count=st.integers(2, 5),
)
def test_folds_keep_copies_and_groups_together(
    rows: list[tuple[str, str, str | None]], count: int
) -> None:
    texts, labels, groups = ([row[n] for row in rows] for n in range(3))
    folds = folds_of(texts, labels, groups=groups, count=count, seed=1)
    assert folds.shape == (len(rows),) and set(folds.tolist()) <= set(range(count))
    for one, (text, _, group) in enumerate(rows):
        for other in range(one):
            if rows[other][0] == text or (group is not None and rows[other][2] == group):
                assert folds[one] == folds[other]


def test_folds_share_every_label_out() -> None:
    texts = [f"{chr(0x4E00 + n)}" for n in range(200)]
    labels = ["a"] * 150 + ["b"] * 50
    folds = folds_of(texts, labels, groups=[None] * 200, count=5, seed=3)
    assert Counter(zip(labels, folds.tolist(), strict=True)) == {
        **{("a", fold): 30 for fold in range(5)},
        **{("b", fold): 10 for fold in range(5)},
    }


@SAMPLES
@given(seed=st.integers(0, 10_000), rows=st.integers(2, 60), n_labels=st.integers(2, 5))
def test_doubts_follow_the_definition(seed: int, rows: int, n_labels: int) -> None:
    chance = np.random.default_rng(seed)
    said = chance.dirichlet(np.ones(n_labels), rows)
    labels = chance.integers(0, n_labels, rows)
    found = doubts(said, labels)
    thresholds = {k: said[labels == k, k].mean() for k in set(labels.tolist())}
    expected = {}
    for row in range(rows):
        sure = {k: said[row, k] for k in thresholds if said[row, k] >= thresholds[k] - 1e-9}
        if sure and max(sure, key=lambda k: sure[k]) != labels[row]:
            expected[row] = max(sure, key=lambda k: sure[k])
    assert dict(zip(found.rows.tolist(), found.likelier.tolist(), strict=True)) == expected
    ranked = margins(said, labels)[found.rows]
    assert (np.diff(ranked) >= 0).all()


def test_planted_errors_come_first_from_a_head_on_vectors() -> None:
    """Three clouds; 12 of 300 labels are wrong: the out-of-fold head finds them all, and few others."""
    chance = np.random.default_rng(5)
    right = np.arange(300) % 3
    vectors = np.eye(8)[right] + 0.15 * chance.standard_normal((300, 8))
    wrong = chance.choice(300, 12, replace=False)
    said = right.copy()
    said[wrong] = (right[wrong] + 1) % 3
    folds = np.arange(300) // 60
    told: list[str] = []
    probabilities = head_probabilities(
        vectors, np.eye(3)[said], folds, objective="softmax", announce=told.append
    )
    assert np.allclose(probabilities.sum(axis=1), 1) and len(told) == 5
    first = margins(probabilities, said).argsort(kind="stable")[:18]
    assert set(wrong.tolist()) <= set(first.tolist())
    found = doubts(probabilities, said)
    right_finds = set(found.rows.tolist()) & set(wrong.tolist())
    assert len(right_finds) >= 9 and len(found.rows) <= 15


def look(
    name: str,
    rows: list[tuple[str, str]],
    *,
    out_of_fold: OutOfFold | None = None,
    vectors: object = None,
) -> list[Finding]:
    every = [
        seen(n, "train" if n % 5 else "test", make_example(text, label, n))
        for n, (text, label) in enumerate(rows)
    ]
    scene = Scene(
        make_task(),
        recall=lambda numbers: {n: every[n] for n in numbers},
        out_of_fold=out_of_fold,
        vectors=vectors,  # type: ignore[arg-type]
    )
    return list(inspect(scene, every, asked=[name]))


def test_the_check_lists_planted_errors_by_split_with_the_likelier_label() -> None:
    rows = sentences(60)
    names = list(make_task().label_names)
    wrong = {7, 20, 41}
    given_rows = [
        (text, names[(names.index(label) + 1) % 3] if n in wrong else label)
        for n, (text, label) in enumerate(rows)
    ]
    asked: list[int] = []

    def oracle(texts: list[str], labels: list[str], folds: IntArray) -> FloatArray:
        asked.extend(sorted(set(folds.tolist())))
        truth = dict(rows)
        return np.eye(3)[[names.index(truth[text]) for text in texts]] * 0.8 + 0.2 / 3

    found = [
        one
        for one in look("mislabels", given_rows, out_of_fold=oracle)
        if one.issue.code == "likely-mislabel"
    ]  # type: ignore[arg-type]
    assert asked == [0, 1, 2, 3, 4]
    train, test = found
    assert sorted(train.numbers) == [7, 41] and train.mend == "drop"
    assert [names.index(label) for (label,) in train.labels] == [
        names.index(rows[n][1]) for n in train.numbers
    ]
    assert list(test.numbers) == [20] and test.mend is None
    assert not [one for one in look("mislabels", given_rows) if one.issue.code == "likely-mislabel"]


@SAMPLES
@given(seed=st.integers(0, 10_000), rows=st.integers(2, 30), count=st.integers(1, 4))
def test_neighbours_are_those_of_brute_force(seed: int, rows: int, count: int) -> None:
    chance = np.random.default_rng(seed)
    vectors = chance.standard_normal((rows, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    parts = chance.integers(0, 2, rows)
    cosines = vectors @ vectors.T
    for among in (None, parts):
        found = nearest(vectors, count, among=among)
        for row in range(rows):
            others = [
                o for o in range(rows) if o != row and (among is None or parts[o] == parts[row])
            ]
            best = sorted((cosines[row, o] for o in others), reverse=True)[:count]
            assert np.isnan(found[row, len(best) :]).all()
            assert np.allclose(found[row, : len(best)], best, atol=1e-5)
    close = {tuple(pair) for pair in close_pairs(vectors, cosine=0.9).tolist()}
    for one in range(rows):
        for other in range(one + 1, rows):
            if abs(cosines[one, other] - 0.9) > 1e-5:
                assert ((one, other) in close) == (cosines[one, other] > 0.9)


@pytest.fixture(scope="module")
def cloud() -> dict[str, np.ndarray]:
    """Vectors of 120 texts in two clouds, one text far from both, one in the other label's cloud."""
    chance = np.random.default_rng(1)
    made = {}
    for n in range(120):
        middle = np.eye(6)[n % 2]
        vector = middle + 0.1 * chance.standard_normal(6)
        made[f"text {n}"] = vector / np.linalg.norm(vector)
    made["text 30"] = np.array([0, 0, 0, 0, 0, 1.0])
    made["text 41"] = made["text 50"] @ np.eye(6)
    made["text 61"] = made["text 63"]
    return made


def test_outliers_and_equal_meanings_are_told(cloud: dict[str, np.ndarray]) -> None:
    def vectors(texts: list[str]) -> np.ndarray:
        return np.stack([cloud[text] for text in texts])

    rows = [(f"text {n}", "refund" if n % 2 else "other") for n in range(120)]
    found = {one.issue.code: one for one in look("outliers", rows, vectors=vectors)}
    assert next(iter(found["outlier"].numbers)) == 30
    assert 41 in list(found["outlier-in-label"].numbers)
    found = {one.issue.code: one for one in look("semantic-duplicates", rows, vectors=vectors)}
    # 61 and 63 are equal in meaning, and both of train: the first stays
    assert 63 in list(found["semantic-duplicates"].numbers)
    # 41 is of train, and what it means stands in test
    assert 41 in list(found["semantic-leakage"].numbers)
    told = [one for code, one in found.items() if code.startswith("semantic")]
    assert len(told) == 2 and all(one.mend is None for one in told)


def test_tuned_models_judge_rows_they_never_saw(tmp_path: Path) -> None:
    """A training for each fold: every row gets probabilities, and a row's own label has no part in them."""
    rows = sentences(180)
    task = make_task()
    labelled = labelled_texts(task, examples(rows))
    folds = np.arange(180) % 2
    base = tiny_base(tmp_path / "bases")
    around = Surroundings(lambda: AT, lambda text: None, lambda step: None, lambda: None, 1e9)

    def judged(targets_RL: FloatArray, runs: str) -> FloatArray:
        part = replace(labelled, targets_RL=targets_RL)
        tuning = Tuning(base, small_recipe(epochs=30, learning_rate=3e-3), tmp_path / runs, around)
        return tuned_probabilities(task, part, folds, objective="softmax", tuning=tuning)

    found = judged(labelled.targets_RL, "one")
    assert np.allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == labelled.targets_RL.argmax(axis=1)).mean() > 0.6
    # the even rows' labels are turned: the models of the odd rows are all that changes
    turned = labelled.targets_RL.copy()
    turned[::2] = np.roll(turned[::2], 1, axis=1)
    again = judged(turned, "two")
    assert np.array_equal(again[::2], found[::2]) and not np.array_equal(again[1::2], found[1::2])
