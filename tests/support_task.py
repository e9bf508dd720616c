"""For tests: a small support task and rows of it."""

from __future__ import annotations

import hashlib

from burnish.records.example import Example, Source, input_id, row_id
from burnish.records.label import OneOf
from burnish.records.task import LabelSpec, Task

LABELS = ("refund", "delivery", "other")


def unlike(seed: str) -> str:
    """Four words that no text of another seed has: texts numbered in words alone are near duplicates."""
    digest = hashlib.sha256(seed.encode()).hexdigest()
    letters = digest.translate(str.maketrans("0123456789", "ghijklmnop"))
    return " ".join(letters[start : start + 6] for start in range(0, 24, 6))


def make_task(**changes: object) -> Task:
    """A task with one text column and three labels."""
    fields: dict[str, object] = {
        "name": "support",
        "kind": "classification",
        "inputs": ("text",),
        "label": "intent",
        "labels": tuple(LabelSpec(name=name) for name in LABELS),
        "primary_metric": "macro_f1",
    }
    return Task.model_validate(fields | changes)


def make_example(
    text: str,
    label: str,
    line: int,
    *,
    file: str = "t.csv",
    group: str | None = None,
    chosen: str = "all",
) -> Example:
    """One row of a file."""
    where = f"{file}:{line}"
    inputs = {"text": text}
    return Example(
        row_id=row_id(where=where, inputs=inputs, label=label),
        input_id=input_id(inputs),
        inputs=inputs,
        label=OneOf(name=label),
        source=Source.model_validate({"where": where, "chosen": chosen}),
        group=group,
    )
