"""Intervals, comparisons and calibration: do they keep what their names promise?"""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from burnish.errors import BurnishError
from burnish.evaluate.calibration import calibrate, temperature_of
from burnish.evaluate.compare import compare, compare_accuracy
from burnish.evaluate.intervals import bootstrap, two_sided_p, wilson
from burnish.evaluate.metric import METRICS, measure, metric_of
from burnish.evaluate.metrics import accuracy, f1
from burnish.evaluate.scored import Scored, scored_from


def world(
    random: np.random.Generator, *, rows: int, labels: int = 5, strength: float = 2.0
) -> Scored:
    """Rows of labels of unequal size, answered well but not perfectly."""
    share = np.arange(1, labels + 1) ** -0.7
    targets = np.eye(labels)[random.choice(labels, size=rows, p=share / share.sum())]
    scores = np.exp(2 * (targets * strength + random.normal(size=targets.shape)))
    return scored_from(targets, scores / scores.sum(axis=1, keepdims=True), objective="softmax")


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "log_loss"])
def test_intervals_cover_the_truth_about_95_times_in_100(name: str) -> None:
    # 200 worlds of 150 rows; the truth from 200,000 rows. With coverage 0.95 the count of hits lies
    # between 180 and 199 in 99.8% of such simulations.
    random = np.random.default_rng(11)
    metric = METRICS[name]
    large = metric.terms(world(random, rows=200_000))
    truth = float(metric.value(large.sum(axis=0), np.float64(len(large))))
    hits = 0
    for seed in range(200):
        found = measure(name, world(random, rows=150), seed=seed, resamples=300)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 178 <= hits <= 199


def test_bootstrap_agrees_with_scipy() -> None:
    right = world(np.random.default_rng(2), rows=120).right_R.astype(float)
    ours = bootstrap(right[:, None], accuracy.mean, seed=1, resamples=4000)
    theirs = stats.bootstrap(
        (right,), np.mean, n_resamples=4000, method="BCa", vectorized=True, rng=1
    ).confidence_interval
    assert ours.low_K[0] == pytest.approx(theirs.low, abs=0.012)
    assert ours.high_K[0] == pytest.approx(theirs.high, abs=0.012)


@given(st.integers(0, 400), st.integers(1, 400))
def test_wilson_agrees_with_scipy(right: int, n: int) -> None:
    right = min(right, n)
    theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_same_seed_same_interval_and_another_seed_another() -> None:
    scored = world(np.random.default_rng(1), rows=80)
    assert measure("macro_f1", scored, seed=1) == measure("macro_f1", scored, seed=1)
    assert measure("macro_f1", scored, seed=1) != measure("macro_f1", scored, seed=2)


def test_groups_are_resampled_whole() -> None:
    # every row ten times over: only a bootstrap over groups sees that there are 40, not 400
    single = world(np.random.default_rng(5), rows=40)
    repeated = scored_from(
        single.targets_RL.repeat(10, axis=0),
        single.probabilities_RL.repeat(10, axis=0),
        objective="softmax",
        groups_R=np.arange(40).repeat(10),
    )
    honest = measure("accuracy", single, seed=1)
    grouped = measure("accuracy", repeated, seed=1)
    assert (grouped.low, grouped.high) == pytest.approx((honest.low, honest.high))
    assert grouped.n == 400


def test_77_labels_and_3080_rows_take_little_time() -> None:
    scored = world(np.random.default_rng(3), rows=3080, labels=77)
    began = time.process_time()
    measure("macro_f1", scored, seed=1, resamples=1000)
    assert time.process_time() - began < 3


@pytest.mark.parametrize("rows", [1, 2, 40])
def test_all_right_is_not_certainty(rows: int) -> None:
    targets = np.eye(2)[np.arange(rows) % 2]
    found = measure("accuracy", scored_from(targets, targets, objective="softmax"), seed=1)
    assert found.value == found.high == 1
    assert found.low == pytest.approx(wilson(rows, rows)[0])


def test_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(BurnishError) as caught:
        metric_of("macro_fi")
    assert caught.value.code == "metric-unknown"
    assert caught.value.problems[0].nearest == "macro_f1"


@given(st.integers(0, 2**32 - 1), st.sampled_from(["accuracy", "macro_f1", "log_loss"]))
@settings(max_examples=15, deadline=None)
def test_p_below_5_percent_exactly_when_zero_is_outside(seed: int, metric: str) -> None:
    random = np.random.default_rng(seed)
    one = world(random, rows=100)
    noisy = one.probabilities_RL * random.gamma(2.0, 1.0, one.probabilities_RL.shape)
    other = scored_from(
        one.targets_RL, noisy / noisy.sum(axis=1, keepdims=True), objective="softmax"
    )
    found = compare(metric, one, other, ours="a", theirs="b", seed=1)
    outside = not found.low <= 0 <= found.high
    if not 0.035 < found.p_value < 0.07:  # ties and interpolation decide in between
        assert (found.p_value < 0.05) == outside


def test_p_values_are_uniform_when_nothing_differs() -> None:
    random = np.random.default_rng(8)
    found = []
    for seed in range(150):
        targets = np.eye(2)[random.integers(0, 2, 120)]
        one, other = (
            scored_from(targets, np.where(random.random((120, 1)) < 0.8, targets, 1 - targets),
                        objective="softmax")
            for _ in range(2)
        )  # fmt: skip
        found.append(
            compare("accuracy", one, other, ours="a", theirs="b", seed=seed, resamples=300).p_value
        )
    # 5% of 150 is 7.5; more than 17 would happen once in a thousand
    assert sum(p < 0.05 for p in found) <= 17


def test_mcnemar_is_the_exact_binomial_test() -> None:
    targets = np.eye(2)[[0] * 40]
    ours, theirs = targets.copy(), targets.copy()
    ours[:3] = theirs[10:22] = (0.0, 1.0)
    one, other = (scored_from(targets, p, objective="softmax") for p in (ours, theirs))
    found = compare_accuracy(one, other, ours="tuned", theirs="tfidf", seed=1)
    assert found.difference == pytest.approx(9 / 40)
    assert found.p_value == pytest.approx(stats.binomtest(12, 15).pvalue)
    assert found.method == "exact McNemar"


def test_one_row_proves_nothing() -> None:
    truth = np.array([[1.0, 0.0]])
    one = scored_from(truth, truth, objective="softmax")
    other = scored_from(truth, 1 - truth, objective="softmax")
    found = compare("accuracy", one, other, ours="a", theirs="b", seed=1)
    assert found.difference == 1
    assert found.low < 0
    assert found.p_value == 1


def test_other_rows_are_refused() -> None:
    one, other = (world(np.random.default_rng(seed), rows=20) for seed in (1, 2))
    with pytest.raises(BurnishError) as caught:
        compare("accuracy", one, other, ours="a", theirs="b", seed=1)
    assert caught.value.code == "compare-other-rows"


@given(st.floats(0.3, 4.0), st.integers(0, 1000), st.sampled_from(["softmax", "sigmoid"]))
@settings(max_examples=15, deadline=None)
def test_temperature_is_found_again(temperature: float, seed: int, objective: str) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(4000, 3)) * 2
    if objective == "softmax":
        targets = np.eye(3)[(logits + random.gumbel(size=logits.shape)).argmax(axis=1)]
    else:
        targets = (random.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)
    found = temperature_of(targets, logits * temperature, objective=objective)  # type: ignore[arg-type]
    assert found == pytest.approx(temperature, rel=0.15)


def test_temperature_stays_finite_where_rows_cannot_tell() -> None:
    truth = np.eye(2)
    for logits in (truth * 20, -truth * 20, np.where(truth > 0, 0.0, -np.inf), truth * 0):
        found = temperature_of(truth, logits, objective="softmax")
        assert 1 / 20 <= found <= 20


def test_calibration_of_an_honest_and_of_a_boastful_model() -> None:
    random = np.random.default_rng(6)
    logits = random.normal(size=(3000, 4)) * 2
    targets = np.eye(4)[(logits + random.gumbel(size=logits.shape)).argmax(axis=1)]

    def scored(scale: float) -> Scored:
        weights = np.exp(logits * scale)
        return scored_from(
            targets, weights / weights.sum(axis=1, keepdims=True), objective="softmax"
        )

    found = calibrate(scored(1), scored(4), temperature=4.0, seed=1)
    assert found.ece.value < 0.03
    assert found.ece_before > 0.1
    assert found.ece.low is not None
    assert found.ece.high is not None
    assert found.ece.low <= found.ece.value <= found.ece.high
    assert sum(bar.n for bar in found.bins) == 3000
    assert len(found.bins) == 15
    gap = sum(bar.n * abs(bar.accuracy - bar.confidence) for bar in found.bins) / 3000
    assert found.ece.value == pytest.approx(gap)
    square = ((scored(1).probabilities_RL - targets) ** 2).sum(axis=1).mean() / 2
    assert found.brier.value == pytest.approx(square)


def test_one_confidence_is_one_bin() -> None:
    targets = np.eye(2)[[0, 1] * 30]
    flat = scored_from(targets, np.full((60, 2), 0.5), objective="softmax")
    found = calibrate(flat, flat, temperature=1.0, seed=1)
    assert [(bar.n, bar.confidence, bar.accuracy) for bar in found.bins] == [(60, 0.5, 0.5)]
    assert found.ece.value == 0


def test_two_sided_p_of_certainty() -> None:
    found = bootstrap(np.ones((50, 1)), accuracy.mean, seed=1, resamples=100)
    assert two_sided_p(found, null=1.0) == 1
    assert two_sided_p(found, null=0.0) < 1e-9


def test_label_f1_counts_absent_labels_as_zero() -> None:
    scored = scored_from(np.eye(3)[[0, 1]], np.eye(3)[[0, 1]], objective="softmax")
    found = f1.per_label(f1.counts(scored).sum(axis=0), np.float64(2))
    assert found.tolist() == [1, 1, 0]
