"""What checks on request ask of models: vectors of texts, and probabilities of rows from models that never saw them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.data.evidence import OutOfFold
from burnish.models.embed import load_embedder
from burnish.models.pretrained import open_pretrained
from burnish.models.source import BaseModel
from burnish.records.encoding import FloatArray, IntArray
from burnish.records.recipe import Recipe
from burnish.records.task import Task
from burnish.train.fit import Surroundings
from burnish.train.out_of_fold import Tuning, head_probabilities, tuned_probabilities
from burnish.train.rows import LabelledTexts

Vectoriser = Callable[[Sequence[str]], FloatArray]
# two epochs find planted errors as well as four, and remember fewer of them
TUNED_EPOCHS = 2


@dataclass(frozen=True, slots=True)
class Judges:
    """The base model's view of texts, and of rows' labels (None where there is no task)."""

    vectors: Vectoriser
    out_of_fold: OutOfFold | None


def judges_of(
    task: Task | None,
    recipe: Recipe,
    *,
    around: Surroundings,
    cache: Path,
    offline: bool,
    tuned: bool = False,
) -> Judges:
    """Judges from the recipe's base, loaded when first asked: a head on its frozen vectors, or `tuned` models.

    Raises (when asked): the codes of open_pretrained, and of fit for tuned models.
    """
    known: dict[str, FloatArray] = {}

    def base(texts: Sequence[str]) -> BaseModel:
        return open_pretrained(
            recipe.base,
            cache=cache,
            texts=lambda: list(texts),
            announce=around.announce,
            offline=offline,
        )

    def vectors(texts: Sequence[str]) -> FloatArray:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            around.announce(f"vectors of {len(new)} texts")
            embedder = load_embedder(base(new).folder, max_tokens=recipe.max_tokens)
            found = embedder.vectors(embedder.encode(new))
            known.update(zip(new, found, strict=True))
        return np.stack([known[text] for text in texts])

    if task is None:
        return Judges(vectors, None)

    def out_of_fold(texts: Sequence[str], labels: Sequence[str], folds_R: IntArray) -> FloatArray:
        names = task.label_names
        targets_RL = np.eye(len(names))[[names.index(label) for label in labels]]
        if not tuned:
            return head_probabilities(
                vectors(texts),
                targets_RL,
                folds_R,
                objective="softmax",
                announce=around.announce,
            )
        rows = LabelledTexts(texts, targets_RL, np.ones(len(texts)), [""] * len(texts))
        shorter = recipe.model_copy(update={"epochs": min(recipe.epochs, TUNED_EPOCHS)})
        with tempfile.TemporaryDirectory() as runs:
            tuning = Tuning(base(texts), shorter, Path(runs), around)
            return tuned_probabilities(task, rows, folds_R, objective="softmax", tuning=tuning)

    return Judges(vectors, out_of_fold)
