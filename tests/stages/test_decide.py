"""The decision: the simplest candidate that nothing beats both surely and noticeably, said with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.decide.candidates import RememberedVectors, Tried, try_baselines
from burnish.decide.decision import TUNED, decide
from burnish.decide.prove import prove
from burnish.errors import BurnishError
from burnish.evaluate.metric import measure
from burnish.evaluate.scored import scored_from
from burnish.models.embed import load_embedder
from burnish.records.decision import Candidate
from burnish.records.encoding import FloatArray
from burnish.records.example import Example, Split
from support_task import make_task
from tiny_training import AT, examples, sentences, small_recipe, tiny_base, train_tiny

ROWS = 200


def candidate(
    name: str,
    right: Sequence[bool],
    *,
    metric: str = "accuracy",
    latency_ms: float = 1.0,
    sure: float = 0.9,
) -> Tried:
    """A model that is right on these rows and equally sure of every answer."""
    truth = np.eye(2)[np.arange(len(right)) % 2]
    said = np.where(np.asarray(right)[:, None], truth, 1 - truth)
    scored = scored_from(truth, said * (2 * sure - 1) + (1 - sure), objective="softmax")
    return Tried(
        Candidate(
            name=name,
            title=f"the {name}",
            quality=measure(metric, scored, seed=1, resamples=200),
            latency_ms=latency_ms,
            memory_bytes=1,
            build_seconds=1.0,
            explains="",
        ),
        None,  # type: ignore[arg-type] - a decision asks no model
        np.zeros((len(right), 2)),
        scored,
    )


def right_on(count: int) -> list[bool]:
    return [row < count for row in range(ROWS)]


def decided(metric: str = "accuracy", **candidates: Tried):
    return decide(candidates, metric=metric, seed=1)


def test_a_clear_win_pays() -> None:
    found = decided(
        majority=candidate("majority", right_on(100)),
        tfidf=candidate("tfidf", right_on(150)),
        tuned=candidate(TUNED, right_on(190)),
    )
    assert found.recommendation == TUNED and found.tuning_pays
    assert "Fine-tuning pays" in found.sentence and "the tfidf" in found.sentence
    assert [row.theirs for row in found.comparisons] == ["majority", "tfidf"]


def test_a_gain_that_is_not_sure_is_not_proven() -> None:
    found = decided(
        tfidf=candidate("tfidf", right_on(180)),
        # ten rows lost, thirteen won
        tuned=candidate(TUNED, [10 <= row < 193 for row in range(ROWS)], latency_ms=30.0),
    )
    assert found.recommendation == "tfidf" and not found.tuning_pays
    assert "is not proven to pay" in found.sentence and "30 times as fast" in found.sentence


def test_a_gain_below_a_point_hardly_pays() -> None:
    found = decided(tfidf=candidate("tfidf", right_on(180)), tuned=candidate(TUNED, right_on(181)))
    assert found.recommendation == "tfidf" and "hardly pays" in found.sentence


def test_a_loss_does_not_pay() -> None:
    found = decided(tfidf=candidate("tfidf", right_on(190)), tuned=candidate(TUNED, right_on(150)))
    assert found.recommendation == "tfidf" and "does not pay" in found.sentence


def test_the_simplest_unbeaten_wins_not_the_last_of_a_chain() -> None:
    """The third surely beats the first, nothing surely beats the second: the second is the simplest."""
    random = np.random.default_rng(1)
    first = random.permutation(right_on(150)).tolist()
    second = random.permutation(right_on(156)).tolist()  # noisy beside the first: not surely better
    third = [a or row % 17 == 0 for row, a in enumerate(first)]  # only ever better than the first
    found = decided(a=candidate("a", first), b=candidate("b", second), c=candidate("c", third))
    assert found.recommendation == "b"


def test_lower_is_better_for_a_loss() -> None:
    found = decided(
        "log_loss",
        majority=candidate("majority", right_on(110), metric="log_loss"),
        tfidf=candidate("tfidf", right_on(150), metric="log_loss"),
        tuned=candidate(TUNED, right_on(195), metric="log_loss"),
    )
    assert found.recommendation == TUNED
    # beside the best of the others, not the worst
    assert "the tfidf" in found.sentence
    other = decided(
        "log_loss",
        tfidf=candidate("tfidf", right_on(180), metric="log_loss"),
        tuned=candidate(TUNED, right_on(181), metric="log_loss"),
    )
    assert other.recommendation == "tfidf" and "is not proven to pay" in other.sentence


def test_without_a_tuned_model_a_baseline_is_named() -> None:
    found = decided(
        majority=candidate("majority", right_on(100)), knn=candidate("knn", right_on(160))
    )
    assert found.recommendation == "knn" and not found.tuning_pays and not found.comparisons
    assert found.sentence.startswith("Of the baselines, the knn is enough")


@settings(max_examples=15, deadline=None)
@given(counts=st.lists(st.integers(0, ROWS), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_there_is_always_a_recommendation_and_it_is_not_beaten_by_far(
    counts: list[int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    tried = {
        str(place): candidate(str(place), random.permutation(right_on(count)).tolist())
        for place, count in enumerate(counts)
    }
    found = decide(tried, metric="accuracy", seed=1)
    chosen = tried[found.recommendation].candidate.quality.value
    assert max(counts) / ROWS - chosen < 0.25


class Counting:
    """A base model that counts what it computed."""

    def __init__(self, folder: Path) -> None:
        self.inner = load_embedder(folder, max_tokens=16)
        self.computed: list[str] = []

    def encode(self, texts: Sequence[str]):
        return self.inner.encode(texts)

    def vectors(self, encodings) -> FloatArray:
        self.computed += [row.text for row in encodings]
        return self.inner.vectors(encodings)

    def size_bytes(self) -> int:
        return self.inner.size_bytes()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "bases"


def test_vectors_are_computed_once_a_text(root: Path) -> None:
    counting = Counting(tiny_base(root).folder)
    remembered = RememberedVectors(counting, {})
    rows = remembered.encode(["a money", "b refund", "a money"])
    first = remembered.vectors(rows)
    again = remembered.vectors(rows[::-1])
    assert sorted(counting.computed) == ["a money", "b refund"]
    assert np.array_equal(first[::-1], again)
    assert remembered.vectors([]).shape == (0, first.shape[1])


def test_every_candidate_is_measured_on_the_same_rows(root: Path, tmp_path: Path) -> None:
    """The whole proof on a tiny run; then the model on disk is damaged, and nothing is measured with it."""
    task = make_task()
    rows: dict[Split, Sequence[Example]] = {
        "train": examples(sentences(24)),
        "validation": examples(sentences(9, seed=2)),
        "test": examples(sentences(15, seed=3)),
    }
    run = train_tiny(root, tmp_path, small_recipe(epochs=1))
    folder = tmp_path / run.id

    def proof():
        return prove(
            task,
            rows,
            dataset_id="d" * 16,
            base=tiny_base(root).folder,
            max_tokens=24,
            run=run,
            run_folder=folder,
            live=None,
            seed=1,
            at=AT,
            announce=lambda text: None,
        )

    found = proof()
    assert list(found.tried) == ["majority", "tfidf", "centroid", "knn", "tuned"]
    assert {len(one.scored) for one in found.tried.values()} == {15}
    assert found.reports[TUNED].run_id == run.id
    assert {row.n for row in found.decision.comparisons} == {15}
    weights = folder / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 16
    weights.write_bytes(data)
    with pytest.raises(BurnishError) as caught:
        proof()
    assert caught.value.code == "run-damaged"


def test_without_a_base_only_the_baselines_without_one(root: Path) -> None:
    rows: dict[Split, Sequence[Example]] = {
        "train": examples(sentences(24)),
        "validation": examples(sentences(9, seed=2)),
        "test": examples(sentences(9, seed=3)),
    }
    tried = try_baselines(
        make_task(),
        rows,
        vectors=None,
        plain=None,
        seed=1,
        announce=lambda text: None,
    )
    assert list(tried) == ["majority", "tfidf"]
    assert tried["tfidf"].candidate.latency_ms > 0
