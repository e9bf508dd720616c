"""The engine of labels that a model writes: each is scored by the likelihood of its text."""

from __future__ import annotations

from pathlib import Path

from burnish.models.choice_model import load_choice_model
from burnish.models.fitted import Fitted
from burnish.records.task import Task


def load(folder: Path, task: Task, *, precision: str, max_tokens: int) -> Fitted:
    """The model in `folder`, with the chat template and the temperature that stand beside it."""
    return load_choice_model(folder, task, max_tokens=max_tokens, precision=precision)
