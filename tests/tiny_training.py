"""For tests: tiny base models, a small task, and trainings of a second on them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from burnish.evaluate.judge import judge_of
from burnish.models.pretrained import open_pretrained
from burnish.models.source import BaseModel
from burnish.records.example import Example, Source, input_id, row_id
from burnish.records.label import Label, OneOf
from burnish.records.recipe import Recipe
from burnish.records.run import Run, Step
from burnish.records.task import Task
from burnish.tasks.kind import kind_of
from burnish.train.fit import Surroundings, fit
from burnish.train.rows import LabelledTexts, labelled_texts
from support_task import make_task

AT = "2026-11-22T10:00:00Z"
WORDS = {
    "refund": ("money back", "refund the payment", "return my money", "charged twice"),
    "delivery": ("parcel is late", "where is my order", "delivery van", "tracking number"),
    "other": ("opening hours", "a question", "thank you", "your newsletter"),
}
FILLERS = ("please", "hello there,", "since monday", "again and again", "I wonder:", "urgent!", "")


def sentences(count: int, *, seed: int = 1, words: int = 9) -> list[tuple[str, str]]:
    """Texts of different lengths (up to about so many words) with their labels, made up from a few phrases."""
    random = np.random.default_rng(seed)
    rows = []
    for place in range(count):
        label = list(WORDS)[place % len(WORDS)]
        said = [str(random.choice(WORDS[label]))]
        said += [str(random.choice(FILLERS)) for _ in range(int(random.integers(0, words)))]
        rows.append((f"{' '.join(random.permutation(said))} {place}", label))
    return rows


def examples(rows: Sequence[tuple[str, str | Label]]) -> list[Example]:
    """Texts and labels as Examples of a file tickets.csv."""
    made = []
    for line, (text, label) in enumerate(rows, start=2):
        where, inputs = f"tickets.csv:{line}", {"text": text}
        made.append(
            Example(
                row_id=row_id(where=where, inputs=inputs, label=str(label)),
                input_id=input_id(inputs),
                inputs=inputs,
                label=OneOf(name=label) if isinstance(label, str) else label,
                source=Source(where=where),
            )
        )
    return made


@cache
def tiny_base(root: Path, model_type: str = "bert") -> BaseModel:
    """A tiny base model below `root`, made once per process."""
    return open_pretrained(
        f"tiny:{model_type}",
        cache=root,
        texts=lambda: [text for text, _ in sentences(60)],
        announce=lambda text: None,
    )


def small_recipe(**changes: object) -> Recipe:
    """A recipe of few, quick updates in fp32."""
    fields: dict[str, object] = {
        "base": "tiny:bert",
        "epochs": 2,
        "batch_rows": 8,
        "max_tokens": 24,
        "learning_rate": 1e-3,
        "precision": "fp32",
    }
    return Recipe.model_validate(fields | changes)


def train_tiny(
    root: Path,
    runs: Path,
    recipe: Recipe,
    *,
    rows: int = 24,
    task: Task | None = None,
    stop: Callable[[], int | None] = lambda: None,
    on_step: Callable[[Step], None] = lambda step: None,
    announce: Callable[[str], None] = lambda text: None,
    save_every_seconds: float = 1e9,
    change: Callable[[LabelledTexts], LabelledTexts] = lambda train: train,
    judge: Callable[[np.ndarray], float] | None = None,
) -> Run:
    """`fit` on made-up sentences: `rows` of them to learn, 9 others to judge by."""
    task = task or make_task()
    train, validation = examples(sentences(rows)), examples(sentences(9, seed=2))
    return fit(
        task,
        objective=kind_of(task).objective,
        train=change(labelled_texts(task, train)),
        validation=labelled_texts(task, validation),
        judge=judge or judge_of(task, validation),
        base=tiny_base(root, recipe.base.removeprefix("tiny:")),
        recipe=recipe,
        dataset_id="d" * 16,
        runs=runs,
        around=Surroundings(lambda: AT, announce, on_step, stop, save_every_seconds),
    )


def write_project(folder: Path, *, rows: int = 60, words: int = 9) -> None:
    """A CSV of made-up tickets, for `burnish init` and `burnish train`."""
    with (folder / "tickets.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "intent"])
        writer.writerows(sentences(rows, words=words))
