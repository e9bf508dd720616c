"""One model on one split of one dataset: everything measured, in one record.

Shape legend: R rows, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from burnish.evaluate.calibration import calibrate
from burnish.evaluate.intervals import RESAMPLES, bootstrap, wilson
from burnish.evaluate.metric import METRICS, measure, metric_names
from burnish.evaluate.metrics import f1
from burnish.evaluate.scored import Scored, score
from burnish.evaluate.slices import missing_columns, slices
from burnish.evaluate.worst import Nearby, worst_rows
from burnish.records.encoding import FloatArray
from burnish.records.example import Example, Split
from burnish.records.record import content_id
from burnish.records.report import ClassMeasures, Comparison, Lengths, Measure, Report
from burnish.records.task import Task
from burnish.tasks.kind import kind_of

# with fewer test rows than this an interval of accuracy is wider than 10 points either way
FEW_ROWS = 100
FEW_OF_A_LABEL = 10


def make_report(
    task: Task,
    *,
    model: str,
    run_id: str | None,
    dataset_id: str,
    split: Split,
    examples: Sequence[Example],
    logits_RL: FloatArray,
    temperature: float = 1.0,
    columns: Sequence[str] | None = None,
    comparisons: Sequence[Comparison] = (),
    lengths: Lengths | None = None,
    nearby: Nearby | None = None,
    warnings: Sequence[str] = (),
    seed: int,
    at: str,
    resamples: int = RESAMPLES,
) -> Report:
    """Measure a model's raw logits on labelled rows; probabilities are taken at `temperature`.

    Fit the temperature with `calibration.fit_temperature` on validation rows. `columns` are sliced by
    (None: the task's own). `comparisons` come from `compare.compare_models` on the same rows, `lengths`
    from `lengths_of`, `nearby` gives neighbours of errors. The id is the hash of everything but `at`
    and how often the rows were used.
    Gates are judged afterwards, by `gate.gate`.

    Raises: evaluate-empty, evaluate-unlabelled, evaluate-shape, evaluate-not-a-number, metric-unknown.
    """
    scored = score(task, examples, logits_RL, temperature=temperature)
    before = score(task, examples, logits_RL)
    sliced = task.slices if columns is None else tuple(columns)
    fields = {
        "model": model,
        "run_id": run_id,
        "dataset_id": dataset_id,
        "task_id": task.id,
        "split": split,
        "n": len(examples),
        "primary_metric": task.primary_metric,
        "measures": tuple(
            measure(name, scored, seed=seed, resamples=resamples) for name in reported(task)
        ),
        "classes": class_measures(task.label_names, scored, seed=seed, resamples=resamples),
        "labels": task.label_names,
        "confusion": confusion(scored),
        "calibration": calibrate(
            scored, before, temperature=temperature, seed=seed, resamples=resamples
        ),
        "slices": slices(
            task.primary_metric,
            scored,
            examples,
            columns=sliced,
            seed=seed,
            resamples=resamples,
        ),
        "worst": worst_rows(task, examples, scored, nearby=nearby),
        "lengths": lengths,
        "comparisons": tuple(comparisons),
        "warnings": (*warnings, *_warnings(task, scored, examples, sliced)),
    }
    report = Report(id="", at=at, **fields)  # type: ignore[arg-type]
    identity = content_id(report.model_dump(mode="json", exclude={"id", "at", "reuse"}))
    return report.model_copy(update={"id": identity})


def reported(task: Task) -> tuple[str, ...]:
    """The metrics a report of this task holds: the primary one first, then the kind's, then the rest."""
    known = [name for name in kind_of(task).metrics if name in METRICS]
    gated = [gate.metric for gate in task.gates if gate.metric in METRICS]
    return tuple(dict.fromkeys([task.primary_metric, *known, *metric_names(task.kind), *gated]))


def class_measures(
    labels: Sequence[str], scored: Scored, *, seed: int, resamples: int = RESAMPLES
) -> tuple[ClassMeasures, ...]:
    """Precision and recall (Wilson) and F1 (BCa bootstrap) of each label.

    n of precision is how often the label was said, n of recall how often it is true, n of F1 either. With
    n = 0 the measure does not exist: its value is 0 and it has no interval.
    """
    counts_RS = f1.counts(scored)
    right_L, said_L, true_L = counts_RS.sum(axis=0).reshape(3, -1)
    found = bootstrap(
        counts_RS, f1.per_label, seed=seed, groups_R=scored.groups_R, resamples=resamples
    )
    measured = []
    for index, label in enumerate(labels):
        right, said, true = right_L[index], said_L[index], true_L[index]
        either = int(said + true - right)
        value = float(found.value_K[index])
        low, high = float(found.low_K[index]), float(found.high_K[index])
        if found.blind_K[index]:
            low, high = wilson(value * either, either)
        measured.append(
            ClassMeasures(
                label=label,
                precision=_proportion("precision", right, said),
                recall=_proportion("recall", right, true),
                f1=Measure(
                    name="f1",
                    value=value,
                    low=low if either else None,
                    high=high if either else None,
                    n=either,
                ),
                support=int(true),
            )
        )
    return tuple(measured)


def confusion(scored: Scored) -> tuple[tuple[int, ...], ...]:
    """Counts, one row per true label and one column per answer, in the task's label order.

    For several labels per row there is no such square: each label's row then holds four counts,
    (rightly no, wrongly yes, wrongly no, rightly yes).
    """
    true_RL = scored.targets_RL > 0.5
    if scored.objective == "softmax":
        counts_LL = true_RL.T.astype(np.int64) @ scored.said_RL.astype(np.int64)
    else:
        said_RL = scored.said_RL
        cells = (~true_RL & ~said_RL, ~true_RL & said_RL, true_RL & ~said_RL, true_RL & said_RL)
        counts_LL = np.stack([cell.sum(axis=0) for cell in cells], axis=1)
    return tuple(tuple(int(count) for count in row) for row in counts_LL)


def lengths_of(tokens: Sequence[int], *, dropped_tokens: Sequence[int], max_tokens: int) -> Lengths:
    """Token lengths of rows *before* truncation, and what truncation took.

    `tokens` as the model saw them, `dropped_tokens` what was cut from each. The histogram is up to 20
    equal steps of (lower edge, rows).

    Example:
        >>> lengths_of([5, 8, 8], dropped_tokens=[0, 0, 4], max_tokens=8).longest
        12
    """
    whole = np.asarray(tokens, dtype=np.int64) + np.asarray(dropped_tokens, dtype=np.int64)
    dropped = np.asarray(dropped_tokens, dtype=np.int64)
    if not len(whole):
        return Lengths(
            max_tokens=max_tokens, median=0.0, p95=0.0, longest=0,
            truncated_rows=0, truncated_tokens=0,
        )  # fmt: skip
    step = max(1, -(-int(whole.max() + 1) // 20))
    counts = np.bincount(whole // step)
    return Lengths(
        max_tokens=max_tokens,
        median=float(np.median(whole)),
        p95=float(np.quantile(whole, 0.95)),
        longest=int(whole.max()),
        truncated_rows=int((dropped > 0).sum()),
        truncated_tokens=int(dropped.sum()),
        histogram=tuple((index * step, int(count)) for index, count in enumerate(counts)),
    )


def _proportion(name: str, right: float, n: float) -> Measure:
    if n == 0:
        return Measure(name=name, value=0.0, low=None, high=None, n=0)
    low, high = wilson(right, n)
    return Measure(name=name, value=float(right / n), low=low, high=high, n=int(n))


def _warnings(
    task: Task, scored: Scored, examples: Sequence[Example], columns: Sequence[str]
) -> tuple[str, ...]:
    """What a reader must know before believing the numbers."""
    said = []
    rows = len(scored)
    if rows < FEW_ROWS:
        said.append(
            f"only {rows} test row{'s' if rows > 1 else ''}: the intervals are wide, "
            "and nothing subtle can be seen"
        )
    support_L = scored.targets_RL.sum(axis=0)
    absent = [name for name, count in zip(task.label_names, support_L, strict=True) if count == 0]
    few = [
        name
        for name, count in zip(task.label_names, support_L, strict=True)
        if 0 < count < FEW_OF_A_LABEL
    ]
    if absent:
        said.append(f"no test row has the label{_listed(absent)}: nothing is known about it")
    if few:
        said.append(f"fewer than {FEW_OF_A_LABEL} test rows have the label{_listed(few)}")
    for column in missing_columns(examples, columns):
        said.append(f'no row has the column "{column}", so there are no slices by it')
    if scored.groups_R is not None:
        groups = int(scored.groups_R.max()) + 1
        said.append(
            f"rows come in {groups} groups; intervals resample groups, since rows of one group "
            "are not independent"
        )
    return tuple(said)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{'s' if len(names) > 1 else ''} {shown}{more}"
