"""The judge training receives: one number per epoch, higher is better, so that train never imports evaluate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burnish.evaluate.metric import metric_of
from burnish.evaluate.scored import score
from burnish.records.encoding import FloatArray
from burnish.records.example import Example
from burnish.records.task import Task


def judge_of(task: Task, examples: Sequence[Example]) -> Callable[[FloatArray], float]:
    """Logits (R, L) of these rows to the task's primary metric, its sign turned where lower is better.

    No interval: early stopping compares points on the same rows.
    """
    metric = metric_of(task.primary_metric)

    def judge(logits_RL: FloatArray) -> float:
        terms_RS = metric.terms(score(task, examples, logits_RL))
        value = float(metric.value(terms_RS.sum(axis=0), float(len(terms_RS))))
        return value if metric.higher_is_better else -value

    return judge
