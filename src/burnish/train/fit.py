"""Train one classifier in a run folder: its rows, its method, its judge; how it is followed is train/follow.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from burnish.encode.tokenise import load_tokeniser
from burnish.errors import BurnishError, Problem
from burnish.models.classifier import TransformersFitted, choose_trainable, new_classifier
from burnish.models.family import family_of
from burnish.models.learner import settle_body
from burnish.models.source import BaseModel
from burnish.records.encoding import Encoding, FloatArray
from burnish.records.recipe import Recipe
from burnish.records.run import Run, run_id
from burnish.records.task import Task
from burnish.train.environment import environment
from burnish.train.estimate import Rows, forecast_of, refuse_too_large
from burnish.train.follow import Lesson, Prepared, Start, Surroundings, pausing, train_in_folder
from burnish.train.forward import Forward, Placed, forward_of, pooled_features
from burnish.train.loop import TrainRows, label_shares, not_finite
from burnish.train.objective import Objective
from burnish.train.probe import probe_head
from burnish.train.result import save_result
from burnish.train.rows import LabelledTexts

__all__ = ["Surroundings", "fit", "refuse_empty"]


@dataclass(frozen=True, slots=True)
class _Rows:
    """A split as the model sees it."""

    labelled: LabelledTexts
    encodings: list[Encoding]

    @property
    def placed(self) -> Placed:
        """The rows without their labels."""
        return Placed(self.encodings, self.labelled.places)


def fit(
    task: Task,
    *,
    objective: Objective,
    train: LabelledTexts,
    validation: LabelledTexts,
    judge: Callable[[FloatArray], float],
    base: BaseModel,
    recipe: Recipe,
    dataset_id: str,
    runs: Path,
    around: Surroundings,
) -> Run:
    """Train by the recipe into `runs/<id>`; the same call again continues, and returns at once when done.

    `judge` gets the validation logits (R, L) and answers with the primary metric, higher is better. The
    run folder ends with `run.json`, `steps.jsonl` and `model/` (Hugging Face layout, best epoch). After a
    kill the weights end byte-identical on the same machine kind with the same number of threads.

    Raises: split-empty, loss-not-finite, training-interrupted (exit 130 or 143), merge-differs,
        checkpoint-other-version, run-damaged, disk-full, memory-full, memory-too-small, and the codes of
        new_classifier and load_tokeniser.
    """
    refuse_empty(len(train.texts), len(validation.texts))
    identity = run_id(
        task_id=task.id, dataset_id=dataset_id, recipe=recipe, base_sha256=base.sha256
    )
    folder = runs / identity

    def prepare(earlier: Run | None) -> Prepared:
        refuse_too_large(base.folder, recipe)
        learner = new_classifier(
            base.folder, label_names=task.label_names, objective=objective, recipe=recipe
        )
        tokeniser = load_tokeniser(base.folder, max_tokens=recipe.max_tokens)
        fitted = TransformersFitted(learner, tokeniser)
        encodings = fitted.encode(train.texts)
        validation_encodings = fitted.encode(validation.texts)
        settle_body(
            learner,
            typical_tokens=int(np.median([len(row) for row in encodings])),
            recorded=earlier.environment.attention if earlier else None,
        )
        run = Run(
            id=identity,
            task_id=task.id,
            task_name=task.name,
            dataset_id=dataset_id,
            recipe=recipe,
            base_sha256=base.sha256,
            environment=environment(learner),
            splits=earlier.splits if earlier else (),
            status="running",
            truncated_rows=sum(1 for row in encodings if row.dropped_tokens),
            truncated_tokens=sum(row.dropped_tokens for row in encodings),
            train_seconds=earlier.train_seconds if earlier else 0.0,
            started_at=earlier.started_at if earlier else around.now(),
        )
        return Prepared(
            run,
            forecast=lambda start: forecast_of(
                fitted,
                Rows(encodings, validation_encodings),
                recipe,
                objective=objective,
                made=start.made,
                fresh=not start.resumed,
                folder=start.checkpoints,
                save_every_seconds=around.save_every_seconds,
                pause=pausing(around),
            ),
            lesson=lambda start: _lesson(
                fitted,
                _Rows(train, encodings),
                _Rows(validation, validation_encodings),
                recipe,
                objective=objective,
                judge=judge,
                start=start,
                around=around,
            ),
            save=lambda: save_result(fitted, base, folder, probe=validation_encodings),
        )

    return train_in_folder(folder, recipe, prepare=prepare, around=around)


def _lesson(
    fitted: TransformersFitted,
    train: _Rows,
    validation: _Rows,
    recipe: Recipe,
    *,
    objective: Objective,
    judge: Callable[[FloatArray], float],
    start: Start,
    around: Surroundings,
) -> Lesson:
    learner = fitted.learner
    forward = _ready(
        fitted, train, validation, recipe, objective=objective, start=start, around=around
    )
    labelled = train.labelled
    rows = TrainRows(forward.lengths, labelled.targets_RL, labelled.weights_R, labelled.places)

    def judged(step: int) -> float:
        logits_RL = forward.judged(step)
        broken = np.flatnonzero(~np.isfinite(logits_RL).all(axis=1))
        if len(broken):
            places = [validation.labelled.places[int(row)] for row in broken]
            raise not_finite("an answer on validation rows is", step=step, places=places)
        return judge(logits_RL)

    def opening(reached: float) -> str:
        return f"the head alone reaches {abs(reached):.4f} on validation"

    return Lesson(
        learner.model,
        rows,
        label_shares(rows, recipe, objective=objective, logits=forward.logits),
        judged,
        family_of(learner.model_type).head_modules(learner.model),
        opening if recipe.head_start == "probe" else None,
    )


def _ready(
    fitted: TransformersFitted,
    train: _Rows,
    validation: _Rows,
    recipe: Recipe,
    *,
    objective: Objective,
    start: Start,
    around: Surroundings,
) -> Forward:
    """Make the model ready for its method: probe, adapters, cached features.

    When resumed the probe is left out: every weight it would set comes from the checkpoint.
    """
    learner, pause = fitted.learner, pausing(around)
    probed = recipe.head_start == "probe" and not start.resumed
    features_R1H: Tensor | None = None
    if probed or recipe.method == "head":
        around.announce("features of the frozen base")
        features_R1H = pooled_features(learner, train.placed, splits=start.splits, pause=pause)
    if probed and features_R1H is not None:
        probe_head(learner, features_R1H, train.labelled.targets_RL, objective=objective)
    choose_trainable(learner, recipe)
    return forward_of(
        learner,
        train.placed,
        validation.placed,
        features_R1H=features_R1H if recipe.method == "head" else None,
        splits=start.splits,
        pause=pause,
    )


def refuse_empty(train_rows: int, validation_rows: int) -> None:
    """Refuse to train without rows to learn from or to judge by.

    Raises: split-empty.
    """
    problems = tuple(
        Problem(
            code="split-empty",
            what=f"{split} has no labelled rows",
            expected="at least one row to learn from and one to judge by",
            fix="add rows, or name a file for it under [data] in task.toml",
        )
        for split, rows in (("train", train_rows), ("validation", validation_rows))
        if not rows
    )
    if problems:
        raise BurnishError(problems)
