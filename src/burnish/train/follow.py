"""One training in its run folder, whatever is learnt: resume, log, judge, save, stop; the consumer of the loop."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from burnish.errors import EXIT_TERMINATED, BurnishError, fail
from burnish.records.recipe import Recipe
from burnish.records.run import Environment, Run, RunStatus, Step
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
from burnish.train.held_signals import signals_held
from burnish.train.loop import Lessons, LoopState, Shares, not_finite, rows_of_update, updates
from burnish.train.optimizer import make_optimizer
from burnish.train.result import has_result
from burnish.train.runs import RECORD, STEPS, load_run, sound_steps

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
class Lesson:
    """A model made ready for its method, the rows it learns, and who judges it.

    `judge(step)` is higher for better. With `opening` the model is worth something before the first update: it is
    judged and stands as step 0, and the sentence made of its value is announced.
    """

    model: nn.Module
    rows: Lessons
    shares: Shares
    judge: Callable[[int], float]
    head_modules: tuple[str, ...] = ()
    opening: Callable[[float], str] | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A training that may begin: its record, its lesson (given whether a checkpoint will be restored), its end.

    `save` writes the model in place and answers with the SHA-256 of its weights.
    """

    run: Run
    lesson: Callable[[bool], Lesson]
    save: Callable[[], str]


def train_in_folder(
    folder: Path,
    recipe: Recipe,
    *,
    prepare: Callable[[Run | None], Prepared],
    around: Surroundings,
) -> Run:
    """Train in a run's folder; the same call again continues, and returns at once when done.

    `prepare` gets the record an earlier attempt left. The folder ends with `run.json`, `steps.jsonl` and `model/`.

    Raises: loss-not-finite, training-interrupted (exit 130 or 143), merge-differs, checkpoint-other-version,
        run-damaged, disk-full.
    """
    checkpoints = Checkpoints(folder / "checkpoints")
    earlier = _earlier(folder, announce=around.announce)
    if earlier and earlier.status == "done":
        wanted = earlier.weights_sha256
        if has_result(folder, weights_sha256=wanted, announce=around.announce):
            remove_folder(checkpoints.folder)
            sweep(folder)  # what a death in the middle of that left
            return earlier
    make_folder(folder)
    prepared = prepare(earlier)
    run = prepared.run
    started = time.monotonic()

    def keep(status: RunStatus, facts: Mapping[str, object]) -> Run:
        seconds = run.train_seconds + time.monotonic() - started
        changes = {"status": status, "train_seconds": seconds, "ended_at": around.now(), **facts}
        ended = run.model_copy(update=changes)
        write_sealed(folder / RECORD, ended)
        return ended

    write_sealed(folder / RECORD, run)
    if earlier is not None and checkpoints.folder.is_dir():
        _say_what_differs(earlier.environment, run.environment, announce=around.announce)
    try:
        with _deterministic():
            state = _follow(prepared, recipe, checkpoints=checkpoints, folder=folder, around=around)
            weights_sha256 = prepared.save()
    except BurnishError as error:
        status = "interrupted" if error.code == "training-interrupted" else "failed"
        logged, _ = sound_steps(folder)
        steps_made = logged[-1].step if logged else 0
        keep(status, {"steps": steps_made, "message": error.problems[0].what})
        raise
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    done = keep(
        "done",
        {
            "steps": state.step,
            "best_step": state.best_step,
            "best_validation": state.best_validation,
            "weights_sha256": weights_sha256,
            "peak_memory_bytes": peak_bytes,
        },
    )
    remove_folder(checkpoints.folder)
    return done


def pause(around: Surroundings) -> None:
    """Between two pieces of work that hold no update: stop here if somebody asked for it.

    Raises: training-interrupted.
    """
    code = around.stop()
    if code is not None:
        raise _interrupted(code, "between two steps; what was saved before stands")


def _follow(
    prepared: Prepared,
    recipe: Recipe,
    *,
    checkpoints: Checkpoints,
    folder: Path,
    around: Surroundings,
) -> LoopState:
    """From the base model or the newest whole checkpoint to the last step: log, judge, save, stop.

    The model ends with the best weights.
    """
    found = newest_whole(checkpoints, announce=around.announce)
    lesson = prepared.lesson(found is not None)
    model, rows = lesson.model, lesson.rows
    state = LoopState(make_optimizer(model, recipe, head_modules=lesson.head_modules))
    if found is not None:
        restore(found, model, state)
        around.announce(f"resuming after step {state.step}")
    if found is None and lesson.opening is not None:
        # what stands before the first update is a model already, and sometimes the best one
        state.best_step, state.best_validation = 0, lesson.judge(0)
        save_best(checkpoints, model, step=0)
        around.announce(lesson.opening(state.best_validation))
    path = folder / STEPS
    kept = _kept_steps(folder, upto=state.step, announce=around.announce)
    write_file(path, log_bytes(kept, bound_to=folder.name))
    saved_at = time.monotonic()
    with LineLog(path, bound_to=folder.name, sync_every=_STEPS_PER_SYNC) as log:
        stream = updates(
            model,
            rows,
            recipe,
            shares=lesson.shares,
            judge=lambda: lesson.judge(state.step),
            state=state,
        )
        for step in stream:
            log.append(step)
            around.on_step(step)
            code = around.stop()
            late = time.monotonic() - saved_at >= around.save_every_seconds
            if late or code is not None or step.validation is not None:
                if not weights_are_finite(model):
                    seen = rows_of_update(rows, recipe, step=step.step)
                    raise not_finite("a weight is", step=step.step, places=rows.places_of(seen))
                with signals_held():  # a second Ctrl-C must not cost what the first one asked for
                    if step.best:
                        save_best(checkpoints, model, step=step.step)
                    log.sync()
                    save_checkpoint(checkpoints, model, state)
                saved_at = time.monotonic()
            if code is not None:
                raise _interrupted(
                    code, f"after step {step.step} of {step.of}; a checkpoint was saved"
                )
    if state.best_step is not None:
        restore_best(checkpoints, model, step=state.best_step)
    return state


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
