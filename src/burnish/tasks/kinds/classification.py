"""Classification: exactly one of the labels, in no order."""

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
metrics: tuple[str, ...] = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "log_loss")
default_metric = "macro_f1"
