"""Sentiment: exactly one of the labels, which stand in order, worst first.

The order changes what is measured (an error two steps away is worse than one), not what is aimed
at: the label is still one of a closed set, so the arithmetic is classification's.
"""

from __future__ import annotations

from typing import Literal

from burnish.tasks.one_of import check, decode, parse, probabilities, targets

__all__ = [
    "answers",
    "check",
    "decode",
    "default_metric",
    "metrics",
    "objective",
    "parse",
    "probabilities",
    "targets",
]

answers: Literal["labels"] = "labels"
objective: Literal["softmax", "sigmoid"] = "softmax"
metrics: tuple[str, ...] = (
    "accuracy",
    "macro_f1",
    "micro_f1",
    "weighted_f1",
    "mean_absolute_label_error",
    "quadratic_weighted_kappa",
    "log_loss",
)
default_metric = "accuracy"
