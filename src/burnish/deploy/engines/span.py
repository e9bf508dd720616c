"""The span engine: a fine-tuned encoder finds the answer in its context."""

from __future__ import annotations

from pathlib import Path

from burnish.models.fitted_text import FittedText
from burnish.models.span_model import load_span_model
from burnish.records.task import Task


def load(folder: Path, task: Task, *, precision: str, max_tokens: int) -> FittedText:
    """The model in `folder`, with the rule of what may be an answer that its config holds."""
    del task
    return load_span_model(folder, precision=precision, max_tokens=max_tokens)
