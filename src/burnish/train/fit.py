"""Train one model in a run folder: resume, save, judge, stop; the consumer of the loop."""

from __future__ import annotations

import contextlib
import hashlib
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from burnish.encode.tokenise import load_tokeniser
from burnish.errors import EXIT_TERMINATED, BurnishError, fail
from burnish.models.classifier import (
    TransformersFitted,
    choose_trainable,
    copy_tokenizer,
    new_classifier,
)
from burnish.models.family import family_of
from burnish.models.learner import Learner
from burnish.models.source import BaseModel
from burnish.records.encoding import Encoding, FloatArray
from burnish.records.recipe import Recipe
from burnish.records.run import Run, Step, run_id
from burnish.records.task import Task
from burnish.store.durable import LineLog, make_folder, new_folder, remove_folder, write_json, write_text
from burnish.train.checkpoint import Checkpoints, resume, restore_best, save_best, save_checkpoint
from burnish.train.environment import environment
from burnish.train.forward import Forward, forward_of, pooled_features
from burnish.train.loop import LoopState, TrainRows, steps
from burnish.train.objective import Objective
from burnish.train.optimizer import make_optimizer
from burnish.train.probe import probe_head
from burnish.train.rows import LabelledTexts
from burnish.train.runs import load_run, load_steps

# A checkpoint costs about 1 s for 23 M parameters; a kill costs at most this much work.
SAVE_EVERY_SECONDS = 30.0
# steps.jsonl is rewritten from the checkpoint on resume, so a lost tail costs nothing
_STEPS_PER_SYNC = 50


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What training receives from the edge: the clock, the voice, and whether to stop.

    `stop` returns the exit code of the signal that asked to stop, or None.
    """

    now: Callable[[], str]
    announce: Callable[[str], None]
    on_step: Callable[[Step], None]
    stop: Callable[[], int | None]
    save_every_seconds: float = SAVE_EVERY_SECONDS


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

    Raises: loss-not-finite, training-interrupted (exit 130 or 143 after a checkpoint), disk-full.
    """
    identity = run_id(
        task_id=task.id, dataset_id=dataset_id, recipe=recipe, base_sha256=base.sha256
    )
    folder = runs / identity
    finished = load_run(folder) if (folder / "run.json").is_file() else None
    if finished is not None and finished.status == "done" and (folder / "model").is_dir():
        return finished
    make_folder(folder)
    learner = new_classifier(
        base.folder, label_names=task.label_names, objective=objective, recipe=recipe
    )
    tokeniser = load_tokeniser(base.folder, max_tokens=recipe.max_tokens)
    fitted = TransformersFitted(learner, tokeniser)
    encodings = fitted.encode(train.texts)
    validation_encodings = fitted.encode(validation.texts)
    run = Run(
        id=identity,
        task_id=task.id,
        task_name=task.name,
        dataset_id=dataset_id,
        recipe=recipe,
        base_sha256=base.sha256,
        environment=environment(learner),
        status="running",
        truncated_rows=sum(1 for row in encodings if row.dropped_tokens),
        truncated_tokens=sum(row.dropped_tokens for row in encodings),
        started_at=finished.started_at if finished else around.now(),
    )
    write_json(folder / "run.json", run.model_dump(mode="json"))
    started = time.monotonic()
    earlier_seconds = finished.train_seconds if finished else 0.0
    with _deterministic():
        features_R1H = None
        if recipe.head_start == "probe" or recipe.method == "head":
            around.announce("features of the frozen base")
            features_R1H = pooled_features(learner, encodings)
        if recipe.head_start == "probe" and features_R1H is not None:
            probe_head(learner, features_R1H, train.targets_RL, objective=objective)
        heads = family_of(learner.model_type).head_modules(learner.model)
        choose_trainable(learner, recipe)
        forward = forward_of(
            learner,
            fitted,
            encodings,
            validation_encodings,
            features_R1H=features_R1H if recipe.method == "head" else None,
        )
        rows = TrainRows(forward.lengths, train.targets_RL, train.weights_R, train.places)
        state = LoopState(make_optimizer(learner.model, recipe, head_modules=heads))
        try:
            state = _follow(
                learner,
                rows,
                recipe,
                folder=folder,
                around=around,
                objective=objective,
                forward=forward,
                judge=judge,
                state=state,
            )
        except BurnishError as error:
            status = "interrupted" if error.code == "training-interrupted" else "failed"
            seconds = earlier_seconds + time.monotonic() - started
            stopped = run.model_copy(
                update={
                    "status": status,
                    "steps": state.step,
                    "message": error.problems[0].what,
                    "train_seconds": seconds,
                    "ended_at": around.now(),
                }
            )
            write_json(folder / "run.json", stopped.model_dump(mode="json"))
            raise
        if state.best_step is not None:
            restore_best(Checkpoints(folder / "checkpoints"), learner.model, step=state.best_step)
        weights_sha256 = _save_model(learner, base, folder, fitted, validation_encodings)
    done = run.model_copy(
        update={
            "status": "done",
            "steps": state.step,
            "best_step": state.best_step,
            "best_validation": state.best_validation,
            "weights_sha256": weights_sha256,
            "train_seconds": earlier_seconds + time.monotonic() - started,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "ended_at": around.now(),
        }
    )
    write_json(folder / "run.json", done.model_dump(mode="json"))
    if (folder / "checkpoints").is_dir():
        remove_folder(folder / "checkpoints")
    return done


def _follow(
    learner: Learner,
    rows: TrainRows,
    recipe: Recipe,
    *,
    folder: Path,
    around: Surroundings,
    objective: Objective,
    forward: Forward,
    judge: Callable[[FloatArray], float],
    state: LoopState,
) -> LoopState:
    checkpoints = Checkpoints(folder / "checkpoints")
    if resume(checkpoints, learner.model, state, announce=around.announce):
        around.announce(f"resuming after step {state.step}")
    kept = [step for step in load_steps(folder) if step.step <= state.step]
    write_text(folder / "steps.jsonl", "".join(f"{step.model_dump_json()}\n" for step in kept))
    saved_at = time.monotonic()
    with LineLog(folder / "steps.jsonl", sync_every=_STEPS_PER_SYNC) as log:
        stream = steps(
            learner.model,
            rows,
            recipe,
            objective=objective,
            logits=forward.logits,
            judge=lambda: judge(forward.judged()),
            state=state,
        )
        for step in stream:
            log.append(step)
            around.on_step(step)
            if step.best:
                save_best(checkpoints, learner.model, step=step.step)
            code = around.stop()
            late = time.monotonic() - saved_at >= around.save_every_seconds
            if late or code is not None or step.validation is not None:
                save_checkpoint(checkpoints, learner.model, state)
                saved_at = time.monotonic()
            if code is not None:
                raise _interrupted(step, code)
    return state


def _interrupted(step: Step, code: int) -> BurnishError:
    cause = "SIGTERM" if code == EXIT_TERMINATED else "Ctrl-C"
    return fail(
        "training-interrupted",
        f"stopped by {cause} after step {step.step} of {step.of}; a checkpoint was saved",
        fix="run the same command again: it continues from there",
        exit_code=code,
    )


def _save_model(
    learner: Learner,
    base: BaseModel,
    folder: Path,
    fitted: TransformersFitted,
    probe: Sequence[Encoding],
) -> str:
    """Write `model/` in the Hugging Face layout; adapters are merged only if outputs stay the same."""
    model: Any = learner.model
    if hasattr(model, "merge_and_unload"):
        from burnish.models.adapters import merge_lora

        rows = list(probe[:32])
        before = fitted.logits(rows)
        if not (folder / "adapter").is_dir():
            with new_folder(folder / "adapter") as staging:
                model.save_pretrained(str(staging), safe_serialization=True)
                (staging / "README.md").unlink(missing_ok=True)
        model = merge_lora(model)
        learner.model = model
        gap = float(np.abs(fitted.logits(rows) - before).max(initial=0.0))
        if gap > 1e-3:
            raise fail(
                "merge-differs",
                f"the merged model's logits differ from the adapter's by {gap:.2g}",
                where=f"run {folder.name}",
                expected="a difference of at most 0.001",
                fix="report this run; its adapter is kept in the run folder",
            )
    with new_folder(folder / "model") as staging:
        model.save_pretrained(staging, safe_serialization=True)
        copy_tokenizer(base.folder, staging)
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """torch's deterministic algorithms for the duration: what byte-identical resume rests on."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
