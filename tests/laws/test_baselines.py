"""The laws of every baseline: it comes back bit for bit, it answers anything, and it is what it says it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from burnish.decide.baseline import BASELINES, FittedBaseline
from burnish.decide.baselines.tfidf import terms
from burnish.decide.vectors import Vectors
from burnish.errors import BurnishError
from burnish.models.embed import load_embedder
from burnish.records.encoding import FloatArray
from burnish.tasks.kind import KINDS
from tiny_training import sentences, tiny_base

ROWS = sentences(45)
TEXTS = [text for text, _ in ROWS]
NAMES = sorted({label for _, label in ROWS})
TARGETS = np.eye(3)[[NAMES.index(label) for _, label in ROWS]]
MANY: FloatArray = np.stack(
    [TARGETS[:, 0], np.arange(45) % 2, np.arange(45) % 5 > 2], axis=1
).astype(np.float64)
ASKED = [text for text, _ in sentences(12, seed=5)] + ["", "?", "a b c", "Ünïcode 🎉", "x" * 3000]


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    """The untrained base model of the embedding baselines."""
    folder = tiny_base(tmp_path_factory.getbasetemp() / "bases").folder
    return load_embedder(folder, max_tokens=32)


def built(
    name: str,
    vectors: Vectors,
    *,
    texts: list[str] = TEXTS,
    targets: FloatArray = TARGETS,
    objective: str = "softmax",
) -> FittedBaseline:
    base = vectors if BASELINES[name].USES_BASE else None
    return BASELINES[name].build(texts, targets, objective=objective, vectors=base, seed=1)


def said(fitted: FittedBaseline, texts: list[str] = ASKED) -> FloatArray:
    return fitted.logits(fitted.encode(texts))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("objective", ["softmax", "sigmoid"])
def test_saved_and_loaded_it_gives_the_same_bits(
    name: str, objective: str, vectors: Vectors, tmp_path: Path
) -> None:
    targets = TARGETS if objective == "softmax" else MANY
    fitted = built(name, vectors, targets=targets, objective=objective)
    fitted = dataclasses.replace(fitted, temperature=0.37)  # type: ignore[type-var]
    fitted.save(tmp_path)
    again = BASELINES[name].load(tmp_path, vectors=vectors if BASELINES[name].USES_BASE else None)
    assert_array_equal(said(again), said(fitted))
    assert again.temperature == 0.37
    assert again.size_bytes() == fitted.size_bytes() > 0


@pytest.mark.parametrize("name", BASELINES)
def test_rows_answer_in_order_finite_and_alone_as_together(name: str, vectors: Vectors) -> None:
    fitted = built(name, vectors)
    logits = said(fitted)
    assert logits.shape == (len(ASKED), 3) and logits.dtype == np.float64
    assert np.isfinite(logits).all()
    for place, text in enumerate(ASKED):
        assert_allclose(said(fitted, [text])[0], logits[place], atol=1e-4)
    assert said(fitted, []).shape == (0, 3)


@pytest.mark.parametrize("name", BASELINES)
def test_temperature_divides_the_logits(name: str, vectors: Vectors) -> None:
    fitted = built(name, vectors)
    warmer = dataclasses.replace(fitted, temperature=4.0)  # type: ignore[type-var]
    assert_allclose(said(warmer) * 4.0, said(fitted), rtol=1e-12)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("objective", ["softmax", "sigmoid"])
def test_one_row_is_enough(name: str, objective: str, vectors: Vectors) -> None:
    targets = np.array([[0.0, 1.0, 0.0]])
    fitted = built(name, vectors, texts=["money back"], targets=targets, objective=objective)
    probabilities = KINDS[
        "classification" if objective == "softmax" else "multilabel"
    ].probabilities(said(fitted))
    assert np.isfinite(probabilities).all()
    assert (probabilities.argmax(1) == 1).all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_label_without_rows_is_never_the_answer(name: str, vectors: Vectors) -> None:
    targets = np.concatenate([TARGETS[:, :2], np.zeros((45, 1)), TARGETS[:, 2:]], axis=1)
    logits = said(built(name, vectors, targets=targets))
    assert np.isfinite(logits).all()
    assert not (logits.argmax(1) == 2).any()


def test_a_centroid_of_nothing_loses_to_the_opposite_direction() -> None:
    """Even where every known label's cosine is negative."""
    from burnish.decide.baselines.centroid import Centroid
    from burnish.records.encoding import Encoding

    class Opposite:
        def encode(self, texts: Sequence[str]) -> list[Encoding]:
            return []

        def vectors(self, encodings: Sequence[Encoding]) -> FloatArray:
            return np.array([[-0.8, 0.6]])

        def size_bytes(self) -> int:
            return 0

    yes = np.array([[1.0, 0.0], [0.0, 0.0]])
    fitted = Centroid(Opposite(), yes, np.zeros((2, 2)), temperature=0.05)
    assert fitted.logits([]).argmax() == 0


@pytest.mark.parametrize("name", BASELINES)
def test_rows_without_words(name: str, vectors: Vectors) -> None:
    logits = said(built(name, vectors, texts=["", "?", "!"] * 15))
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("name", BASELINES)
def test_the_order_of_train_rows_does_not_matter(name: str, vectors: Vectors) -> None:
    order = np.random.default_rng(3).permutation(len(TEXTS))
    turned = built(name, vectors, texts=[TEXTS[row] for row in order], targets=TARGETS[order])
    fitted = built(name, vectors)
    assert_allclose(said(turned), said(fitted), atol={"tfidf": 2e-2}.get(name, 1e-4))
    assert_array_equal(said(turned).argmax(1)[:12], said(fitted).argmax(1)[:12])


@pytest.mark.parametrize("name", BASELINES)
def test_each_answers_several_labels(name: str, vectors: Vectors) -> None:
    """The third column is label "yes" for all rows, the second for none: both are learnt as such."""
    targets = np.stack([TARGETS[:, 0], np.zeros(45), np.ones(45)], axis=1)
    fitted = built(name, vectors, targets=targets, objective="sigmoid")
    probabilities = KINDS["multilabel"].probabilities(said(fitted, TEXTS))
    assert (probabilities[:, 2] > probabilities[:, 1]).all()
    assert (probabilities[:, 2] > 0.5).all()


@pytest.mark.parametrize("name", [name for name in BASELINES if BASELINES[name].USES_BASE])
def test_without_a_base_it_says_so(name: str) -> None:
    with pytest.raises(BurnishError) as caught:
        BASELINES[name].build(TEXTS, TARGETS, objective="softmax", vectors=None, seed=1)
    assert caught.value.code == "base-missing"


@pytest.mark.parametrize("name", BASELINES)
def test_a_broken_folder_is_a_problem_not_a_crash(
    name: str, vectors: Vectors, tmp_path: Path
) -> None:
    built(name, vectors).save(tmp_path)
    (tmp_path / "arrays.safetensors").write_bytes(b"nothing")
    with pytest.raises(BurnishError) as caught:
        BASELINES[name].load(tmp_path, vectors=vectors)
    assert caught.value.code == "model-unreadable"


def banking(real_data: Path, count: int) -> tuple[list[str], np.ndarray]:
    import csv

    with (real_data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    intents = sorted({row["category"] for row in rows})[:5]
    chosen = [row for row in rows if row["category"] in intents][::3][:count]
    return [row["text"] for row in chosen], np.array([intents.index(r["category"]) for r in chosen])


def pipeline(texts: list[str], answers: np.ndarray) -> Any:
    """scikit-learn's own words and pairs, with the settings of ours."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)),
        LogisticRegression(C=10.0, max_iter=300, tol=1e-3, random_state=1),
    ).fit(texts, answers)


@pytest.mark.parametrize("labels", [2, 5])
def test_tfidf_is_scikit_learns_pipeline(labels: int, real_data: Path, vectors: Vectors) -> None:
    texts, answers = banking(real_data, 240)
    answers = answers % labels
    ours = built("tfidf", vectors, texts=texts[:200], targets=np.eye(labels)[answers[:200]])
    theirs = pipeline(texts[:200], answers[:200])
    want = theirs.predict_proba([*texts[200:], "", "zzz qqq"])
    found = KINDS["classification"].probabilities(said(ours, [*texts[200:], "", "zzz qqq"]))
    assert_allclose(found, want, atol=1e-6)


def test_tfidf_of_several_labels_is_one_pipeline_each(real_data: Path, vectors: Vectors) -> None:
    texts, answers = banking(real_data, 240)
    turn = np.random.default_rng(1).permutation(len(texts))[:120]
    texts, answers = [texts[row] for row in turn], answers[turn]
    targets = np.eye(5)[answers]
    ours = built("tfidf", vectors, texts=texts[:90], targets=targets[:90], objective="sigmoid")
    for label in range(5):
        theirs = pipeline(texts[:90], targets[:90, label].astype(int))
        want = theirs.decision_function(texts[90:])
        assert_allclose(said(ours, texts[90:])[:, label], want, atol=1e-6)


def test_terms_are_scikit_learns_words_and_pairs() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    analyse = TfidfVectorizer(ngram_range=(1, 2)).build_analyzer()
    for text in [
        *ASKED,
        "İstanbul can't won't naïve",
        "e-mail: a.b@c.de",
        "１２ ３",
        "日本語 テスト",
    ]:
        assert terms(text) == list(analyse(text))
