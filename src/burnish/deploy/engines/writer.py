"""The writer engine: a fine-tuned decoder or encoder-decoder answers with a text."""

from __future__ import annotations

from pathlib import Path

from burnish.models.chat_model import open_chat_model
from burnish.models.fitted_text import FittedText
from burnish.records.task import Task


def load(folder: Path, task: Task, *, precision: str, max_tokens: int) -> FittedText:
    """The model in `folder`, with the chat template that stands beside it."""
    return open_chat_model(
        folder,
        precision=precision,
        max_tokens=max_tokens,
        new_tokens=task.decoding.max_new_tokens,
        truncate=task.truncate,
    )
