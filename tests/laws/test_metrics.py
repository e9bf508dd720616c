"""The laws of the metric door: every row of METRICS that reads labels, against scikit-learn as the oracle."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from burnish.evaluate.compare import compare
from burnish.evaluate.intervals import bootstrap
from burnish.evaluate.metric import METRICS, measure, metric_names, metric_of, point
from burnish.evaluate.scored import Scored, scored_from
from burnish.tasks.kind import KINDS

NAMES = sorted(name for name, metric in METRICS.items() if metric.reads is Scored)
FEW = 60


def objective(name: str) -> str:
    return "sigmoid" if METRICS[name].kinds == ("multilabel",) else "softmax"


@st.composite
def worlds(draw: st.DrawFn, *, several: bool | None = None) -> Scored:
    """Rows with any number of labels, absent classes and single rows included."""
    rows = draw(st.integers(1, 25))
    labels = draw(st.integers(2, 5))
    many = draw(st.booleans()) if several is None else several
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    strength = draw(st.sampled_from([0.0, 1.0, 4.0]))
    if many:
        targets = (random.random((rows, labels)) < draw(st.floats(0, 1))).astype(float)
        chances = 1 / (
            1 + np.exp(-(strength * (2 * targets - 1) + random.normal(size=targets.shape)))
        )
        return scored_from(targets, chances, objective="sigmoid")
    targets = np.eye(labels)[random.integers(0, draw(st.integers(1, labels)), rows)]
    scores = np.exp(strength * targets + random.normal(size=targets.shape))
    return scored_from(targets, scores / scores.sum(axis=1, keepdims=True), objective="softmax")


def fits(name: str, scored: Scored) -> bool:
    kinds = METRICS[name].kinds
    return "multilabel" in kinds if scored.objective == "sigmoid" else kinds != ("multilabel",)


def truth(scored: Scored) -> np.ndarray:
    if scored.objective == "sigmoid":
        return scored.targets_RL.astype(int)
    return scored.targets_RL.argmax(axis=1)


def said(scored: Scored) -> np.ndarray:
    if scored.objective == "sigmoid":
        return scored.said_RL.astype(int)
    return scored.said_RL.argmax(axis=1)


def f1(average: str) -> Callable[[Scored], float]:
    # labels that never occur have no F1 and leave the mean; with none at all the value is 1 here
    def value(scored: Scored) -> float:
        found = oracle.f1_score(truth(scored), said(scored), average=average, zero_division=np.nan)
        return 1.0 if np.isnan(found) else float(found)

    return value


def weighted_f1(scored: Scored) -> float:
    if scored.targets_RL.sum() == 0:
        return float(not scored.said_RL.any())
    return float(
        oracle.f1_score(truth(scored), said(scored), average="weighted", zero_division=0.0)
    )


def kappa(scored: Scored) -> float:
    labels = range(scored.targets_RL.shape[1])
    found = oracle.cohen_kappa_score(
        truth(scored), said(scored), labels=list(labels), weights="quadratic"
    )
    return 1.0 if np.isnan(found) else float(found)


def log_loss(scored: Scored) -> float:
    if scored.objective == "sigmoid":
        return float(
            oracle.log_loss(
                scored.targets_RL.ravel(), scored.probabilities_RL.ravel(), labels=[0, 1]
            )
        )
    labels = list(range(scored.targets_RL.shape[1]))
    return float(oracle.log_loss(truth(scored), scored.probabilities_RL, labels=labels))


ORACLES: dict[str, Callable[[Scored], float]] = {
    "accuracy": lambda s: float(oracle.accuracy_score(truth(s), said(s))),
    "subset_accuracy": lambda s: float(oracle.accuracy_score(truth(s), said(s))),
    "macro_f1": f1("macro"),
    "micro_f1": f1("micro"),
    "weighted_f1": weighted_f1,
    "hamming_loss": lambda s: float(oracle.hamming_loss(truth(s), said(s))),
    "mean_absolute_label_error": lambda s: float(oracle.mean_absolute_error(truth(s), said(s))),
    "quadratic_weighted_kappa": kappa,
    "log_loss": log_loss,
}


def test_every_metric_has_an_oracle() -> None:
    assert set(ORACLES) == set(NAMES)


@given(worlds())
@settings(max_examples=60, deadline=None)
def test_equals_the_oracle(scored: Scored) -> None:
    for name in NAMES:
        if fits(name, scored):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = ORACLES[name](scored)
            assert point(name, scored) == pytest.approx(expected, abs=1e-9), name


@given(worlds(), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_interval_contains_the_point_and_stays_on_the_scale(scored: Scored, seed: int) -> None:
    for name in NAMES:
        if fits(name, scored):
            found = measure(name, scored, seed=seed, resamples=FEW)
            assert found.n == len(scored)
            if found.low is None or found.high is None:
                continue
            assert found.low <= found.value <= found.high, name
            ends = sorted(
                end for end in (METRICS[name].best, METRICS[name].worst) if end is not None
            )
            assert found.low >= ends[0] - 1e-12, name
            if len(ends) == 2:
                assert found.high <= ends[1] + 1e-12, name


@given(worlds())
@settings(max_examples=25, deadline=None)
def test_perfect_answers_give_the_best_value(scored: Scored) -> None:
    perfect = scored_from(scored.targets_RL, scored.targets_RL, objective=scored.objective)
    for name in NAMES:
        if fits(name, perfect):
            assert point(name, perfect) == pytest.approx(METRICS[name].best, abs=1e-12), name


@given(worlds(), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_does_not_matter(scored: Scored, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(scored))
    moved = scored_from(
        scored.targets_RL[order], scored.probabilities_RL[order], objective=scored.objective
    )
    for name in NAMES:
        if fits(name, scored):
            assert point(name, moved) == pytest.approx(point(name, scored), abs=1e-12), name


@given(worlds(), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_names_of_labels_do_not_matter(scored: Scored, seed: int) -> None:
    # ordered metrics keep their value only when the order is turned round as a whole
    labels = scored.targets_RL.shape[1]
    shuffled = np.random.default_rng(seed).permutation(labels)
    for name in NAMES:
        if fits(name, scored):
            order = np.arange(labels)[::-1] if METRICS[name].kinds == ("sentiment",) else shuffled
            renamed = scored_from(
                scored.targets_RL[:, order],
                scored.probabilities_RL[:, order],
                objective=scored.objective,
            )
            assert point(name, renamed) == pytest.approx(point(name, scored), abs=1e-9), name


@pytest.mark.parametrize("name", NAMES)
def test_resampling_by_counts_is_resampling_rows(name: str) -> None:
    random = np.random.default_rng(3)
    targets = np.eye(4)[random.integers(0, 4, 40)]
    chances = random.dirichlet(np.ones(4), 40)
    scored = scored_from(targets, chances, objective=objective(name))
    metric = METRICS[name]
    found = bootstrap(metric.terms(scored), metric.value, seed=5, resamples=20)
    drawn = np.random.default_rng(5).integers(0, 40, size=(20, 40))
    by_hand = [
        point(name, scored_from(targets[rows], chances[rows], objective=objective(name)))
        for rows in drawn
    ]
    np.testing.assert_allclose(found.values_BK[:, 0], by_hand, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_equals_itself_and_differences_turn_round(name: str) -> None:
    random = np.random.default_rng(4)
    targets = np.eye(3)[random.integers(0, 3, 50)]
    one, other = (
        scored_from(targets, random.dirichlet(np.ones(3), 50), objective=objective(name))
        for _ in range(2)
    )
    same = compare(name, one, one, ours="a", theirs="b", seed=1, resamples=FEW)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    there = compare(name, one, other, ours="a", theirs="b", seed=1, resamples=FEW)
    back = compare(name, other, one, ours="b", theirs="a", seed=1, resamples=FEW)
    assert there.difference == pytest.approx(-back.difference)
    assert there.difference == pytest.approx(point(name, one) - point(name, other))
    assert there.p_value == pytest.approx(back.p_value)


def test_kinds_name_only_metrics_of_the_table() -> None:
    for kind, meaning in KINDS.items():
        for name in meaning.metrics:
            assert kind in metric_of(name).kinds, f"{kind}: {name}"
        assert meaning.default_metric in metric_names(kind)  # type: ignore[arg-type]
