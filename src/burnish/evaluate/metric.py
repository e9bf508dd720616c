"""The door of metrics: one row per metric name, every one with its interval.

A metric is two plain functions: `terms` gives S numbers per row, `value` turns their sums into the
metric. Metrics of labels read a `Scored`, metrics of written texts a `Written`. That is enough to resample it by one matrix product, to compare two models on the same
resamples and to pool rows of one group. To add one, write the functions in `evaluate/metrics/`, add a
row to `METRICS` and run `tests/laws/test_metrics.py` or `test_text_metrics.py`, which test every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from burnish.errors import fail, nearest
from burnish.evaluate.intervals import RESAMPLES, Value, bootstrap, wilson
from burnish.evaluate.metrics import (
    accuracy,
    bleu,
    chrf,
    conduct,
    f1,
    likelihood,
    multilabel,
    ordered,
    rouge,
    squad,
)
from burnish.evaluate.scored import Scored
from burnish.evaluate.written import Written
from burnish.records.encoding import FloatArray
from burnish.records.report import Measure
from burnish.records.task import KindName

TextKind = Literal["extractive-qa", "qa", "summarization", "chat"]
MeasuredKind = KindName | TextKind
Rows = Scored | Written


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what to sum over rows, what the sums are worth, and how to read the value.

    `terms` reads a `Scored` or a `Written`, as `reads` says. `worst` and `best` are the ends of its scale
    (None: open). One that is not `directed` (a length ratio) is best in the middle of its scale: it can be held
    within bounds, but not be higher or lower than another's.
    Units: `unit` is "fraction" for values between 0 and 1 shown as percentages, else what one unit of the value is.
    """

    title: str
    terms: Callable[[Any], FloatArray]
    value: Value
    unit: str
    higher_is_better: bool
    kinds: tuple[MeasuredKind, ...]
    best: float
    worst: float | None
    reads: type[Scored | Written] = Scored
    directed: bool = True


_ONE: tuple[MeasuredKind, ...] = ("classification", "sentiment")
_ALL: tuple[MeasuredKind, ...] = ("classification", "multilabel", "sentiment")
_ORDERED: tuple[MeasuredKind, ...] = ("sentiment",)
_MANY: tuple[MeasuredKind, ...] = ("multilabel",)
_ANSWERS: tuple[MeasuredKind, ...] = ("extractive-qa", "qa", "chat")
_LONG: tuple[MeasuredKind, ...] = ("qa", "summarization", "chat")


def _up(
    title: str,
    terms: Callable[[Scored], FloatArray],
    value: Value,
    kinds: tuple[MeasuredKind, ...],
) -> Metric:
    return Metric(title, terms, value, "fraction", True, kinds, best=1.0, worst=0.0)


def _text(
    title: str,
    terms: Callable[[Written], FloatArray],
    value: Value,
    kinds: tuple[MeasuredKind, ...],
) -> Metric:
    return Metric(title, terms, value, "fraction", True, kinds, best=1.0, worst=0.0, reads=Written)


def _share(
    title: str,
    terms: Callable[[Written], FloatArray],
    value: Value,
    kinds: tuple[MeasuredKind, ...],
) -> Metric:
    """A share of rows, the fewer the better."""
    return Metric(title, terms, value, "fraction", False, kinds, best=0.0, worst=1.0, reads=Written)


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
    "exact_match": _text("Exact match", squad.exact_match, accuracy.mean, _ANSWERS),
    "f1": _text("F1 of words", squad.f1, accuracy.mean, _ANSWERS),
    "rougeL": _text("ROUGE-L", rouge.rouge_l, accuracy.mean, _LONG),
    "rouge1": _text("ROUGE-1", rouge.rouge1, accuracy.mean, _LONG),
    "rouge2": _text("ROUGE-2", rouge.rouge2, accuracy.mean, _LONG),
    "chrf": _text("chrF", chrf.counts, chrf.value, _LONG),
    "bleu": _text("BLEU", bleu.counts, bleu.value, _LONG),
    "loss": Metric(
        "Loss on supervised tokens", likelihood.surprise, likelihood.loss,
        "nats", False, _LONG, best=0.0, worst=None, reads=Written,
    ),
    "perplexity": Metric(
        "Perplexity on supervised tokens", likelihood.surprise, likelihood.perplexity,
        "perplexity", False, _LONG, best=1.0, worst=None, reads=Written,
    ),
    "length_ratio": Metric(
        "Characters for each of the reference", conduct.lengths, conduct.length_ratio,
        "ratio", False, _LONG, best=1.0, worst=None, reads=Written, directed=False,
    ),
    "empty_rate": _share("Empty answers", conduct.empty, conduct.of_those, ("extractive-qa", *_LONG)),
    "runaway_rate": _share("Answers that did not end", conduct.unfinished, accuracy.mean, _LONG),
    "repetition": _share("Repeated four-word runs", conduct.repeated, accuracy.mean, _LONG),
    "copied_rate": _share("Copies of the prompt", conduct.copied, accuracy.mean, _LONG),
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


def metric_names(kind: MeasuredKind) -> tuple[str, ...]:
    """The metrics that make sense for a kind of task, in the table's order.

    Example:
        >>> metric_names("multilabel")[:2]
        ('subset_accuracy', 'macro_f1')
    """
    return tuple(name for name, metric in METRICS.items() if kind in metric.kinds)


def measurable(name: str, rows: Rows) -> bool:
    """Whether the rows hold what the metric asks for: a perplexity needs the references' likelihood.

    Raises: metric-unknown.
    """
    if not isinstance(rows, metric_of(name).reads):
        return False
    return (
        METRICS[name].terms is not likelihood.surprise or getattr(rows, "nats_R", None) is not None
    )


def terms_of(name: str, rows: Rows) -> FloatArray:
    """What the metric sums, row by row: shape (R, S).

    Raises: metric-unknown (also of a metric that reads labels where there are texts, or the other way round),
    evaluate-no-likelihood.
    """
    metric = metric_of(name)
    if not isinstance(rows, metric.reads):
        raise fail(
            "metric-unknown",
            f'"{name}" does not measure {"texts" if isinstance(rows, Written) else "labels"}',
            expected=f"one of: {', '.join(key for key, one in METRICS.items() if isinstance(rows, one.reads))}",
            fix="correct primary_metric or the gate in task.toml",
        )
    return metric.terms(rows)


def point(name: str, scored: Rows) -> float:
    """The value alone, without an interval: for early stopping and for reference lines.

    Raises: metric-unknown, evaluate-no-likelihood.
    """
    metric = metric_of(name)
    terms_RS = terms_of(name, scored)
    return float(metric.value(terms_RS.sum(axis=0), np.asarray(float(len(terms_RS)))))


def measure(name: str, scored: Rows, *, seed: int, resamples: int = RESAMPLES) -> Measure:
    """One metric on the scored rows with its 95% BCa bootstrap interval.

    Where every resample gives the same value (all rows right, a single row) the bootstrap is blind, and
    the interval of a fraction is Wilson's with the same number of rows (groups, when rows are
    grouped); another unit then has no interval.

    Raises: metric-unknown, evaluate-no-likelihood.

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
        terms_of(name, scored),
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
