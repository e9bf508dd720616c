"""May this model be promoted? The task's gates, judged on the report."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.evaluate.metric import METRICS
from burnish.records.report import Comparison, GateResult, Measure, Report
from burnish.records.task import Gate, Task

# floating-point noise must not decide: a difference of -0.01 is not below a margin of 0.01
_ROUNDING = 1e-12


def gate(
    task: Task,
    report: Report,
    comparisons: Sequence[Comparison] = (),
    *,
    nothing_live: bool = False,
) -> Report:
    """The report with every gate's answer and the verdict; a task without gates passes.

    `comparisons` are used beside the report's own. A gate that cannot be judged (its metric was not
    measured, its comparison was not made) fails and says what to do; only `nothing_live = True` lets a
    gate against "live" pass, because a first model has nothing to be compared with.
    """
    known = (*report.comparisons, *comparisons)
    results = tuple(
        GateResult(gate=described(one), passed=passed, found=found)
        for one in task.gates
        for passed, found in [_judge(one, report, known, nothing_live=nothing_live)]
    )
    verdict = "passed" if all(result.passed for result in results) else "failed"
    return report.model_copy(update={"gates": results, "verdict": verdict})


def described(one: Gate) -> str:
    """A gate as a sentence.

    Example:
        >>> described(Gate(metric="macro_f1", than="majority", sure=True))
        'macro_f1 surely above majority'
        >>> described(Gate(metric="accuracy", at_least=0.9))
        'accuracy at least 0.9'
    """
    sure = "surely " if one.sure else ""
    parts = []
    if one.at_least is not None:
        parts.append(f"{sure}at least {one.at_least:g}")
    if one.at_most is not None:
        parts.append(f"{sure}at most {one.at_most:g}")
    if one.than is not None:
        worse = "below" if _higher_is_better(one.metric) else "above"
        margin = f" by more than {one.margin:g}" if one.margin else ""
        better = "above" if worse == "below" else "below"
        beats = one.sure and not one.margin
        parts.append(
            f"surely {better} {one.than}" if beats else f"{sure}not {worse} {one.than}{margin}"
        )
    return f"{one.metric} {' and '.join(parts) or '(asks nothing)'}"


def _judge(
    one: Gate, report: Report, comparisons: Sequence[Comparison], *, nothing_live: bool
) -> tuple[bool, str]:
    answers: list[tuple[bool, str]] = []
    if one.at_least is not None or one.at_most is not None:
        answers.append(_absolute(one, report))
    if one.than is not None:
        answers.append(_relative(one, report, comparisons, nothing_live=nothing_live))
    if not answers:
        return False, "the gate asks nothing: give it at_least, at_most or than in task.toml"
    return all(passed for passed, _ in answers), "; ".join(found for _, found in answers)


def _absolute(one: Gate, report: Report) -> tuple[bool, str]:
    measure = _measured(one.metric, report)
    if measure is None:
        names = sorted({*(measure.name for measure in report.measures), "ece", "brier"})
        return False, (
            f'"{one.metric}" was not measured: name one of {", ".join(names)} in the gate in task.toml'
        )
    low = measure.low if one.sure else measure.value
    high = measure.high if one.sure else measure.value
    found = _with_interval(measure)
    if low is None or high is None:
        return False, f"{found} has no interval, so nothing is sure: add test rows"
    passed = (one.at_least is None or low >= one.at_least - _ROUNDING) and (
        one.at_most is None or high <= one.at_most + _ROUNDING
    )
    return passed, found


def _relative(
    one: Gate, report: Report, comparisons: Sequence[Comparison], *, nothing_live: bool
) -> tuple[bool, str]:
    named = [
        comparison
        for comparison in comparisons
        if comparison.ours == report.model and comparison.theirs == one.than
    ]
    # of two tests on one metric the bootstrap comes first (`compare_models` keeps that order)
    matching = [comparison for comparison in named if comparison.metric == one.metric]
    if not matching:
        if one.than == "live" and nothing_live:
            return True, "nothing is live yet, so there is nothing to compare with"
        return False, _unavailable(one, report, named, comparisons)
    if one.metric in METRICS and not METRICS[one.metric].directed:
        return False, (
            f'"{one.metric}" is best at {METRICS[one.metric].best:g}, not high or low: '
            "give the gate at_least and at_most instead of than in task.toml"
        )
    comparison = matching[0]
    sign = 1 if _higher_is_better(one.metric) else -1
    ends = sorted((sign * comparison.low, sign * comparison.high))
    gain = ends[0] if one.sure else sign * comparison.difference
    found = (
        f"difference {comparison.difference:+.4f} "
        f"[{comparison.low:+.4f}, {comparison.high:+.4f}], p = {comparison.p_value:.2g}, "
        f"n = {comparison.n}"
    )
    if one.sure and not one.margin:
        # an interval that touches zero leaves it open whether anything was gained
        return gain > _ROUNDING, found
    return gain >= -one.margin - _ROUNDING, found


def _unavailable(
    one: Gate, report: Report, named: Sequence[Comparison], comparisons: Sequence[Comparison]
) -> str:
    if one.than == report.model:
        return f'this model is "{one.than}" itself: name another in the gate\'s "than"'
    if named:
        metrics = ", ".join(dict.fromkeys(comparison.metric for comparison in named))
        return (
            f'"{one.metric}" was not compared with "{one.than}" (only {metrics}): '
            "run `burnish evaluate` again"
        )
    if one.than == "live":
        return (
            "no comparison with the live model: promote a model first (`burnish promote`), "
            "or take this gate out of task.toml"
        )
    others = ", ".join(dict.fromkeys(comparison.theirs for comparison in comparisons)) or "nothing"
    return (
        f'no comparison with "{one.than}" was made (compared with: {others}): run `burnish decide`, '
        'or correct "than" in task.toml'
    )


def _measured(name: str, report: Report) -> Measure | None:
    of_calibration = (
        () if report.calibration is None else (report.calibration.ece, report.calibration.brier)
    )
    for measure in (*report.measures, *of_calibration):
        if measure.name == name:
            return measure
    return None


def _with_interval(measure: Measure) -> str:
    interval = (
        "" if measure.low is None or measure.high is None
        else f" [{measure.low:.4f}, {measure.high:.4f}]"
    )  # fmt: skip
    return f"{measure.name} {measure.value:.4f}{interval}, n = {measure.n}"


def _higher_is_better(name: str) -> bool:
    """Of a metric; ece, brier and names nobody knows count as losses only where they are."""
    metric = METRICS.get(name)
    return name not in ("ece", "brier") if metric is None else metric.higher_is_better
