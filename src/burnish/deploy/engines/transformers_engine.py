"""The transformers engine: a fine-tuned sequence classifier answers."""

from __future__ import annotations

from pathlib import Path

from burnish.models.classifier import load_fitted
from burnish.models.fitted import Fitted
from burnish.records.task import Task


def load(folder: Path, task: Task, *, precision: str, max_tokens: int) -> Fitted:
    """The classifier in `folder`; its labels stand in the task's order since training."""
    del task
    return load_fitted(folder, max_tokens=max_tokens, precision=precision)
