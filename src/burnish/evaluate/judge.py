"""The judge training receives: one number per epoch, higher is better, so that train never imports evaluate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burnish.evaluate.metric import metric_of, point
from burnish.evaluate.scored import score
from burnish.records.encoding import FloatArray
from burnish.records.example import Example
from burnish.records.task import Task


def judge_of(task: Task, examples: Sequence[Example]) -> Callable[[FloatArray], float]:
    """Logits (R, L) of these rows to the task's primary metric, its sign turned where lower is better.

    No interval: early stopping compares points on the same rows.
    """
    sign = 1.0 if metric_of(task.primary_metric).higher_is_better else -1.0
    return lambda logits_RL: sign * point(task.primary_metric, score(task, examples, logits_RL))
