"""The candidate against the live model on rows that neither was trained on: reports of both, and the gates.

Shape legend: R rows, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from burnish.decide.prove import LIVE
from burnish.errors import fail
from burnish.evaluate.calibration import ece, ece_terms
from burnish.evaluate.compare import compare, compare_models
from burnish.evaluate.intervals import RESAMPLES, bootstrap, by_group
from burnish.evaluate.metric import metric_of
from burnish.evaluate.report import FEW_ROWS, make_report
from burnish.evaluate.scored import BoolArray, Scored, renumbered, score
from burnish.evaluate.slices import MIN_ROWS, rows_by_value
from burnish.models.fitted import Fitted
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.example import Example
from burnish.records.report import GateResult, Report
from burnish.records.task import Task
from burnish.retrain.side_by_side import Timed
from burnish.retrain.worse import Paired, p_worse, surely_worse
from burnish.train.rows import labelled_texts

SetName = Literal["old", "fresh"]
# An equal candidate is refused by chance at most so often: by the primary metric over both sets together, and
# by the slices over all of them together (there by far less, for the margin is given away first).
PRIMARY_ALPHA = 0.025
SLICES_ALPHA = 0.05
CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Labelled rows, and what both models say to them as served. Shapes: candidate_RL, live_RL logits."""

    rows: Sequence[Example]
    candidate_RL: FloatArray
    live_RL: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Against:
    """Both models' reports by set of rows; the candidate's hold the paired comparisons with "live"."""

    candidate: Mapping[SetName, Report]
    live: Mapping[SetName, Report]


def answer_both(
    task: Task, rows: Sequence[Example], *, candidate: Fitted, live: Fitted
) -> Answered:
    """The same labelled rows through both models, as they are served."""
    texts = labelled_texts(task, rows).texts
    return Answered(
        rows,
        np.asarray(candidate.logits(candidate.encode(texts))),
        np.asarray(live.logits(live.encode(texts))),
    )


def against_live(
    task: Task,
    answered: Mapping[SetName, Answered],
    *,
    dataset_id: str,
    run_id: str | None,
    live_run_id: str | None,
    seed: int,
    at: str,
    resamples: int = RESAMPLES,
) -> Against:
    """Reports of both models on "old" (the parent's test rows) and "fresh" (audited since), each apart.

    The old rows say whether what was known is kept, the fresh ones how both do on today's traffic; one number over
    both would say neither. Sets without rows are left out.

    Raises: evaluate-unlabelled, evaluate-shape, evaluate-not-a-number.
    """
    candidate: dict[SetName, Report] = {}
    live: dict[SetName, Report] = {}
    for name, given in answered.items():
        if not given.rows:
            continue
        compared = compare_models(
            task,
            given.rows,
            ours=CANDIDATE,
            logits_RL=given.candidate_RL,
            theirs=LIVE,
            their_logits_RL=given.live_RL,
            seed=seed,
            resamples=resamples,
        )
        for model, logits_RL, run, reports in (
            (CANDIDATE, given.candidate_RL, run_id, candidate),
            (LIVE, given.live_RL, live_run_id, live),
        ):
            reports[name] = make_report(
                task,
                model=model,
                run_id=run,
                dataset_id=dataset_id,
                split="test",
                examples=given.rows,
                logits_RL=logits_RL,
                comparisons=compared if model == CANDIDATE else (),
                seed=seed,
                at=at,
                resamples=resamples,
            )
    return Against(candidate, live)


def retrain_gates(
    task: Task,
    answered: Mapping[SetName, Answered],
    *,
    latency: Timed,
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[GateResult, ...]:
    """What a candidate must keep of the live model; each gate says no only when the harm is sure.

    A gate that said no to every harm that cannot be excluded would need thousands of rows a slice, and nothing would
    ever be replaced; what must be reached for certain belongs into [[gates]] with `sure = true`.

    - The primary metric, on old and on fresh rows: refused when its paired interval lies wholly on the worse
      side of zero, at PRIMARY_ALPHA one-sided over the sets judged. No margin: where nothing else is gained, a
      model that is surely worse has no reason to go live.
    - Slices (each value of `slices` and each label, with 10 rows or, where rows come in groups, 10 groups), old and fresh rows together: refused when a
      slice's share of right rows is surely lower by more than `slice_margin`, by the score test of `p_worse`
      at SLICES_ALPHA over all slices (`surely_worse`). Right rows, not the primary metric: macro F1 on few
      rows of many labels is low by nature. With 40 rows in each of 77 labels, a label that falls from 0.9 to 0.5
      is named; from 0.9 to 0.8 in one label alone nobody could tell. What is spread over many
      labels shows in the primary metric instead.
    - Calibration, all rows together: refused when the 95% interval of the difference in expected calibration
      error, from paired resamples of at least 100 rows, lies wholly above `calibration_margin`. The error of few rows is mostly noise
      and always positive; it is as large for both models, so the difference is what can be compared.
    - Latency: refused when the 95% interval of the median ratio, from rows timed in pairs, lies wholly above
      `latency_ratio`.

    Raises: evaluate-empty, evaluate-unlabelled, evaluate-shape, evaluate-not-a-number.
    """
    sets: dict[SetName, Answered] = {name: one for name, one in answered.items() if one.rows}
    if not sets:
        raise fail(
            "evaluate-empty",
            "there is no test row on which to compare with the live model",
            expected="test rows in the parent dataset, or audited ones since",
            fix="add labelled rows, or give a test file under [data] in task.toml",
        )
    every = Answered(
        [row for one in sets.values() for row in one.rows],
        np.concatenate([one.candidate_RL for one in sets.values()]),
        np.concatenate([one.live_RL for one in sets.values()]),
    )
    ours = score(task, every.rows, every.candidate_RL)
    theirs = score(task, every.rows, every.live_RL)
    return (
        *(
            _primary(task, name, one, sets=len(sets), seed=seed, resamples=resamples)
            for name, one in sets.items()
        ),
        _slices(task, every.rows, ours, theirs),
        _calibration(task, ours, theirs, seed=seed, resamples=resamples),
        _latency(task, latency),
    )


def _primary(
    task: Task, name: SetName, given: Answered, *, sets: int, seed: int, resamples: int
) -> GateResult:
    metric = task.primary_metric
    found = compare(
        metric,
        score(task, given.rows, given.candidate_RL),
        score(task, given.rows, given.live_RL),
        ours=CANDIDATE,
        theirs=LIVE,
        seed=seed,
        resamples=resamples,
    )
    better = metric_of(metric).higher_is_better
    lost = found.difference < 0 if better else found.difference > 0
    return GateResult(
        gate=f"{metric} on {name} rows not surely {'below' if better else 'above'} live",
        # two-sided p: half of it is the side that matters
        passed=not (lost and found.p_value / 2 < PRIMARY_ALPHA / sets),
        found=f"difference {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}], "
        f"p = {found.p_value:.2g}, n = {found.n}",
    )


def _slices(task: Task, rows: Sequence[Example], ours: Scored, theirs: Scored) -> GateResult:
    margin = task.retrain.slice_margin
    named = _paired_slices(task, rows, ours, theirs)
    worse = surely_worse([pair for _, pair in named], margin=margin, alpha=SLICES_ALPHA)
    told = [
        f"{name} {pair.difference:+.3f} (p = {p:.2g}, n = {pair.rows:.0f})"
        for (name, pair), p in [(named[place], p) for place, p in worse]
    ]
    if not told and named:
        name, pair = min(named, key=lambda one: p_worse(one[1], margin=margin))
        told = [f"none of {len(named)}; least sure of {name} {pair.difference:+.3f}"]
    return GateResult(
        gate=f"no slice surely worse than live by more than {margin:g}",
        passed=not worse,
        found=", ".join(told) or f"no slice has {MIN_ROWS} rows",
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """Some of the rows by place, and whether each model is right about them. Shapes: all (N,)."""

    name: str
    places_N: IntArray
    right_N: BoolArray
    their_right_N: BoolArray


def _paired_slices(
    task: Task, rows: Sequence[Example], ours: Scored, theirs: Scored
) -> list[tuple[str, Paired]]:
    """Every slice with enough independent rows, by name."""
    found: list[tuple[str, Paired]] = []
    for cut in (*_by_column(task, rows, ours, theirs), *_by_label(task, ours, theirs)):
        groups_N = renumbered(ours.groups_R, cut.places_N)
        independent = len(cut.places_N) if groups_N is None else len(np.unique(groups_N))
        if independent >= MIN_ROWS:
            found.append((cut.name, _pair(cut.right_N, cut.their_right_N, groups_N)))
    return found


def _by_column(task: Task, rows: Sequence[Example], ours: Scored, theirs: Scored) -> Iterator[_Cut]:
    for column in task.slices:
        for value, places in rows_by_value(rows, column):
            yield _Cut(f'{column} "{value}"', places, ours.right_R[places], theirs.right_R[places])


def _by_label(task: Task, ours: Scored, theirs: Scored) -> Iterator[_Cut]:
    """The rows of each label; of several labels each is a question of its own, and where all say no, all agree."""
    true_RL = ours.targets_RL > 0.5
    one = ours.objective == "softmax"
    for index, label in enumerate(task.label_names):
        true_R, said_R, their_said_R = (
            answers_RL[:, index] for answers_RL in (true_RL, ours.said_RL, theirs.said_RL)
        )
        places = np.flatnonzero(true_R if one else true_R | said_R | their_said_R)
        right_R = ours.right_R if one else said_R == true_R
        their_right_R = theirs.right_R if one else their_said_R == true_R
        yield _Cut(f'label "{label}"', places, right_R[places], their_right_R[places])


def _pair(right_R: BoolArray, their_right_R: BoolArray, groups_R: IntArray | None) -> Paired:
    won_R, lost_R = right_R & ~their_right_R, ~right_R & their_right_R
    pair = Paired(float(len(right_R)), float(won_R.sum()), float(lost_R.sum()))
    return pair.thinned(_design_effect(won_R.astype(float) - lost_R, groups_R))


def _design_effect(difference_R: FloatArray, groups_R: IntArray | None) -> float:
    """How many rows of these groups say as much as one independent row; at least 1.

    Source: Rao & Scott (1992), "A simple method for the analysis of clustered binary data", Biometrics 48.
    """
    if groups_R is None:
        return 1.0
    centred_R = difference_R - difference_R.mean()
    sums_G, rows_G = by_group(centred_R[:, None], groups_R)
    alone = float((centred_R**2).sum())
    if alone < 1e-12:
        return float(len(difference_R) / len(rows_G))
    groups = len(rows_G)
    together = float((sums_G**2).sum()) * groups / max(1, groups - 1)
    return max(1.0, together / alone)


def _calibration(
    task: Task, ours: Scored, theirs: Scored, *, seed: int, resamples: int
) -> GateResult:
    margin = task.retrain.calibration_margin
    gate = f"calibration error not surely above live's by more than {margin:g}"
    if len(ours) < FEW_ROWS:
        return GateResult(gate=gate, passed=True, found=f"{len(ours)} rows are too few to tell")
    ours_RN, theirs_RN = ece_terms(ours), ece_terms(theirs)
    width = ours_RN.shape[1]

    def difference(sums_N: FloatArray, rows: FloatArray) -> FloatArray:
        return ece(sums_N[..., :width], rows) - ece(sums_N[..., width:], rows)

    found = bootstrap(
        np.concatenate([ours_RN, theirs_RN], axis=1),
        difference,
        seed=seed,
        groups_R=ours.groups_R,
        resamples=resamples,
    )
    value, low, high = float(found.value_K[0]), float(found.low_K[0]), float(found.high_K[0])
    return GateResult(
        gate=gate,
        passed=low <= margin,
        found=f"difference {value:+.4f} [{low:+.4f}, {high:+.4f}], n = {len(ours)}",
    )


def _latency(task: Task, latency: Timed) -> GateResult:
    limit = task.retrain.latency_ratio
    return GateResult(
        gate=f"milliseconds a row not surely more than {limit:g} times live's",
        passed=latency.low <= limit,
        found=f"{latency.candidate_ms:.2f} ms against {latency.live_ms:.2f} ms: {latency.ratio:.2f} times "
        f"[{latency.low:.2f}, {latency.high:.2f}], {latency.pairs} pairs",
    )
