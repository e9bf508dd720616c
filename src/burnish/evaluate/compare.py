"""Is one model better than another? Both on the same rows, so that easy and hard rows cancel out.

Shape legend: R rows, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from burnish.errors import fail
from burnish.evaluate.intervals import RESAMPLES, bootstrap, two_sided_p, wilson
from burnish.evaluate.metric import Rows, metric_of, terms_of
from burnish.evaluate.scored import Scored, score
from burnish.evaluate.written import Written
from burnish.records.encoding import FloatArray
from burnish.records.example import Example
from burnish.records.report import Comparison
from burnish.records.task import Task

PAIRED_BOOTSTRAP = "paired bootstrap"
EXACT_MCNEMAR = "exact McNemar"


def compare(
    metric: str,
    scored: Rows,
    other: Rows,
    *,
    ours: str,
    theirs: str,
    seed: int,
    resamples: int = RESAMPLES,
) -> Comparison:
    """The difference ours - theirs in a metric, with its paired BCa bootstrap interval and p-value.

    Every resample draws the same rows (or groups) for both models. Mind the sign: for a loss, a
    negative difference is the better one.

    Raises: metric-unknown, compare-other-rows, evaluate-no-likelihood.
    """
    _same_rows(scored, other)
    chosen = metric_of(metric)
    ours_RS, theirs_RS = terms_of(metric, scored), terms_of(metric, other)
    width = ours_RS.shape[1]

    def difference(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
        return chosen.value(sums_S[..., :width], rows) - chosen.value(sums_S[..., width:], rows)

    found = bootstrap(
        np.concatenate([ours_RS, theirs_RS], axis=1),
        difference,
        seed=seed,
        groups_R=scored.groups_R,
        resamples=resamples,
    )
    value, low, high = float(found.value_K[0]), float(found.low_K[0]), float(found.high_K[0])
    if found.blind_K[0] and value != 0.0 and chosen.unit == "fraction":
        # every row speaks for the same model: as sure as that many rows of one opinion can be
        sure = 2 * wilson(found.groups, found.groups)[0] - 1
        low, high = (min(sure, value), value) if value > 0 else (value, max(-sure, value))
    return Comparison(
        ours=ours,
        theirs=theirs,
        metric=metric,
        difference=value,
        low=low,
        high=high,
        p_value=two_sided_p(found),
        n=len(scored),
        method=PAIRED_BOOTSTRAP,
    )


def compare_accuracy(
    scored: Rows,
    other: Rows,
    *,
    ours: str,
    theirs: str,
    seed: int,
    resamples: int = RESAMPLES,
) -> Comparison:
    """The difference in rows entirely right, with McNemar's exact p-value from the rows where they differ.

    The interval is the paired bootstrap's. McNemar's test takes rows as independent; where rows come in
    groups, trust the bootstrap of `compare`.

    Source: McNemar (1947); exact form as the binomial test of b against b + c with p = 1/2.

    Raises: compare-other-rows.
    """
    from scipy.stats import binomtest

    if isinstance(scored, Written):
        metric = "exact_match"
    else:
        metric = "subset_accuracy" if scored.objective == "sigmoid" else "accuracy"
    found = compare(metric, scored, other, ours=ours, theirs=theirs, seed=seed, resamples=resamples)
    right_R, their_right_R = (terms_of(metric, one)[:, 0] > 0.5 for one in (scored, other))
    won = int((right_R & ~their_right_R).sum())
    lost = int((~right_R & their_right_R).sum())
    p_value = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    return found.model_copy(update={"p_value": p_value, "method": EXACT_MCNEMAR})


def compare_models(
    task: Task,
    examples: Sequence[Example],
    *,
    ours: str,
    logits_RL: FloatArray,
    theirs: str,
    their_logits_RL: FloatArray,
    temperature: float = 1.0,
    their_temperature: float = 1.0,
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[Comparison, ...]:
    """Everything the report and the gates need to know about two models on the same labelled rows.

    First the primary metric, then each metric a gate compares with `theirs`, by paired bootstrap; last
    the rows entirely right, by exact McNemar.

    Raises: metric-unknown, and what `score` raises.
    """
    scored = score(task, examples, logits_RL, temperature=temperature)
    other = score(task, examples, their_logits_RL, temperature=their_temperature)
    gated = (gate.metric for gate in task.gates if gate.than == theirs)
    metrics = dict.fromkeys((task.primary_metric, *gated))
    return (
        *(
            compare(metric, scored, other, ours=ours, theirs=theirs, seed=seed, resamples=resamples)
            for metric in metrics
        ),
        compare_accuracy(scored, other, ours=ours, theirs=theirs, seed=seed, resamples=resamples),
    )


def _same_rows(scored: Rows, other: Rows) -> None:
    if isinstance(scored, Written) and isinstance(other, Written):
        same = scored.references == other.references
    elif isinstance(scored, Scored) and isinstance(other, Scored):
        same = bool(np.array_equal(scored.targets_RL, other.targets_RL))
    else:
        same = False
    if not same:
        raise fail(
            "compare-other-rows",
            f"the two models were scored on different rows ({len(scored)} and {len(other)})",
            expected="the same labelled rows in the same order",
            fix="predict the same split with both models, then compare",
        )
