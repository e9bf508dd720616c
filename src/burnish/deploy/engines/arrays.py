"""The arrays engine: a baseline answers, with the untrained base model beside it where it needs one."""

from __future__ import annotations

from pathlib import Path

from burnish.decide.array_files import load_arrays
from burnish.decide.baseline import BASELINES
from burnish.errors import fail
from burnish.models.fitted import Fitted
from burnish.records.task import Task


def load(folder: Path, task: Task, *, precision: str, max_tokens: int) -> Fitted:
    """The baseline saved in `folder`. Base models run in fp32 whatever `precision` says.

    Raises: model-unreadable.
    """
    del task, precision
    name = load_arrays(folder)[1].get("baseline")
    if not isinstance(name, str) or name not in BASELINES:
        raise fail(
            "model-unreadable",
            f"arrays.json names the baseline {name!r}",
            where=folder.name,
            expected=f"one of: {', '.join(BASELINES)}",
            fix="run `burnish run` again to rebuild the model",
        )
    baseline = BASELINES[name]
    if not baseline.USES_BASE:
        return baseline.load(folder, vectors=None)
    # torch is needed for embedding baselines only
    from burnish.models.embed import load_embedder

    return baseline.load(folder, vectors=load_embedder(folder, max_tokens=max_tokens))
