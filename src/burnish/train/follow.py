"""One training in its run folder, whatever is learnt: resume, log, judge, save, stop; the consumer of the loop."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from burnish.errors import EXIT_TERMINATED, BurnishError, fail
from burnish.models.shortage import shortage_told
from burnish.records.recipe import Recipe
from burnish.records.run import Environment, Run, RunStatus, Split, Step
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
from burnish.train.estimate import Forecast, settled
from burnish.train.held_signals import signals_held
from burnish.train.loop import Lessons, LoopState, Shares, not_finite, rows_of_update, updates
from burnish.train.memory import peak_bytes
from burnish.train.optimizer import make_optimizer
from burnish.train.result import has_result
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
class Start:
    """Where a training begins: after `made` updates (`resumed`: from a checkpoint), what memory allowed so far, and
    the folder of its checkpoints.
    """

    made: int
    resumed: bool
    splits: Splits
    checkpoints: Path


@dataclass(frozen=True, slots=True)
class Prepared:
    """A training that may begin: its record, the estimate of what it will take, its lesson, its end.

    `forecast` leaves everything as it was and says None where there is nothing to tell; `save` writes the model in
    place and answers with the SHA-256 of its weights.
    """

    run: Run
    forecast: Callable[[Start], Forecast | None]
    lesson: Callable[[Start], Lesson]
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
        run-damaged, disk-full, memory-full, memory-too-small.
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
            made = 0 if found is None else read_progress(found).step
            start = Start(made, found is not None, splits, checkpoints.folder)
            forecast = prepared.forecast(start)
            if forecast is not None:
                run = run.model_copy(update={"estimate": forecast.said})
                around.announce(announced(forecast.said, recipe))
            write_sealed(folder / RECORD, run)
            state = _follow(
                prepared.lesson(start),
                recipe,
                start=start,
                found=found,
                folder=folder,
                around=around,
            )
            weights_sha256 = prepared.save()
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


def pausing(around: Surroundings) -> Callable[[], None]:
    """What work that holds no update calls every few seconds: it ends there when it was asked to.

    What is returned raises training-interrupted.
    """

    def pause() -> None:
        code = around.stop()
        if code is not None:
            raise _interrupted(code, "between two steps; what was saved before stands")

    return pause


def _follow(
    lesson: Lesson,
    recipe: Recipe,
    *,
    start: Start,
    found: Path | None,
    folder: Path,
    around: Surroundings,
) -> LoopState:
    """From the base model or the checkpoint `found` to the last step: log, judge, save, stop.

    The model ends with the best weights.
    """
    checkpoints = Checkpoints(start.checkpoints)
    model, rows = lesson.model, lesson.rows
    optimizer = make_optimizer(model, recipe, head_modules=lesson.head_modules)
    state = LoopState(optimizer, splits=start.splits)
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
