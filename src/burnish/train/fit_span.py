"""Train one model that finds answers in contexts, in a run folder; what is learnt are windows, what is judged answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from burnish.encode.best_span import best_span
from burnish.encode.windows import PairTokeniser
from burnish.models.learner import settle_body
from burnish.models.source import BaseModel
from burnish.models.span_model import (
    INFERENCE_TOKENS,
    SpanModel,
    choose_span_method,
    head_modules,
    new_span_model,
    window_scores,
    write_rule,
)
from burnish.records.recipe import Recipe
from burnish.records.run import Run, run_id
from burnish.records.task import Task
from burnish.train.environment import environment
from burnish.train.estimate import refuse_too_large
from burnish.train.fit import refuse_empty
from burnish.train.follow import Lesson, Prepared, Start, Surroundings, pausing, train_in_folder
from burnish.train.loop import not_finite
from burnish.train.result import save_span_result
from burnish.train.span_lessons import SpanLessons, span_shares


def fit_spans(
    task: Task,
    *,
    train: SpanLessons,
    validation: SpanLessons,
    tokeniser: PairTokeniser,
    judge: Callable[[Sequence[str]], float],
    base: BaseModel,
    recipe: Recipe,
    dataset_id: str,
    runs: Path,
    around: Surroundings,
) -> Run:
    """Train by the recipe into `runs/<id>`; the same call again continues, and returns at once when done.

    `judge` gets the answers found in the validation contexts, "" for none, and gives the primary metric, higher is
    better: not the loss of windows, which rises while the places it prefers still get better (docs/extractive-qa.md).
    What may be an answer is read off the train rows and stored with the model. The weights end byte-identical after a
    kill, as for `fit`.

    Raises: split-empty, loss-not-finite, training-interrupted (exit 130 or 143), merge-differs,
        checkpoint-other-version, run-damaged, disk-full, memory-too-small, and the codes of models/span_model.py.
    """
    refuse_empty(len(train.asked), len(validation.asked))
    identity = run_id(
        task_id=task.id, dataset_id=dataset_id, recipe=recipe, base_sha256=base.sha256
    )
    folder = runs / identity

    def prepare(earlier: Run | None) -> Prepared:
        refuse_too_large(base.folder, recipe)
        learner = new_span_model(base.folder, recipe=recipe)
        settle_body(
            learner,
            typical_tokens=int(np.median(train.rows.lengths)),
            recorded=earlier.environment.attention if earlier else None,
        )
        model = SpanModel(learner, tokeniser, train.rule)
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
            truncated_rows=0,
            truncated_tokens=0,
            train_seconds=earlier.train_seconds if earlier else 0.0,
            started_at=earlier.started_at if earlier else around.now(),
        )

        def save() -> str:
            write_rule(learner, train.rule)
            return save_span_result(model, base, folder, probe=validation.rows.windows)

        return Prepared(
            run,
            forecast=lambda start: None,
            lesson=lambda start: _lesson(
                model, train, validation, recipe, judge=judge, start=start, around=around
            ),
            save=save,
        )

    return train_in_folder(folder, recipe, prepare=prepare, around=around)


def _lesson(
    model: SpanModel,
    train: SpanLessons,
    validation: SpanLessons,
    recipe: Recipe,
    *,
    judge: Callable[[Sequence[str]], float],
    start: Start,
    around: Surroundings,
) -> Lesson:
    learner = model.learner
    heads = head_modules(learner.model)
    choose_span_method(learner, recipe)

    def judged(step: int) -> float:
        room = start.splits.room("judging", step=step, most=INFERENCE_TOKENS)
        scores = window_scores(learner, validation.rows.windows, room=room, pause=pausing(around))
        broken = [at for at, one in enumerate(scores) if not np.isfinite(one).all()]
        if broken:
            places = validation.rows.places_of(np.array(broken))
            raise not_finite("a score on validation rows is", step=step, places=places)
        told = iter(scores)
        said: list[str] = []
        for windows, context in zip(validation.asked, validation.contexts, strict=True):
            found = best_span(windows, [next(told) for _ in windows], context, rule=model.rule)
            said.append("" if found.start is None else context[found.start : found.end])
        return judge(said)

    return Lesson(learner.model, train.rows, span_shares(learner, train.rows), judged, heads)
