"""Train one model that writes text in a run folder; what is learnt and how it is judged are token rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from burnish.models.learner import settle_body
from burnish.models.source import BaseModel
from burnish.models.writer import Writer, choose_method, new_writer
from burnish.records.recipe import Recipe
from burnish.records.run import Run, run_id
from burnish.records.task import Task
from burnish.train.environment import environment
from burnish.train.estimate import refuse_too_large
from burnish.train.fit import refuse_empty
from burnish.train.follow import Lesson, Prepared, Start, Surroundings, pausing, train_in_folder
from burnish.train.loop import not_finite
from burnish.train.result import save_text_result
from burnish.train.token_rows import INFERENCE_TOKENS, TextRows, mean_token_loss, token_shares


def fit_text(
    task: Task,
    *,
    train: TextRows,
    validation: TextRows,
    stop_ids: Sequence[int],
    template: str | None = None,
    truncated: Sequence[int],
    base: BaseModel,
    recipe: Recipe,
    dataset_id: str,
    runs: Path,
    around: Surroundings,
) -> Run:
    """Train by the recipe into `runs/<id>`; the same call again continues, and returns at once when done.

    Judged by the mean loss of the validation rows' supervised tokens: `Step.validation` and `Run.best_validation`
    hold it negative, so that higher is better, and exp of the loss is the perplexity. The base itself stands as step 0.
    `truncated` counts the tokens that each train row lost before; `stop_ids` and the text of the chat
    `template` are written beside the model, so that plain transformers asks and stops as we do. The weights end byte-identical after a kill, as for `fit`.

    Raises: split-empty, loss-not-finite, training-interrupted (exit 130 or 143), merge-differs, row-beyond-model,
        checkpoint-other-version, run-damaged, disk-full, memory-too-small, and the codes of models/writer.py.
    """
    refuse_empty(len(train.rows), len(validation.rows))
    identity = run_id(
        task_id=task.id, dataset_id=dataset_id, recipe=recipe, base_sha256=base.sha256
    )
    folder = runs / identity

    def prepare(earlier: Run | None) -> Prepared:
        refuse_too_large(base.folder, recipe, milder=("lora", "qlora"))
        writer = new_writer(base.folder, recipe=recipe)
        for rows in (train, validation):
            rows.refuse_longer(writer.most_tokens)
        settle_body(
            writer,
            typical_tokens=int(np.median(train.lengths)),
            recorded=earlier.environment.attention if earlier else None,
        )
        run = Run(
            id=identity,
            task_id=task.id,
            task_name=task.name,
            dataset_id=dataset_id,
            recipe=recipe,
            base_sha256=base.sha256,
            environment=environment(writer),
            splits=earlier.splits if earlier else (),
            status="running",
            truncated_rows=sum(1 for lost in truncated if lost),
            truncated_tokens=sum(truncated),
            train_seconds=earlier.train_seconds if earlier else 0.0,
            started_at=earlier.started_at if earlier else around.now(),
        )
        return Prepared(
            run,
            forecast=lambda start: None,
            lesson=lambda start: _lesson(
                writer, train, validation, recipe, start=start, around=around
            ),
            save=lambda: save_text_result(
                writer, base, folder, probe=validation, stop_ids=stop_ids, template=template
            ),
        )

    return train_in_folder(folder, recipe, prepare=prepare, around=around)


def _lesson(
    writer: Writer,
    train: TextRows,
    validation: TextRows,
    recipe: Recipe,
    *,
    start: Start,
    around: Surroundings,
) -> Lesson:
    choose_method(writer, recipe)

    def judged(step: int) -> float:
        room = start.splits.room("judging", step=step, most=INFERENCE_TOKENS)
        loss = mean_token_loss(writer, validation, room=room, pause=pausing(around))
        if not math.isfinite(loss):
            raise not_finite("the loss on validation rows is", step=step, places=validation.places)
        return -loss

    def opening(reached: float) -> str:
        return f"the base alone has a loss of {-reached:.4f} a token on validation"

    return Lesson(writer.model, train, token_shares(writer, train), judged, opening=opening)
