"""The gates against the live model: harm is seen, equals pass, and chance refuses as rarely as promised."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from burnish.errors import BurnishError
from burnish.records.encoding import Encoding, FloatArray
from burnish.records.example import Example
from burnish.records.label import ManyOf, OneOf
from burnish.records.report import GateResult
from burnish.records.task import LabelSpec, Retrain, Task
from burnish.retrain.against import Answered, against_live, answer_both, retrain_gates
from burnish.retrain.side_by_side import Timed, time_side_by_side, timed
from burnish.retrain.worse import Paired, p_worse, surely_worse
from support_task import make_example, make_task

FAST = Timed(candidate_ms=1.0, live_ms=1.0, ratio=1.0, low=0.9, high=1.1, pairs=40)
AT = "2026-11-01T00:00:00Z"
LABELS = tuple("abcdefgh")


def task_of(**changes: object) -> Task:
    labels = tuple(LabelSpec(name=name) for name in LABELS)
    return make_task(labels=labels, slices=("channel",), **changes)


def rows_of(rows: int, *, seed: int, groups: int | None = None) -> list[Example]:
    """Rows of eight labels, the first three times as frequent as the last, in two channels."""
    random = np.random.default_rng(seed)
    weights = np.linspace(3, 1, len(LABELS))
    found = []
    for line in range(rows):
        label = str(random.choice(LABELS, p=weights / weights.sum()))
        group = None if groups is None else str(random.integers(groups))
        row = make_example(f"row {line}", label, line, group=group)
        found.append(
            row.model_copy(update={"columns": {"channel": "mail" if line % 5 else "chat"}})
        )
    return found


def logits_of(
    rows: Sequence[Example], *, right: float | FloatArray, seed: int, sure: float = 0.85
) -> FloatArray:
    """Answers that are right so often, as calibrated as can be: `sure` is said of every answer."""
    random = np.random.default_rng(seed)
    shares = np.broadcast_to(right, len(rows))
    logits = np.full((len(rows), len(LABELS)), math.log((1 - sure) / (len(LABELS) - 1)))
    for place, row in enumerate(rows):
        assert isinstance(row.label, OneOf)
        true = LABELS.index(row.label.name)
        wrong = random.choice([n for n in range(len(LABELS)) if n != true])
        said = true if random.random() < shares[place] else wrong
        logits[place, said] = math.log(sure)
    return logits


def pair_of(
    rows: Sequence[Example], seed: int, *, ours: float | FloatArray, theirs: float = 0.85
) -> Answered:
    # one number: said as surely as it is right, but for a model that guesses
    sure = ours if isinstance(ours, float) and ours > 0.5 else 0.85
    return Answered(
        rows,
        logits_of(rows, right=ours, seed=2 * seed, sure=sure),
        logits_of(rows, right=theirs, seed=2 * seed + 1),
    )


def judged(
    task: Task, old: Answered, fresh: Answered | None = None, *, latency: Timed = FAST
) -> dict[str, GateResult]:
    sets = {"old": old, **({"fresh": fresh} if fresh else {})}
    found = retrain_gates(task, sets, latency=latency, seed=1, resamples=400)  # type: ignore[arg-type]
    return {one.gate.split(" ")[0] + " " + one.gate.split(" ")[2]: one for one in found}


def passes(task: Task, old: Answered, fresh: Answered | None = None) -> bool:
    return all(one.passed for one in judged(task, old, fresh).values())


def test_equal_models_pass_and_shuffled_labels_do_not() -> None:
    task = task_of()
    equal = better = shuffled = 0
    for number in range(100):
        old, fresh = rows_of(300, seed=number), rows_of(120, seed=1000 + number)
        equal += passes(
            task, pair_of(old, number, ours=0.85), pair_of(fresh, 500 + number, ours=0.85)
        )
        if number < 20:
            better += passes(
                task, pair_of(old, number, ours=0.92), pair_of(fresh, 500 + number, ours=0.92)
            )
            shuffled += passes(
                task, pair_of(old, number, ours=1 / 8), pair_of(fresh, 500 + number, ours=1 / 8)
            )
    assert equal >= 95
    assert better == 20
    assert shuffled == 0


def test_a_label_that_is_given_up_is_named_though_the_whole_is_better() -> None:
    task = task_of()
    rows = rows_of(600, seed=1)
    lost = np.array([row.label == OneOf(name="c") for row in rows])
    ours = np.where(lost, 0.2, 0.95)
    found = judged(task, pair_of(rows, 1, ours=ours, theirs=0.8))
    assert found["macro_f1 old"].passed
    slices = found["no surely"]
    assert not slices.passed
    assert slices.found.startswith('label "c" -0.')


def test_a_channel_that_is_given_up_is_named() -> None:
    task = task_of()
    rows = rows_of(900, seed=2)
    lost = np.array([row.columns["channel"] == "chat" for row in rows])
    found = judged(task, pair_of(rows, 1, ours=np.where(lost, 0.6, 0.92)))
    assert not found["no surely"].passed
    assert 'channel "chat"' in found["no surely"].found


def test_harm_on_fresh_rows_is_seen_though_the_old_ones_are_kept() -> None:
    task = task_of()
    found = judged(
        task,
        pair_of(rows_of(400, seed=3), 1, ours=0.85),
        pair_of(rows_of(200, seed=4), 2, ours=0.6),
    )
    assert found["macro_f1 old"].passed
    assert not found["macro_f1 fresh"].passed
    assert "n = 200" in found["macro_f1 fresh"].found


def test_a_few_rows_prove_nothing() -> None:
    task = task_of()
    rows = rows_of(4, seed=5)
    found = judged(task, pair_of(rows, 1, ours=0.0, theirs=1.0))
    assert all(one.passed for one in found.values())
    assert "no slice has 10 rows" in found["no surely"].found
    with pytest.raises(BurnishError) as caught:
        retrain_gates(task, {}, latency=FAST, seed=1)
    assert caught.value.code == "evaluate-empty"


def test_confidence_that_is_no_longer_true_is_refused() -> None:
    task = task_of()
    rows = rows_of(500, seed=6)
    theirs = logits_of(rows, right=0.85, seed=1)
    sharp = Answered(rows, 4.0 * theirs, theirs)  # the same answers, said much too surely
    found = judged(task, sharp)
    assert found["macro_f1 old"].passed
    assert not found["calibration not"].passed
    assert judged(task_of(retrain=Retrain(calibration_margin=0.5)), sharp)["calibration not"].passed
    assert judged(task, Answered(rows, theirs, 4.0 * theirs))["calibration not"].passed


def test_a_slower_model_is_refused_beyond_the_ratio() -> None:
    task = task_of()
    one = pair_of(rows_of(50, seed=7), 1, ours=0.85)
    slow = timed([2.0 + 0.01 * n for n in range(40)], [1.0] * 40)
    assert not judged(task, one, latency=slow)["milliseconds row"].passed
    assert judged(task_of(retrain=Retrain(latency_ratio=3)), one, latency=slow)[
        "milliseconds row"
    ].passed
    # one pair in ten met a pause of the machine
    paused = timed([50.0 if n % 10 == 0 else 1.0 for n in range(40)], [1.0] * 40)
    assert judged(task, one, latency=paused)["milliseconds row"].passed


def test_rows_of_one_group_count_as_what_they_are() -> None:
    task = task_of(group="customer")
    rows = rows_of(400, seed=8, groups=400)
    lost = np.array([row.label == OneOf(name="a") for row in rows])
    ours, theirs = np.where(lost, 0.5, 0.9), logits_of(rows, right=0.9, seed=3)
    alone = Answered(rows, logits_of(rows, right=ours, seed=2), theirs)
    assert not judged(task, alone)["no surely"].passed
    # the same numbers, but all rows of a label come from two customers
    few = [
        row.model_copy(update={"group": f"{row.label}{place % 2}"})
        for place, row in enumerate(rows)
    ]
    together = Answered(few, alone.candidate_RL, alone.live_RL)
    assert judged(task, together)["no surely"].passed


def test_multilabel_slices_see_what_is_wrongly_said_too() -> None:
    labels = tuple(LabelSpec(name=name) for name in ("x", "y"))
    task = make_task(kind="multilabel", primary_metric="micro_f1", labels=labels)
    random = np.random.default_rng(1)
    true = random.random((300, 2)) < 0.3
    rows = [
        make_example(f"row {n}", "x", n).model_copy(
            update={"label": ManyOf(names=tuple(np.array(["x", "y"])[cells]))}
        )
        for n, cells in enumerate(true)
    ]
    live = np.where(true, 3.0, -3.0)
    ours = live.copy()
    ours[:120, 1] = 3.0  # says y too often
    found = judged(task, Answered(rows, ours, live))
    assert not found["no surely"].passed
    assert 'label "y"' in found["no surely"].found
    assert 'label "x"' not in found["no surely"].found
    assert judged(task, Answered(rows, live, live))["no surely"].passed


def test_reports_of_both_models_on_each_set_apart() -> None:
    task = task_of()
    sets = {
        "old": pair_of(rows_of(120, seed=9), 1, ours=0.9),
        "fresh": pair_of(rows_of(40, seed=10), 2, ours=0.9),
    }
    found = against_live(
        task,
        sets,
        dataset_id="d",
        run_id="r",
        live_run_id="q",
        seed=1,
        at=AT,
        resamples=100,  # type: ignore[arg-type]
    )
    assert {name: report.n for name, report in found.candidate.items()} == {"old": 120, "fresh": 40}
    assert found.candidate["old"].comparisons[0].theirs == "live"
    assert found.candidate["old"].comparisons[0].metric == task.primary_metric
    assert {report.run_id for report in found.live.values()} == {"q"}
    empty = Answered([], np.zeros((0, 8)), np.zeros((0, 8)))
    one = {"old": sets["old"], "fresh": empty}
    found = against_live(
        task,
        one,
        dataset_id="d",
        run_id="r",
        live_run_id="q",
        seed=1,
        at=AT,
        resamples=100,  # type: ignore[arg-type]
    )
    assert set(found.candidate) == {"old"}
    gates = retrain_gates(task, one, latency=FAST, seed=1, resamples=100)  # type: ignore[arg-type]
    assert len(gates) == 4


class Slow:
    """A model that takes its time, on a clock of its own."""

    def __init__(self, clock: list[float], milliseconds: float) -> None:
        self.clock = clock
        self.milliseconds = milliseconds

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        none = np.zeros((0, 2), dtype=np.int32)
        return [Encoding(text, none[:, 0], none) for text in texts]

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        self.clock[0] += self.milliseconds / 1000 * len(encodings)
        return np.zeros((len(encodings), len(LABELS)))


def test_models_are_timed_in_turn() -> None:
    task, clock = task_of(), [0.0]
    rows = rows_of(7, seed=11)
    found = time_side_by_side(
        task, rows, candidate=Slow(clock, 3), live=Slow(clock, 2), clock=lambda: clock[0]
    )
    assert found.pairs == 40
    assert math.isclose(found.ratio, 1.5)
    assert math.isclose(found.low, 1.5)
    assert math.isclose(found.candidate_ms, 3.0)
    with pytest.raises(ValueError, match="rows"):
        time_side_by_side(task, [], candidate=Slow(clock, 3), live=Slow(clock, 2))
    both = answer_both(task, rows, candidate=Slow(clock, 1), live=Slow(clock, 1))
    assert both.candidate_RL.shape == both.live_RL.shape == (7, len(LABELS))


@pytest.mark.parametrize(("pairs", "outside"), [(5, None), (6, 0), (20, 5), (40, 13), (100, 39)])
def test_the_interval_of_a_median_is_the_sign_tests(pairs: int, outside: int | None) -> None:
    ratios = [float(n + 1) for n in range(pairs)]
    found = timed(ratios, [1.0] * pairs)
    expected = (0.0, math.inf) if outside is None else (ratios[outside], ratios[-1 - outside])
    assert (found.low, found.high) == expected


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 200), data=st.data(), margin=st.sampled_from([0.0, 0.02, 0.05, 0.2, 0.9])
)
def test_the_score_test_is_the_one_of_the_likeliest_shares(
    rows: int, data: st.DataObject, margin: float
) -> None:
    won = data.draw(st.integers(0, rows))
    lost = data.draw(st.integers(0, rows - won))

    def cost(q: float) -> float:
        """Minus the log likelihood when lost rows have share q and won ones q - margin."""
        cells = ((won, q - margin), (lost, q), (rows - won - lost, 1 - 2 * q + margin))
        return -sum(n * math.log(max(share, 1e-300)) for n, share in cells if n)

    found = minimize_scalar(
        cost, bounds=(margin, (1 + margin) / 2), method="bounded", options={"xatol": 1e-12}
    )
    q = float(found.x)
    variance = rows * (2 * q - margin - margin * margin)
    p = p_worse(Paired(rows, won, lost), margin=margin)
    assert 0.0 <= p <= 1.0
    if variance > 1e-3:
        z = (won - lost + rows * margin) / math.sqrt(variance)
        assert math.isclose(p, 0.5 * math.erfc(-z / math.sqrt(2)), rel_tol=1e-2, abs_tol=1e-4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows=st.integers(1, 100), data=st.data(), margin=st.floats(0, 0.5))
def test_losing_more_never_looks_better(rows: int, data: st.DataObject, margin: float) -> None:
    won = data.draw(st.integers(0, rows - 1))
    lost = data.draw(st.integers(0, rows - won - 1))
    p = p_worse(Paired(rows, won, lost), margin=margin)
    assert p_worse(Paired(rows, won, lost + 1), margin=margin) <= p + 1e-9
    if won + lost:
        assert p_worse(Paired(rows, won, lost), margin=margin + 0.1) >= p - 1e-9


def test_many_slices_refuse_an_equal_model_no_more_often_than_promised() -> None:
    random = np.random.default_rng(1)
    named = 0
    for _ in range(400):
        # 80 slices of 40 rows, a fifth of which the models answer differently; no margin is given away
        apart = random.binomial(40, 0.2, size=80)
        won = random.binomial(apart, 0.5)
        pairs = [Paired(40, float(w), float(a - w)) for w, a in zip(won, apart, strict=True)]
        named += bool(surely_worse(pairs, margin=0.0, alpha=0.05))
    assert named <= 0.08 * 400


def test_one_bad_slice_among_77_is_named_and_tiny_ones_cost_nothing() -> None:
    fine = [Paired(40, 4, 4)] * 76
    bad = Paired(40, 0, 16)  # 0.9 to 0.5
    assert [place for place, _ in surely_worse([*fine, bad], margin=0.05, alpha=0.05)] == [76]
    mild = Paired(40, 2, 6)  # 0.9 to 0.8
    assert surely_worse([*fine, mild], margin=0.05, alpha=0.05) == ()
    lost = Paired(30, 0, 9)
    assert surely_worse([lost, *fine[:3]], margin=0.05, alpha=0.05)
    tiny = [Paired(2, 0, 2)] * 500
    assert surely_worse([lost, *fine[:3], *tiny], margin=0.05, alpha=0.05)
    assert surely_worse([], margin=0.05, alpha=0.05) == ()
