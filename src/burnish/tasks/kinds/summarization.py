"""Summarisation: a shorter text that says what a document says; one or several references are right."""

from __future__ import annotations

from typing import Literal

from burnish.tasks.written import check, parse, prompt

__all__ = ["answers", "check", "default_metric", "metrics", "parse", "prompt"]

answers: Literal["text"] = "text"
metrics: tuple[str, ...] = (
    "rougeL",
    "rouge1",
    "rouge2",
    "bleu",
    "chrf",
    "length_ratio",
    "empty_rate",
    "runaway_rate",
    "repetition",
    "perplexity",
)
default_metric = "rougeL"
