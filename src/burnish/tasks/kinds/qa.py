"""Question answering: a question, with or without a context, and an answer that the model writes."""

from __future__ import annotations

from typing import Literal

from burnish.tasks.written import check, parse, prompt

__all__ = ["answers", "check", "default_metric", "metrics", "parse", "prompt"]

answers: Literal["text"] = "text"
metrics: tuple[str, ...] = (
    "f1",
    "exact_match",
    "rougeL",
    "bleu",
    "chrf",
    "length_ratio",
    "empty_rate",
    "runaway_rate",
    "repetition",
    "perplexity",
)
default_metric = "f1"
