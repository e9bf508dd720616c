"""Train one model in a run folder: resume, save, judge, stop; the consumer of the loop."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.encode.tokenise import load_tokeniser
from burnish.errors import EXIT_TERMINATED, BurnishError, Problem, fail
from burnish.models.classifier import TransformersFitted, choose_trainable, new_classifier
from burnish.models.family import family_of
from burnish.models.learner import settle_body
from burnish.models.shortage import shortage_told
from burnish.models.source import BaseModel
from burnish.records.encoding import Encoding, FloatArray
from burnish.records.recipe import Recipe
from burnish.records.run import Environment, Run, RunStatus, Split, Step, run_id
from burnish.records.task import Task
from burnish.store.durable import make_folder, remove_folder, sweep, write_file, write_sealed
from burnish.store.line_log import LineLog, log_bytes
from burnish.train.checkpoint import (
    Checkpoints,
    newest_whole,
    restore,
    restore_best,
    save_best,
    save_checkpoint,
    weights_are_finite,
)
from burnish.train.checkpoint_files import read_progress
from burnish.train.environment import environment
from burnish.train.estimate import (
    Forecast,
    Rows,
    forecast_of,
    refuse_too_large,
    settled,
)
from burnish.train.forward import Forward, Placed, forward_of, pooled_features
from burnish.train.held_signals import signals_held
from burnish.train.loop import LoopState, TrainRows, not_finite, rows_of_update, steps
from burnish.train.memory import peak_bytes
from burnish.train.objective import Objective
from burnish.train.optimizer import make_optimizer
from burnish.train.probe import probe_head
from burnish.train.result import has_result, save_result
from burnish.train.rows import LabelledTexts
from burnish.train.runs import RECORD, STEPS, load_run, sound_steps
from burnish.train.splits import Splits
from burnish.train.spoken import announced, compared

# steps.jsonl is synced with every checkpoint and cut back to it on resume, so a lost tail costs nothing
_STEPS_PER_SYNC = 50


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What training receives from the edge: the clock, the voice, whether to stop, how often to save.

    `stop` returns the exit code of the signal that asked to stop, or None.
    """

    now: Callable[[], str]
    announce: Callable[[str], None]
    on_step: Callable[[Step], None]
    stop: Callable[[], int | None]
    save_every_seconds: float


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
        checkpoint-other-version, run-damaged, disk-full, memory-full, and the codes of new_classifier and load_tokeniser.
    """
    _refuse_empty(train, validation)
    identity = run_id(
        task_id=task.id, dataset_id=dataset_id, recipe=recipe, base_sha256=base.sha256
    )
    folder = runs / identity
    checkpoints = Checkpoints(folder / "checkpoints")
    earlier = _earlier(folder, announce=around.announce)
    if earlier and earlier.status == "done":
        wanted = earlier.weights_sha256
        if has_result(folder, weights_sha256=wanted, announce=around.announce):
            remove_folder(checkpoints.folder)
            sweep(folder)  # what a death in the middle of that left
            return earlier
    make_folder(folder)
    refuse_too_large(base.folder, recipe)
    learner = new_classifier(
        base.folder, label_names=task.label_names, objective=objective, recipe=recipe
    )
    fitted = TransformersFitted(learner, load_tokeniser(base.folder, max_tokens=recipe.max_tokens))
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
    started = time.monotonic()
    forecast: Forecast | None = None

    def note(split: Split) -> None:
        nonlocal run
        run = run.model_copy(update={"splits": splits.made})
        # before anything goes on with it: whoever resumes replays it
        write_sealed(folder / RECORD, run)
        around.announce(split.told())

    splits = Splits(run.splits, note)

    def keep(status: RunStatus, facts: Mapping[str, object]) -> Run:
        seconds = run.train_seconds + time.monotonic() - started
        changes = {"status": status, "train_seconds": seconds, "ended_at": around.now()}
        ended = run.model_copy(update={**changes, "splits": splits.made, **facts})
        write_sealed(folder / RECORD, ended)
        return ended

    if earlier is not None and checkpoints.folder.is_dir():
        _say_what_differs(earlier.environment, run.environment, announce=around.announce)
    try:
        with shortage_told(), _deterministic():
            found = newest_whole(checkpoints, announce=around.announce)
            forecast = forecast_of(
                fitted,
                Rows(encodings, validation_encodings),
                recipe,
                objective=objective,
                made=0 if found is None else read_progress(found).step,
                fresh=found is None,
                folder=checkpoints.folder,
                save_every_seconds=around.save_every_seconds,
                pause=_pause(around),
            )
            if forecast is not None:
                run = run.model_copy(update={"estimate": forecast.said})
                around.announce(announced(forecast.said, recipe))
            write_sealed(folder / RECORD, run)
            state = _follow(
                fitted,
                _Rows(train, encodings),
                _Rows(validation, validation_encodings),
                recipe,
                objective=objective,
                judge=judge,
                checkpoints=checkpoints,
                found=found,
                folder=folder,
                splits=splits,
                around=around,
            )
            if state.best_step is not None:
                restore_best(checkpoints, learner.model, step=state.best_step)
            weights_sha256 = save_result(fitted, base, folder, probe=validation_encodings)
    except BurnishError as error:
        status = "interrupted" if error.code == "training-interrupted" else "failed"
        logged, _ = sound_steps(folder)
        steps_made = logged[-1].step if logged else 0
        facts: dict[str, object] = {"steps": steps_made, "message": error.problems[0].what}
        if forecast is not None:
            facts["estimate"] = settled(forecast, step=steps_made, ended=False)
        keep(status, facts)
        raise
    facts = {
        "steps": state.step,
        "best_step": state.best_step,
        "best_validation": state.best_validation,
        "weights_sha256": weights_sha256,
        "peak_memory_bytes": peak_bytes(),
    }
    if forecast is not None:
        facts["estimate"] = measured = settled(forecast, step=state.step, ended=True)
        around.announce(compared(measured))
    done = keep("done", facts)
    remove_folder(checkpoints.folder)
    return done


def _follow(
    fitted: TransformersFitted,
    train: _Rows,
    validation: _Rows,
    recipe: Recipe,
    *,
    objective: Objective,
    judge: Callable[[FloatArray], float],
    checkpoints: Checkpoints,
    found: Path | None,
    folder: Path,
    splits: Splits,
    around: Surroundings,
) -> LoopState:
    """From the base model or the checkpoint `found` to the last step: log, judge, save, stop."""
    learner = fitted.learner
    forward = _ready(
        fitted,
        train,
        validation,
        recipe,
        objective=objective,
        resumed=found is not None,
        splits=splits,
        around=around,
    )
    heads = family_of(learner.model_type).head_modules(learner.model)
    state = LoopState(make_optimizer(learner.model, recipe, head_modules=heads), splits=splits)
    if found is not None:
        restore(found, learner.model, state)
        around.announce(f"resuming after step {state.step}")
    labelled = train.labelled
    rows = TrainRows(forward.lengths, labelled.targets_RL, labelled.weights_R, labelled.places)

    def judged() -> float:
        logits_RL = forward.judged(state.step)
        broken = np.flatnonzero(~np.isfinite(logits_RL).all(axis=1))
        if len(broken):
            places = [validation.labelled.places[int(row)] for row in broken]
            raise not_finite("an answer on validation rows is", step=state.step, places=places)
        return judge(logits_RL)

    if found is None and recipe.head_start == "probe":
        # the probe is a model already, and sometimes the best one: it stands as step 0
        state.best_step, state.best_validation = 0, judged()
        save_best(checkpoints, learner.model, step=0)
        around.announce(f"the head alone reaches {abs(state.best_validation):.4f} on validation")
    path = folder / STEPS
    kept = _kept_steps(folder, upto=state.step, announce=around.announce)
    write_file(path, log_bytes(kept, bound_to=folder.name))
    saved_at = time.monotonic()
    with LineLog(path, bound_to=folder.name, sync_every=_STEPS_PER_SYNC) as log:
        stream = steps(
            learner.model,
            rows,
            recipe,
            objective=objective,
            logits=forward.logits,
            judge=judged,
            state=state,
        )
        for step in stream:
            log.append(step)
            around.on_step(step)
            code = around.stop()
            late = time.monotonic() - saved_at >= around.save_every_seconds
            if late or code is not None or step.validation is not None:
                if not weights_are_finite(learner.model):
                    seen = rows_of_update(rows, recipe, step=step.step)
                    raise not_finite("a weight is", step=step.step, places=rows.places_of(seen))
                with signals_held():  # a second Ctrl-C must not cost what the first one asked for
                    if step.best:
                        save_best(checkpoints, learner.model, step=step.step)
                    log.sync()
                    save_checkpoint(checkpoints, learner.model, state)
                saved_at = time.monotonic()
            if code is not None:
                raise _interrupted(
                    code, f"after step {step.step} of {step.of}; a checkpoint was saved"
                )
    return state


def _ready(
    fitted: TransformersFitted,
    train: _Rows,
    validation: _Rows,
    recipe: Recipe,
    *,
    objective: Objective,
    resumed: bool,
    splits: Splits,
    around: Surroundings,
) -> Forward:
    """Make the model ready for its method: probe, adapters, cached features.

    With `resumed` the probe is left out: every weight it would set comes from the checkpoint.
    """
    learner, pause = fitted.learner, _pause(around)
    probed = recipe.head_start == "probe" and not resumed
    features_R1H: Tensor | None = None
    if probed or recipe.method == "head":
        around.announce("features of the frozen base")
        features_R1H = pooled_features(learner, train.placed, splits=splits, pause=pause)
    if probed and features_R1H is not None:
        probe_head(learner, features_R1H, train.labelled.targets_RL, objective=objective)
    choose_trainable(learner, recipe)
    return forward_of(
        learner,
        train.placed,
        validation.placed,
        features_R1H=features_R1H if recipe.method == "head" else None,
        splits=splits,
        pause=pause,
    )


def _pause(around: Surroundings) -> Callable[[], None]:
    """What work that holds no update calls every few seconds: it ends there when it was asked to."""

    def pause() -> None:
        code = around.stop()
        if code is not None:
            raise _interrupted(code, "between two steps; what was saved before stands")

    return pause


def _earlier(folder: Path, *, announce: Callable[[str], None]) -> Run | None:
    """The record an earlier attempt left; a damaged one is said, and the run goes on from its checkpoints."""
    if not os.path.lexists(folder / RECORD):
        return None
    try:
        return load_run(folder)
    except BurnishError as error:
        announce(f"{error.problems[0].what}: written again")
        return None


def _kept_steps(folder: Path, *, upto: int, announce: Callable[[str], None]) -> list[Step]:
    """The logged steps up to the one the state stands at; damage among them is said, for the curves alone miss them."""
    try:
        steps, _ = sound_steps(folder)
    except BurnishError as error:
        announce(error.problems[0].what)
        steps = []
    kept = [step for step in steps if step.step <= upto]
    reached = kept[-1].step if kept else 0
    if reached < upto:
        announce(
            f"steps.jsonl is damaged after step {reached}: the curves miss {upto - reached} steps, the weights none"
        )
    return kept


def _refuse_empty(train: LabelledTexts, validation: LabelledTexts) -> None:
    problems = tuple(
        Problem(
            code="split-empty",
            what=f"{split} has no labelled rows",
            expected="at least one row to learn from and one to judge by",
            fix="add rows, or name a file for it under [data] in task.toml",
        )
        for split, rows in (("train", train), ("validation", validation))
        if not rows.texts
    )
    if problems:
        raise BurnishError(problems)


def _say_what_differs(
    earlier: Environment, now: Environment, *, announce: Callable[[str], None]
) -> None:
    """Equal bytes are promised for equal surroundings only."""
    before, after = earlier.model_dump(), now.model_dump()
    changed = [f"{name} {before[name]} is now {after[name]}" for name in after
               if before[name] != after[name]]  # fmt: skip
    if changed:
        announce(f"{', '.join(changed)}: the last bits of the weights may differ from one go")


def _interrupted(code: int, when: str) -> BurnishError:
    cause = "SIGTERM" if code == EXIT_TERMINATED else "Ctrl-C"
    return fail(
        "training-interrupted",
        f"stopped by {cause} {when}",
        fix="run the same command again: it continues from there",
        exit_code=code,
    )


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """Torch's deterministic algorithms for the duration: what byte-identical resume rests on."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
