"""The laws of the signal door: every row of SIGNALS on windows drawn with and without drift."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import stats

from burnish.monitor.measured import Measured
from burnish.monitor.seen import Reference, Seen, Window
from burnish.monitor.signal import SIGNALS
from burnish.records.signal import LEVELS
from drift_windows import (
    make_reference,
    make_window,
    one_label,
    only_hashes,
    same_confidence,
    watched_task,
)

TESTED = (
    "input_classifier",
    "input_mmd",
    "confidence",
    "label_mix",
    "abstain_rate",
    "estimated_accuracy",
)
PROMISED = ("latency", "errors", "audited_accuracy")
SIMULATIONS = 300
# what a super-uniform p-value exceeds once in ten thousand test runs
UNLUCKY = 1e-4


@pytest.fixture(autouse=True)
def _no_warning() -> Iterator[None]:
    """Division by zero, empty means and unconverged fits are crashes here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def ask(name: str, window: Window, reference: Reference, **asked: object) -> Measured:
    seed = int(asked.pop("seed", 1))  # type: ignore[call-overload]
    return SIGNALS[name].measure(window, reference, task=watched_task(**asked), seed=seed)  # type: ignore[arg-type]


def pair(
    seed: int, *, rows: int = 60, others: int = 80, drift: float = 0.0, several: bool = False
) -> tuple[Window, Reference]:
    random = np.random.default_rng(seed)
    return (
        make_window(random, rows, drift=drift, several=several),
        make_reference(random, others, several=several),
    )


def changed(
    window: Window, reference: Reference, change: Callable[[Seen], Seen]
) -> tuple[Window, Reference]:
    return (
        dataclasses.replace(window, seen=change(window.seen)),
        dataclasses.replace(reference, seen=change(reference.seen)),
    )


def sane(found: Measured) -> None:
    """Numbers are numbers, the value lies in its interval, a p-value is a chance, silence has a reason."""
    numbers = (found.value, found.low, found.high, found.reference, found.p_value, found.threshold)
    assert all(
        type(number) is float and math.isfinite(number) for number in numbers if number is not None
    )
    assert found.because and type(found.broken) is bool
    if found.value is None:
        assert found.p_value is None and not found.broken
        return
    assert found.low is None or found.low <= found.value
    assert found.high is None or found.value <= found.high
    assert found.p_value is None or 0 < found.p_value <= 1
    if found.unit == "fraction":
        assert 0 <= found.value <= 1 and 0 <= (found.low or 0) and (found.high or 0) <= 1


def test_the_table_names_every_signal_once_and_only_labels_may_say_act() -> None:
    assert set(SIGNALS) == {*TESTED, *PROMISED, "traffic"}
    for name, kind in SIGNALS.items():
        assert kind.NAME == name
        assert kind.HIGHEST in LEVELS
        assert (kind.HIGHEST == "act") == (name == "audited_accuracy")
        assert re.search(r"\(.*\d{4}.*\)$", kind.METHOD), f"{name} names no source"


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", TESTED)
def test_without_drift_small_p_values_are_as_rare_as_they_say(name: str, several: bool) -> None:
    p_values = np.array(
        [
            ask(name, *pair(seed, several=several), several=several, seed=seed).p_value
            for seed in range(SIMULATIONS)
        ]
    )
    for alpha in (0.01, 0.05, 0.1, 0.2, 0.5):
        found = int((p_values <= alpha).sum())
        allowed = stats.binom.ppf(1 - UNLUCKY, SIMULATIONS, alpha)
        assert found <= allowed, f"{found} of {SIMULATIONS} at {alpha}"


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", TESTED)
def test_a_strong_shift_is_found_and_more_rows_find_more(name: str, several: bool) -> None:
    at = {
        rows: ask(
            name,
            *pair(7, rows=rows, others=400, drift=1.0, several=several),
            several=several,
        )
        for rows in (40, 400)
    }
    assert at[400].p_value < 0.001
    assert at[400].p_value <= at[40].p_value


@pytest.mark.parametrize("name", PROMISED)
def test_a_promise_breaks_only_when_it_is_surely_broken(name: str) -> None:
    assert ask(name, *pair(7, rows=400, drift=1.0)).broken
    assert not ask(name, *pair(7, rows=400, drift=0.0)).broken


@pytest.mark.parametrize("name", ["latency", "errors"])
def test_without_a_promise_nothing_is_broken(name: str) -> None:
    found = ask(name, *pair(7, rows=400, drift=1.0), latency_p95_ms=None, error_fraction=None)
    assert found.value is not None and not found.broken and found.threshold is None


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("drift", [0.0, 1.0])
@pytest.mark.parametrize("name", SIGNALS)
def test_numbers_are_sane_and_a_seed_repeats_them(name: str, drift: float, several: bool) -> None:
    # the arrays are read-only, so a signal that wrote into its input would raise here
    window, reference = pair(3, drift=drift, several=several)
    found = ask(name, window, reference, several=several)
    sane(found)
    assert found.value is not None
    assert found == ask(name, window, reference, several=several)


@pytest.mark.parametrize("name", [name for name in SIGNALS if name != "input_classifier"])
def test_the_order_of_rows_does_not_matter(name: str) -> None:
    """The classifier draws its halves by position; its p-value is valid for any order, not equal."""
    window, reference = pair(3)
    order = np.random.default_rng(5).permutation(len(window.seen))
    place = np.argsort(order)
    seen = window.seen
    turned = dataclasses.replace(
        window,
        seen=dataclasses.replace(
            seen,
            texts=tuple(seen.texts[row] for row in order),
            probabilities_RL=seen.probabilities_RL[order],
            said_RL=seen.said_RL[order],
            confidence_R=seen.confidence_R[order],
            embedded_K=place[seen.embedded_K],
        ),
        latency_ms_R=window.latency_ms_R[order],
        audits=window.audits[::-1],
    )
    before, after = ask(name, window, reference), ask(name, turned, reference)
    for field in ("value", "low", "high", "reference", "p_value"):
        expected = getattr(before, field)
        assert getattr(after, field) == (expected and pytest.approx(expected, rel=1e-9)), field


@pytest.mark.parametrize("rows", [0, 1, 2, 10, 19, 20])
@pytest.mark.parametrize("others", [0, 1, 10, 20, 80])
@pytest.mark.parametrize("name", SIGNALS)
def test_any_number_of_rows_is_answered(name: str, rows: int, others: int) -> None:
    found = ask(name, *pair(3, rows=rows, others=others))
    sane(found)
    if name in TESTED and min(rows, others) < 20:
        assert found.value is None and "rows" in found.because
    if rows == 0:
        assert found.value is None


@pytest.mark.parametrize("name", SIGNALS)
def test_poor_inputs_are_answered(name: str) -> None:
    for change in (
        one_label,
        only_hashes,
        lambda seen: same_confidence(seen, 0.7),
        lambda seen: same_confidence(seen, 1.0),
        lambda seen: same_confidence(seen, 0.0),
        lambda seen: dataclasses.replace(seen, vectors_KH=np.ones_like(seen.vectors_KH)),
        lambda seen: dataclasses.replace(seen, vectors_KH=np.zeros_like(seen.vectors_KH)),
    ):
        found = ask(name, *changed(*pair(3), change))
        sane(found)
        assert found.p_value is None or found.p_value > 0.01


@pytest.mark.parametrize("name", ["input_classifier", "input_mmd"])
def test_without_embeddings_it_says_so(name: str) -> None:
    window, reference = pair(3)
    for poor in (
        changed(window, reference, only_hashes),
        (window, changed(window, reference, only_hashes)[1]),
    ):
        found = ask(name, *poor)
        assert found.value is None and "embeddings" in found.because


def test_the_estimate_needs_a_calibrated_reference_and_abstaining_a_bound() -> None:
    window, reference = pair(3)
    raw = dataclasses.replace(reference, calibrated=False)
    found = ask("estimated_accuracy", window, raw)
    assert found.value is None and "not calibrated" in found.because
    task = watched_task().model_copy(update={"abstain_below": None})
    none = SIGNALS["abstain_rate"].measure(window, reference, task=task, seed=1)
    assert none.value is None and "abstain_below" in none.because


def test_a_window_of_one_moment_has_no_rate() -> None:
    window, reference = pair(3)
    assert ask("traffic", dataclasses.replace(window, seconds=0.0), reference).value is None


def test_a_window_without_audits_says_how_to_get_them() -> None:
    window, reference = pair(3)
    found = ask("audited_accuracy", dataclasses.replace(window, audits=()), reference)
    assert found.value is None and "task.toml" in found.because
