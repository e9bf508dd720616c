"""Weighing the signals: Holm's thresholds, false looks, the audits' evidence, the estimate's band."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from burnish.monitor.judge import holm, judge
from burnish.monitor.seen import Audit, Reference, Seen, Window
from burnish.monitor.signal import SIGNALS
from burnish.monitor.signals.audited_accuracy import evidence_of_fall, lower_end
from burnish.monitor.signals.input_classifier import auc_interval
from burnish.records.signal import LEVELS, Signal
from drift_windows import make_reference, make_window, only_hashes, watched_task

UNLUCKY = 1e-4


def judged(window: Window, reference: Reference, **asked: object) -> dict[str, Signal]:
    seed = int(asked.pop("seed", 1))  # type: ignore[call-overload]
    signals = judge(window, reference, task=watched_task(**asked), seed=seed)  # type: ignore[arg-type]
    return {signal.name: signal for signal in signals}


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=6), st.sampled_from([0.01, 0.05, 0.4]))
def test_holm_is_the_closure_of_bonferroni(values: list[float], alpha: float) -> None:
    """A finding is false for no subset of hypotheses: each that holds it is rejected by Bonferroni."""
    p_values = {str(place): value for place, value in enumerate(values)}
    thresholds = holm(p_values, alpha=alpha)
    subsets = [
        subset
        for size in range(1, len(values) + 1)
        for subset in itertools.combinations(p_values, size)
    ]
    for name, p_value in p_values.items():
        rejected = all(
            min(p_values[one] for one in subset) <= alpha / len(subset)
            for subset in subsets
            if name in subset
        )
        assert (p_value <= thresholds[name]) == rejected


def test_holm_of_nothing() -> None:
    assert holm({}, alpha=0.01) == {}


def test_every_signal_is_shown_in_the_order_of_the_table() -> None:
    random = np.random.default_rng(1)
    found = judged(make_window(random, 100), make_reference(random, 120))
    assert list(found) == list(SIGNALS)
    for name, signal in found.items():
        assert signal.method == SIGNALS[name].METHOD
        assert (signal.p_value is None) or signal.threshold is not None


@pytest.mark.parametrize("several", [False, True])
def test_levels_never_pass_the_highest(several: bool) -> None:
    random = np.random.default_rng(1)
    window = make_window(random, 400, drift=1.0, several=several)
    found = judged(window, make_reference(random, 400, several=several), several=several)
    for name, signal in found.items():
        assert signal.level == SIGNALS[name].HIGHEST, name
        assert LEVELS.index(signal.level) <= LEVELS.index(SIGNALS[name].HIGHEST)
    assert {name for name, signal in found.items() if signal.level == "act"} == {"audited_accuracy"}


def test_verdict_and_threshold_agree() -> None:
    random = np.random.default_rng(4)
    for drift in (0.0, 0.1, 0.2, 0.5):
        found = judged(make_window(random, 150, drift=drift), make_reference(random, 150))
        for signal in found.values():
            if signal.p_value is not None:
                assert (signal.level == "look") == (signal.p_value <= signal.threshold)
                assert f"p = {signal.p_value:.2g}" in signal.because


@pytest.mark.parametrize("rows", [0, 1, 10])
def test_a_window_too_small_is_quiet_and_says_why(rows: int) -> None:
    random = np.random.default_rng(1)
    found = judged(make_window(random, rows, drift=1.0), make_reference(random, 100))
    for name in ("confidence", "label_mix", "input_mmd", "estimated_accuracy"):
        assert found[name].level == "quiet" and found[name].value is None
        assert f"the window has {rows} rows" in found[name].because or name == "input_mmd"


def test_rows_that_hold_no_numbers_are_told_not_shown() -> None:
    random = np.random.default_rng(1)
    window, reference = make_window(random, 60), make_reference(random, 60)
    broken = np.array(window.seen.confidence_R)
    broken[3] = np.nan
    window = dataclasses.replace(window, seen=dataclasses.replace(window.seen, confidence_R=broken))
    found = judged(window, reference)
    assert found["confidence"].value is None and "not finite" in found["confidence"].because
    assert found["label_mix"].value is not None


def test_an_undrifted_window_raises_a_look_at_most_at_its_rate() -> None:
    """The whole promise: all signals together, a large alpha so that few windows are needed."""
    alpha, windows, looks = 0.2, 150, 0
    for seed in range(windows):
        random = np.random.default_rng(seed)
        found = judged(make_window(random, 50), make_reference(random, 50), alpha=alpha, seed=seed)
        looks += any(s.level != "quiet" for s in found.values() if s.p_value is not None)
    assert looks <= stats.binom.ppf(1 - UNLUCKY, windows, alpha)


def test_windows_without_texts_or_vectors_are_judged_by_the_rest() -> None:
    random = np.random.default_rng(1)
    window, reference = make_window(random, 200, drift=1.0), make_reference(random, 200)
    window = dataclasses.replace(window, seen=only_hashes(window.seen))
    found = judged(window, reference)
    assert found["input_mmd"].level == "quiet" and found["input_mmd"].value is None
    assert found["confidence"].level == "look"


# --- audits


def lives(chance_LN: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(chance_LN.shape) < chance_LN


@pytest.mark.parametrize("pattern", ["at the floor", "above it", "coming and going"])
def test_a_whole_life_of_audits_raises_evidence_as_rarely_as_it_says(pattern: str) -> None:
    """Looked at after each of 400 audits: evidence over e at most once in e lives."""
    floor, count, audits = 0.85, 500, 400
    wave = np.abs(np.sin(np.arange(audits) / 20)) * 0.15
    chance = {"at the floor": 0.0, "above it": 0.05, "coming and going": wave}[pattern]
    right = lives(np.broadcast_to(floor + chance, (count, audits)), seed=3)
    largest = np.array([evidence_of_fall(life, floor).largest for life in right])
    for once_in in (5, 20, 100):
        crossed = int((largest >= once_in).sum())
        assert crossed <= stats.binom.ppf(1 - UNLUCKY, count, 1 / once_in)


def test_a_false_act_needs_an_unlucky_reference_or_unlucky_audits() -> None:
    """Reference and audits drawn from one accuracy, the signal asked whole: at most alpha of lives act."""
    alpha, count, truth, acted = 0.1, 400, 0.9, 0
    for seed in range(count):
        random = np.random.default_rng(seed)
        floor = lower_end(int(random.binomial(200, truth)), 200, alpha=alpha / 2)
        right = random.random(300) < truth
        acted += evidence_of_fall(right, floor).largest >= 2 / alpha
    assert acted <= stats.binom.ppf(1 - UNLUCKY, count, alpha)


@pytest.mark.parametrize("good", [0, 100, 1000])
def test_a_fall_is_found_soon_however_long_all_was_well(good: int) -> None:
    right = np.concatenate([lives(np.full(good, 0.93), 1), lives(np.full(120, 0.6), 2)])
    found = evidence_of_fall(right, 0.9)
    assert found.largest >= 200
    assert abs(found.since - good) <= 20
    assert evidence_of_fall(right[: good + 1], 0.9).largest < 200


def test_evidence_never_overflows_and_never_shrinks() -> None:
    wrong = np.zeros(5000, dtype=bool)
    assert np.isfinite(evidence_of_fall(wrong, 0.999).largest)
    right = lives(np.full(80, 0.7), 1)
    seen = [evidence_of_fall(right[:n], 0.9).largest for n in range(1, 80)]
    assert seen == sorted(seen)


def test_audits_act_and_say_since_when() -> None:
    random = np.random.default_rng(2)
    window, reference = make_window(random, 100), make_reference(random, 500)
    accuracy = reference.right_R.mean()
    right = [*lives(np.full(300, accuracy), 1), *lives(np.full(200, accuracy - 0.3), 2)]
    window = dataclasses.replace(
        window, audits=tuple(Audit(str(place), bool(one)) for place, one in enumerate(right))
    )
    found = judged(window, reference)["audited_accuracy"]
    assert found.level == "act" and "since audit" in found.because
    assert found.p_value is None and found.threshold < accuracy


def test_a_reference_without_a_right_answer_cannot_be_fallen_below() -> None:
    random = np.random.default_rng(2)
    reference = make_reference(random, 50)
    reference = dataclasses.replace(reference, right_R=np.zeros(50, dtype=bool))
    found = judged(make_window(random, 100, drift=1.0), reference)["audited_accuracy"]
    assert found.level == "quiet" and found.value is not None


@pytest.mark.parametrize(("right", "rows"), [(1, 30), (450, 500), (500, 500)])
def test_the_lower_end_is_clopper_pearsons(right: int, rows: int) -> None:
    found = lower_end(right, rows, alpha=0.005)
    exact = stats.binomtest(right, rows, alternative="greater").proportion_ci(0.995, method="exact")
    assert found == pytest.approx(exact.low)


# --- the estimate


def calibrated(random: np.random.Generator, rows: int, hardness: float) -> tuple[Seen, np.ndarray]:
    """Rows whose confidence is exactly their chance of being right."""
    sure_R = random.beta(8 - hardness, 1 + hardness / 4, size=rows)
    probabilities_RL = np.stack([sure_R, 1 - sure_R], axis=1)
    seen = Seen(
        labels=("a", "b"),
        texts=(None,) * rows,
        probabilities_RL=probabilities_RL,
        said_RL=np.tile([True, False], (rows, 1)),
        confidence_R=sure_R,
        embedded_K=np.arange(0),
        vectors_KH=None,
    )
    return seen, random.random(rows) < sure_R


@pytest.mark.parametrize(("others", "hardness"), [(60, 0.0), (400, 0.0), (400, 4.0)])
def test_the_band_covers_what_people_would_find(others: int, hardness: float) -> None:
    """95% of windows, also harder ones than the reference, as long as confidence keeps its meaning."""
    windows, inside, width = 400, 0, 0.0
    blank = make_window(np.random.default_rng(1), 0)
    for seed in range(windows):
        random = np.random.default_rng(seed)
        before, right_V = calibrated(random, others, 0.0)
        seen, right_W = calibrated(random, 200, hardness)
        found = SIGNALS["estimated_accuracy"].measure(
            dataclasses.replace(blank, seen=seen),
            Reference(seen=before, right_R=right_V, calibrated=True),
            task=watched_task(alpha=0.4),
            seed=seed,
        )
        inside += found.low <= right_W.mean() <= found.high
        width += (found.high - found.low) / windows
    assert inside >= stats.binom.ppf(UNLUCKY, windows, 0.95)
    # wide enough to be true, narrow enough to say something
    assert width < 0.2


# --- AUC


def test_the_auc_interval_covers_and_is_never_empty() -> None:
    random = np.random.default_rng(3)
    inside, draws, apart = 0, 400, 1.2
    truth = stats.norm.cdf(apart / np.sqrt(2))
    for _ in range(draws):
        ours, theirs = random.normal(apart, 1, 40), random.normal(0, 1, 60)
        auc = float((ours[:, None] > theirs).mean())
        low, high = auc_interval(auc, 40, 60)
        inside += low <= truth <= high
    assert inside >= stats.binom.ppf(UNLUCKY, draws, 0.95)
    for auc in (0.0, 0.5, 1.0):
        low, high = auc_interval(auc, 10, 10)
        assert 0 <= low <= auc <= high <= 1 and high - low > 0.1
