"""The door of metrics: one row per metric name, every one with its interval.

A metric is two plain functions: `terms` gives S numbers per row, `value` turns their sums into the
metric. That is enough to resample it by one matrix product, to compare two models on the same
resamples and to pool rows of one group. To add one, write the functions in `evaluate/metrics/`, add a
row to `METRICS` and run `tests/laws/test_metrics.py`, which tests every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from burnish.errors import fail, nearest
from burnish.evaluate.intervals import RESAMPLES, Value, bootstrap, wilson
from burnish.evaluate.metrics import accuracy, f1, multilabel, ordered
from burnish.evaluate.scored import Scored
from burnish.records.encoding import FloatArray
from burnish.records.report import Measure
from burnish.records.task import KindName


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what to sum over rows, what the sums are worth, and how to read the value.

    `worst` and `best` are the ends of its scale (None: open). Units: `unit` is "fraction" for values
    between 0 and 1 shown as percentages, else what one unit of the value is.
    """

    title: str
    terms: Callable[[Scored], FloatArray]
    value: Value
    unit: str
    higher_is_better: bool
    kinds: tuple[KindName, ...]
    best: float
    worst: float | None


_ONE: tuple[KindName, ...] = ("classification", "sentiment")
_ALL: tuple[KindName, ...] = ("classification", "multilabel", "sentiment")
_ORDERED: tuple[KindName, ...] = ("sentiment",)
_MANY: tuple[KindName, ...] = ("multilabel",)


def _up(
    title: str,
    terms: Callable[[Scored], FloatArray],
    value: Value,
    kinds: tuple[KindName, ...],
) -> Metric:
    return Metric(title, terms, value, "fraction", True, kinds, best=1.0, worst=0.0)


METRICS: Mapping[str, Metric] = {
    "accuracy": _up("Accuracy", accuracy.right, accuracy.mean, _ONE),
    "subset_accuracy": _up("Rows entirely right", accuracy.right, accuracy.mean, _MANY),
    "macro_f1": _up("Macro F1", f1.counts, f1.macro, _ALL),
    "micro_f1": _up("Micro F1", f1.counts, f1.micro, _ALL),
    "weighted_f1": _up("Weighted F1", f1.counts, f1.weighted, _ALL),
    "hamming_loss": Metric(
        "Wrong yes/no answers", multilabel.label_errors, accuracy.mean,
        "fraction", False, _MANY, best=0.0, worst=1.0,
    ),
    "mean_absolute_label_error": Metric(
        "Mean distance in labels", ordered.steps, ordered.mean_absolute_error,
        "labels", False, _ORDERED, best=0.0, worst=None,
    ),
    "quadratic_weighted_kappa": Metric(
        "Quadratic weighted kappa", ordered.steps, ordered.quadratic_kappa,
        "kappa", True, _ORDERED, best=1.0, worst=-1.0,
    ),
    "log_loss": Metric(
        "Log loss", accuracy.surprise, accuracy.mean,
        "nats", False, _ALL, best=0.0, worst=None,
    ),
}  # fmt: skip


def metric_of(name: str) -> Metric:
    """The metric of that name.

    Raises: metric-unknown, with the nearest name.
    """
    if name not in METRICS:
        raise fail(
            "metric-unknown",
            f'there is no metric "{name}"',
            expected=f"one of: {', '.join(METRICS)}",
            fix="correct primary_metric or the gate in task.toml",
            nearest=nearest(name, METRICS),
        )
    return METRICS[name]


def metric_names(kind: KindName) -> tuple[str, ...]:
    """The metrics that make sense for a kind of task, in the table's order.

    Example:
        >>> metric_names("multilabel")[:2]
        ('subset_accuracy', 'macro_f1')
    """
    return tuple(name for name, metric in METRICS.items() if kind in metric.kinds)


def point(name: str, scored: Scored) -> float:
    """The value alone, without an interval: for early stopping and for reference lines.

    Raises: metric-unknown.
    """
    metric = metric_of(name)
    terms_RS = metric.terms(scored)
    return float(metric.value(terms_RS.sum(axis=0), np.asarray(float(len(terms_RS)))))


def measure(name: str, scored: Scored, *, seed: int, resamples: int = RESAMPLES) -> Measure:
    """One metric on the scored rows with its 95% BCa bootstrap interval.

    Where every resample gives the same value (all rows right, a single row) the bootstrap is blind, and
    the interval of a fraction is Wilson's with the same number of rows (groups, when rows are
    grouped); another unit then has no interval.

    Raises: metric-unknown.

    Example:
        >>> import numpy as np
        >>> from burnish.evaluate.scored import scored_from
        >>> truth = np.eye(2)[[0, 1] * 20]
        >>> perfect = measure("accuracy", scored_from(truth, truth, objective="softmax"), seed=1)
        >>> perfect.value, round(perfect.low, 3), perfect.high
        (1.0, 0.912, 1.0)
    """
    metric = metric_of(name)
    found = bootstrap(
        metric.terms(scored),
        metric.value,
        seed=seed,
        groups_R=scored.groups_R,
        resamples=resamples,
    )
    value = float(found.value_K[0])
    low: float | None = float(found.low_K[0])
    high: float | None = float(found.high_K[0])
    if found.blind_K[0]:
        fraction = metric.unit == "fraction"
        low, high = wilson(value * found.groups, found.groups) if fraction else (None, None)
    return Measure(name=name, value=value, low=low, high=high, n=len(scored), unit=metric.unit)
